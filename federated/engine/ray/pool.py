"""Workers on Ray that are replaced when they die."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from federated.engine.ray.cluster import free_cores
from federated.engine.ray.worker import Worker
from federated.errors import UserError

GLANCE_SECONDS = 1.0
"""How often to look whether the cluster still lives."""


@dataclass(frozen=True)
class Batch:
    """Sites that travel together.

    Attributes:
        places: Their places in the order.
        losses: How many workers a site has cost that travels alone.
        hung: Seconds for which such a site has hung, with all of them.
    """

    places: tuple[int, ...] = ()
    losses: int = 0
    hung: float = 0.0


@dataclass(eq=False)
class Hired:
    """A worker as the driver sees it.

    Attributes:
        actor: The Ray actor.
        ready: Whether it has ever answered.
        owes: Batches that it has answered, but whose sum it still holds.
        settled: When it last handed its sum over, by the monotonic clock.
        starting: A reference that is there once it has started.
        cell: Whose request it served last.
        node: The node that it must be on; empty: any.
    """

    actor: Any
    starting: Any
    ready: bool = False
    owes: list[Batch] = field(default_factory=list)
    settled: float = 0.0
    cell: object = None
    node: str = ""

    def has_started(self) -> bool:
        """Return whether the worker has started, or has died in trying: then it is replaced."""
        return self.ready or bool(ray.wait([self.starting], timeout=0)[0])


class Pool:
    """A number of workers.

    Args:
        places: For each the node that it must be on; empty: any.
        options: What Ray reserves for each, as options of an actor.
        arguments: Of each ``Worker``.
        patience: Seconds until at least one worker must have started.
        check: Raises when the cluster has ended.
        check_node: Raises when a node that a worker must be on has left.

    Raises:
        UserError: none did.
    """

    def __init__(
        self,
        places: Sequence[str],
        options: Mapping[str, Any],
        arguments: tuple[Any, ...],
        *,
        patience: float,
        check: Callable[[], None],
        check_node: Callable[[str], None] = lambda node: None,
    ) -> None:
        self.patience = patience
        self._options, self._arguments, self._check = options, arguments, check
        self._check_node, self._stillborn = check_node, 0
        self.workers = [self._hire(node) for node in places]
        if not self.wait([worker.starting for worker in self.workers], patience):
            raise self.crowded()

    def wait(self, references: list[Any], seconds: float) -> list[Any]:
        """Return which references are there, as soon as one is; none after ``seconds``.

        Raises:
            UserError: the cluster has ended. Ray itself would wait, for it might come back.
        """
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            there, _ = ray.wait(references, num_returns=1, timeout=min(left, GLANCE_SECONDS))
            self._check()
            if there or left <= GLANCE_SECONDS:
                return list(there)

    def _hire(self, node: str) -> Hired:
        there: dict[str, Any] = {}
        if node:
            there["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        actor: Any = ray.remote(max_restarts=0, **self._options, **there)(Worker)
        hired = actor.remote(*self._arguments)
        return Hired(hired, hired.ready.remote(), node=node)

    def replace(self, worker: Hired) -> Hired:
        """Kill a worker, unless it is dead already, and return a fresh one.

        Raises:
            UserError: workers keep dying before they have done anything, or its node has left.
        """
        if worker.node:
            self._check_node(worker.node)
        self._stillborn = 0 if worker.ready else self._stillborn + 1
        self.workers.remove(worker)
        ray.kill(worker.actor)
        if self._stillborn > 3 + len(self.workers):
            raise UserError(
                f"{self._stillborn} Ray workers in a row died while starting; the newest "
                "session_latest/logs/worker-*.err in Ray's folder says why."
            )
        self.workers.append(self._hire(worker.node))
        return self.workers[-1]

    def crowded(self) -> UserError:
        """Return the error that no worker found a place."""
        needs = f"{self._options['num_cpus']:g} CPUs and {self._options['num_gpus']:g} GPUs"
        return UserError(
            f"no Ray worker started within engine.timeout = {self.patience:g} s: each needs "
            f"{needs}, and the cluster has {free_cores():g} CPUs free. Wait until others have "
            "finished there, or set engine.threads, engine.gpus or engine.address."
        )

    def close(self) -> None:
        """Kill all workers."""
        for worker in self.workers:
            ray.kill(worker.actor)
