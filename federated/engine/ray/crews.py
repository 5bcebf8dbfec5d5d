"""Which workers serve which request, when several cells ask at the same time.

A request has its crew of workers to itself until it is done. With as many cells as workers each
gets one, and the next request in turn gets the worker that comes free first; with fewer cells than
workers they share them evenly.
"""

import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from federated.engine.ray.pool import GLANCE_SECONDS, Hired, Pool
from federated.errors import UserError


@dataclass
class Crew:
    """The workers of one request: to its dispatch a pool of their own.

    Attributes:
        pool: Whose they are.
        workers: As the pool's, replaced as they die.
    """

    pool: Pool
    workers: list[Hired]

    @property
    def patience(self) -> float:
        """Seconds until at least one worker must have started."""
        return self.pool.patience

    def wait(self, references: list[Any], seconds: float) -> list[Any]:
        """Wait as the pool does."""
        return self.pool.wait(references, seconds)

    def replace(self, worker: Hired) -> Hired:
        """Replace a worker of the crew, and of the pool."""
        fresh = self.pool.replace(worker)
        self.workers[self.workers.index(worker)] = fresh
        return fresh

    def crowded(self) -> UserError:
        """Return the error that no worker found a place."""
        return self.pool.crowded()


class Crews:
    """Lends the workers of a pool out.

    Args:
        pool: All workers.
        check: Raises when the cluster, or the run, has ended.
        undivided: Whether every request gets all workers: its sites may keep to any of their nodes.
    """

    def __init__(self, pool: Pool, check: Callable[[], None], *, undivided: bool = False) -> None:
        self.cells, self._undivided = 1, undivided
        self._pool, self._check = pool, check
        self._out: list[Crew] = []
        self._turns: deque[int] = deque()
        self._tickets = itertools.count()
        self._changed = threading.Condition()

    @contextmanager
    def crew(self, most: int, cell: object) -> Iterator[Crew]:
        """Lend workers out for a request, in the order in which requests came.

        Args:
            most: How many the request has work for.
            cell: Whose it is: a worker that served it last has its network at hand.
        """
        with self._changed:
            crew = Crew(self._pool, self._in_turn(most, cell))
            self._out.append(crew)
        try:
            yield crew
        finally:
            with self._changed:
                self._out.remove(crew)
                for worker in crew.workers:
                    worker.cell = cell
                self._changed.notify_all()

    def _in_turn(self, most: int, cell: object) -> list[Hired]:
        ticket = next(self._tickets)
        self._turns.append(ticket)
        try:
            while self._turns[0] != ticket or not (free := self._free()):
                self._changed.wait(GLANCE_SECONDS)
                self._check()
        finally:
            self._turns.remove(ticket)
            self._changed.notify_all()
        if self._undivided:
            return free
        free.sort(key=lambda worker: worker.cell != cell)
        return free[: self._share(most, len(free))]

    def _free(self) -> list[Hired]:
        """Return the workers that nobody has; those that still start only if no other is there."""
        busy = {id(worker) for crew in self._out for worker in crew.workers}
        free = [worker for worker in self._pool.workers if id(worker) not in busy]
        if self._undivided:
            return [] if busy else free
        if any(worker.has_started() for worker in self._pool.workers):
            return [worker for worker in free if worker.has_started()]
        return free

    def _share(self, most: int, free: int) -> int:
        """Return how many workers a request gets: its share, and one is left to each other cell."""
        others = max(0, self.cells - 1 - len(self._out))
        share = math.ceil(len(self._pool.workers) / self.cells)
        return max(1, min(most, share, free - others))
