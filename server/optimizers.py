"""What the server does with the sites' mean: one function a rule, each named by a setting.

A rule takes a tensor's value before the round, the sites' mean of it, what the rule remembered of
it after the round before (nothing at first) and the settings, all arrays float64, and returns its
new value and what to remember. A new one is a function here, an entry in ``OPTIMIZERS`` and a
choice of ``server.optimizer``.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from federated.config.schema import Server

Float64 = npt.NDArray[np.float64]
Memory = Mapping[str, Float64]
Optimizer = Callable[[Float64, Float64, Memory, Server], tuple[Float64, Memory]]

ADAM_BETA2 = 0.99
ADAM_TAU = 1e-3
"""Adaptivity of FedAdam, Reddi et al., ICLR 2021, arXiv 2003.00295, section 5."""


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
    """FedAdam, arXiv 2003.00295, algorithm 2, with the mean change as the gradient."""
    change = mean - before
    first = memory.get("first", np.zeros(before.shape))
    first = settings.momentum * first + (1.0 - settings.momentum) * change
    second = memory.get("second", np.full(before.shape, ADAM_TAU**2))
    second = ADAM_BETA2 * second + (1 - ADAM_BETA2) * change**2
    move = first / (np.sqrt(second) + ADAM_TAU)
    return before + settings.learning_rate * move, {"first": first, "second": second}


OPTIMIZERS: Mapping[str, Optimizer] = {
    "none": towards_mean,
    "momentum": momentum,
    "adam": adam,
}
"""By the choices of ``server.optimizer``."""
