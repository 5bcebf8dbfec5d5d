"""A process that hosts any site, one at a time, and adds up what its sites release."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import ray
from flwr.app import Error, Message

from federated.engine.grid import RunConfig, context_of, enter_task, give_id
from federated.engine.ray.nodes import place_of
from federated.exchange.failures import CRASHED, REASONS
from federated.exchange.lengths import Sums
from federated.exchange.tally import Tally
from federated.exchange.wire import Order
from federated.lazy import without_collector

CRASH = REASONS[CRASHED]


@dataclass(frozen=True)
class Done:
    """What a worker sends back for a batch.

    Attributes:
        results: A reply or a result for each of its sites.
        settled: Whether the worker holds no sums any more.
        total: Those it held until then, if they were asked for.
    """

    results: list[Any]
    settled: bool = True
    total: Sums = field(default_factory=dict)


class Worker:
    """A process that hosts one site at a time, any site.

    Args:
        client: The ClientApp by reference, ``package.module:name``.
        threads: torch threads.
        run_config: Flat settings that every client reads.
        count: Number of sites of the grid.
        vaults: Folder of this node for vaults, as ``engine.vaults`` has it; empty: the run's.
    """

    def __init__(
        self, client: str, threads: int, run_config: RunConfig, count: int, vaults: str = ""
    ) -> None:
        module, _, name = client.partition(":")
        with without_collector():
            import torch

            self._client = getattr(import_module(module), name)
        torch.set_num_threads(threads)
        enter_task()
        self._run_config, self._sites = run_config, count
        self._vaults = str(place_of(vaults)) if vaults else ""
        self._number = -1
        self._tally: Tally | None = None

    def ready(self) -> Done:
        """Answer as soon as the process is up."""
        return Done([])

    def relay(self, batch: Sequence[tuple[Message, Mapping[str, Any]]]) -> Done:
        """Handle messages, each with references to its groups of arrays in the object store."""
        replies = []
        for message, groups in batch:
            for name, reference in groups.items():
                message.content[name] = ray.get(reference)
            replies.append(self._handle(message))
        return Done(replies)

    def answer(
        self,
        number: int,
        request: Sequence[Any],
        orders: Sequence[tuple[int, Order]],
        hand_over: bool,
    ) -> Done:
        """Put a request to some sites.

        Args:
            number: Number of the request; the first time, it is fetched and a new sum begun.
            request: A reference to the ``Request`` in the object store.
            orders: Node and order of each site.
            hand_over: Send the sum of all sites since the last time along.
        """
        if self._tally is None or number != self._number:
            self._number, self._tally = number, Tally(ray.get(request[0]))
        tally = self._tally
        tally.results = []
        for node, order in orders:
            message = tally.request.message(node, order)
            give_id(message, order.site)
            tally.take(message, self._handle(message))
        settled = hand_over or not tally.request.summed
        return Done(tally.results, settled, tally.total() if hand_over else {})

    def give(self, number: int) -> Sums:
        """Return the sums of the sites of a request since the last time, and forget them."""
        if self._tally is None or number != self._number:
            return {}
        return self._tally.total()

    def gather(self, number: int, request: Sequence[Any], *sums: Sums) -> Done:
        """Hand over the sums of this worker's sites and of others', which were given here.

        Args:
            number: Number of the request.
            request: A reference to the ``Request``, as in ``answer``.
            sums: Of other workers of this node; Ray fetches them from its memory.
        """
        if self._tally is None or number != self._number:
            self._number, self._tally = number, Tally(ray.get(request[0]))
        for given in sums:
            self._tally.sums.absorb(given)
        return Done([], total=self._tally.total())

    def _handle(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        context = context_of(self._run_config, self._sites, node, self._vaults)
        try:
            reply: Message = self._client(message, context)
        except Exception:  # its text may name a patient's file, and one site must not stop others
            return Message(Error(CRASHED, CRASH), reply_to=message)
        return reply
