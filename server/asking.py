"""Orders to the sites of a cell, and what of their answers may be used."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, Message
from flwr.serverapp import Grid

from federated.errors import UserError
from federated.exact import ExactSum
from federated.fingerprint import code_digest
from federated.rollout.scenario import Scenario
from federated.settings import Config
from federated.sharing import Boundary
from federated.wire import (
    BadReplyError,
    Order,
    Report,
    pack_order,
    payload_bytes,
    unpack_release,
    unpack_reports,
)
from server.record import Record
from server.rules import Arrays


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
        scenario: Each hospital's part in the rollout.
        train_images: Training images of every site.
    """

    grid: Grid
    record: Record
    config: Config
    method: str
    seed: int
    nodes: Mapping[str, int]
    boundary: Boundary
    initial: Arrays
    scenario: Scenario
    train_images: Mapping[str, int]

    @property
    def folder(self) -> Path:
        """Where the server keeps this cell's checkpoints."""
        return self.record.folder / self.method / f"seed-{self.seed}"

    @property
    def addressed(self) -> dict[str, int]:
        """The nodes that messages go to: all, or one that trains for all when pooled."""
        every = dict(self.nodes)
        return dict(list(every.items())[:1]) if self.config.train.pooled else every

    def order(self, site: str, round: int, **facts: Any) -> Order:
        """Return an order to ``site`` for a round; ``facts`` are further fields of ``Order``."""
        folder = str(self.record.folder.absolute())
        everyone = ",".join(self.nodes)
        return Order(self.method, self.seed, round, site, everyone, folder, code_digest(), **facts)

    def fewest(self, addressed: int) -> int:
        """Return the fewest good answers that will do when so many sites are addressed."""
        return min(self.config.server.min_sites or addressed // 2 + 1, addressed)


@dataclass(frozen=True)
class Answer:
    """A good reply of one node: its reports, its release if it trained, and bytes both ways.

    ``arrays`` is empty if the release was added to ``Answers.total``.
    """

    reports: list[Report]
    arrays: Arrays
    bytes_down: int
    bytes_up: int

    @property
    def num_examples(self) -> int:
        """How many training images stand behind it."""
        return sum(r.num_examples for r in self.reports if r.split == "train")


@dataclass(frozen=True)
class Answers:
    """The good answers to one question, in name order.

    Attributes:
        by_site: Each site's answer.
        total: The weighted sum of all releases, if it was asked for.
    """

    by_site: Mapping[str, Answer]
    total: ExactSum | None = None

    @property
    def reports(self) -> list[Report]:
        """The reports of all sites."""
        return [report for answer in self.by_site.values() for report in answer.reports]


def ask(
    cell: Cell,
    action: str,
    orders: Sequence[Order],
    shared: ArrayRecord | None,
    *,
    summed: bool = False,
) -> Answers:
    """Send an order to each of some sites and return the good answers.

    A site that fails, is silent, or sends what must not be aggregated is left out of this round,
    and an event ``site-failed`` names it and says why.

    Args:
        cell: Whom to talk to.
        action: Flower message type, ``train``, ``evaluate`` or ``train.finish``.
        orders: One order a site, in name order.
        shared: Weights to send along.
        summed: Add the releases up, weighted as configured, and keep none of them: for rules that
            need only the mean.

    Raises:
        RunStoppedError: fewer good answers than ``server.min-sites``.
    """
    if not orders:
        return Answers({})
    round = orders[0].round
    messages = {
        order.site: Message(
            pack_order(order, shared), cell.nodes[order.site], action, group_id=order.site
        )
        for order in orders
    }
    replies = by_group(cell.grid, messages.values(), cell.config.engine.timeout)
    answers: dict[str, Answer] = {}
    failures: dict[str, str] = {}
    total: ExactSum | None = None
    for site, message in messages.items():
        try:
            answer = read(cell, action, message, replies.get(site))
            if summed:
                by_examples = cell.config.server.weighting == "examples"
                part = ExactSum.of(answer.arrays, answer.num_examples if by_examples else 1)
                total = part if total is None else total + part
                answer = replace(answer, arrays={})
            answers[site] = answer
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
    if len(answers) < cell.fewest(len(orders)):
        told = "; ".join(f"{site}: {why}" for site, why in failures.items())
        raise RunStoppedError(
            f"{cell.method}, seed {cell.seed}, round {round}: {len(answers)} of "
            f"{len(orders)} sites answered well, {cell.fewest(len(orders))} are needed ({told}). "
            f"Everything up to round {round - 1} is saved in {cell.record.folder}; each site's "
            f"own log is sites/SITE/site.log. Mend it and go on: "
            f"consilium resume {cell.record.folder}"
        )
    return Answers(answers, total)


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
