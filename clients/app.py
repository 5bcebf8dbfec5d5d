"""The Flower ClientApp of a hospital. Handlers unpack, call and pack; the work is in clients.work.

A node is told who it is by its node-config: ``site = "NAME"``. In a simulation, where it has only
``partition-id`` k of ``num-partitions`` n, it hosts the sites k, k + n, k + 2n, ... in name order.
``vault = "FOLDER"`` says where private state lives, and any setting, such as ``data.covid-ct``, may
be given there too.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from clients import finish, pooled, work
from clients.site import Site, open_site, open_vault
from clients.vault import log_failure, private_folder
from federated.config.given import flatten
from federated.config.study import Study
from federated.config.writing import study_from
from federated.data import site_names
from federated.exchange.actions import Action
from federated.exchange.fingerprint import code_digest
from federated.exchange.wire import (
    ALL_SITES,
    Order,
    Report,
    pack_reply,
    unpack_order,
    unpack_tensors,
)
from federated.learning.training import DivergedError

FAILED, DIVERGED, OTHER_CODE = 1001, 1002, 1003
"""Codes of the error replies. No text of an exception is sent: it may name a patient's file."""

REASONS = {
    FAILED: "it failed; its own log says why",
    DIVERGED: "its training diverged: the loss was not finite",
    OTHER_CODE: "its code is not the server's; install the same version on both sides",
}


class OtherCodeError(Exception):
    """The server runs other code than this site."""


def study_of(context: Context) -> Study:
    """Return the run as this node sees it: the run-config, then the node's own settings."""
    own = {key: value for key, value in context.node_config.items() if key not in NODE_KEYS}
    return study_from({**flatten(context.run_config), **own})


NODE_KEYS = ("site", "vault", "partition-id", "num-partitions")


def hosted_sites(context: Context, study: Study) -> tuple[str, ...]:
    """Return which hospitals this node acts for."""
    own = context.node_config
    if "site" in own:
        return (str(own["site"]),)
    return site_names(study.common)[int(own["partition-id"]) :: int(own["num-partitions"])]


def vault_root(context: Context, order: Order) -> Path:
    """Return the folder of this node's vaults."""
    return Path(str(context.node_config.get("vault") or Path(order.folder) / "sites"))


def failures_stay_home(
    message: Message, context: Context, call_next: Callable[[Message, Context], Message]
) -> Message:
    """Answer a failure with a fixed code; its traceback goes to the site's own log (a Flower mod).

    Flower's default sends the traceback to the server, file names included.
    """
    try:
        return call_next(message, context)
    except Exception as error:
        order = unpack_order(message)
        folder = private_folder(vault_root(context, order), order.site or f"node-{context.node_id}")
        log_failure(folder, f"{message.metadata.message_type} {order.method} round {order.round}")
        codes = {DivergedError: DIVERGED, OtherCodeError: OTHER_CODE}
        code = codes.get(type(error), FAILED)
        return Message(Error(code, REASONS[code]), reply_to=message)


def members(message: Message, context: Context) -> tuple[Order, list[Site]]:
    """Return the order and the sites that this node trains: one, or all of them when pooled.

    Raises:
        OtherCodeError: the order's code digest is not this code's.
    """
    order = unpack_order(message)
    if order.code != code_digest():
        raise OtherCodeError(f"server {order.code}, site {code_digest()}")
    study = study_of(context)
    config, root = study.by_method[order.method], vault_root(context, order)
    hosted = hosted_sites(context, study)
    names = [order.site] if order.site else list(hosted)
    if order.site == ALL_SITES:
        names = list(site_names(study.common))
    elif not set(names) <= set(hosted):
        raise ValueError(f"this node hosts {hosted} and not {names}")
    vaults = [open_vault(root, name, order.method, order.seed) for name in names]
    return order, [
        open_site(config, name, seed=order.seed, vault=vault)
        for name, vault in zip(names, vaults, strict=True)
    ]


app = ClientApp(mods=[failures_stay_home])


@app.query(Action.REGISTER.handler)
def register(message: Message, context: Context) -> Message:
    """Tell the server which hospitals this node hosts, and how many training images each has."""
    _, sites = members(message, context)
    hosted = hosted_sites(context, study_of(context))
    counts = [(site.name, len(site.data.train)) for site in sites if site.name in hosted]
    reports = [Report(name, "train", "current", count, {}) for name, count in counts]
    return pack_reply(message, None, reports)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train one round and release what is shared."""
    started = time.perf_counter()
    order, sites = members(message, context)
    sent = unpack_tensors(message.content)
    if sites[0].config.train.pooled:
        released, reports = pooled.train(sites, order, sent)
    else:
        released, reports = work.train(sites[0], order, sent)
    seconds = time.perf_counter() - started
    reports = [replace(r, metrics={**r.metrics, "seconds": seconds}) for r in reports]
    return pack_reply(message, released, reports)


@app.train(Action.TRAIN_FROZEN.handler)
def train_frozen(message: Message, context: Context) -> Message:
    """Train one round only what is private, and release nothing."""
    started = time.perf_counter()
    order, sites = members(message, context)
    sent = unpack_tensors(message.content)
    reports = [report for site in sites for report in work.train_frozen(site, order, sent)]
    seconds = time.perf_counter() - started
    reports = [replace(r, metrics={**r.metrics, "seconds": seconds}) for r in reports]
    return pack_reply(message, None, reports)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the server's weights on validation and test images."""
    order, sites = members(message, context)
    sent = unpack_tensors(message.content)
    reports = [report for site in sites for report in work.evaluate(site, order, sent)]
    return pack_reply(message, None, reports)


@app.train(Action.FINISH.handler)
def last_steps(message: Message, context: Context) -> Message:
    """Personalise, if so configured, and report on the model that the site keeps."""
    order, sites = members(message, context)
    reports = [report for site in sites for report in finish.finish(site, order)]
    return pack_reply(message, None, reports)
