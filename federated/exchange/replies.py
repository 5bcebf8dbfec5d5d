"""A request to many sites, and what of their replies may be used and added up.

Both the server and the workers of a grid of our own read replies here, so that a worker can check
its sites' releases and add them up itself.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from flwr.app import ConfigRecord, Message

from federated.exchange.actions import RELEASING, Action
from federated.exchange.failures import reason_of
from federated.exchange.ledger import Payload, payload_of
from federated.exchange.lengths import Accumulators, Sums, class_of, length_of
from federated.exchange.masked import SESSION, sum_of
from federated.exchange.reports import read_reports
from federated.exchange.sharing import WEIGHTS, Boundary, group
from federated.exchange.wire import (
    Arrays,
    BadReplyError,
    Groups,
    Order,
    Report,
    pack_order,
    payload_bytes,
    unpack_admitted,
    unpack_array,
)


@dataclass(frozen=True)
class Request:
    """What all sites of a round are asked alike; each gets an order of its own beside it.

    Attributes:
        action: Flower message type, ``train``, ``evaluate`` or ``train.finish``.
        sent: Groups of arrays to send along; none: nothing is sent.
        boundary: What sites may release.
        summed: Whether the releases are added up and none of them is kept.
        by_examples: Whether a site's weight in that sum is its number of training images, not 1.
        norm_limit: L2 norm above which an update is refused; 0: none is.
        by_length: Whether the releases are added up by how far they change the weights.
        images: Training images that each site of the run registered with; empty: not known.
        sites: Whom a reply may report on; empty: on the site that its order names.
        masked: Whether the releases are masked integers, which only their sum can be read of.
        beside: What each site is told of a round of masks; empty: there is none.
    """

    action: str
    sent: Groups
    boundary: Boundary
    summed: bool
    by_examples: bool
    norm_limit: float = 0.0
    images: Mapping[str, int] = field(default_factory=dict)
    sites: Collection[str] = ()
    masked: bool = False
    beside: Mapping[str, ConfigRecord] = field(default_factory=dict)
    by_length: bool = False

    @property
    def admitted(self) -> Boundary:
        """What may be in a reply: a release where one is asked for, else nothing."""
        return self.boundary if self.action in RELEASING else NOTHING

    @cached_property
    def weights(self) -> Arrays:
        """The weights that are sent, none where none are."""
        return {name: unpack_array(a) for name, a in self.sent.get(WEIGHTS, {}).items()}

    def message(self, node: int, order: Order) -> Message:
        """Return the message to a site; its group id is the site's name.

        Not the node: a node may host several sites.
        """
        content = pack_order(order, self.sent)
        if order.site in self.beside:
            content[SESSION] = self.beside[order.site]
        return Message(content, node, self.action, group_id=order.site)


@dataclass(frozen=True)
class Reply:
    """A good reply of one site: its reports, its release if it trained, bytes, and digests.

    ``arrays`` is empty if the release was added to the sum; ``length`` is how far it changes the
    weights, 0 where nobody asked.
    """

    reports: list[Report]
    arrays: Arrays
    bytes_down: int
    payload: Payload
    length: float = 0.0

    @property
    def bytes_up(self) -> int:
        """Bytes of the tensors that it brought."""
        return self.payload.bytes

    @property
    def num_examples(self) -> int:
        """How many training images stand behind it."""
        return sum(r.num_examples for r in self.reports if r.split == "train")


@dataclass(frozen=True)
class Refusal:
    """Why a site has no reply that may be used."""

    reason: str


def silence(timeout: float) -> Refusal:
    """Return the refusal of a site that took longer than ``timeout`` seconds."""
    return Refusal(f"no answer within {timeout:g} s")


Result = Reply | Refusal


@dataclass(frozen=True)
class Results:
    """What came of a request: each site's result, in the order of the orders, and the sums."""

    by_order: Sequence[Result]
    total: Sums


