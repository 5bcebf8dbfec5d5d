"""Before round 1: which node hosts which site, and how many training images each has."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from federated.errors import UserError
from federated.exchange.actions import Action
from federated.exchange.replies import NOTHING, Request, read
from federated.exchange.schema import SCHEMAS
from federated.exchange.wire import BadReplyError, Order, Report, pack_order
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
    grid: Grid,
    record: Record,
    expected: Sequence[str],
    *,
    order: Order,
    schemas: Mapping[str, str],
    timeout: float,
) -> dict[str, Host]:
    """Return the host of every site by name, once all of them have answered.

    A node may host several sites; each site gets messages of its own.

    Args:
        grid: Any Flower grid.
        record: Where it is recorded who has answered.
        expected: The run's sites.
        order: To open whatever a node hosts, before round 1.
        schemas: The digest of what will be taken of a site, by method, for the site to agree to.
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
            content = pack_order(replace(order, site=""), {})
            content[SCHEMAS] = ConfigRecord(dict(schemas))
            replies = hosted(grid, record, new, content, expected=expected, timeout=timeout)
            for node, report in replies:
                check_new(report.site, hosts)
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
    grid: Grid,
    record: Record,
    nodes: Sequence[int],
    content: RecordDict,
    *,
    expected: Sequence[str],
    timeout: float,
) -> list[tuple[int, Report]]:
    """Return a report of every site that some nodes host, each with its node.

    Raises:
        UserError: a node cannot open what it hosts, or does not answer.
    """
    messages = [Message(content, node, Action.REGISTER, group_id=str(node)) for node in nodes]
    replies = by_group(grid, messages, timeout)
    reports = []
    request = Request(Action.REGISTER, {}, NOTHING, False, False, sites=expected)
    for node, message in zip(nodes, messages, strict=True):
        try:
            found = read(request, message, replies[str(node)]).reports
        except (BadReplyError, KeyError) as error:
            reason = error if isinstance(error, BadReplyError) else "no answer"
            raise UserError(
                f"a site could not be opened before round 1: {reason} (logs: "
                f"{record.folder / 'sites'}/*/site.log)."
            ) from None
        reports += [(node, report) for report in found]
    return reports


def check_new(site: str, hosts: Mapping[str, Host]) -> None:
    """Refuse a site that has another host already.

    Raises:
        UserError: naming the site.
    """
    if site in hosts:
        raise UserError(f"two nodes say that they are the site {site}.")
