"""Before round 1: which node hosts which site, and how many training images each has."""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from federated.config.study import Study
from federated.errors import UserError
from federated.exchange.actions import Action
from federated.exchange.replies import Reply, read
from federated.exchange.request import NOTHING, Request
from federated.exchange.schema import SCHEMAS
from federated.exchange.wire import BadReplyError, Order, Report, pack_order
from federated.runs.folder import RunFolder
from server.advice import log_in_simulation
from server.grids import by_group
from server.hosts import AnyName, Awaited, Host, awaited_by, known_hosts, remember
from server.record import Record

POLL_SECONDS = 0.2


def register(
    grid: Grid, record: Record, study: Study, *, order: Order, schemas: Mapping[str, str]
) -> dict[str, Host]:
    """Return the host of every site by name, once all that the run waits for have answered.

    A node may host several sites; each site gets messages of its own. A run that goes on may do
    so without hospitals that it knows, if ``server.min-sites`` has it so: they keep their place.

    Args:
        grid: Any Flower grid.
        record: Where it is recorded who has answered.
        study: Says who is waited for, and for how long.
        order: To open whatever a node hosts, before round 1.
        schemas: The digest of what will be taken of a site, by method, for the site to agree to.

    Raises:
        UserError: sites are missing or cannot be opened, or a name is borne by two nodes.
    """
    files = RunFolder(record.folder)
    awaited = awaited_by(study, known_hosts(files))
    content = pack_order(replace(order, site=""), {})
    content[SCHEMAS] = ConfigRecord(dict(schemas))
    hosts: dict[str, Host] = {}
    asked: set[int] = set()
    failures: dict[int, str] = {}
    timeout, rebind = study.common.engine.timeout, study.common.engine.rebind
    deadline = time.monotonic() + awaited.seconds
    while True:
        # Whoever is online is asked before registration ends, so that nobody else has a name too.
        if new := sorted(set(grid.get_node_ids()) - asked):
            asked |= set(new)
            found = hosted(
                grid,
                record,
                new,
                content=content,
                failures=failures,
                awaited=awaited,
                timeout=timeout,
            )
            for node, report in found:
                admit(record, hosts, node, report=report, awaited=awaited, rebind=rebind)
        elif awaited.is_met(hosts):
            break
        elif time.monotonic() > deadline:
            hosts = those_there(record, hosts, awaited, failures, len(asked))
            break
        else:
            time.sleep(POLL_SECONDS)
    check_kind(study, hosts, awaited)
    hosts = {site: hosts[site] for site in sorted(hosts)}
    remember(files, hosts)
    return hosts


def hosted(
    grid: Grid,
    record: Record,
    nodes: Sequence[int],
    *,
    content: RecordDict,
    failures: dict[int, str],
    awaited: Awaited,
    timeout: float,
) -> list[tuple[int, Report]]:
    """Return a report of every site that some nodes host, each with its node.

    A node that cannot open what it hosts is put among ``failures`` where it may be a stranger.

    Raises:
        UserError: it is one of a simulation, and all of those are needed.
    """
    messages = [Message(content, node, Action.REGISTER, group_id=str(node)) for node in nodes]
    replies = by_group(grid, messages, timeout)
    reports = []
    for node, message in zip(nodes, messages, strict=True):
        try:
            found = opened(message, replies.get(str(node)), awaited).reports
        except BadReplyError as error:
            if awaited.from_data:
                raise UserError(
                    f"a site could not be opened before round 1: {error} (logs: "
                    f"{log_in_simulation(record.folder, record.run, awaited.vaults, '*')})."
                ) from None
            failures[node] = f"node {node}: {error}"
            say(record, "node-ignored", failures[node], node=str(node))
            continue
        reports += [(node, report) for report in found]
    return reports


def opened(message: Message, back: Message | None, awaited: Awaited) -> Reply:
    """Return what a node says that it hosts.

    Raises:
        BadReplyError: it cannot open it, or does not answer.
    """
    if back is None:
        raise BadReplyError("no answer")
    who: Collection[str] = awaited.names if awaited.from_data else AnyName()
    return read(Request(Action.REGISTER, {}, NOTHING, False, False, sites=who), message, back)


def admit(
    record: Record,
    hosts: dict[str, Host],
    node: int,
    *,
    report: Report,
    awaited: Awaited,
    rebind: Collection[str],
) -> None:
    """Take a site in, or ignore a stranger with a word.

    Raises:
        UserError: the name is another node's.
    """
    site, known = report.site, awaited.known.get(report.site)
    if awaited.names and site not in awaited.names:
        say(record, "node-ignored", f"{site} is none of {', '.join(awaited.names)}", node=str(node))
        return
    if site in hosts:
        raise UserError(
            f"two nodes say that they are the site {site}: {hosts[site].node} and {node}. One of "
            "them needs another name: --node-config 'site=\"NAME\"'."
        )
    named = report.metrics.get("named", 0.0) == 1.0
    if known and (node, named) != (known.node, known.named) and site not in rebind:
        raise UserError(
            f"{site} registered from node {known.node} and node {node} says now that it is {site}. "
            "A node's number changes with its key: if the hospital has a new one, say so with "
            f"engine.rebind={site}."
        )
    hosts[site] = Host(node, report.num_examples, named)
    record.emit("site-registered", site=site, num_examples=report.num_examples)


def those_there(
    record: Record,
    hosts: Mapping[str, Host],
    awaited: Awaited,
    failures: Mapping[int, str],
    asked: int,
) -> dict[str, Host]:
    """Return the hosts to go on with when time is up; those that are away keep their place.

    Raises:
        UserError: too few are there.
    """
    missing = awaited.missing(hosts)
    if awaited.known and awaited.are_enough(hosts):
        for site in missing:
            say(record, "site-away", f"{site} is not there; the run goes on without it", site=site)
        return {**awaited.known, **hosts}
    why = f" ({'; '.join(failures.values())})" if failures else ""
    if not missing:
        raise UserError(
            f"{len(hosts)} hospitals registered within {awaited.seconds:g} s, and engine.quorum "
            f"asks for {awaited.count}{why}."
        )
    raise UserError(
        f"{asked} nodes were connected within {awaited.seconds:g} s and none is the site "
        f"{', '.join(missing)}{why}; start one with --node-config 'site=\"{missing[0]}\"', or wait "
        "longer: engine.registration."
    )


def check_kind(study: Study, hosts: Mapping[str, Host], awaited: Awaited) -> None:
    """Refuse what hospitals with a node of their own cannot do.

    Raises:
        UserError: nobody said which of them take part, or a method needs all images in one place.
    """
    if not any(host.named for host in hosts.values()):
        return
    if awaited.from_data:
        raise UserError(
            f"hospitals with a node of their own registered: {', '.join(sorted(hosts))}. Say which "
            f'take part, sites="{",".join(sorted(hosts))}", or how many, '
            f"engine.quorum={len(hosts)}: the data on the server's machine says nothing of them."
        )
    if pooled := [name for name, config in study.by_method.items() if config.train.pooled]:
        raise UserError(
            f"{pooled[0]} trains on all images in one place, and each of these hospitals keeps its "
            "own; leave it out of methods."
        )


def say(record: Record, kind: str, sentence: str, **facts: str) -> None:
    """Record an event, and have whoever started the run read it."""
    record.emit(kind, None, reason=sentence, **facts)
    logging.getLogger("flwr").warning(sentence)
