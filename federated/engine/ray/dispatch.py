"""How the sites of a request are dealt out to workers, and what happens when one is lost.

A site that takes long is a batch of its own, so that no worker stands idle beside a long queue;
quick ones travel together. Workers keep the sum of what their sites released and hand it over now
and then; where sites keep to their nodes, the sums of a node's workers are added up on the node in
the end, and only one travels. A worker that dies, or hangs and is ended, takes the sum it held with
it, so those sites are asked again, which gives the same bits.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from federated.engine.ray.crews import Crew
from federated.engine.ray.patience import Patience
from federated.engine.ray.pool import Batch, Hired
from federated.engine.ray.waiting import ANYWHERE, Waiting
from federated.engine.ray.worker import CRASH, Done
from federated.exchange.lengths import Sums
from federated.exchange.replies import Refusal, silence

BATCH_SECONDS = 0.25
"""How long a batch of quick sites should take: many times what it costs to send one."""
HAND_OVER_SECONDS = 2.0
"""How much quick work a worker's death may cost, beside the batch that it was at."""

SendBatch = Callable[[Any, Sequence[int], bool], Any]
"""(actor, places, whether to hand the sum over) to a reference to the worker's ``Done``."""
Gather = Callable[[Any, Sequence[Any]], Any]
"""(actor, others of its node) to a reference to a ``Done`` with the sum of them all."""


@dataclass(frozen=True)
class Errand:
    """A batch at a worker, since when.

    Without places it asks the worker for the sum it holds, with that of ``givers``, workers of the
    same node, or whether it has started.
    """

    worker: Hired
    batch: Batch
    sent: float
    givers: tuple[Hired, ...] = ()


