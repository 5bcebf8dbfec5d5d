"""Any Flower grid as one that sends a request and adds the releases up.

The grids of our own check and add up where the sites run; on any other the same happens here, from
plain messages, with the same bits.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from flwr.app import Message
from flwr.serverapp import Grid

from federated.exchange.replies import Results, genuine, silence
from federated.exchange.request import Request
from federated.exchange.tally import Tally
from federated.exchange.wire import Order

POLL_SECONDS = 0.25
"""How often a server looks whether hospitals have answered."""


class SummingGrid(Protocol):
    """What a cell needs of a grid."""

    def send_and_sum(
        self, request: Request, orders: Sequence[tuple[int, Order]], timeout: float
    ) -> Results:
        """Ask many sites one request; check, and add up, their replies.

        Args:
            request: What all sites are asked.
            orders: Node and order of each site.
            timeout: Seconds to wait for a site.
        """


@dataclass(frozen=True)
class ByMessages:
    """Adds up what a grid that only passes messages on brings back."""

    grid: Grid

    def send_and_sum(
        self, request: Request, orders: Sequence[tuple[int, Order]], timeout: float
    ) -> Results:
        """Send a message to each site, and read the replies in the order of the orders."""
        messages = [request.message(node, order) for node, order in orders]
        replies = by_group(self.grid, messages, timeout)
        tally = Tally(request)
        for message in messages:
            reply = replies.get(message.metadata.group_id)
            if reply is None:
                tally.results.append(silence(timeout))
            else:
                tally.take(message, reply)
        return Results(tally.results, tally.total())


def summing(grid: Grid) -> SummingGrid:
    """Return the grid itself if it adds up where the sites run, else by messages."""
    return cast(SummingGrid, grid) if hasattr(grid, "send_and_sum") else ByMessages(grid)


def by_group(grid: Grid, messages: Iterable[Message], timeout: float) -> dict[str, Message]:
    """Return the replies by the group id of their messages, which says what each is about.

    Not by node: a node may host several sites.
    """
    messages = list(messages)
    replies = genuine(messages, exchanged(grid, messages, timeout))
    return {reply.metadata.group_id: reply for reply in replies}


def exchanged(grid: Grid, messages: list[Message], timeout: float) -> list[Message]:
    """Return the replies that come back in time, as ``send_and_receive`` does.

    Flower's own looks for them every 3 seconds, which two messages a round feel.
    """
    if hasattr(grid, "listener"):
        return list(grid.send_and_receive(messages, timeout=timeout))
    waiting, deadline = set(grid.push_messages(messages)), time.monotonic() + timeout
    replies: list[Message] = []
    while waiting:
        replies += (new := list(grid.pull_messages(waiting)))
        waiting -= {reply.metadata.reply_to_message_id for reply in new}
        if time.monotonic() > deadline:
            break
        if waiting:
            time.sleep(POLL_SECONDS)
    return replies
