"""Orders to the sites of a cell, and what of their replies may be used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from federated.exchange.failures import BAD_VAULT, REASONS
from federated.exchange.lengths import Sums
from federated.exchange.replies import Reply
from federated.exchange.request import Request
from federated.exchange.wire import ALL_SITES, Groups, Order, Report
from server.cell import Cell, VaultLostError

MOST_NAMED = 8
"""Sites that a sentence names; the events have all."""


@dataclass(frozen=True)
class Replies:
    """The good replies to one request, in name order.

    Attributes:
        by_site: Each site's reply.
        total: The weighted sums of all releases, if they were asked for.
    """

    by_site: Mapping[str, Reply] = field(default_factory=dict)
    total: Sums = field(default_factory=dict)

    @property
    def reports(self) -> list[Report]:
        """The reports of all sites."""
        return [report for reply in self.by_site.values() for report in reply.reports]


def ask(
    cell: Cell, action: str, orders: Sequence[Order], sent: Groups, *, summed: bool = False
) -> Replies:
    """Send an order to each of some sites and return the good replies.

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
        RunStoppedError: fewer good replies than ``server.min-sites``.
    """
    if not orders:
        return Replies()
    by_length = summed and cell.norm_bound > 0
    request = replace(request_of(cell, action, sent), summed=summed, by_length=by_length)
    return put(cell, request, orders)


def request_of(cell: Cell, action: str, sent: Groups) -> Request:
    """Return what all sites of a cell are asked alike."""
    return Request(
        action,
        sent,
        cell.boundary,
        False,
        cell.by_examples,
        cell.config.server.norm_limit,
        images=cell.train_images,
        sites=cell.everyone,
    )


def put(cell: Cell, request: Request, orders: Sequence[Order]) -> Replies:
    """Put a request to some sites and return the good replies.

    Raises:
        RunStoppedError: fewer good replies than ``server.min-sites``.
    """
    action = request.action
    addressed = [(cell.nodes[order.site], order) for order in orders]
    results = cell.grid.send_and_sum(request, addressed, cell.config.engine.timeout)
    good: dict[str, Reply] = {}
    refused: dict[str, str] = {}
    for order, result in zip(orders, results.by_order, strict=True):
        if isinstance(result, Reply):
            good[order.site] = result
        else:
            refused[order.site] = result.reason
    if ALL_SITES not in good:
        cell.record.add_received(cell.key, orders[0].round, action, good)
    leave_out(cell, action, orders[0].round, refused)
    require_vaults(cell, orders[0].round, refused)
    require(cell, orders, refused)
    return Replies(good, results.total)


def leave_out(cell: Cell, action: str, round: int, refused: Mapping[str, str]) -> None:
    """Record which sites have no reply that may be used, and why."""
    for site, reason in refused.items():
        cell.emit("site-failed", round=round, site=site, action=action, reason=reason)


def require_vaults(cell: Cell, round: int, refused: Mapping[str, str]) -> None:
    """Stop the run if a site has lost its private state: left out, it would be lost for good.

    Raises:
        VaultLostError: naming the sites.
    """
    lost = [site for site, reason in refused.items() if reason == REASONS[BAD_VAULT]]
    if lost:
        raise cell.stopped(
            round,
            f"{', '.join(lost)}: {REASONS[BAD_VAULT]}",
            f"{cell.advice.logs_of(lost)} Put the vault back from a copy and go on: "
            f"{cell.advice.command}",
            kind=VaultLostError,
        )


def require(cell: Cell, orders: Sequence[Order], refused: Mapping[str, str]) -> None:
    """Stop the run if too few replies are left.

    Raises:
        RunStoppedError: fewer than ``server.min-sites``.
    """
    good, fewest = len(orders) - len(refused), cell.fewest(len(orders))
    if good < fewest:
        shown = list(refused.items())[:MOST_NAMED]
        reasons = "; ".join(f"{site}: {reason}" for site, reason in shown)
        if len(refused) > len(shown):
            reasons += f"; and {len(refused) - len(shown)} more, see events.jsonl"
        raise cell.stopped(
            orders[0].round,
            f"{good} of {len(orders)} sites answered well, {fewest} are needed ({reasons})",
            f"{cell.advice.logs_of([site for site, _ in shown])} Mend it and go on: "
            f"{cell.advice.command}",
        )
