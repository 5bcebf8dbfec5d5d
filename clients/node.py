"""What a node knows by itself, and the orders that it follows: only those that fit it.

A node is told who it is by its node-config: ``site = "NAME"``. In a simulation, where it has only
``partition-id`` k of ``num-partitions`` n, it hosts the sites k, k + n, k + 2n, ... in name order.
``vault = "FOLDER"`` says where private state lives, and any setting, such as ``data.covid-ct``, may
be given there too. A node with a ``site`` reads and writes only what its node-config names: no path
of the server's is followed on a hospital's disk.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Context, Message

from federated.config.given import flatten
from federated.config.identity import DATA_PLACES, FILES
from federated.config.study import Study
from federated.config.writing import study_from
from federated.data import site_names
from federated.exchange.actions import Action
from federated.exchange.fingerprint import code_digest
from federated.exchange.orders import check_order, is_name
from federated.exchange.wire import ALL_SITES, BadOrderError, Order, unpack_order
from federated.runs.folder import RunFolder


class OtherCodeError(Exception):
    """The server runs other code than this site."""


class NotHereError(Exception):
    """An order about a site, method, seed or round that this node does not have."""


class NodeConfigError(Exception):
    """The node-config lacks what the run needs, or names a site that cannot be."""


class NoVaultError(Exception):
    """The node has no folder for private state."""


def study_of(context: Context) -> Study:
    """Return the run as this node sees it: the run-config, then the node's own settings."""
    own = {key: value for key, value in context.node_config.items() if key not in NODE_KEYS}
    given = flatten(context.run_config)
    if "site" in context.node_config:
        given = without_places(given, own)
    return study_from({**given, **own})


NODE_KEYS = ("site", "vault", "policy", "partition-id", "num-partitions")
SOURCES = tuple(key for key in DATA_PLACES if key != "data.cache")


def without_places(given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the server's settings without what names a place on a disk.

    Args:
        given: The run-config, as dotted keys.
        own: What the node-config sets.

    Raises:
        NodeConfigError: the run needs data or a file, and the node-config does not say where it is.
    """
    missing = [key for key in FILES if given.get(key) and not own.get(key)]
    if any(given.get(key) for key in SOURCES) and not any(own.get(key) for key in SOURCES):
        missing.append(f"one of {', '.join(SOURCES)}")
    if missing:
        raise NodeConfigError(f"the run needs what --node-config does not set: {missing}")
    return {key: value for key, value in given.items() if key not in (*DATA_PLACES, *FILES)}


def hosted_sites(context: Context, study: Study) -> tuple[str, ...]:
    """Return which hospitals this node acts for.

    Raises:
        NodeConfigError: its site's name cannot name a folder.
    """
    own = context.node_config
    if "site" in own:
        if not is_name(str(own["site"])):
            raise NodeConfigError(f"site = {own['site']!r:.80} is not a name without separators")
        return (str(own["site"]),)
    return site_names(study.common)[int(own["partition-id"]) :: int(own["num-partitions"])]


def vault_root(context: Context, order: Order) -> Path:
    """Return the folder of this node's vaults: its own, or one in the run's folder.

    Raises:
        NoVaultError: it has none of its own, and it is a hospital's, or the order names no run's
            folder on this machine.
    """
    if own := context.node_config.get("vault"):
        # A folder a run: a node's vault outlives the runs that it takes part in.
        return Path(str(own)) / order.run
    if "site" in context.node_config:
        raise NoVaultError("node-config has a site and no vault")
    # A server on another machine must not have folders made anywhere on this one.
    files = RunFolder(Path(order.folder))
    if not files.config.is_file():
        raise NoVaultError("no vault is configured, and the order names no run's folder")
    return files.sites.path


def received(message: Message) -> Order:
    """Return the order in a message, checked.

    Raises:
        OtherCodeError: its code digest is not this code's; then nothing else of it is read.
        BadOrderError: it is malformed.
    """
    record = message.content.get("order") if message.has_content() else None
    code = record.get("code") if isinstance(record, ConfigRecord) else None
    if isinstance(code, str) and code != code_digest():
        raise OtherCodeError(f"server {code:.80}, site {code_digest()}")
    order = unpack_order(message)
    check_order(order)
    action = message.metadata.message_type
    if (action == Action.REGISTER) != (not order.site):
        raise BadOrderError("only registration is about all sites of a node")
    if (action in (Action.REGISTER, Action.STATISTICS)) != (order.round == 0):
        raise BadOrderError("only registration and what is asked of the data are in round 0")
    return order


def named_sites(order: Order, context: Context, study: Study) -> list[str]:
    """Return the sites that an order is about: one, all that the node hosts, or all when pooled.

    Raises:
        NotHereError: the run or this node has no such method, seed, round or site.
    """
    if (order.method, order.seed) not in study.cells():
        raise NotHereError(f"the run has no method {order.method} with seed {order.seed}")
    config, hosted = study.by_method[order.method], hosted_sites(context, study)
    if order.round > config.rounds:
        raise NotHereError(f"the run has {config.rounds} rounds and no round {order.round}")
    names = [order.site] if order.site else list(hosted)
    if order.site == ALL_SITES and config.train.pooled:
        if "site" in context.node_config:
            raise NotHereError("pooled training needs all images, and this node has one site's")
        return list(site_names(study.common))
    if not names or not set(names) <= set(hosted):
        raise NotHereError(f"this node hosts {hosted} and not {names}")
    return names
