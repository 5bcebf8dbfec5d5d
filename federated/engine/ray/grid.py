"""The Ray grid: sites on warm workers, on this machine or on a cluster.

The shared weights go into Ray's object store once for all sites; workers keep the network and the
images between messages, and add up what their sites release; a worker that dies is replaced and
its sites tried again on a fresh one. Nothing a site computes depends on which worker it runs on,
so any number of workers gives the same bits.
"""

import itertools
import time
from collections.abc import Sequence
from functools import wraps
from math import inf
from typing import Any

import ray
from flwr.app import Error, Message, RecordDict

from federated.config.writing import study_from
from federated.engine.grid import FIRST_SITE_NODE, Listener, LocalGrid, RunConfig
from federated.engine.ray.cluster import number_of_workers
from federated.engine.ray.crews import Crews
from federated.engine.ray.dispatch import Dispatch, Gather, SendBatch
from federated.engine.ray.homes import homes_on
from federated.engine.ray.patience import Experience
from federated.engine.ray.pool import Pool
from federated.engine.ray.start import open_cluster
from federated.errors import UserError
from federated.exchange.failures import NOT_ANSWERED
from federated.exchange.lengths import Accumulators
from federated.exchange.replies import Refusal, Results
from federated.exchange.request import Request
from federated.exchange.wire import Order, payload_bytes, record_bytes

BATCH_SITES = 1000
BATCH_BYTES = 2**25
"""Most sites of a batch, and most bytes that their replies may have if they are not added up."""


def _explained(method: Any) -> Any:
    """Make whatever error comes of a cluster that has ended the sentence that says so."""

    @wraps(method)
    def explained(grid: "RayGrid", *asked: Any) -> Any:
        try:
            return method(grid, *asked)
        except UserError:
            raise
        except Exception:
            for _ in range(20):  # a process that is killed closes its sockets before it has ended
                grid._check()
                time.sleep(0.1)
            raise

    return explained


