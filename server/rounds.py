"""The rounds of one cell of a run, that is of one method with one seed."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from typing import Any

from federated.exchange.actions import Action
from federated.exchange.wire import pack_groups
from federated.rollout.policy import Flight, Settled, settle
from federated.rollout.scenario import HOURS_PER_WEEK
from server import checkpoint
from server.asking import Cell, Replies, RunStoppedError, ask
from server.checkpoint import Progress
from server.record import Span
from server.rollout import (
    Plan,
    after_trips,
    contributions,
    is_timed,
    keeps_updates,
    leaving,
    orders,
    plan_round,
    round_start,
    spans,
    trips,
    unlearns,
)
from server.rules import ServerState, step, weighted_mean
from server.standing import Standing
from server.tallies import traffic, validation_score


def run_cell(cell: Cell) -> None:
    """Run or resume all rounds of a cell, and the sites' last steps.

    Raises:
        RunStoppedError: a round had fewer good replies than ``server.min-sites``.
    """
    found = checkpoint.load(cell.folder)
    if found is None:
        # Saved before round 1 too, so that a crash in it leaves no rows that no one takes back.
        found = ServerState(cell.initial), Progress(0, 0, None, False, cell.record.sizes())
        checkpoint.save(cell.folder, *found)
    state, progress = found
    if progress.finished:
        return
    cell.record.take_back(progress.sizes)
    name = {"method": cell.method, "seed": cell.seed}
    cell.record.emit("cell-started", **name, rounds=cell.config.rounds, after=progress.round)
    for round in range(progress.round + 1, cell.config.rounds + 1):
        state, progress = run_round(cell, state, progress, round)
    standing = progress.standing
    stayed = [site for site in standing.joined if site not in standing.left]
    last_steps(cell, standing, sorted(stayed), cell.config.rounds)
    cell.record.emit("cell-ended", **name)
    done = replace(progress, finished=True, sizes=cell.record.sizes())
    checkpoint.save(cell.folder, state, done)


def run_round(
    cell: Cell, state: ServerState, progress: Progress, round: int
) -> tuple[ServerState, Progress]:
    """Train, aggregate, evaluate, choose, and save what the next round needs."""
    started = time.perf_counter()
    name = {"method": cell.method, "seed": cell.seed, "round": round}
    state, progress = say_goodbye(cell, state, progress, round)
    plan = plan_round(cell, progress.standing, round)
    standing = welcome(cell, state, progress.standing, plan, round)
    cell.record.emit("round-started", **name, sites=list(plan.present))

    trained, tuned, standing = train(cell, state, standing, plan, round)
    state, standing = aggregate(cell, state, standing, plan, round, trained)
    evaluated, standing = evaluate(cell, state, standing, plan, round)

    cell.record.add(
        cell.method, cell.seed, round, trained.reports + tuned.reports + evaluated.reports
    )
    cell.record.add(cell.method, cell.seed, round, traffic(trained, tuned, evaluated))
    score = validation_score(evaluated.reports)
    best = progress.best_round, progress.best_score
    if evaluated.reports and (score is None or best[1] is None or score > best[1]):
        best = round, score
        checkpoint.save_shared(cell.folder, state.shared, round, score)
    aucs = {r.site: r.metrics["auc"] for r in evaluated.reports if r.split == "val"}
    virtual = {"week": standing.hours / HOURS_PER_WEEK} if is_timed(cell.config) else {}
    cell.record.emit(
        "round-ended",
        **name,
        seconds=time.perf_counter() - started,
        images=sum(r.metrics["images_seen"] for r in trained.reports + tuned.reports),
        val_auc={site: value if isfinite(value) else None for site, value in aucs.items()},
        **virtual,
    )
    progress = Progress(round, *best, False, cell.record.sizes(), standing)
    checkpoint.save(cell.folder, state, progress)
    return state, progress


def say_goodbye(
    cell: Cell, state: ServerState, progress: Progress, round: int
) -> tuple[ServerState, Progress]:
    """Let hospitals that leave do their last steps, and unlearn those that ask for it.

    Unlearning goes back to the weights and the optimiser from before the hospital joined; what its
    weights have touched since, at the server and in the others' vaults, is not used any more.
    """
    for site in leaving(cell, progress.standing, round):
        standing = progress.standing
        # A hospital that cannot be reached any more stops nobody.
        with suppress(RunStoppedError):
            last_steps(cell, standing, [site], round - 1)
        tell(cell, "hospital-left", round, site=site, hours=round_start(cell, standing, round))
        if unlearns(cell, site):
            back_to = standing.joined[site] - 1
            state = checkpoint.load_before(cell.folder, site)
            tell(cell, "unlearned", round, site=site, back_to=back_to)
            standing = standing.forgets(site, round)
            # Even an earlier round is the best only in comparison with those that are void.
            progress = replace(progress, best_round=0, best_score=None)
        progress = replace(progress, standing=standing.leaves(site))
    return state, progress


def welcome(cell: Cell, state: ServerState, standing: Standing, plan: Plan, round: int) -> Standing:
    """Return the standing with this round's newcomers in it, and tell who is away."""
    if is_timed(cell.config):
        for site in plan.present:
            if site not in standing.joined:
                tell(cell, "hospital-joined", round, site=site, hours=plan.start)
        for site, reason in plan.absent.items():
            tell(cell, "hospital-absent", round, site=site, reason=reason)
    for site in plan.present:
        if site not in standing.joined and unlearns(cell, site):
            checkpoint.save_before(cell.folder, site, state)
    return standing.joins(plan.present, round)


