"""A question to many sites, and what of their answers may be used and added up.

Both the server and the workers of a grid of our own read replies here, so that a worker can check
its sites' releases and add them up itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import ArrayRecord, Message

from federated.exchange.exact import Accumulator, ExactSum
from federated.exchange.sharing import Boundary
from federated.exchange.wire import (
    Arrays,
    BadReplyError,
    Order,
    Report,
    pack_order,
    payload_bytes,
    unpack_array,
    unpack_release,
    unpack_reports,
)


@dataclass(frozen=True)
class Question:
    """What all sites of a round are asked alike; each gets an order of its own beside it.

    Attributes:
        action: Flower message type, ``train``, ``evaluate`` or ``train.finish``.
        shared: Weights to send along.
        boundary: What sites may release.
        summed: Whether the releases are added up and none of them is kept.
        by_examples: Whether a site's weight in that sum is its number of training images, not 1.
        norm_limit: L2 norm above which an update is refused; 0: none is.
    """

    action: str
    shared: ArrayRecord | None
    boundary: Boundary
    summed: bool
    by_examples: bool
    norm_limit: float = 0.0

    def message(self, node: int, order: Order) -> Message:
        """Return the message to a site; its group id is the site's name.

        Not the node: a node may host several sites.
        """
        content = pack_order(order, self.shared)
        return Message(content, node, self.action, group_id=order.site)


@dataclass(frozen=True)
class Answer:
    """A good reply of one site: its reports, its release if it trained, and bytes both ways.

    ``arrays`` is empty if the release was added to the sum.
    """

    reports: list[Report]
    arrays: Arrays
    bytes_down: int
    bytes_up: int

    @property
    def num_examples(self) -> int:
        """How many training images stand behind it."""
        return sum(r.num_examples for r in self.reports if r.split == "train")


@dataclass(frozen=True)
class Refusal:
    """Why a site has no answer that may be used."""

    reason: str


def silence(timeout: float) -> Refusal:
    """Return the refusal of a site that took longer than ``timeout`` seconds."""
    return Refusal(f"no answer within {timeout:g} s")


Result = Answer | Refusal


@dataclass(frozen=True)
class Results:
    """What came of a question: each site's result, in the order of the orders, and the sum."""

    by_order: Sequence[Result]
    total: ExactSum | None


class Tally:
    """Results as replies come in; a release that is added up is not kept."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.accumulator = Accumulator()
        self.results: list[Result] = []

    def take(self, sent: Message, reply: Message) -> None:
        """Check a reply and add its release up; a bad one is left out, with the reason."""
        try:
            answer = read(self.question, sent, reply)
            self.results.append(self._added(answer) if self.question.summed else answer)
        except BadReplyError as error:
            self.results.append(Refusal(str(error)))

    def _added(self, answer: Answer) -> Answer:
        try:
            weight = answer.num_examples if self.question.by_examples else 1
            self.accumulator.include(answer.arrays, weight)
        except ValueError as error:
            raise BadReplyError(str(error)) from error
        return replace(answer, arrays={})

    def total(self) -> ExactSum | None:
        """Return the sum of the good releases since the last call, None if there is none."""
        return self.accumulator.total() if self.accumulator.weight else None


def read(question: Question, sent: Message, reply: Message) -> Answer:
    """Return what a reply says, checked.

    Raises:
        BadReplyError: it is an error, or must not be aggregated.
    """
    if reply.has_error():
        raise BadReplyError(reply.error.reason or f"error {reply.error.code}")
    arrays: Arrays = {}
    if question.action == "train":
        arrays = unpack_release(reply.content, question.boundary)
        check_norm(question, arrays)
    reports = unpack_reports(reply.content)
    if question.action == "train" and not (reports and all(r.num_examples > 0 for r in reports)):
        raise BadReplyError("it trained on no image")
    return Answer(reports, arrays, payload_bytes(sent.content), payload_bytes(reply.content))


def check_norm(question: Question, arrays: Arrays) -> None:
    """Refuse an update, the release minus what was sent, that is too long; counters do not count.

    Each update is judged by itself, so that workers can do it and no site's depends on another's.

    Raises:
        BadReplyError: its L2 norm is above the limit.
    """
    if not question.norm_limit or question.shared is None:
        return
    squares = 0.0
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating):
            sent = unpack_array(question.shared[name]).astype(np.float64)
            change = array.astype(np.float64) - sent
            squares += float(np.vdot(change, change))
    norm = math.sqrt(squares)
    if norm > question.norm_limit:
        limit = question.norm_limit
        raise BadReplyError(f"its update has the norm {norm:.3g}, server.norm-limit is {limit:g}")
