"""The inline grid: every site in this process, one after the other. No Ray, nothing hidden."""

from flwr.app import Message
from flwr.clientapp import ClientApp

from federated.engine.grid import Listener, LocalGrid, Settings


class InlineGrid(LocalGrid):
    """Calls the ClientApp directly; the timeout is not enforced, since nothing runs beside it."""

    def __init__(
        self, client: ClientApp, run_config: Settings, count: int, listener: Listener | None = None
    ) -> None:
        super().__init__(run_config, count, listener)
        self._client = client

    def deliver(self, messages: list[Message], timeout: float | None) -> list[Message]:
        """Handle the messages one by one."""
        replies = []
        for message in messages:
            node = message.metadata.dst_node_id
            self.tell("site-started", node=node, action=message.metadata.message_type)
            replies.append(self._client(message, self.contexts[node]))
            self.tell("site-ended", node=node, action=message.metadata.message_type)
        return replies
