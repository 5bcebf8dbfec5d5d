"""Rules against bad updates: numbers by hand, Flower's strategies, and laws of whole runs."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from test_laws import assert_same_bits, numbers, shared
from test_messages import load_with
from test_resume import PowerCutError, cut_after, files

from federated.config.server import Server
from federated.config.study import parse
from federated.engine import run
from federated.errors import UserError
from federated.runs.reading import load
from server.robust import RULES, bounded, foreseen, judged

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


def test_an_update_that_is_too_long_keeps_its_direction() -> None:
    """Lengths 5, 5 and 50 from (1, 1): twice the median is 10, a fifth of the third's."""
    now = {"weights/w": np.ones(2, np.float32), "weights/n": np.array(7)}
    parts = [
        ({"weights/w": np.array(w, np.float32), "weights/n": np.array(n)}, 3)
        for w, n in (([4, 5], 8), ([-2, -3], 9), ([31, 41], 99))
    ]
    short = bounded(parts, now, 2.0)
    assert (short.bound, dict(short.lengths)) == (10.0, {2: 50.0})
    assert short.parts[:2] == parts[:2]
    arrays, images = short.parts[2]
    assert arrays["weights/w"].tolist() == [7, 9]
    assert (arrays["weights/n"], images) == (99, 3)
    assert bounded(parts, now, 0).parts is parts
    still = [(now, 3), (now, 3), parts[0]]
    assert bounded(still, now, 1.0).parts == still  # whoever stands still is no measure of others


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


def test_a_bound_that_no_honest_update_reaches_changes_no_bit(run_tiny) -> None:
    """Held one by one, the updates have the mean that the workers' sums have."""
    run = run_tiny(
        methods="fedavg,bounded",
        method__bounded__base="fedavg",
        method__bounded__server__norm_bound=9,
    )
    assert_same_bits(shared(run, "fedavg"), shared(run, "bounded"))
    expected, found = numbers(run, "fedavg"), numbers(run, "bounded")
    pd.testing.assert_frame_equal(expected, found, check_exact=True)


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
