"""How sites are dealt out to workers and their sums come back, without Ray."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.exceptions import RayError

from federated.engine.ray import dispatch
from federated.engine.ray.dispatch import Dispatch
from federated.engine.ray.patience import Patience
from federated.engine.ray.pool import Hired
from federated.engine.ray.worker import Done
from federated.exchange.lengths import Accumulators, Sums
from server.bounding import weight_of

Reference = Callable[[], Done]


class Actor:
    """What a worker does, in this process: each site releases its place."""

    def __init__(self) -> None:
        self.sums = Accumulators(100)

    def answer(self, places: Sequence[int], hand_over: bool) -> Done:
        for place in places:
            self.sums.of(place % 3).include({"w": np.full(2, place, np.float32)}, 1)
        total = self.give() if hand_over else {}
        return Done([f"site {place}" for place in places], hand_over, total)

    def give(self) -> Sums:
        return self.sums.total()

    def gather(self, others: Sequence["Actor"]) -> Done:
        for other in others:
            self.sums.absorb(other.give())
        return Done([], total=self.give())


class Crew:
    """Workers on nodes; what they are asked is done when it is waited for."""

    patience = 60.0

    def __init__(self, *nodes: str) -> None:
        self.workers = [hired(node) for node in nodes]
        self.replaced: list[str] = []

    def wait(self, references: list[Reference], seconds: float) -> list[Reference]:
        return references[:1]

    def replace(self, worker: Hired) -> Hired:
        self.replaced.append(worker.node)
        fresh = hired(worker.node)
        self.workers[self.workers.index(worker)] = fresh
        return fresh

    def crowded(self) -> Exception:
        raise AssertionError


def hired(node: str) -> Hired:
    return Hired(Actor(), lambda: Done([]), ready=True, node=node)


def dealt(
    crew: Crew, homes: Sequence[str], monkeypatch: pytest.MonkeyPatch, *, failures: int = 0
) -> tuple[list[Any], list[Sums]]:
    """Return the results of all sites, and the sums that the driver got."""
    monkeypatch.setattr(dispatch, "ray", SimpleNamespace(get=lambda asked, timeout: asked()))
    left, sums = [failures], list[Sums]()

    def gather(actor: Actor, others: Sequence[Actor]) -> Reference:
        def ask() -> Done:
            if left[0]:
                left[0] -= 1
                raise RayError("the node's memory was lost")
            return actor.gather(others)

        return ask

    dealing = Dispatch(
        crew,  # type: ignore[arg-type]
        len(homes),
        lambda actor, places, hand_over: lambda: actor.answer(places, hand_over),
        largest=1,
        patience=Patience(60.0, 2),
        announce=lambda kind, place, **facts: None,
        absorb=sums.append,
        home=lambda place: homes[place],
        gather=gather,
    )
    return dealing.run(), sums


def whole(sums: Sequence[Sums]) -> Fraction:
    """Return the sum of all places; those of another class of length are in another sum."""
    total, found = Accumulators(100), Fraction(0)
    for one in sums:
        total.absorb(one)
    for k, part in total.total().items():
        first, second = part.mean()["w"]
        assert first == second and round(first * part.weight - k * part.weight) % 3 == 0
        found += Fraction(float(first)) * part.weight
    return found


HOMES = ["x", "y", "x", "x", "y", "x", "x", "y"]


def test_one_sum_travels_from_each_node_whatever_its_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results, sums = dealt(Crew("x", "x", "y", "x"), HOMES, monkeypatch)
    assert results == [f"site {place}" for place in range(8)]
    assert sorted(weight_of(one) for one in sums) == [3, 5]  # the sites of y, and of x
    assert whole(sums) == sum(range(8))


def test_a_sum_lost_on_its_way_is_made_again_and_nothing_counts_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew = Crew("x", "x", "y")
    results, sums = dealt(crew, HOMES, monkeypatch, failures=1)
    assert crew.replaced == ["x", "x"]  # either may be to blame
    assert results == [f"site {place}" for place in range(8)]
    assert sorted(weight_of(one) for one in sums) == [3, 5]
    assert whole(sums) == sum(range(8))


def test_where_sites_go_anywhere_each_worker_hands_over_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, sums = dealt(Crew("", ""), [""] * 8, monkeypatch)
    assert len(sums) == 2 and whole(sums) == sum(range(8))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_every_site_counts_once_in_whatever_order_workers_answer_and_are_lost(seed: int) -> None:
    random = Random(seed)
    nodes = [random.choice("xy") for _ in range(random.randint(2, 5))]
    homes = [random.choice(nodes) for _ in range(random.randint(1, 12))]
    crew, now, sums = Crew(*nodes), [0.0], list[Sums]()
    crew.wait = lambda references, seconds: [random.choice(references)]  # type: ignore[method-assign]

    def clock() -> float:
        now[0] += random.choice((0.001, 0.1, 1.5))  # sums are handed over once they are 2 s old
        return now[0]

    def asked(work: Callable[[], Done]) -> Reference:
        done, is_lost = work(), random.random() < 0.15  # an actor works in the order it is asked

        def answer() -> Done:
            if is_lost:
                raise RayError("lost on its way")
            return done

        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "ray", SimpleNamespace(get=lambda asked, timeout: asked()))
        patch.setattr(dispatch, "time", SimpleNamespace(monotonic=clock))
        results = Dispatch(
            crew,  # type: ignore[arg-type]
            len(homes),
            lambda actor, places, over: asked(lambda: actor.answer(places, over)),
            largest=2,
            patience=Patience(1e9, 1000),
            announce=lambda kind, place, **facts: None,
            absorb=sums.append,
            home=lambda place: homes[place],
            gather=lambda actor, others: asked(lambda: actor.gather(others)),
        ).run()
    assert results == [f"site {place}" for place in range(len(homes))]
    assert sum(map(weight_of, sums)) == len(homes)
    assert whole(sums) == sum(range(len(homes)))
