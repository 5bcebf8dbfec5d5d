"""What both grids of our own have in common, and the one place that touches Flower's inside.

``flwr.serverapp.Grid`` is public and abstract, and a ``ClientApp`` is callable, so one pair of apps
runs on any grid. Two things are not public in flwr 1.41 and 1.42: a ``Message`` can only be made in
a process whose ``TaskIdentity`` is set, and a message's id is given by the SuperLink.
tests/test_engine.py says when either moves.
"""

import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from federated.exchange.replies import Results
from federated.exchange.request import Request
from federated.exchange.wire import Order

RUN_ID = 1
SERVER_NODE = 1
FIRST_SITE_NODE = 1001

RunConfig = Mapping[str, bool | int | float | str]
Listener = Callable[[Mapping[str, Any]], None]


def enter_task() -> None:
    """Give this process the identity that ``Message`` asks for."""
    TaskIdentity.run_id = RUN_ID
    TaskIdentity.node_id = SERVER_NODE
    TaskIdentity.task_id = 1


def give_id(message: Message, message_id: str) -> None:
    """Set a message's id, as the SuperLink would."""
    message.metadata.__dict__["_message_id"] = message_id


def context_of(run_config: RunConfig, count: int, node: int, vaults: str = "") -> Context:
    """Return the Flower context of one of ``count`` sites.

    A fresh one for every message: what a site wants to remember belongs in its vault, and ten
    thousand contexts need no memory. ``vaults`` is the machine's folder for them; empty: the run's.
    """
    own = {"vault": vaults} if vaults else {}
    return Context(
        run_id=RUN_ID,
        node_id=node,
        node_config={"partition-id": node - FIRST_SITE_NODE, "num-partitions": count, **own},
        state=RecordDict(),
        run_config=run_config,  # type: ignore[arg-type]
    )


class LocalGrid(Grid):
    """A grid on this machine or on a Ray cluster, without a SuperLink.

    Replies come back in the order of the messages, whoever finishes first.

    Attributes:
        run_config: Flat settings that every client reads.
        count: Number of sites.
        listener: Called with every event of the run and of the grid.
        lanes: How many cells it can serve at a time.
    """

    lanes = 1

    def __init__(self, run_config: RunConfig, count: int, listener: Listener | None) -> None:
        enter_task()
        self.run_config = run_config
        self.count = count
        self.listener = listener
        self._run = Run.create_empty(RUN_ID)
        self._ids = itertools.count(1)
        self._replies: dict[str, Message] = {}

    @abstractmethod
    def deliver(self, messages: list[Message], timeout: float | None) -> list[Message]:
        """Have every message handled and return the replies, in the order of the messages."""

    @abstractmethod
    def send_and_sum(
        self, request: Request, orders: Sequence[tuple[int, Order]], timeout: float
    ) -> Results:
        """Ask many sites one request; check, and add up, their answers where the sites run.

        Neither messages nor releases travel one by one, so neither time nor memory grows with
        them. The bits are those of ``send_and_receive`` and a sum of the replies.

        Args:
            request: What all sites are asked.
            orders: Node and order of each site.
            timeout: Seconds to wait for a site.
        """

    def beside(self, cells: int) -> None:
        """Take note of how many cells are at work, for them to share what there is."""

    def halt(self) -> None:
        """Have whoever waits for a site give up: the run ends."""

    def announce(self, kind: str, **facts: Any) -> None:
        """Tell the listener what the grid does; such events are not recorded."""
        if self.listener:
            now = datetime.now(UTC).isoformat()
            self.listener({"time": now, "kind": kind, **facts})

    def set_run(self, run: Run) -> None:
        """Set the run this grid operates in."""
        self._run = run

    @property
    def run(self) -> Run:
        """Run information."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a new message."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the sites' node ids."""
        return list(range(FIRST_SITE_NODE, FIRST_SITE_NODE + self.count))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Have messages handled and keep the replies for ``pull_messages``."""
        sent = list(messages)
        replies = self.send_and_receive(sent)
        self._replies |= {reply.metadata.reply_to_message_id: reply for reply in replies}
        return [message.metadata.message_id for message in sent]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return and forget the replies to the messages pushed."""
        return [self._replies.pop(i) for i in message_ids if i in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Have messages handled and return the replies, in the order of the messages.

        Args:
            messages: Messages to sites of this grid.
            timeout: Seconds to wait for a site; one that takes longer gets an error for a reply.
        """
        sent = list(messages)
        for message in sent:
            give_id(message, str(next(self._ids)))
        return self.deliver(sent, timeout)
