"""Rules against bad updates: numbers by hand, Flower's strategies, and laws of whole runs."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_laws import assert_same_bits, numbers, shared
from test_messages import load_with
from test_resume import PowerCutError, cut_after, files

from federated.config.server import Server
from federated.config.study import parse
from federated.engine import run
from federated.errors import UserError
from federated.exchange.lengths import Accumulators, class_of, length_of, longest_of
from federated.runs.reading import load
from server.bounding import Bound, bounded_mean
from server.robust import RULES, foreseen, judged

Part = tuple[dict[str, npt.NDArray[Any]], int]
ALL = [name for name in RULES if name != "mean"]


def sites(*rows: list[float], images: int = 10) -> list[Part]:
    return [({"weights/w": np.array(row, np.float32)}, images + k) for k, row in enumerate(rows)]


FIVE = sites([0, 0], [1, 2], [2, 4], [3, 4], [100, -100])


def made(rule: str, parts: list[Part], **settings: Any) -> list[float]:
    found: list[float] = judged(parts, Server(rule=rule, **settings)).mean["weights/w"].tolist()
    return found


def test_the_rules_by_hand() -> None:
    """Of five sites one may be bad: a quarter of them, rounded down."""
    assert made("median", FIVE) == [2, 2]
    assert made("trimmed-mean", FIVE) == [2, 2]  # (1 + 2 + 3) / 3 and (0 + 2 + 4) / 3
    # Squared distances to the first four: 5 20 25 | 5 5 8 | 20 5 1 | 25 8 1; the two least count.
    assert made("krum", FIVE) == [2, 4]
    assert judged(FIVE, Server(rule="multi-krum")).chosen == (0, 1, 2, 3)
    assert made("multi-krum", FIVE, weighting="uniform") == [1.5, 2.5]
    weighted = [(11 * 1 + 12 * 2 + 13 * 3) / 46, (11 * 2 + 12 * 4 + 13 * 4) / 46]
    assert made("multi-krum", FIVE) == pytest.approx(weighted)


NOW = {"weights/w": np.ones(2, np.float32), "weights/n": np.array(7)}


def summed(parts: list[Part]) -> tuple[Any, list[float]]:
    """Return the sums by class of length, every site counted once, and the lengths."""
    sums, lengths = Accumulators(), []
    for arrays, _ in parts:
        lengths.append(length_of(arrays, NOW))
        sums.of(class_of(lengths[-1])).include(arrays, 1)
    return sums.total(), lengths


def moved(*rows: tuple[list[float], int]) -> list[Part]:
    return [({"weights/w": np.array(w, np.float32), "weights/n": np.array(n)}, 3) for w, n in rows]


def test_an_update_that_is_too_long_keeps_its_direction() -> None:
    """Lengths 5, 5 and 64 from (1, 1): 2 medians are 10, by the class 2^3.5; 64 ends its class."""
    sums, lengths = summed(moved(([4, 5], 8), ([-2, -3], 9), ([1, 65], 100)))
    bound = Bound.of(lengths, 2.0)
    assert (lengths, bound.longest) == ([5.0, 5.0, 64.0], 2**3.5)
    mean = bounded_mean(sums, NOW, bound)
    assert mean["weights/w"] == pytest.approx([(4 - 2 + 1) / 3, (5 - 3 + 1 + 2**3.5) / 3])
    assert mean["weights/n"] == pytest.approx(117 / 3)  # a counter is counted, not shortened


def test_whoever_stands_still_is_no_measure_of_others() -> None:
    sums, lengths = summed([(NOW, 3), (NOW, 3), *moved(([4, 5], 7))])
    bound = Bound.of(lengths, 1.0)
    assert (lengths, bound.longest) == ([0.0, 0.0, 5.0], 2**2.5)
    assert bounded_mean(sums, NOW, bound)["weights/w"] == pytest.approx([2, 7 / 3])
    assert Bound.of([0.0, 0.0], 3.0) == Bound.of([1.0, 9.0], 0) == Bound()


@given(st.floats(1e-300, 1e300))
def test_a_class_holds_the_lengths_up_to_its_end(length: float) -> None:
    k = class_of(length)
    assert longest_of(k - 1) < length <= longest_of(k)
    assert class_of(longest_of(k)) == k


lengths_of_sites = st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=9)


@given(lengths_of_sites, st.floats(1, 9), st.randoms(use_true_random=False))
def test_the_bound_touches_nothing_below_it_and_leaves_nothing_above(
    lengths: list[float], multiple: float, order: Any
) -> None:
    """Each site moves a weight of its own, so the mean shows what is left of each update."""
    arrays = [{"weights/w": row} for row in np.diag(np.array(lengths, np.float32))]
    still = {"weights/w": np.zeros(len(lengths), np.float32)}
    found = [length_of(array, still) for array in arrays]
    places = list(range(len(lengths)))
    order.shuffle(places)
    sums = Accumulators()
    for place in places:
        sums.of(class_of(found[place])).include(arrays[place], 1)
    bound = Bound.of(found, multiple)
    asked = multiple * float(np.median(found))
    assert asked <= bound.longest <= asked * 2**0.5 * (1 + 1e-12)
    left = bounded_mean(sums.total(), still, bound)["weights/w"] * len(lengths)
    for before, after in zip(found, left, strict=True):
        if before <= asked:
            assert after == pytest.approx(before, rel=1e-12)
        assert after <= bound.longest * (1 + 1e-12)
        assert after >= min(before, bound.longest / 2**0.5) * (1 - 1e-12)


@pytest.mark.parametrize(("count", "faulty"), [(1, 0), (2, 0), (3, 1), (5, 1), (8, 2), (12, 3)])
def test_how_many_may_be_bad_when_nothing_is_said(count: int, faulty: int) -> None:
    assert foreseen(Server(), count) == faulty
    assert foreseen(Server(faulty=99), count) == (count - 1) // 2


@pytest.mark.parametrize("rule", ALL)
def test_the_order_of_the_sites_changes_no_bit(rule: str) -> None:
    generator = np.random.default_rng(3)
    parts = sites(*generator.normal(size=(9, 50)).tolist())
    expected = made(rule, parts)
    assert made(rule, [parts[k] for k in generator.permutation(9)]) == expected


@pytest.mark.parametrize("rule", ALL)
@pytest.mark.parametrize("attack", [-1e6, 0.0, 1e6])
def test_two_of_nine_bad_ones_cannot_lead_outside_of_the_others(rule: str, attack: float) -> None:
    """Every coordinate lies between the good sites' least and greatest; the mean's does not."""
    good = np.random.default_rng(4).normal(3, 1, size=(7, 50))
    parts = sites(*good.tolist(), [attack] * 50, [attack] * 50)
    found = np.array(made(rule, parts))
    low, high = good.min(axis=0), good.max(axis=0)
    assert ((low - 1e-5 <= found) & (found <= high + 1e-5)).all()
    assert not ((low <= made("mean", parts)) & (np.array(made("mean", parts)) <= high)).all()


FLOWERS = {
    "median": ("FedMedian", {}),
    "trimmed-mean": ("FedTrimmedAvg", {"beta": 0.25}),
    "krum": ("Krum", {"num_malicious_nodes": 2}),
    "multi-krum": ("MultiKrum", {"num_malicious_nodes": 2, "num_nodes_to_select": 6}),
}


@pytest.mark.parametrize("rule", ALL)
def test_flowers_strategies_make_the_same_of_eight_sites(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
    from flwr.serverapp import strategy as flower

    name, arguments = FLOWERS[rule]
    parts = sites(*np.random.default_rng(5).normal(size=(8, 40)).tolist())
    replies = []
    for arrays, images in parts:
        numbers_of = MetricRecord({"num-examples": images, "loss": 0.0})
        weights = ArrayRecord({"w": Array(arrays["weights/w"])})
        replies.append(SimpleNamespace(content=RecordDict({"a": weights, "m": numbers_of})))
    monkeypatch.setattr(flower.FedAvg, "_check_and_log_replies", lambda _, r, is_train: (r, []))
    theirs = getattr(flower, name)(**arguments).aggregate_train(1, replies)[0]["w"].numpy()
    np.testing.assert_allclose(made(rule, parts, faulty=2), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", ["wait", "fedbuff"])
def test_a_bound_that_no_honest_update_reaches_changes_no_bit(run_tiny, policy: str) -> None:
    """Where updates are added up by length along the way, and where the server holds each."""
    settings = {"rollout__policy": policy, "method__bounded__base": "fedavg"}
    run = run_tiny(
        methods="fedavg,bounded",
        server__norm_bound=0,
        method__bounded__server__norm_bound=9,
        **settings,
    )
    assert_same_bits(shared(run, "fedavg"), shared(run, "bounded"))
    expected, found = numbers(run, "fedavg"), numbers(run, "bounded")
    pd.testing.assert_frame_equal(expected, found, check_exact=True)


def test_by_default_noise_is_shortened_and_its_sender_named(run_tiny) -> None:
    """Noise a hundred times as long as an update: 3 medians and the end of their class are left."""
    liar = {
        "rollout__hospital__phantom-3__garbage": "0-10000",
        "rollout__hospital__phantom-3__garbage-kind": "noise",
    }
    run = run_tiny(methods="fedavg,trusting", **TRUSTING, **liar)
    found = run.events.query("kind == 'update-shortened'")
    assert set(found["site"]) == {"phantom-3"} and set(found["method"]) == {"fedavg"}
    assert len(found) == 2 and (found["norm"] > 5 * found["bound"]).all()


TRUSTING = {"method__trusting__base": "fedavg", "method__trusting__server__norm_bound": 0}


def test_krum_takes_over_one_hospitals_weights_and_says_whose(run_tiny) -> None:
    run = run_tiny(methods="silobn", server__rule="krum", server__norm_bound=0.5)
    events = run.events.query("kind == 'updates-chosen'")
    assert len(events) == 2 and all(len(chosen) == 1 for chosen in events["sites"])
    shortened = run.events.query("kind == 'update-shortened'")
    assert (shortened["norm"] > shortened["bound"]).all() and len(shortened) >= 4
    plain = run_tiny("plain", methods="silobn")
    assert not numbers(plain, "silobn").equals(numbers(run, "silobn"))


def test_a_rule_resumed_is_a_rule_uninterrupted(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"methods": "fedavg", "server__rule": "multi-krum", "server__norm_bound": 1}
    whole, cut = tiny("whole", **settings), tiny("cut", **settings)
    run(whole)
    monkeypatch.setattr("federated.engine.running.load_app", load_with(cut_after(3 + 6 + 3)))
    with pytest.raises(PowerCutError):
        run(cut)
    monkeypatch.undo()
    run(cut)
    a, b = (files(load(given["folder"]).folder) for given in (whole, cut))
    assert a == b and a


@pytest.mark.ray
def test_on_ray_a_rule_gives_the_bits_of_inline(run_tiny) -> None:
    settings = {"methods": "fedavg", "server__rule": "trimmed-mean", "server__norm_bound": 1}
    inline = run_tiny("inline", **settings)
    ray = run_tiny("ray", **settings, engine__kind="ray", engine__workers=2)
    assert_same_bits(shared(inline, "fedavg"), shared(ray, "fedavg"))


def test_an_optimiser_leaves_running_statistics_to_the_mean(run_tiny) -> None:
    """With a step of 3 to and fro, a variance would have gone below zero, and AUC with it."""
    settings = {"sharing__policy": "all", "server__optimizer": "adam", "server__lr": 3}
    run = run_tiny(methods="fedavg", rounds=3, **settings)
    weights = shared(run, "fedavg")
    variances = {name: array for name, array in weights.items() if "running_var" in name}
    assert len(variances) == 3 and all((array > 0).all() for array in variances.values())
    assert not any("running" in name for name in weights if name.startswith("optimizer/"))


def test_what_a_rule_cannot_judge_is_refused(tiny) -> None:
    with pytest.raises(UserError, match="send control beside the weights"):
        run(tiny(methods="scaffold", server__rule="median"))
    with pytest.raises(UserError, match="fedasync uses every update by itself"):
        parse({"server.norm-bound": 3, "rollout.policy": "fedasync"})
