"""The inline grid: every site in this process, one after the other. No Ray, nothing hidden."""

from collections.abc import Sequence

from flwr.app import Message
from flwr.clientapp import ClientApp

from federated.engine.grid import Listener, LocalGrid, RunConfig, context_of, give_id
from federated.exchange.replies import Results
from federated.exchange.request import Request
from federated.exchange.tally import Tally
from federated.exchange.wire import Order


class InlineGrid(LocalGrid):
    """Calls the ClientApp directly; the timeout is not enforced, since nothing runs beside it."""

    def __init__(
        self, client: ClientApp, run_config: RunConfig, count: int, listener: Listener | None = None
    ) -> None:
        super().__init__(run_config, count, listener)
        self._client = client

    def deliver(self, messages: list[Message], timeout: float | None) -> list[Message]:
        """Handle the messages one by one."""
        return [self._handle(message) for message in messages]

    def send_and_sum(
        self, request: Request, orders: Sequence[tuple[int, Order]], timeout: float
    ) -> Results:
        """Ask the sites one by one, and keep no release that is added up."""
        tally = Tally(request)
        for node, order in orders:
            message = request.message(node, order)
            give_id(message, order.site)
            tally.take(message, self._handle(message))
        return Results(tally.results, tally.total())

    def _handle(self, message: Message) -> Message:
        node, action = message.metadata.dst_node_id, message.metadata.message_type
        self.announce("site-started", node=node, action=action)
        reply = self._client(message, context_of(self.run_config, self.count, node))
        self.announce("site-ended", node=node, action=action)
        return reply
