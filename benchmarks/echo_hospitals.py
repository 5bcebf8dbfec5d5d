"""Hospitals that only echo: they send the weights back and report numbers made of their names.

``app`` is a ClientApp of theirs, for any grid. ``DirectGrid`` makes the same replies where they are
read, without a message, so that what is left of a round is the server's own part.
"""

import zlib
from collections.abc import Sequence
from dataclasses import replace

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.node import hosted_sites, study_of
from federated.engine.inline import InlineGrid
from federated.exchange.actions import Action
from federated.exchange.exact import ExactSum
from federated.exchange.ledger import Payload
from federated.exchange.lengths import SHORTEST, Sums
from federated.exchange.replies import Reply, Results
from federated.exchange.reports import RATIOS
from federated.exchange.request import Request
from federated.exchange.sharing import Release
from federated.exchange.wire import (
    Order,
    Report,
    arrays_in,
    pack_reply,
    record_bytes,
    unpack_array,
    unpack_order,
)

IMAGES = 100
LOSSES = ("loss", "cross_entropy", "contrastive", "gradient_norm")
SPLITS = ("val", "test")
TRAINING = (Action.TRAIN, Action.TRAIN_FROZEN)

app = ClientApp()


def reports_of(action: str, order: Order) -> list[Report]:
    """Return what a hospital reports of an order, as a real one would."""
    if action in TRAINING:
        numbers = {**dict.fromkeys(LOSSES, 1.0 / order.round), "seconds": 0.5}
        numbers |= {"steps": 7.0, "images_seen": float(IMAGES)}
        return [Report(order.site, "train", "current", IMAGES, numbers)]
    if action == Action.EVALUATE:
        return [measured(order, split, "current") for split in SPLITS]
    kept, final = ([measured(order, s, model) for s in SPLITS] for model in ("kept", "final"))
    chosen = {"kept_round": float(order.round), "chose_kept": 1.0}
    first = replace(final[0], metrics={**final[0].metrics, **chosen})
    return [*kept, first, *final[1:]]


def measured(order: Order, split: str, model: str) -> Report:
    """Return metrics that rise with the rounds, a hospital's own chance on top."""
    best = 0.7 + 0.2 * chance(order.site, order.method)
    luck = 0.05 * (chance(order.site, order.method, order.round, split) - 0.5)
    ratio = best - 0.2 / max(order.round, 1) + luck
    return Report(order.site, split, model, IMAGES, {**dict.fromkeys(RATIOS, ratio), "loss": 0.5})


def chance(*key: object) -> float:
    """Return a number in [0, 1) that depends on the key alone."""
    return zlib.crc32(repr(key).encode()) / 2**32


@app.query(Action.REGISTER.handler)
def register(message: Message, context: Context) -> Message:
    """Tell who is here, without opening any data."""
    names = hosted_sites(context, study_of(context))
    reports = [Report(name, "train", "current", IMAGES, {}) for name in names]
    return pack_reply(message, None, reports)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Send the weights back, and a report as training does."""
    reply = pack_reply(message, Release({}), reports_of(Action.TRAIN, unpack_order(message)))
    if "weights" in message.content:
        reply.content["weights"] = message.content["weights"]
    return reply


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Report as evaluation does."""
    return pack_reply(message, None, reports_of(Action.EVALUATE, unpack_order(message)))


@app.train(Action.FINISH.handler)
def last_steps(message: Message, context: Context) -> Message:
    """Report as a hospital does in the end."""
    return pack_reply(message, None, reports_of(Action.FINISH, unpack_order(message)))


class DirectGrid(InlineGrid):
    """Makes the echo's replies without packing, sending or reading one."""

    def send_and_sum(
        self, request: Request, orders: Sequence[tuple[int, Order]], timeout: float
    ) -> Results:
        """Return every reply, and the sum of weights that all sent back."""
        down = sum(map(record_bytes, request.sent.values()))
        up = down if request.action == Action.TRAIN else 0
        replies = [
            Reply(reports_of(request.action, order), {}, down, Payload("", "", up))
            for _, order in orders
        ]
        return Results(replies, total_of(request, len(orders)) if request.summed else {})


def total_of(request: Request, sites: int) -> Sums:
    """Return the sum of so many times the weights that were sent, which nobody has changed."""
    sent = {name: unpack_array(array) for name, array in arrays_in(request.sent).items()}
    return {SHORTEST: ExactSum.of(sent, sites)}
