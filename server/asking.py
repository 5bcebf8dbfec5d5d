"""Orders to the sites of a cell, and what of their answers may be used."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid

from federated.config.schema import Config
from federated.engine.grid import LocalGrid
from federated.errors import UserError
from federated.exchange.exact import ExactSum
from federated.exchange.fingerprint import code_digest
from federated.exchange.replies import Reply, Request, Results, Tally, silence
from federated.exchange.sharing import Boundary
from federated.exchange.wire import Groups, Order, Report
from federated.rollout.scenario import Scenario
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
        return Order(self.method, self.seed, round, site, *self._alike, **facts)

    @cached_property
    def _alike(self) -> tuple[str, str, str]:
        """What every order says: one text of ten thousand names, not ten thousand of them."""
        return ",".join(self.nodes), str(self.record.folder.absolute()), code_digest()

    def fewest(self, addressed: int) -> int:
        """Return the fewest good answers that will do when so many sites are addressed."""
        return min(self.config.server.min_sites or addressed // 2 + 1, addressed)


@dataclass(frozen=True)
class Replies:
    """The good answers to one request, in name order.

    Attributes:
        by_site: Each site's answer.
        total: The weighted sum of all releases, if it was asked for.
    """

    by_site: Mapping[str, Reply]
    total: ExactSum | None = None

    @property
    def reports(self) -> list[Report]:
        """The reports of all sites."""
        return [report for answer in self.by_site.values() for report in answer.reports]


def ask(
    cell: Cell,
    action: str,
    orders: Sequence[Order],
    sent: Groups,
    *,
    summed: bool = False,
) -> Replies:
    """Send an order to each of some sites and return the good answers.

    A site that fails, is silent, or sends what must not be aggregated is left out of this round,
    and an event ``site-failed`` names it and says why.

    Args:
        cell: Whom to talk to.
        action: Flower message type, ``train``, ``evaluate`` or ``train.finish``.
        orders: One order a site, in name order.
        sent: Groups of arrays to send along.
        summed: Add the releases up, weighted as configured, and keep none of them: for rules that
            need only the mean.

    Raises:
        RunStoppedError: fewer good answers than ``server.min-sites``.
    """
    if not orders:
        return Replies({})
    round = orders[0].round
    by_examples = cell.config.server.weighting == "examples"
    limit = cell.config.server.norm_limit
    request = Request(action, sent, cell.boundary, summed, by_examples, limit)
    found = results(cell, request, orders)
    answers: dict[str, Reply] = {}
    failures: dict[str, str] = {}
    for order, result in zip(orders, found.by_order, strict=True):
        if isinstance(result, Reply):
            answers[order.site] = result
            continue
        failures[order.site] = result.reason
        cell.record.emit(
            "site-failed",
            method=cell.method,
            seed=cell.seed,
            round=round,
            site=order.site,
            action=action,
            reason=result.reason,
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
    return Replies(answers, found.total)


def results(cell: Cell, request: Request, orders: Sequence[Order]) -> Results:
    """Put a request on any grid; one of our own checks and adds up where the sites run."""
    addressed = [(cell.nodes[order.site], order) for order in orders]
    timeout = cell.config.engine.timeout
    if isinstance(cell.grid, LocalGrid):
        return cell.grid.send_and_sum(request, addressed, timeout)
    messages = [request.message(node, order) for node, order in addressed]
    replies = by_group(cell.grid, messages, timeout)
    tally = Tally(request)
    for message in messages:
        reply = replies.get(message.metadata.group_id)
        if reply is None:
            tally.results.append(silence(timeout))
        else:
            tally.take(message, reply)
    return Results(tally.results, tally.total())


def by_group(grid: Grid, messages: Iterable[Message], timeout: float) -> dict[str, Message]:
    """Return the replies by the group id of their messages, which says what each is about.

    Not by node: a node may host several sites.
    """
    replies = grid.send_and_receive(messages, timeout=timeout)
    return {reply.metadata.group_id: reply for reply in replies}
