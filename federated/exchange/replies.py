"""What of the replies to a request may be used.

Both the server and the workers of a grid of our own read replies here, so that a worker can check
its sites' releases and add them up itself.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from flwr.app import Message

from federated.exchange.actions import Action
from federated.exchange.failures import reason_of
from federated.exchange.ledger import Payload, payload_of
from federated.exchange.lengths import Sums, length_of
from federated.exchange.reports import read_reports
from federated.exchange.request import Request
from federated.exchange.sharing import WEIGHTS, group
from federated.exchange.wire import (
    Arrays,
    BadReplyError,
    Report,
    payload_bytes,
    unpack_admitted,
)


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
