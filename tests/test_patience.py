"""How long sites may take, by hand: no clock runs here."""

from math import inf

from federated.engine.ray.patience import Experience, Patience
from federated.engine.ray.pool import Batch

HOUR = 3600.0


def waited(patience: Patience, place: int) -> tuple[float, int]:
    """Return how long a site that always hangs holds a request up, and with how many workers."""
    batch = Batch((place,))
    while True:
        hung = patience.seconds(batch)
        batch = Batch((place,), batch.losses + 1, batch.hung + hung)
        patience.hung.add(place)
        if patience.is_over(batch):
            return batch.hung, batch.losses


def test_a_site_that_always_hangs_costs_the_timeout_once_and_then_a_twelfth_of_it() -> None:
    experience, targets = Experience(), [(1001, "train"), (1002, "train")]
    first = experience.patience(targets, HOUR, 2)
    first.answered(Batch((0,)), 2.0)
    assert waited(first, 1) == (HOUR, 3)
    assert first.seconds(Batch((1,))) == 300.0
    experience.learn(targets, first)
    second = experience.patience(targets, HOUR, 2)
    second.answered(Batch((0,)), 2.0)
    assert waited(second, 1) == (300.0, 1)
    experience.learn(targets, second)
    third = experience.patience(targets, HOUR, 2)
    third.answered(Batch((0, 1)), 2.0)
    experience.learn(targets, third)
    assert not experience.hung


def test_nobody_is_hurried_before_others_have_answered() -> None:
    patience = Patience(HOUR, 2)
    assert patience.seconds(Batch((0,))) == HOUR
    assert waited(patience, 0) == (HOUR, 1)


def test_slow_sites_have_twenty_times_what_others_or_they_themselves_took() -> None:
    experience, targets = Experience(), [(1001, "train"), (1002, "train")]
    first = experience.patience(targets, HOUR, 2)
    first.answered(Batch((0,)), 30.0)
    assert first.seconds(Batch((1,))) == 600.0
    assert first.seconds(Batch((2, 3, 4))) == 1800.0
    first.answered(Batch((1,)), 100.0)
    assert first.seconds(Batch((2,))) == 2000.0
    experience.learn(targets, first)
    second = experience.patience(targets, HOUR, 2)
    second.answered(Batch((0,)), 1.0)
    assert second.seconds(Batch((1,))) == 2000.0
    assert second.seconds(Batch((0,))) == 600.0


def test_the_last_try_has_what_is_left_and_no_timeout_is_none() -> None:
    patience = Patience(HOUR, 2)
    patience.answered(Batch((0,)), 1.0)
    assert patience.seconds(Batch((1,), losses=2, hung=600.0)) == 3000.0
    # A worker that died in between is none of the site's hanging.
    assert patience.seconds(Batch((1,), losses=2)) == HOUR
    endless = Patience(inf, 2)
    endless.answered(Batch((0,)), 1.0)
    assert endless.seconds(Batch((1,))) == inf
