"""The rounds of one cell of a run, that is of one method with one seed."""

import time
from collections.abc import Iterable

import numpy as np

from federated.wire import Report, pack_arrays
from server import checkpoint
from server.asking import Answers, Cell, ask
from server.checkpoint import Progress
from server.rules import ServerState, step


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
    finish(cell, state, progress)


def run_round(
    cell: Cell, state: ServerState, progress: Progress, round: int
) -> tuple[ServerState, Progress]:
    """Train, aggregate, evaluate, choose, and save what the next round needs."""
    started = time.perf_counter()
    name = {"method": cell.method, "seed": cell.seed, "round": round}
    cell.record.emit("round-started", **name, sites=list(cell.nodes))
    orders = [cell.order(site, round) for site in cell.addressed]
    share = bool(cell.boundary.shared)
    trained = ask(cell, "train", orders, pack_arrays(state.weights), summed=share)
    if trained.total is not None:
        state = step(state, trained.total.mean(), cell.config.server)
    evaluated = ask(cell, "evaluate", orders, pack_arrays(state.weights))
    cell.record.add(cell.method, cell.seed, round, trained.reports + evaluated.reports)
    cell.record.add(cell.method, cell.seed, round, traffic(trained, evaluated))
    score = validation_score(evaluated.reports)
    best = progress.best_round, progress.best_score
    if score is None or best[1] is None or score > best[1]:
        best = round, score
        checkpoint.save_shared(cell.folder, state.weights, round, score)
    seconds = time.perf_counter() - started
    aucs = {r.site: r.metrics["auc"] for r in evaluated.reports if r.split == "val"}
    cell.record.emit(
        "round-ended",
        **name,
        seconds=seconds,
        images=sum(r.metrics["images_seen"] for r in trained.reports),
        val_auc={site: value if np.isfinite(value) else None for site, value in aucs.items()},
    )
    progress = Progress(round, *best, False, cell.record.sizes())
    checkpoint.save(cell.folder, state, progress)
    return state, progress


def finish(cell: Cell, state: ServerState, progress: Progress) -> None:
    """Let the sites do their last steps and mark the cell as finished."""
    rounds = cell.config.rounds
    orders = [cell.order(site, rounds) for site in cell.addressed]
    cell.record.add(cell.method, cell.seed, rounds, ask(cell, "train.finish", orders, None).reports)
    cell.record.emit("cell-ended", method=cell.method, seed=cell.seed)
    done = Progress(rounds, progress.best_round, progress.best_score, True, cell.record.sizes())
    checkpoint.save(cell.folder, state, done)


def traffic(*phases: Answers) -> list[Report]:
    """Return the bytes of tensors to and from each site in a round, as reports."""
    reports = []
    for site, trained in phases[0].by_site.items():
        answers = [phase.by_site[site] for phase in phases if site in phase.by_site]
        numbers = {
            "bytes_down": float(sum(a.bytes_down for a in answers)),
            "bytes_up": float(sum(a.bytes_up for a in answers)),
        }
        reports.append(Report(site, "train", "current", trained.num_examples, numbers))
    return reports


def validation_score(reports: Iterable[Report]) -> float | None:
    """Return the unweighted mean over the sites of validation AUC; sites without one are left out.

    Minus the mean loss if no site has an AUC, None without validation images. No test report is
    read.
    """
    val = [r.metrics for r in reports if r.split == "val"]
    aucs = [m["auc"] for m in val if np.isfinite(m["auc"])]
    if aucs:
        return float(np.mean(aucs))
    return -float(np.mean([m["loss"] for m in val])) if val else None
