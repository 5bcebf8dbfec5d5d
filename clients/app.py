"""The Flower ClientApp of a hospital: handlers unpack, call and pack, and do no work."""

import errno
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from clients import describing, egress, finish, masking, pooled, work
from clients.node import (
    NodeConfigError,
    NotHereError,
    NoVaultError,
    OtherCodeError,
    hosted_sites,
    named_sites,
    received,
    study_of,
    vault_root,
)
from clients.private_folder import VaultError, log_failure, private_folder
from clients.site import Site, open_site, open_vault
from federated.dp.updates import NotFiniteUpdateError
from federated.exchange.actions import Action
from federated.exchange.failures import (
    BAD_ORDER,
    BAD_VAULT,
    BAD_WEIGHTS,
    DIVERGED,
    EGRESS,
    FAILED,
    NO_SPACE,
    NO_VAULT,
    NODE_CONFIG,
    NOT_HERE,
    OTHER_CODE,
    POLICY,
    REASONS,
)
from federated.exchange.gate import EgressError
from federated.exchange.policy import PolicyError
from federated.exchange.wire import (
    ALL_SITES,
    BadOrderError,
    BadTensorsError,
    Order,
    Report,
    pack_reply,
    unpack_tensors,
)
from federated.learning.training import DivergedError

CODES: Mapping[type[Exception], int] = {
    DivergedError: DIVERGED,
    NotFiniteUpdateError: DIVERGED,
    OtherCodeError: OTHER_CODE,
    BadOrderError: BAD_ORDER,
    BadTensorsError: BAD_WEIGHTS,
    NotHereError: NOT_HERE,
    VaultError: BAD_VAULT,
    NoVaultError: NO_VAULT,
    NodeConfigError: NODE_CONFIG,
    EgressError: EGRESS,
    PolicyError: POLICY,
}
"""Codes of the error replies; whatever else happens is ``FAILED``."""

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def code_of(error: Exception) -> int:
    """Return the code of the error reply to a failure."""
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return NO_SPACE
    return CODES.get(type(error), FAILED)


class Hospital(ClientApp):
    """A ClientApp whose replies pass the site's egress gate, and whose failures stay at home.

    Flower's default sends the traceback to the server, file names included. Here a failure, before
    any handler is chosen or at the gate, is answered with a fixed code, and its traceback goes to
    the site's own log.
    """

    def __call__(self, message: Message, context: Context) -> Message:
        """Return the reply to a message, or what kind of failure there was."""
        try:
            return egress.released(super().__call__(message, context), message, context)
        except Exception as error:
            keep_at_home(message, context)
            code = code_of(error)
            return Message(Error(code, REASONS[code]), reply_to=message)


def keep_at_home(message: Message, context: Context) -> None:
    """Write the failure being handled to the log of the site that an order is for.

    If the order is malformed, to that of the node; without a vault, the node's own output has it.
    """
    try:
        try:
            order = received(message)
            root, name = vault_root(context, order), order.site
            doing = f"{message.metadata.message_type!r} {order.method} round {order.round}"
        except (BadOrderError, OtherCodeError):
            root, name = Path(str(context.node_config["vault"])), ""
            doing = f"{message.metadata.message_type!r:.80}"
        log_failure(private_folder(root, name or f"node-{context.node_id}"), doing)
    except Exception:
        logging.getLogger("flwr").exception("A failure could not be written to a vault's log.")


def members(message: Message, context: Context) -> tuple[Order, list[Site]]:
    """Return the order and the sites that this node trains: one, or all of them when pooled.

    Nothing is written before all of the order is checked.

    Raises:
        BadOrderError: the order is malformed.
        OtherCodeError: it comes from other code.
        NotHereError: it is about what is not here.
        NoVaultError: there is no place for private state.
        NodeConfigError: the node-config lacks what the run needs.
    """
    order, study = received(message), study_of(context)
    names, root = named_sites(order, context, study), vault_root(context, order)
    config = study.by_method[order.method]
    # A vault in the run's own folder lasts together with the server's checkpoint of the round.
    alone = "vault" in context.node_config
    vaults = [open_vault(root, name, order, sync=alone) for name in names]
    return order, [
        open_site(config, name, seed=order.seed, vault=vault, alone="site" in context.node_config)
        for name, vault in zip(names, vaults, strict=True)
    ]


def timed(reports: Iterable[Report], started: float) -> list[Report]:
    """Return reports with the seconds since ``started`` in them."""
    seconds = time.perf_counter() - started
    return [replace(r, metrics={**r.metrics, "seconds": seconds}) for r in reports]


app = Hospital()


@app.query(Action.REGISTER.handler)
def register(message: Message, context: Context) -> Message:
    """Tell the server which hospitals this node hosts, and how many training images each has.

    And whether it says so by itself, or was told by a simulation. All once it is agreed what may
    leave under each method of the run.
    """
    _, sites = members(message, context)
    egress.agree(message, context)
    hosted = hosted_sites(context, study_of(context))
    counts = [(site.name, len(site.data.train)) for site in sites if site.name in hosted]
    own = {"named": 1.0} if "site" in context.node_config else {}
    reports = [Report(name, "train", "current", count, own) for name, count in counts]
    return pack_reply(message, None, reports)


@app.query(Action.STATISTICS.handler)
def tell_of_data(message: Message, context: Context) -> Message:
    """Tell of the hospital's images, in counts."""
    order, sites = members(message, context)
    alone = "site" in context.node_config
    return pack_reply(message, None, [describing.told(s, order, alone=alone) for s in sites])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train one round and release what is shared."""
    started = time.perf_counter()
    order, sites = members(message, context)
    sent = unpack_tensors(message.content, sites[0].boundary)
    trainer = pooled if order.site == ALL_SITES else work
    released, reports = trainer.train(sites, order, sent)
    released = masking.hidden(message, sites[0], released, reports)
    return pack_reply(message, released, timed(reports, started))


@app.query(Action.KEYS.handler)
def make_keys(message: Message, context: Context) -> Message:
    """Release the public keys of a round of masks."""
    _, sites = members(message, context)
    return pack_reply(message, masking.keys(sites[0], message), [])


@app.query(Action.SHARES.handler)
def make_shares(message: Message, context: Context) -> Message:
    """Release shares of the secrets behind the site's masks, sealed for the others."""
    _, sites = members(message, context)
    return pack_reply(message, masking.shares(sites[0], message), [])


@app.query(Action.UNMASK.handler)
def unmask(message: Message, context: Context) -> Message:
    """Release what takes the masks off the sum."""
    _, sites = members(message, context)
    return pack_reply(message, masking.told(sites[0], message), [])


@app.train(Action.TRAIN_FROZEN.handler)
def train_frozen(message: Message, context: Context) -> Message:
    """Train one round only what is private, and release nothing."""
    started = time.perf_counter()
    order, sites = members(message, context)
    sent = unpack_tensors(message.content, sites[0].boundary)
    reports = [report for site in sites for report in work.train_frozen(site, order, sent)]
    return pack_reply(message, None, timed(reports, started))


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the server's weights."""
    order, sites = members(message, context)
    sent = unpack_tensors(message.content, sites[0].boundary)
    reports = [report for site in sites for report in work.evaluate(site, order, sent)]
    return pack_reply(message, None, reports)


@app.train(Action.FINISH.handler)
def last_steps(message: Message, context: Context) -> Message:
    """Personalise, if so configured, and report on the model that the site keeps."""
    order, sites = members(message, context)
    reports = [report for site in sites for report in finish.finish(site, order)]
    return pack_reply(message, None, reports)
