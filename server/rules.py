"""How the sites' shared weights become the server's: an exact weighted mean, then a server step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from federated.config.schema import Server
from federated.exchange.exact import ExactSum

Arrays = Mapping[str, npt.NDArray[Any]]
Contribution = tuple[Arrays, int]
"""Tensors of one site and their weight."""

ADAM_BETA2 = 0.99
ADAM_TAU = 1e-3
"""Adaptivity of FedAdam, Reddi et al., ICLR 2021, arXiv 2003.00295, section 5."""


@dataclass(frozen=True)
class ServerState:
    """What the server has after a round.

    Attributes:
        shared: What the sites are sent, by ``GROUP/NAME``.
        optimizer: What its optimiser remembers of earlier rounds.
        updates: Updates on their way that a later round may use, by ``Flight.key``.
        bases: The weights that those started from, by round.
    """

    shared: Arrays
    optimizer: Arrays = field(default_factory=dict)
    updates: Mapping[str, Arrays] = field(default_factory=dict)
    bases: Mapping[int, Arrays] = field(default_factory=dict)


def weighted_mean(
    contributions: Sequence[Contribution], weighting: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the mean of the sites' tensors in float64; their order changes no bit.

    Args:
        contributions: Tensors and number of training images of each site.
        weighting: ``examples`` (McMahan et al. 2017) or ``uniform``.

    Raises:
        ValueError: a value is not finite or too large to be added up.
    """
    sums = [ExactSum.of(w, n if weighting == "examples" else 1) for w, n in contributions]
    return reduce(add, sums).mean()


def step(state: ServerState, mean: Arrays, server: Server) -> ServerState:
    """Return the state after the server has seen the sites' mean.

    ``none`` with lr 1 replaces the weights by the mean (FedAvg). ``momentum`` is FedAvgM (Hsu et
    al. 2019, arXiv 1909.06335), ``adam`` is FedAdam (arXiv 2003.00295); both treat old weights
    minus mean as a gradient. Integer tensors, such as batch counters, take the rounded mean.
    """
    shared, optimizer = {}, {}
    for name, old in state.shared.items():
        target = np.asarray(mean[name])
        if not np.issubdtype(old.dtype, np.floating):
            shared[name] = np.rint(target).astype(old.dtype)
            continue
        if server.optimizer == "none" and server.lr == 1.0:
            shared[name] = target.astype(old.dtype)
            continue
        delta = target - old.astype(np.float64)
        move = delta
        if server.optimizer != "none":
            first = state.optimizer.get(f"first/{name}", np.zeros(old.shape))
            keep = 1.0 if server.optimizer == "momentum" else 1.0 - server.momentum
            move = server.momentum * np.asarray(first, dtype=np.float64) + keep * delta
            optimizer[f"first/{name}"] = move
        if server.optimizer == "adam":
            start = np.full(old.shape, ADAM_TAU**2)
            second = np.asarray(state.optimizer.get(f"second/{name}", start), dtype=np.float64)
            second = ADAM_BETA2 * second + (1 - ADAM_BETA2) * delta**2
            optimizer[f"second/{name}"] = second
            move = move / (np.sqrt(second) + ADAM_TAU)
        shared[name] = (old.astype(np.float64) + server.lr * move).astype(old.dtype)
    return replace(state, shared=shared, optimizer=optimizer)
