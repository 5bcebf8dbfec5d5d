"""The Flower ClientApp of a hospital. Handlers unpack, call and pack; the work is in clients.work.

A node is told who it is by its node-config: ``site = "NAME"``, or ``partition-id`` in a simulation
(the index of the site's name in sorted order). ``vault = "FOLDER"`` says where private state lives,
and any setting, such as ``data.covid-ct``, may be given there too.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from clients import finish, pooled, work
from clients.site import Site, open_site, vault_folder
from clients.vault import Vault, log_failure
from federated.config import Study, parse, parse_run_config
from federated.data import site_names
from federated.fingerprint import code_digest
from federated.training import DivergedError
from federated.wire import Order, Report, pack_reply, unpack_order, unpack_tensors

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
    own = {k: v for k, v in context.node_config.items() if k not in NODE_KEYS}
    return parse({**parse_run_config(context.run_config), **own})


NODE_KEYS = ("site", "vault", "partition-id", "num-partitions")


def site_name(context: Context, study: Study) -> str:
    """Return which hospital this node is."""
    if "site" in context.node_config:
        return str(context.node_config["site"])
    return site_names(study.common)[int(context.node_config["partition-id"])]


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
        folder = vault_root(context, order) / site_name(context, study_of(context))
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
    names = order.sites.split(",") if config.train.pooled else [site_name(context, study)]
    vaults = [Vault(vault_folder(root, name, order.method, order.seed)) for name in names]
    return order, [
        open_site(config, name, seed=order.seed, vault=vault)
        for name, vault in zip(names, vaults, strict=True)
    ]


app = ClientApp(mods=[failures_stay_home])


@app.query("register", mods=[failures_stay_home])
def register(message: Message, context: Context) -> Message:
    """Tell the server which hospital this node is, and how many training images it has."""
    _, sites = members(message, context)
    name = site_name(context, study_of(context))
    site = next(site for site in sites if site.name == name)
    report = Report(name, "train", "current", len(site.data.train), {})
    return pack_reply(message, None, [report])


@app.train(mods=[failures_stay_home])
def train(message: Message, context: Context) -> Message:
    """Train one round and release what is shared."""
    started = time.perf_counter()
    order, sites = members(message, context)
    shared = unpack_tensors(message.content.array_records["shared"])
    if sites[0].config.train.pooled:
        released, reports = pooled.train(sites, order, shared)
    else:
        released, reports = work.train(sites[0], order, shared)
    seconds = time.perf_counter() - started
    reports = [replace(r, metrics={**r.metrics, "seconds": seconds}) for r in reports]
    return pack_reply(message, released, reports)


@app.evaluate(mods=[failures_stay_home])
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the server's weights on validation and test images."""
    order, sites = members(message, context)
    shared = unpack_tensors(message.content.array_records["shared"])
    reports = [report for site in sites for report in work.evaluate(site, order, shared)]
    return pack_reply(message, None, reports)


@app.train("finish", mods=[failures_stay_home])
def last_steps(message: Message, context: Context) -> Message:
    """Personalise, if so configured, and report on the model that the site keeps."""
    order, sites = members(message, context)
    reports = [report for site in sites for report in finish.finish(site, order)]
    return pack_reply(message, None, reports)
