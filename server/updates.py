"""Updates that the server holds one by one.

A round policy may use them late or not at all, and a rule other than the mean compares them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from federated.exchange.lengths import class_of, length_of
from federated.exchange.sharing import WEIGHTS, group
from federated.rollout.policy import Update, discount
from server.aggregation import Aggregate, stepped
from server.bounding import Bound, shortened
from server.cell import Cell
from server.robust import judged
from server.round_state import Round
from server.rules import Array, Arrays, Contribution, ServerState


def sent_updates(round: Round) -> list[Update]:
    """Return the updates that this round's training has sent on their way."""
    return [
        Update(site, round.number, round.standing.arrival.get(site, 0.0), reply.num_examples)
        for site, reply in round.trained.by_site.items()
    ]


def with_updates(cell: Cell, round: Round) -> ServerState:
    """Return what the server has after the updates that make the round, and keeps for later ones.

    Raises:
        RunStoppedError: a value is not finite.
    """
    server, decision = with_releases(round), round.decision
    used = sent_updates(round) if decision is None else list(decision.used)
    waiting = () if decision is None else decision.waiting
    made = compared(cell, server, used, round.number) if used else None
    server = stepped(cell, server, made, round.number)
    return replace(
        server,
        releases={update.key: server.releases[update.key] for update in waiting},
        bases={update.round: server.bases[update.round] for update in waiting},
    )


def compared(cell: Cell, server: ServerState, used: Sequence[Update], round: int) -> Aggregate:
    """Return what the used updates make together by ``server.norm-bound`` and ``server.rule``.

    Which of them were shortened or trusted is recorded.
    """
    parts = bounded(cell, used, contributions(cell, server, used, round), server.shared, round)
    verdict = judged(parts, cell.config.server)
    if verdict.chosen is not None:
        sites = [used[place].site for place in verdict.chosen]
        cell.emit("updates-chosen", round=round, sites=sites)
    weight = sum(n if cell.by_examples else 1 for _, n in parts)
    return Aggregate(verdict.mean, weight)


def bounded(
    cell: Cell, used: Sequence[Update], parts: Sequence[Contribution], present: Arrays, round: int
) -> Sequence[Contribution]:
    """Return updates of which none is beyond the round's bound, which is recorded.

    Where none is, the mean has the bits of sums by class of length (``server.bounding``).
    """
    if not cell.norm_bound:
        return parts
    weights = group(present, WEIGHTS)
    lengths = [length_of(group(arrays, WEIGHTS), weights) for arrays, _ in parts]
    bound = Bound.of(lengths, cell.norm_bound)
    sites = [update.site for update in used]
    note_shortened(cell, round, dict(zip(sites, lengths, strict=True)), bound)
    shares = [bound.share(class_of(length)) for length in lengths]
    return [
        (arrays, n) if share == 1 else (shortened(arrays, present, share), n)
        for (arrays, n), share in zip(parts, shares, strict=True)
    ]


def note_shortened(cell: Cell, round: int, lengths: Mapping[str, float], bound: Bound) -> None:
    """Record which sites' updates are beyond the bound."""
    for site, length in lengths.items():
        if length > bound.longest:
            cell.emit("update-shortened", round=round, site=site, norm=length, bound=bound.longest)


def with_releases(round: Round) -> ServerState:
    """Return what the server has, this round's releases and what they started from included."""
    replies, server = round.trained.by_site, round.server
    fresh = {update.key: replies[update.site].arrays for update in sent_updates(round)}
    return replace(
        server,
        releases={**server.releases, **fresh},
        bases={**server.bases, round.number: server.shared},
    )


def contributions(
    cell: Cell, server: ServerState, used: Sequence[Update], round: int
) -> list[Contribution]:
    """Return what each used update stands for, in terms of the present weights.

    A fresh one stands for itself. A stale one is its change of the weights it started from, applied
    to the present ones and discounted by its age (FedBuff); ``fedasync`` mixes an update's weights
    into the present ones.
    """
    rollout = cell.config.rollout
    parts = []
    for update in used:
        arrays, share = server.releases[update.key], discount(rollout, round - update.round)
        if rollout.policy == "fedasync":
            arrays = moved(server.shared, arrays, server.shared, rollout.mixing * share)
        elif update.round < round:
            arrays = moved(server.shared, arrays, server.bases[update.round], share)
        parts.append((arrays, update.num_examples))
    return parts


def moved(present: Arrays, update: Arrays, base: Arrays, share: float) -> Arrays:
    """Return the present weights moved by a share of an update's change, in float64.

    Weights are positions: ``present + share x (update - base)``. What a method sends in groups of
    its own is a change already, of which the share is taken.
    """

    def part(name: str) -> Array:
        if not name.startswith(f"{WEIGHTS}/"):
            return share * update[name].astype(float)
        return present[name].astype(float) + share * (update[name].astype(float) - base[name])

    return {name: part(name) for name in present}