class RayGrid(LocalGrid):
    """A thin adapter from Flower's messages to Ray actors.

    Args:
        client: The ClientApp by reference, ``package.module:name``.
        run_config: Flat settings that every client reads.
        count: Number of sites.
        workers: Number of actors.
        threads: CPUs, and torch threads, of each.
        gpus: GPU share of each.
        address: A running cluster, or empty for this process's or one of our own.
        retries: Fresh workers that a site gets when its worker dies or hangs.
        patience: Seconds until the first worker must have started.
        cells: How many cells may be served at the same time.
        vaults: Folder of each node for the vaults of the sites that then keep to it; empty: vaults
            are in the run's folder, which all nodes see.
        listener: Called with events.

    Raises:
        UserError: there is no such cluster, it has no room for a worker, or its nodes do not fit.
    """

    def __init__(
        self,
        client: str,
        run_config: RunConfig,
        count: int,
        *,
        workers: int,
        threads: int,
        gpus: float,
        address: str,
        retries: int,
        patience: float,
        cells: int = 1,
        vaults: str = "",
        listener: Listener | None = None,
    ) -> None:
        super().__init__(run_config, count, listener)
        self._retries = retries
        self._requests = itertools.count()
        self._experience = Experience()
        self._halted = False
        self._cluster = open_cluster(address)
        try:
            # Where a site keeps to its node, cells go one after the other.
            most = count if vaults else cells * count
            number = number_of_workers(workers, most, threads=threads, gpus=gpus)
            self._homes = homes_on(
                self._cluster, run_config, number, vaults=vaults, threads=threads, gpus=gpus
            )
            self._pool = Pool(
                self._homes.workers,
                {"num_cpus": threads, "num_gpus": gpus, **self._cluster.options},
                (client, threads, run_config, count, vaults),
                patience=patience,
                check=self._check,
                check_node=self._homes.check,
            )
        except BaseException:
            self._cluster.close()
            raise
        self._crews = Crews(self._pool, self._check, undivided=bool(vaults))

    @_explained
    def deliver(self, messages: list[Message], timeout: float | None) -> list[Message]:
        """Spread the messages over the workers; replies in order."""
        self._check()
        stored: dict[int, Any] = {}
        bare = [strip_arrays(message, stored) for message in messages]

        def send(actor: Any, places: Sequence[int], hand_over: bool) -> Any:
            return actor.relay.remote([bare[place] for place in places])

        targets = [(m.metadata.dst_node_id, m.metadata.message_type) for m in messages]
        largest = max((payload_bytes(m.content) for m in messages), default=0)
        seconds = inf if timeout is None else timeout
        found = self._dispatch(None, targets, send, largest, timeout=seconds, total=Accumulators())
        replies = []
        for message, result in zip(messages, found, strict=True):
            if isinstance(result, Refusal):
                replies.append(Message(Error(NOT_ANSWERED, result.reason), reply_to=message))
            else:
                replies.append(result)
        return replies

    @_explained
    def send_and_sum(
        self, request: Request, orders: Sequence[tuple[int, Order]], timeout: float
    ) -> Results:
        """Have the workers put a request to the sites, and add their partial sums up."""
        self._check()
        number, stored = next(self._requests), ray.put(request)

        def send(actor: Any, places: Sequence[int], hand_over: bool) -> Any:
            # In a list, a reference stays one: the worker fetches the request only once.
            return actor.answer.remote(number, [stored], [orders[p] for p in places], hand_over)

        def gather(actor: Any, others: Sequence[Any]) -> Any:
            return actor.gather.remote(number, [stored], *[o.give.remote(number) for o in others])

        targets = [(node, request.action) for node, _ in orders]
        largest = 0 if request.summed else sum(map(record_bytes, request.sent.values()))
        total = Accumulators()
        cell = next(((order.method, order.seed) for _, order in orders), None)
        results = self._dispatch(
            *(cell, targets, send, largest),
            timeout=timeout,
            total=total,
            gather=gather if request.summed else None,
        )
        return Results(results, total.total())

    def _dispatch(
        self,
        cell: object,
        targets: Sequence[tuple[int, str]],
        send: SendBatch,
        largest: int,
        *,
        timeout: float,
        total: Accumulators,
        gather: Gather | None = None,
    ) -> list[Any]:
        """Have nodes do actions; ``largest`` is the bytes of a reply that travels by itself."""

        def announce(kind: str, place: int, **facts: Any) -> None:
            node, action = targets[place]
            self.announce(kind, node=node, action=action, **facts)

        with self._crews.crew(len(targets), cell) as crew:
            patience = self._experience.patience(targets, timeout, self._retries)
            dispatch = Dispatch(
                crew,
                len(targets),
                send,
                largest=BATCH_SITES if not largest else max(1, BATCH_BYTES // largest),
                patience=patience,
                announce=announce,
                absorb=total.absorb,
                home=lambda place: self._homes.of(targets[place][0] - FIRST_SITE_NODE),
                gather=gather,
            )
            results = dispatch.run()
            self._experience.learn(targets, patience)
            return results

    @property
    def lanes(self) -> int:  # type: ignore[override]
        """As many cells as there are workers; one where sites keep to their nodes."""
        return 1 if self._homes.of_site else len(self._pool.workers)

    def beside(self, cells: int) -> None:
        """Take note of how many cells share the workers."""
        self._crews.cells = cells

    def halt(self) -> None:
        """Have every thread that waits for a worker give up."""
        self._halted = True

    def close(self) -> None:
        """Stop the workers, and Ray if it is ours."""
        if not self._cluster.lost():
            self._pool.close()
        self._cluster.close()

    def _check(self) -> None:
        """Raise an error that says how to go on if the cluster has ended, or if the run ends.

        Asked before anything is stored: where its object store is gone, Ray ends this process.
        """
        if self._halted:
            raise UserError("The run is stopped.")
        if lost := self._cluster.lost():
            raise UserError(
                f"Ray's {lost} ended in the middle of the run; it was killed, or memory ran out. "
                "All rounds before are saved; go on with: consilium resume "
                f"{study_from(self.run_config).common.folder or 'FOLDER'}"
            )


def strip_arrays(message: Message, stored: dict[int, Any]) -> tuple[Message, dict[str, Any]]:
    """Return a message without its arrays, and references to each group in the object store.

    The server puts the same records into every message of a round, so they are stored once.
    """
    groups = message.content.array_records
    if not groups:
        return message, {}
    for record in groups.values():
        if id(record) not in stored:
            stored[id(record)] = ray.put(record)
    bare = Message(
        RecordDict({key: r for key, r in message.content.items() if key not in groups}),
        metadata=message.metadata,  # type: ignore[call-overload]
    )
    return bare, {name: stored[id(record)] for name, record in groups.items()}
