"""The Ray grid: sites on warm workers, on this machine or on a cluster.

The shared weights go into Ray's object store once for all messages that carry them; workers keep
the network and the images between messages; a worker that dies is replaced and its site tried
again on a fresh one. Nothing a site computes depends on which worker it runs on, so any number of
workers gives the same bits.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import ray
from flwr.app import ArrayRecord, Context, Error, Message, RecordDict
from ray.exceptions import RayActorError, RayTaskError

from federated.engine.grid import Listener, LocalGrid, Settings, enter_task
from federated.errors import UserError
from federated.imports import import_dynamo, without_collector
from federated.raystart import start_ray

WORKER_LOST = 1004
CRASHED = 1005


class Worker:
    """A process that hosts one site at a time, any site."""

    def __init__(self, client: str, threads: int) -> None:
        from importlib import import_module

        module, _, name = client.partition(":")
        with without_collector():
            import torch

            self._client = getattr(import_module(module), name)
        import_dynamo()
        torch.set_num_threads(threads)
        enter_task()

    def handle(self, message: Message, shared: ArrayRecord | None, context: Context) -> Message:
        """Handle a message whose weights travel beside it through the object store."""
        if shared is not None:
            message.content["shared"] = shared
        reply: Message = self._client(message, context)
        return reply


@dataclass(frozen=True)
class Attempt:
    """A message on its way: its place in the order, and how often it has been tried."""

    place: int
    tries: int


class RayGrid(LocalGrid):
    """A thin adapter from Flower's messages to Ray actors.

    Args:
        client: The ClientApp by reference, ``package.module:name``.
        run_config: Flat settings that every client reads.
        count: Number of sites.
        workers: Number of actors.
        threads: CPUs, and torch threads, of each.
        gpus: GPU share of each.
        address: A running cluster, or empty for one of our own.
        retries: Fresh workers that a site gets when its worker dies.
        listener: Called with events.
    """

    def __init__(
        self,
        client: str,
        run_config: Settings,
        count: int,
        *,
        workers: int,
        threads: int,
        gpus: float,
        address: str,
        retries: int,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(run_config, count, listener)
        self._client, self._threads, self._gpus, self._retries = client, threads, gpus, retries
        start_ray(address)
        self._count = min(workers or default_workers(threads, gpus), count)
        self._workers = [self._hire() for _ in range(self._count)]

    def _hire(self) -> Any:
        actor = ray.remote(num_cpus=self._threads, num_gpus=self._gpus, max_restarts=0)(Worker)
        return actor.remote(self._client, self._threads)

    def deliver(self, messages: list[Message], timeout: float | None) -> list[Message]:
        """Spread the messages over the workers, longest queue first come; replies in order."""
        stored: dict[int, Any] = {}
        bare = [strip_shared(message, stored) for message in messages]
        waiting = deque(Attempt(place, 1) for place in range(len(messages)))
        idle = list(self._workers)
        flying: dict[Any, tuple[Any, Attempt]] = {}
        replies: dict[int, Message] = {}
        while waiting or flying:
            while waiting and idle:
                attempt, worker = waiting.popleft(), idle.pop()
                message, shared = bare[attempt.place]
                node = message.metadata.dst_node_id
                self.tell("site-started", node=node, action=message.metadata.message_type)
                future = worker.handle.remote(message, shared, self.contexts[node])
                flying[future] = worker, attempt
            done, _ = ray.wait(list(flying), num_returns=1, timeout=timeout)
            if not done:
                self._dismiss([worker for worker, _ in flying.values()])
                break
            worker, attempt = flying.pop(done[0])
            metadata = messages[attempt.place].metadata
            try:
                replies[attempt.place] = ray.get(done[0])
                idle.append(worker)
            except RayActorError:
                self._dismiss([worker])
                idle.append(self._workers[-1])
                self.tell("worker-lost", node=metadata.dst_node_id, tries=attempt.tries)
                if attempt.tries <= self._retries:
                    waiting.appendleft(Attempt(attempt.place, attempt.tries + 1))
                else:
                    reason = f"its worker died {attempt.tries} times"
                    replies[attempt.place] = refuse(messages[attempt.place], WORKER_LOST, reason)
            except RayTaskError:
                idle.append(worker)
                reason = "it crashed outside its own error handling"
                replies[attempt.place] = refuse(messages[attempt.place], CRASHED, reason)
            self.tell("site-ended", node=metadata.dst_node_id, action=metadata.message_type)
        return [replies[place] for place in sorted(replies)]

    def _dismiss(self, workers: list[Any]) -> None:
        for worker in workers:
            self._workers.remove(worker)
            ray.kill(worker)
            self._workers.append(self._hire())

    def close(self) -> None:
        """Stop the workers, and Ray if it is ours."""
        for worker in self._workers:
            ray.kill(worker)
        ray.shutdown()


def strip_shared(message: Message, stored: dict[int, Any]) -> tuple[Message, Any]:
    """Return a message without its weights, and a reference to them in the object store.

    The server puts the same record into every message of a round, so it is stored once.
    """
    content = message.content
    shared = content.array_records.get("shared")
    if shared is None:
        return message, None
    if id(shared) not in stored:
        stored[id(shared)] = ray.put(shared)
    bare = Message(
        RecordDict({key: record for key, record in content.items() if key != "shared"}),
        metadata=message.metadata,  # type: ignore[call-overload]
    )
    return bare, stored[id(shared)]


def refuse(message: Message, code: int, reason: str) -> Message:
    """Return an error reply in place of a site that could not answer."""
    return Message(Error(code, reason), reply_to=message)


def default_workers(threads: int, gpus: float) -> int:
    """Return how many workers fill the cluster's cores, or its GPUs if they are used."""
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    by_cpu = int(resources.get("CPU", 1)) // threads
    if gpus and not resources.get("GPU"):
        raise UserError(f"engine.gpus = {gpus:g}, but the Ray cluster has no GPU; set it to 0.")
    by_gpu = int(resources.get("GPU", 0) / gpus) if gpus else by_cpu
    return max(1, min(by_cpu, by_gpu))
