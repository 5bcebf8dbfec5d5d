"""Before round 1: which node hosts which site, and how many training images each has."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flwr.app import Message
from flwr.serverapp import Grid

from federated.errors import UserError
from federated.exchange.wire import Order, Report, pack_order, unpack_reports
from server.grids import by_group
from server.record import Record

REGISTRATION_SECONDS = 120.0
"""How long to wait for all sites to appear."""
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Host:
    """Where a site is, and how many training images it has."""

    node: int
    train_images: int


def register(
    grid: Grid, record: Record, expected: Sequence[str], *, order: Order, timeout: float
) -> dict[str, Host]:
    """Return the host of every site by name, once all of them have answered.

    A node may host several sites; each site gets messages of its own.

    Args:
        grid: Any Flower grid.
        record: Where it is recorded who has answered.
        expected: The run's sites.
        order: To open whatever a node hosts, before round 1.
        timeout: Seconds to wait for an answer.

    Raises:
        UserError: sites are missing, unknown, or two nodes say that they are the same site.
    """
    hosts: dict[str, Host] = {}
    asked: set[int] = set()
    deadline = time.monotonic() + REGISTRATION_SECONDS
    while missing := sorted(set(expected) - set(hosts)):
        if new := sorted(set(grid.get_node_ids()) - asked):
            asked |= set(new)
            for node, report in hosted(grid, record, new, order=order, timeout=timeout):
                check_new(report.site, expected, hosts)
                hosts[report.site] = Host(node, report.num_examples)
                count = report.num_examples
                record.emit("site-registered", site=report.site, num_examples=count)
        elif time.monotonic() > deadline:
            raise UserError(
                f"{len(asked)} nodes are connected and none is the site {', '.join(missing)}; "
                f"start one with --node-config 'site=\"{missing[0]}\"'."
            )
        else:
            time.sleep(POLL_SECONDS)
    return {site: hosts[site] for site in sorted(hosts)}


def hosted(
    grid: Grid, record: Record, nodes: Sequence[int], *, order: Order, timeout: float
) -> list[tuple[int, Report]]:
    """Return a report of every site that some nodes host, each with its node.

    Raises:
        UserError: a node cannot open what it hosts, or does not answer.
    """
    content = pack_order(replace(order, site=""), {})
    messages = [Message(content, node, "query.register", group_id=str(node)) for node in nodes]
    replies = by_group(grid, messages, timeout)
    reports = []
    for node in nodes:
        reply = replies.get(str(node))
        if reply is None or reply.has_error():
            reason = reply.error.reason if reply is not None else "no answer"
            raise UserError(
                f"a site could not be opened before round 1: {reason} (logs: "
                f"{record.folder / 'sites'}/*/site.log)."
            )
        reports += [(node, report) for report in unpack_reports(reply.content)]
    return reports


def check_new(site: str, expected: Sequence[str], hosts: Mapping[str, Host]) -> None:
    """Refuse a site that the run does not have, or that has another host already.

    Raises:
        UserError: naming the site.
    """
    if site not in expected:
        raise UserError(f"a node says that it is {site}, which is not in the run.")
    if site in hosts:
        raise UserError(f"two nodes say that they are the site {site}.")
