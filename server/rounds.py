"""The rounds of one cell of a run, that is of one method with one seed."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Message
from flwr.serverapp import Grid

from federated.errors import UserError
from federated.fingerprint import code_digest
from federated.settings import Config
from federated.sharing import Boundary
from federated.wire import (
    BadReplyError,
    Order,
    Report,
    pack_arrays,
    pack_order,
    payload_bytes,
    unpack_release,
    unpack_reports,
)
from server import checkpoint
from server.checkpoint import Progress
from server.record import Record
from server.rules import Arrays, ServerState, step, weighted_mean


class RunStoppedError(UserError):
    """Too few sites answered well; what was done is saved."""


@dataclass(frozen=True)
class Cell:
    """One method with one seed, and whom to talk to.

    Attributes:
        grid: Any Flower grid.
        record: Where results go.
        config: The method's configuration.
        method: Its name.
        seed: The seed.
        nodes: Node id of every site, in the order of the sites' names.
        boundary: What sites may release.
        initial: The shared weights of round 0.
    """

    grid: Grid
    record: Record
    config: Config
    method: str
    seed: int
    nodes: Mapping[str, int]
    boundary: Boundary
    initial: Arrays

    @property
    def folder(self) -> Path:
        """Where the server keeps this cell's checkpoints."""
        return self.record.folder / self.method / f"seed-{self.seed}"

    @property
    def addressed(self) -> dict[str, int]:
        """The nodes that messages go to: all, or one that trains for all when pooled."""
        every = dict(self.nodes)
        return dict(list(every.items())[:1]) if self.config.train.pooled else every

    @property
    def min_sites(self) -> int:
        """Fewest good replies of a round."""
        majority = len(self.addressed) // 2 + 1
        return min(self.config.server.min_sites or majority, len(self.addressed))


@dataclass(frozen=True)
class Answer:
    """A good reply of one node: its reports, its release if it trained, and bytes both ways."""

    reports: list[Report]
    arrays: Arrays
    bytes_down: int
    bytes_up: int


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
    trained = ask(cell, "train", round, pack_arrays(state.weights))
    if cell.boundary.shared:
        # In name order although the sum is exact: nothing may depend on who answered first.
        parts = [(trained[site].arrays, examples(trained[site])) for site in sorted(trained)]
        state = step(state, weighted_mean(parts, cell.config.server.weighting), cell.config.server)
    evaluated = ask(cell, "evaluate", round, pack_arrays(state.weights))
    for answers in (trained, evaluated):
        for answer in answers.values():
            cell.record.add(cell.method, cell.seed, round, answer.reports)
    cell.record.add(cell.method, cell.seed, round, traffic(trained, evaluated))
    reports = [r for a in evaluated.values() for r in a.reports]
    score = validation_score(reports)
    best = progress.best_round, progress.best_score
    if score is None or best[1] is None or score > best[1]:
        best = round, score
        checkpoint.save_shared(cell.folder, state.weights, round, score)
    seconds = time.perf_counter() - started
    aucs = {r.site: r.metrics["auc"] for r in reports if r.split == "val"}
    cell.record.emit(
        "round-ended",
        **name,
        seconds=seconds,
        images=sum(r.metrics["images_seen"] for a in trained.values() for r in a.reports),
        val_auc={site: value if np.isfinite(value) else None for site, value in aucs.items()},
    )
    progress = Progress(round, *best, False, cell.record.sizes())
    checkpoint.save(cell.folder, state, progress)
    return state, progress


def finish(cell: Cell, state: ServerState, progress: Progress) -> None:
    """Let the sites do their last steps and mark the cell as finished."""
    rounds = cell.config.rounds
    answers = ask(cell, "train.finish", rounds, None)
    for answer in answers.values():
        cell.record.add(cell.method, cell.seed, rounds, answer.reports)
    cell.record.emit("cell-ended", method=cell.method, seed=cell.seed)
    done = Progress(rounds, progress.best_round, progress.best_score, True, cell.record.sizes())
    checkpoint.save(cell.folder, state, done)


def ask(cell: Cell, action: str, round: int, shared: ArrayRecord | None) -> dict[str, Answer]:
    """Send one order to all sites of the cell and return the good answers by site.

    A site that fails, is silent, or sends what must not be aggregated is left out of this round,
    and an event ``site-failed`` names it and says why.

    Raises:
        RunStoppedError: fewer good answers than ``server.min-sites``.
    """
    folder = str(cell.record.folder.absolute())
    every = ",".join(cell.nodes)
    messages = {}
    for site, node in cell.addressed.items():
        order = Order(cell.method, cell.seed, round, site, every, folder, code_digest())
        messages[site] = Message(pack_order(order, shared), node, action, group_id=site)
    replies = by_group(cell.grid, messages.values(), cell.config.engine.timeout)
    answers, failures = {}, {}
    for site, message in messages.items():
        try:
            answers[site] = read(cell, action, message, replies.get(site))
        except BadReplyError as error:
            failures[site] = str(error)
            cell.record.emit(
                "site-failed",
                method=cell.method,
                seed=cell.seed,
                round=round,
                site=site,
                action=action,
                reason=str(error),
            )
    if len(answers) < cell.min_sites:
        told = "; ".join(f"{site}: {why}" for site, why in failures.items())
        raise RunStoppedError(
            f"{cell.method}, seed {cell.seed}, round {round}: {len(answers)} of "
            f"{len(cell.addressed)} sites answered well, {cell.min_sites} are needed ({told}). "
            f"Everything up to round {round - 1} is saved in {cell.record.folder}; each site's "
            f"own log is sites/SITE/site.log. Mend it and go on: "
            f"consilium resume {cell.record.folder}"
        )
    return answers


def by_group(grid: Grid, messages: Iterable[Message], timeout: float) -> dict[str, Message]:
    """Return the replies by the group id of their messages, which says what each is about.

    Not by node: a node may host several sites.
    """
    replies = grid.send_and_receive(messages, timeout=timeout)
    return {reply.metadata.group_id: reply for reply in replies}


def read(cell: Cell, action: str, sent: Message, reply: Message | None) -> Answer:
    """Return what a reply says, checked.

    Raises:
        BadReplyError: there is no reply, it is an error, or it must not be aggregated.
    """
    if reply is None:
        raise BadReplyError(f"no answer within {cell.config.engine.timeout:g} s")
    if reply.has_error():
        raise BadReplyError(reply.error.reason or f"error {reply.error.code}")
    arrays: Arrays = {}
    if action == "train":
        arrays = unpack_release(reply.content, cell.boundary)
    reports = unpack_reports(reply.content)
    if action == "train" and not all(r.num_examples > 0 for r in reports):
        raise BadReplyError("it trained on no image")
    return Answer(reports, arrays, payload_bytes(sent.content), payload_bytes(reply.content))


def examples(answer: Answer) -> int:
    """Return how many training images stand behind an answer."""
    return sum(report.num_examples for report in answer.reports if report.split == "train")


def traffic(*phases: Mapping[str, Answer]) -> list[Report]:
    """Return the bytes of tensors to and from each site in a round, as reports."""
    reports = []
    for site in phases[0]:
        answers = [phase[site] for phase in phases if site in phase]
        numbers = {
            "bytes_down": float(sum(a.bytes_down for a in answers)),
            "bytes_up": float(sum(a.bytes_up for a in answers)),
        }
        reports.append(Report(site, "train", "current", examples(phases[0][site]), numbers))
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
