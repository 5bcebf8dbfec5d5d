"""The rounds of one cell of a run, that is of one method with one seed.

Virtual time (``timeline``) and who takes part (``participation``) are beside it: without a rollout
the first does nothing, and all hospitals are there in every round.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from math import isfinite

from federated.exchange.actions import Action
from federated.exchange.wire import pack_groups
from federated.learning.keeping import WINDOW, is_kept, judged
from federated.runs.folder import RunFolder
from server import checkpoint
from server.aggregation import Aggregate, stepped
from server.asking import ask
from server.bounding import Bound
from server.cell import Cell, VaultLostError
from server.checkpoint import Checkpoint
from server.leaving import last_steps, without_leavers
from server.masking import train_masked
from server.participation import evaluators, orders, roster_of, round_start, unlearns
from server.record import Record
from server.round_state import Round
from server.rows import Key
from server.rules import ServerState
from server.tallies import traffic, validation_score
from server.timeline import Timeline, timeline_of
from server.updates import note_shortened, with_updates


def run_cell(cell: Cell, may_end: Callable[[], bool] = lambda: True) -> bool:
    """Run or resume all rounds of a cell, and the sites' last steps.

    Args:
        cell: Whose rows have been taken back to its newest checkpoint.
        may_end: Asked once the rounds are done whether the last steps may follow.

    Returns:
        Whether the cell has ended; else it is to be run again, for its last steps.

    Raises:
        RunStoppedError: a round had fewer good replies than ``server.min-sites``, or its step led
            to weights that are not finite.
    """
    reached = checkpoint.load(cell.folder, cell.whose)
    if reached is None:
        # Saved before round 1 too, so that a crash in it leaves no rows that no one takes back.
        reached = Checkpoint(ServerState(cell.initial), cell.record.sizes(cell.key))
        checkpoint.save(cell.folder, reached, cell.whose)
    if reached.finished:
        cell.emit("cell-passed-over", rounds=reached.round)
        return True
    started = {"rounds": cell.config.rounds, "after": reached.round}
    cell.emit("cell-started", **started, norm_bound=cell.norm_bound)
    timeline, repeated = timeline_of(cell), 0
    while reached.round < cell.config.rounds:
        number = reached.round + 1
        try:
            reached = run_round(cell, timeline, reached, number)
        except VaultLostError:
            earlier = one_round_back(cell, reached) if number > repeated else None
            if earlier is None:
                raise
            reached, repeated = earlier, number
            continue
        if number == repeated:
            cell.record.forget_copies(cell.key)
    if not may_end():
        return False
    standing = reached.standing
    stayed = [site for site in standing.joined if site not in standing.left]
    cell.emit("last-steps-started", sites=len(stayed))
    last_steps(cell, standing, sorted(stayed), cell.config.rounds)
    cell.emit("cell-ended")
    done = replace(reached, finished=True, sizes=cell.record.sizes(cell.key))
    checkpoint.save(cell.folder, done, cell.whose)
    return True


def taken_back(record: Record, key: Key) -> None:
    """Cut a cell's rows back to where it goes on; those of a cell that has ended are compared.

    Raises:
        UserError: something of them is lost.
    """
    method, seed = key
    whose = {"run": record.run, "method": method, "seed": seed}
    reached = checkpoint.load(RunFolder(record.folder).cell(method, seed), whose)
    record.take_back(key, reached.sizes if reached else {})


def one_round_back(cell: Cell, reached: Checkpoint) -> Checkpoint | None:
    """Return the checkpoint before the newest, to repeat a round that a site's vault has lost.

    The vault keeps the state before that round, too; the repeated round has the same bits. None if
    there is no earlier checkpoint.
    """
    earlier = checkpoint.load(cell.folder, cell.whose, before=reached.round)
    if earlier is not None:
        cell.record.set_aside(cell.key, reached.sizes)
        cell.record.take_back(cell.key, earlier.sizes)
        cell.emit("round-repeated", round=earlier.round + 1)
    return earlier


def run_round(cell: Cell, timeline: Timeline, before: Checkpoint, number: int) -> Checkpoint:
    """Plan, train, aggregate, evaluate, choose, and save what the next round needs."""
    began = time.perf_counter()
    before = without_leavers(cell, before, number)

    round = plan(cell, before, number)
    timeline.begun(round)
    cell.emit("round-started", round=number, sites=list(round.roster.present))
    round = timeline.trained(train(cell, round))
    round = aggregate(cell, timeline.decided(round))
    round = timeline.evaluated(evaluate(cell, round))
    after = choose(cell, before, round)

    record(cell, round, seconds=time.perf_counter() - began, **timeline.facts(round))
    after = replace(after, sizes=cell.record.sizes(cell.key))
    checkpoint.save(cell.folder, after, cell.whose)
    return after


def plan(cell: Cell, before: Checkpoint, number: int) -> Round:
    """Return the round in which everybody knows what to do, and nobody has begun."""
    standing = before.standing
    roster = roster_of(cell, standing, number)
    for site in roster.present:
        if site not in standing.joined and unlearns(cell, site):
            checkpoint.save_before(cell.folder, site, before.server)
    begun = replace(standing, hours=round_start(cell, standing, number))
    return Round(number, roster, before.server, begun.joins(roster.present, number))


def train(cell: Cell, round: Round) -> Round:
    """Return the round with the replies of those that train, all of the network or what is private.

    Releases are added up where they are received, unless some may be left out or they are compared.
    """
    full, frozen = (
        orders(cell, round.standing, sites, round.number)
        for sites in (round.roster.full, round.roster.frozen)
    )
    sent, summed = pack_groups(round.server.shared), cell.shares and not cell.holds_updates
    if cell.hides_updates:
        trained = train_masked(cell, full, sent)
    else:
        trained = ask(cell, Action.TRAIN, full, sent, summed=summed)
    tuned = ask(cell, Action.TRAIN_FROZEN, frozen, sent)
    standing = round.standing.saves([*trained.by_site, *tuned.by_site], round.number)
    return replace(round, trained=trained, tuned=tuned, standing=standing)


def aggregate(cell: Cell, round: Round) -> Round:
    """Return the round with what the server makes of the releases.

    Raises:
        RunStoppedError: a value of it is not finite.
    """
    if cell.holds_updates:
        return replace(round, server=with_updates(cell, round))
    lengths = {site: reply.length for site, reply in round.trained.by_site.items()}
    bound = Bound.of(list(lengths.values()), cell.norm_bound)
    note_shortened(cell, round.number, lengths, bound)
    made = Aggregate.of(round.trained.total, round.server.shared, bound)
    return replace(round, server=stepped(cell, round.server, made, round.number))


def evaluate(cell: Cell, round: Round) -> Round:
    """Return the round with the new weights evaluated, if it is due, by all that are not busy."""
    sites = evaluators(cell, round.standing, round.roster, round.number)
    asked = orders(cell, round.standing, sites, round.number)
    evaluated = ask(cell, Action.EVALUATE, asked, pack_groups(round.server.shared))
    standing = round.standing.saves(evaluated.by_site, round.number)
    return replace(round, evaluated=evaluated, standing=standing)


def choose(cell: Cell, before: Checkpoint, round: Round) -> Checkpoint:
    """Return the checkpoint after a round; its weights are saved if ``keep.rule`` prefers them."""
    after = replace(before, server=round.server, standing=round.standing, round=round.number)
    if not round.evaluated.by_site:
        return after
    scores = (*before.scores, validation_score(round.evaluated.reports))[-WINDOW:]
    judgement = judged(cell.config.keep.rule, scores)
    if is_kept(judgement, before.kept_score):
        checkpoint.save_shared(cell.folder, round.server.shared, round.number, judgement)
        after = replace(after, kept_round=round.number, kept_score=judgement)
    return replace(after, scores=scores)


def record(cell: Cell, round: Round, *, seconds: float, **facts: float) -> None:
    """Record what the sites report of a round, what travelled, and that it has ended."""
    phases = round.trained, round.tuned, round.evaluated
    reports = [report for replies in phases for report in replies.reports]
    cell.record.add(cell.method, cell.seed, round.number, [*reports, *traffic(*phases)])
    for report in round.evaluated.reports:
        # A loss of no image is one that the site withheld, since there are too few.
        withheld = not report.num_examples
        if report.split == "val" and not withheld and not isfinite(report.metrics["loss"]):
            cell.emit("not-finite", round=round.number, site=report.site)
    aucs = {r.site: r.metrics["auc"] for r in round.evaluated.reports if r.split == "val"}
    cell.emit(
        "round-ended",
        round=round.number,
        seconds=seconds,
        images=sum(r.metrics["images_seen"] for r in reports if r.split == "train"),
        val_auc={site: auc if isfinite(auc) else None for site, auc in aucs.items()},
        **facts,
    )
