"""What the server does with the sites' mean: one function a rule, each named by a setting.

A rule takes a tensor's value before the round, the sites' mean of it, what the rule remembered of
it after the round before (nothing at first) and the settings, all arrays float64, and returns its
new value and what to remember. A new one is a function here, an entry in ``OPTIMIZERS`` and a
choice of ``server.optimizer``.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from federated.config.server import Server

Float64 = npt.NDArray[np.float64]
Memory = Mapping[str, Float64]
Optimizer = Callable[[Float64, Float64, Memory, Server], tuple[Float64, Memory]]

BETA2 = 0.99
TAU = 1e-3
"""Decay of the second moment, and adaptivity: Reddi et al., ICLR 2021, arXiv 2003.00295."""


def towards_mean(
    before: Float64, mean: Float64, memory: Memory, settings: Server
) -> tuple[Float64, Memory]:
    """Return the mean (FedAvg, McMahan et al. 2017), or the share ``lr`` of the way to it."""
    lr = settings.learning_rate
    return (mean if lr == 1.0 else before + lr * (mean - before)), {}


def momentum(
    before: Float64, mean: Float64, memory: Memory, settings: Server
) -> tuple[Float64, Memory]:
    """FedAvgM, Hsu et al. 2019, arXiv 1909.06335: ``v <- beta v + d; w <- w + lr v``."""
    first = settings.momentum * memory.get("first", np.zeros(before.shape)) + (mean - before)
    return before + settings.learning_rate * first, {"first": first}


def adam(
    before: Float64, mean: Float64, memory: Memory, settings: Server
) -> tuple[Float64, Memory]:
    """FedAdam: ``v <- beta2 v + (1 - beta2) d^2``."""
    return adapted(before, mean, memory, settings, lambda v, d2: BETA2 * v + (1 - BETA2) * d2)


def yogi(
    before: Float64, mean: Float64, memory: Memory, settings: Server
) -> tuple[Float64, Memory]:
    """FedYogi: ``v <- v - (1 - beta2) d^2 sign(v - d^2)``, which moves slower than FedAdam's."""
    return adapted(
        before, mean, memory, settings, lambda v, d2: v - (1 - BETA2) * d2 * np.sign(v - d2)
    )


def adagrad(
    before: Float64, mean: Float64, memory: Memory, settings: Server
) -> tuple[Float64, Memory]:
    """FedAdagrad: ``v <- v + d^2``, so that steps only ever shrink."""
    return adapted(before, mean, memory, settings, lambda v, d2: v + d2)


def adapted(
    before: Float64,
    mean: Float64,
    memory: Memory,
    settings: Server,
    renewed: Callable[[Float64, Float64], Float64],
) -> tuple[Float64, Memory]:
    """Return arXiv 2003.00295, algorithm 2, with d the mean change: ``w + lr m / (sqrt v + tau)``.

    Args:
        before: The tensor before the round.
        mean: The sites' mean of it.
        memory: Its moments m and v, as ``first`` and ``second``.
        settings: With ``lr``, and beta1 as ``momentum``.
        renewed: From v and d^2 to the new v.
    """
    change = mean - before
    first = memory.get("first", np.zeros(before.shape))
    first = settings.momentum * first + (1.0 - settings.momentum) * change
    second = renewed(memory.get("second", np.full(before.shape, TAU**2)), change**2)
    move = first / (np.sqrt(second) + TAU)
    return before + settings.learning_rate * move, {"first": first, "second": second}


OPTIMIZERS: Mapping[str, Optimizer] = {
    "none": towards_mean,
    "momentum": momentum,
    "adam": adam,
    "yogi": yogi,
    "adagrad": adagrad,
}
"""By the choices of ``server.optimizer``."""
