"""How the sites' releases become the server's state: sum -> mean -> optimiser -> method's rule."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from federated.config.server import Server
from federated.exchange.exact import ExactSum
from federated.exchange.sharing import WEIGHTS, as_group, group
from federated.methods.seam import MEMORY, ServerRound
from server.optimizers import OPTIMIZERS, Float64

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Contribution = tuple[Arrays, int]
"""Tensors of one site and their number of training images."""

ServerRule = Callable[[ServerRound], Arrays]
"""A method's own: returns the new arrays of all its groups, and what it keeps for itself."""

RULE = "rule"
"""Kind under which the server remembers what a method's rule keeps."""


class NotFiniteError(ArithmeticError):
    """A step of the server has led to a value that is not finite."""


@dataclass(frozen=True)
class ServerState:
    """What the server has after a round.

    Attributes:
        shared: What the sites are sent, by ``GROUP/NAME``.
        optimizer: What its optimiser remembers of earlier rounds, by ``KIND/GROUP/NAME``, and
            under ``RULE`` what a method's own rule keeps.
        releases: What updates hold that a later round may use, by ``Update.key``.
        bases: What the sites were sent that those started from, by round.
    """

    shared: Arrays
    optimizer: Arrays = field(default_factory=dict)
    releases: Mapping[str, Arrays] = field(default_factory=dict)
    bases: Mapping[int, Arrays] = field(default_factory=dict)


def weighted_sum(contributions: Sequence[Contribution], *, by_examples: bool) -> ExactSum:
    """Return the sum of sites' tensors; their order changes no bit.

    Args:
        contributions: Tensors and number of training images of each site.
        by_examples: Weigh a site by this number (McMahan et al. 2017), else by 1.

    Raises:
        NotFiniteError: a value is not finite, or too large to be added up.
    """
    try:
        sums = [ExactSum.of(tensors, n if by_examples else 1) for tensors, n in contributions]
    except ValueError as error:
        raise NotFiniteError(str(error)) from error
    return reduce(add, sums)


def step(
    state: ServerState,
    mean: Arrays,
    settings: Server,
    *,
    share: float = 1.0,
    rule: ServerRule | None = None,
    untrained: Collection[str] = (),
) -> ServerState:
    """Return the state after the server has seen the sites' mean.

    The network's weights go through ``server.optimizer``, the method's own groups through its rule.

    Args:
        state: Before the round.
        mean: The sites' weighted mean, by ``GROUP/NAME``.
        settings: Of the server.
        share: The weight of the sites in the mean over that of all sites.
        rule: The method's own.
        untrained: As for ``optimized``.

    Raises:
        NotFiniteError: a value of the new state is not finite.
        ValueError: the rule returns other arrays than the method's groups hold.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        weights, memory = optimized(state, mean, settings, untrained)
        if rule is not None:
            kept = group(state.optimizer, RULE)
            made = rule(ServerRound(state.shared, mean, share, memory=kept, untrained=untrained))
            kept = {name: made[name] for name in made if name.startswith(f"{MEMORY}/")}
            memory |= as_group({n: np.asarray(a, np.float64) for n, a in kept.items()}, RULE)
            weights |= {name: made[name] for name in made if name not in kept}
        shared = like(state.shared, weights)
    check_finite({**shared, **memory})
    return replace(state, shared=shared, optimizer=memory)


def optimized(
    state: ServerState, mean: Arrays, settings: Server, untrained: Collection[str] = ()
) -> tuple[dict[str, Array], dict[str, Float64]]:
    """Return the new weights and what the optimiser remembers.

    Integer tensors, such as batch counters, take the mean; so does what no gradient trains, since
    an optimiser's step could lead a running variance below zero.

    Args:
        state: Before the round.
        mean: The sites' weighted mean, by ``GROUP/NAME``.
        settings: Of the server.
        untrained: What no gradient trains, by ``GROUP/NAME``.
    """
    optimize, known = OPTIMIZERS[settings.optimizer], by_tensor(state.optimizer)
    weights: dict[str, Array] = {}
    memory: dict[str, Float64] = {}
    for name, before in state.shared.items():
        if not name.startswith(f"{WEIGHTS}/"):
            continue
        weights[name] = np.asarray(mean[name])
        if np.issubdtype(before.dtype, np.floating) and name not in untrained:
            old, remembered = before.astype(np.float64), known.get(name, {})
            weights[name], remembering = optimize(old, weights[name], remembered, settings)
            memory |= {f"{kind}/{name}": array for kind, array in remembering.items()}
    return weights, memory


def by_tensor(optimizer: Arrays) -> dict[str, dict[str, Float64]]:
    """Return what is remembered of each tensor, by kind: ``KIND/GROUP/NAME`` taken apart."""
    remembered: dict[str, dict[str, Float64]] = {}
    for key, array in optimizer.items():
        kind, _, name = key.partition("/")
        remembered.setdefault(name, {})[kind] = np.asarray(array, np.float64)
    return remembered


def like(before: Arrays, after: Arrays) -> dict[str, Array]:
    """Return ``after`` in the order and the types of ``before``; integers are rounded.

    Raises:
        ValueError: names or shapes differ.
    """
    if other := sorted(before.keys() ^ after.keys()):
        raise ValueError(f"a round's end has other tensors than its beginning: {', '.join(other)}")
    cast = {}
    for name, old in before.items():
        new = np.asarray(after[name])
        if new.shape != old.shape:
            raise ValueError(f"{name} has the shape {new.shape} and had {old.shape}")
        floating = np.issubdtype(old.dtype, np.floating)
        cast[name] = (new if floating else np.rint(new)).astype(old.dtype)
    return cast


def check_finite(arrays: Arrays) -> None:
    """Stop at the first array with a value that is not finite.

    Raises:
        NotFiniteError: with the array's name.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise NotFiniteError(name)
