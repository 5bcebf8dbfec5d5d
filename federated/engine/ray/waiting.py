"""The sites of a request that wait for a worker, each for one of the node that it keeps to."""

from collections import deque
from collections.abc import Callable, Iterable

from federated.engine.ray.pool import Batch

ANYWHERE = ""
"""The home of sites and workers where every node sees every vault."""


class Waiting:
    """Sites that were not asked yet, and batches to be asked again.

    Args:
        count: Number of sites; they are known by their places in the order.
        home: The node that a site keeps to.
    """

    def __init__(self, count: int, home: Callable[[int], str]) -> None:
        self._home = home
        self._fresh: dict[str, deque[int]] = {}
        for place in range(count):
            self._fresh.setdefault(home(place), deque()).append(place)
        self._again: deque[Batch] = deque()

    def __bool__(self) -> bool:
        return bool(self._again) or any(self._fresh.values())

    def fresh(self, node: str) -> int:
        """Return how many sites a node's workers have not been asked yet."""
        return len(self._fresh.get(node, ()))

    def left(self, node: str) -> bool:
        """Return whether anything waits for a worker of a node."""
        return bool(self.fresh(node)) or self._of(node) is not None

    def next(self, node: str, size: int) -> Batch:
        """Take a batch for a worker of a node: one to be asked again, or up to ``size`` sites."""
        if (again := self._of(node)) is not None:
            self._again.remove(again)
            return again
        fresh = self._fresh.get(node, deque())
        return Batch(tuple(fresh.popleft() for _ in range(min(size, len(fresh)))))

    def again(self, batches: Iterable[Batch]) -> None:
        """Have batches asked again, after those that wait for it."""
        self._again.extend(batches)

    def again_soon(self, batches: Iterable[Batch]) -> None:
        """Have batches asked again, before all others; the last of them first."""
        self._again.extendleft(batches)

    def _of(self, node: str) -> Batch | None:
        mine = (batch for batch in self._again if self._home(batch.places[0]) == node)
        return next(mine, None)