def train(
    cell: Cell, state: ServerState, standing: Standing, plan: Plan, round: int
) -> tuple[Replies, Replies, Standing]:
    """Return the answers of those that train, of those that train only what is private, and when.

    Releases are added up where they are received, unless the policy may leave some out.
    """
    sent = pack_groups(state.shared)
    summed = bool(cell.boundary.shared) and not keeps_updates(cell)
    full = orders(cell, standing, plan.full, round, plan.start)
    trained = ask(cell, Action.TRAIN, full, sent, summed=summed)
    frozen = orders(cell, standing, plan.frozen, round, plan.start)
    tuned = ask(cell, Action.TRAIN_FROZEN, frozen, sent)
    ways = trips(cell, standing, {**trained.by_site, **tuned.by_site}, plan.start)
    if is_timed(cell.config):
        cell.record.add_spans(cell.method, cell.seed, round, spans(ways))
    return trained, tuned, after_trips(standing, ways, updates=True)


def aggregate(
    cell: Cell, state: ServerState, standing: Standing, plan: Plan, round: int, trained: Replies
) -> tuple[ServerState, Standing]:
    """Return the server's new state and when the round ended, by the round policy."""
    if not cell.boundary.shared:
        return state, replace(standing, hours=plan.start)
    new = [
        Flight(site, round, standing.arrival[site], answer.num_examples)
        for site, answer in trained.by_site.items()
    ]
    settled = settle(cell.config.rollout, (*standing.flights, *new), plan.start)
    if keeps_updates(cell):
        state = with_updates(cell, state, settled, new, round, trained)
    elif trained.total is not None:
        state = step(state, trained.total.mean(), cell.config.server)
    if is_timed(cell.config):
        decided = {"used": settled.used, "waiting": settled.waiting, "dropped": settled.dropped}
        told = [Span("", "round", plan.start, settled.end)]
        told += [
            Span(flight.site, activity, flight.arrival, max(settled.end, flight.arrival))
            for activity, flights in decided.items()
            for flight in flights
        ]
        cell.record.add_spans(cell.method, cell.seed, round, told)
    return state, replace(standing, hours=settled.end, flights=settled.waiting)


def with_updates(
    cell: Cell,
    state: ServerState,
    settled: Settled,
    new: Sequence[Flight],
    round: int,
    trained: Replies,
) -> ServerState:
    """Return the state after the used updates, with those that wait kept for later."""
    fresh = {flight.key: trained.by_site[flight.site].arrays for flight in new}
    known = replace(
        state,
        updates={**state.updates, **fresh},
        bases={**state.bases, round: state.shared},
    )
    if settled.used:
        parts = contributions(cell, known, settled.used, round)
        state = step(state, weighted_mean(parts, cell.config.server.weighting), cell.config.server)
    return replace(
        state,
        updates={flight.key: known.updates[flight.key] for flight in settled.waiting},
        bases={flight.round: known.bases[flight.round] for flight in settled.waiting},
    )


def evaluate(
    cell: Cell, state: ServerState, standing: Standing, plan: Plan, round: int
) -> tuple[Replies, Standing]:
    """Have the new weights evaluated by all that are there and not busy training."""
    alone = not cell.boundary.shared
    sites = [s for s in plan.present if alone or standing.arrival.get(s, 0.0) <= standing.hours]
    asked = orders(cell, standing, sites, round, standing.hours)
    evaluated = ask(cell, Action.EVALUATE, asked, pack_groups(state.shared))
    ways = trips(cell, standing, evaluated.by_site, standing.hours)
    if is_timed(cell.config):
        told = [Span(site, "evaluate", way.start, way.arrival) for site, way in ways.items()]
        cell.record.add_spans(cell.method, cell.seed, round, told)
    return evaluated, after_trips(standing, ways, updates=False)


def last_steps(cell: Cell, standing: Standing, sites: Sequence[str], round: int) -> None:
    """Let sites do their last steps, and record what they report."""
    asked = orders(cell, standing, sites, round, standing.hours)
    answers = ask(cell, Action.FINISH, asked, {})
    cell.record.add(cell.method, cell.seed, round, answers.reports)


def tell(cell: Cell, kind: str, round: int, **facts: Any) -> None:
    """Record an event of a round."""
    cell.record.emit(kind, method=cell.method, seed=cell.seed, round=round, **facts)