class Dispatch:
    """One request on its way: which sites wait, which are out, and what came back.

    Args:
        pool: The workers that serve it.
        count: Number of sites; they are known by their places in the order.
        send: Sends a batch to a worker.
        largest: Most sites of a batch.
        patience: How long a site may take, and how often it is tried.
        announce: Called with a kind of event, a site's place, and facts.
        absorb: Called with the sums that are handed over.
        home: The node whose workers alone may be given a site.
        gather: Adds the sums of a node up on it; None: each worker hands over its own.
    """

    def __init__(
        self,
        pool: Crew,
        count: int,
        send: SendBatch,
        *,
        largest: int,
        patience: Patience,
        announce: Callable[..., None],
        absorb: Callable[[Sums], None],
        home: Callable[[int], str] = lambda place: ANYWHERE,
        gather: Gather | None = None,
    ) -> None:
        self._pool, self._send, self._largest = pool, send, largest
        self._gather = gather
        self._patience = patience
        self._announce, self._absorb = announce, absorb
        self._waiting = Waiting(count, home)
        self._idle: list[Hired] = []
        self._errands: dict[Any, Errand] = {}
        self._pace = inf  # seconds a site, as last seen
        self._results: list[Any] = [None] * count

    def run(self) -> list[Any]:
        """Have all sites answer; return what came back for each, or a ``Refusal``.

        Raises:
            UserError: no worker is left and none can be started, or the cluster has ended.
        """
        for worker in self._pool.workers:
            worker.owes, worker.settled = [], time.monotonic()
            if worker.ready:
                self._idle.append(worker)
            else:
                self._await(worker)
        while self._unfinished():
            self._send_out()
            self._wait()
        return self._results

    def _unfinished(self) -> bool:
        out = any(errand.batch.places for errand in self._errands.values())
        return bool(self._waiting or out or any(w.owes for w in self._pool.workers))

    def _await(self, worker: Hired) -> None:
        """Notice when a new worker has started; until then no site waits for it."""
        self._errands[worker.starting] = Errand(worker, Batch(), time.monotonic())

    def _send_out(self) -> None:
        """Give every idle worker a batch, or have it hand over its sum when there is none left."""
        for worker in list(self._idle):
            if worker not in self._idle:  # it has just given its sum away
                continue
            batch = self._next_batch(worker)
            mates = self._mates(worker)
            if not batch.places and (not worker.owes or self._are_out(mates)):
                continue
            self._idle.remove(worker)
            now = time.monotonic()
            givers = tuple(mate for mate in mates if mate.owes and not batch.places)
            if givers and self._gather:
                self._idle = [other for other in self._idle if other not in givers]
                reference = self._gather(worker.actor, [giver.actor for giver in givers])
                self._errands[reference] = Errand(worker, batch, now, givers)
                continue
            last = not mates and not self._waiting.left(worker.node)
            last = last or not batch.places
            for place in batch.places:
                self._announce("site-started", place)
            hand_over = last or now - worker.settled > HAND_OVER_SECONDS
            reference = self._send(worker.actor, batch.places, hand_over)
            self._errands[reference] = Errand(worker, batch, now)

    def _mates(self, worker: Hired) -> list[Hired]:
        """Return the others of its node with whom a worker's sum travels; none where each goes."""
        if self._gather is None or worker.node == ANYWHERE:
            return []
        workers = self._pool.workers
        return [other for other in workers if other.node == worker.node and other is not worker]

    def _are_out(self, workers: Sequence[Hired]) -> bool:
        """Return whether some of them are at a site, or at a sum: they are waited for."""
        errands = self._errands.values()
        return any(e.worker in workers and (e.batch.places or e.givers) for e in errands)

    def _next_batch(self, worker: Hired) -> Batch:
        colleagues = sum(other.node == worker.node for other in self._pool.workers)
        fair = self._waiting.fresh(worker.node) // (2 * colleagues)
        size = max(1, min(self._largest, fair, int(BATCH_SECONDS / self._pace)))
        return self._waiting.next(worker.node, size)

    def _wait(self) -> None:
        """Wait until a worker answers or is overdue."""
        due = min(map(self._due, self._errands.values()))
        done = self._pool.wait(list(self._errands), max(0.0, due - time.monotonic()))
        for reference in done:
            errand = self._errands.pop(reference)
            try:
                self._take(errand, ray.get(reference, timeout=self._pool.patience))
            except RayTaskError:
                self._lose(errand, CRASH)
            except RayError:
                self._lose(errand, f"its worker died {errand.batch.losses + 1} times")
        now = time.monotonic()
        for reference, errand in list(self._errands.items()):
            if self._due(errand) <= now:
                del self._errands[reference]
                self._give_up(errand)

    def _due(self, errand: Errand) -> float:
        """Return when an errand is overdue: earlier, once others have shown what is usual."""
        if not errand.worker.ready:
            return errand.sent + self._pool.patience
        return errand.sent + self._patience.seconds(errand.batch)

    def _take(self, errand: Errand, done: Done) -> None:
        worker, batch, now = errand.worker, errand.batch, time.monotonic()
        for place, result in zip(batch.places, done.results, strict=True):
            self._results[place] = result
            self._announce("site-ended", place)
        if done.settled:
            for one in (worker, *errand.givers):
                one.owes, one.settled = [], now
            if done.total:
                self._absorb(done.total)
        elif batch.places:
            worker.owes.append(batch)
        if batch.places:
            self._pace = (now - errand.sent) / len(batch.places)
            self._patience.answered(batch, now - errand.sent)
        worker.ready = True
        self._idle += [worker, *errand.givers]

    def _lose(self, errand: Errand, reason: str, *, hung: float = 0.0) -> None:
        """Replace a worker, and ask its sites again: one by one, to find who kills or stops it."""
        batch, alone = errand.batch, len(errand.batch.places) == 1
        losses = batch.losses + alone
        again = Batch(batch.places, losses, batch.hung + hung * alone)
        if batch.places:
            self._announce("worker-lost", batch.places[0], tries=losses or 1)
        for lost in (errand.worker, *errand.givers):  # which of them is to blame is not known
            self._waiting.again(lost.owes)
            self._await(self._pool.replace(lost))
        over = self._patience.is_over(again) if hung else losses > self._patience.retries
        if alone and over:
            self._results[batch.places[0]] = Refusal(reason)
            self._announce("site-ended", batch.places[0])
        else:
            each = (replace(again, places=(place,)) for place in reversed(batch.places))
            self._waiting.again_soon(each)

    def _give_up(self, errand: Errand) -> None:
        """Lose an overdue worker; one that has not even started may just wait for room."""
        if not errand.worker.ready:
            if not any(worker.ready for worker in self._pool.workers):
                raise self._pool.crowded()
            self._await(errand.worker)
        else:
            hung = time.monotonic() - errand.sent
            if len(errand.batch.places) == 1:
                self._patience.hung |= set(errand.batch.places)
            self._lose(errand, self._silence(errand.batch, hung), hung=hung)

    def _silence(self, batch: Batch, hung: float) -> str:
        once = silence(round(min(batch.hung + hung, self._patience.timeout), 1)).reason
        return once if not batch.losses else f"{once} from any of {batch.losses + 1} workers"