class Tally:
    """Results as messages come back; a release that is added up is not kept."""

    def __init__(self, request: Request) -> None:
        self.request = request
        heaviest = sum(request.images.values()) if request.by_examples else len(request.images)
        # A kept update may be moved by what the weights have moved by until it is used.
        self.sums = Accumulators(heaviest if request.summed else 4 * heaviest)
        self.results: list[Result] = []

    def take(self, sent: Message, back: Message) -> None:
        """Check a reply and add its release up; a bad one is left out, with the reason."""
        try:
            reply = read(self.request, sent, back)
            self.results.append(self._added(reply))
        except BadReplyError as error:
            self.results.append(Refusal(str(error)))

    def _added(self, reply: Reply) -> Reply:
        weight = reply.num_examples if self.request.by_examples else 1
        accumulator = self.sums.of(class_of(reply.length) if self.request.by_length else 0)
        try:
            if self.request.masked:
                accumulator.absorb(sum_of(reply.arrays, weight))
                return replace(reply, arrays={})
            if not self.request.summed:
                accumulator.check(reply.arrays, weight or 1)
                return reply
            accumulator.include(reply.arrays, weight)
        except ValueError as error:
            raise BadReplyError(str(error)) from error
        return replace(reply, arrays={})

    def total(self) -> Sums:
        """Return the sums of the good releases since the last call."""
        return self.sums.total()


def read(request: Request, sent: Message, back: Message) -> Reply:
    """Return what a message that came back says, checked.

    Raises:
        BadReplyError: it is an error, or must not be aggregated.
    """
    try:
        return _read(request, sent, back)
    except BadReplyError:
        raise
    except Exception as error:
        # Whatever else is wrong with it, one site must not stop the others.
        raise BadReplyError("its reply cannot be read") from error


def _read(request: Request, sent: Message, back: Message) -> Reply:
    if not answers(back, sent):
        raise BadReplyError("its reply is one to another message")
    if back.has_error():
        raise BadReplyError(reason_of(back.error.code))
    arrays = unpack_admitted(back.content, request.admitted)
    length = change_of(request, arrays)
    check_norm(request, length)
    reports = read_reports(back.content, request.action, asked_about(request, sent))
    check_examples(request, reports)
    return Reply(reports, arrays, payload_bytes(sent.content), payload_of(back.content), length)


NOTHING = Boundary((), ())


def answers(back: Message, sent: Message) -> bool:
    """Return whether a message is the reply to ``sent``, from whom it was sent to.

    That a node cannot be reached is said by who passes messages on, in the sender's name.
    """
    theirs, ours = back.metadata, sent.metadata
    speakers = (ours.dst_node_id, ours.src_node_id) if back.has_error() else (ours.dst_node_id,)
    about = (theirs.reply_to_message_id, theirs.group_id)
    return about == (ours.message_id, ours.group_id) and theirs.src_node_id in speakers


def genuine(messages: Iterable[Message], replies: Iterable[Message]) -> list[Message]:
    """Return the replies that answer one of the messages; a node may claim to be another's."""
    by_id = {message.metadata.message_id: message for message in messages}
    sent = [(reply, by_id.get(reply.metadata.reply_to_message_id)) for reply in replies]
    return [reply for reply, message in sent if message is not None and answers(reply, message)]


def asked_about(request: Request, sent: Message) -> Collection[str]:
    """Return the sites that a reply may report on."""
    return request.sites or (sent.metadata.group_id,)  # as ``Request.message`` has it


def check_examples(request: Request, reports: Sequence[Report]) -> None:
    """Compare a site's numbers of training images with what it registered with.

    They are its weight in the mean: a site cannot make itself heavier during a run.

    Raises:
        BadReplyError: it trained on no image, or says that it has more than it had.
    """
    if request.action == Action.TRAIN and not (
        reports and all(r.num_examples > 0 for r in reports)
    ):
        raise BadReplyError("it trained on no image")
    for report in reports if request.action in (Action.TRAIN, Action.TRAIN_FROZEN) else ():
        most = request.images.get(report.site, report.num_examples)
        if report.split == "train" and report.num_examples > most:
            raise BadReplyError("it says that it has more training images than it registered with")


def change_of(request: Request, arrays: Arrays) -> float:
    """Return the L2 norm of what a release changes of the weights; 0 where nobody asks for it.

    Args:
        request: With the weights that were sent.
        arrays: What a site released, by ``GROUP/NAME``.
    """
    if not (request.norm_limit or request.by_length) or not request.weights or not arrays:
        return 0.0
    return length_of(group(arrays, WEIGHTS), request.weights)


def check_norm(request: Request, length: float) -> None:
    """Refuse an update that is too long.

    Each update is judged by itself, so that workers can do it and no site's depends on another's.

    Raises:
        BadReplyError: its L2 norm is above the limit.
    """
    if request.norm_limit and length > request.norm_limit:
        limit = request.norm_limit
        raise BadReplyError(f"its update has the norm {length:.3g}, server.norm-limit is {limit:g}")
