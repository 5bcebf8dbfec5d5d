"""Statistics against published worked examples, closed forms, and independent slow code."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.statistics.areas import delong_interval, delong_p
from federated.statistics.bootstrap import (
    weighted_auc,
    weighted_means,
    weights_of_groups,
    weights_of_seeds,
)
from federated.statistics.calibration import (
    ODDS,
    expected_calibration_error,
    net_benefit,
    reliability,
    squared_errors,
)
from federated.statistics.interval import Interval, of_biased_replicates, of_replicates
from federated.statistics.methods import verdict
from federated.statistics.rates import wilson, youden_threshold
from federated.statistics.several import holm, random_effects, wilcoxon_p

RNG = np.random.default_rng(7)
LABELS = (RNG.random(40) < 0.4).astype(np.int64)
SCORES = np.round(RNG.random(40) + 0.3 * LABELS, 1)  # with ties
OTHERS = np.round(RNG.random(40) + 0.1 * LABELS, 1)
ONCE = np.ones((1, 4))


def placements(scores: np.ndarray, labels: np.ndarray) -> tuple[list[float], list[float]]:
    """DeLong's structural components by comparing every pair, as the paper defines them."""
    positives, negatives = scores[labels == 1], scores[labels == 0]

    def psi(x: float, y: float) -> float:
        return 1.0 if y < x else 0.5 if y == x else 0.0

    return (
        [sum(psi(x, y) for y in negatives) / len(negatives) for x in positives],
        [sum(psi(x, y) for x in positives) / len(positives) for y in negatives],
    )


def covariance(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float:
    pairs = zip(placements(first, labels), placements(second, labels), strict=True)
    return sum(float(np.cov(a, b)[0, 1]) / len(a) for a, b in pairs)


def test_delong_intervals_and_tests_are_those_of_all_pairs() -> None:
    value = np.mean(placements(SCORES, LABELS)[0])
    error = math.sqrt(covariance(SCORES, SCORES, LABELS))
    expected = (value, value - 1.959964 * error, min(1, value + 1.959964 * error))
    assert delong_interval(SCORES, LABELS) == pytest.approx(expected, abs=1e-6)
    difference = value - np.mean(placements(OTHERS, LABELS)[0])
    variance = (
        covariance(SCORES, SCORES, LABELS)
        + covariance(OTHERS, OTHERS, LABELS)
        - 2 * covariance(SCORES, OTHERS, LABELS)
    )
    p = math.erfc(abs(difference) / math.sqrt(2 * variance))
    assert delong_p(SCORES, OTHERS, LABELS) == pytest.approx((difference, p))
    assert delong_p(SCORES, SCORES, LABELS) == (0.0, 1.0)


def test_what_has_no_auc_has_no_interval() -> None:
    assert all(math.isnan(v) for v in delong_interval(SCORES, LABELS * 0))
    assert all(math.isnan(v) for v in delong_interval(SCORES * math.nan, LABELS))


def test_wilson_intervals_are_the_published_ones() -> None:
    # Newcombe, Statistics in Medicine 17, 1998, table I, method 3.
    published = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605)}
    published |= {(0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}
    for (hits, count), (low, high) in published.items():
        assert wilson(hits, count) == pytest.approx((hits / count, low, high), abs=5e-5)
    assert all(math.isnan(v) for v in wilson(0, 0))


def test_the_threshold_is_the_best_of_all_on_validation() -> None:
    labels, scores = np.array([0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.9])
    # Youden: 2/3 both for "from 0.3" (1 + 2/3 - 1) and "from 0.6" (2/3 + 1 - 1).
    assert youden_threshold(scores, labels) == pytest.approx(0.5)
    for trial in range(20):
        rng = np.random.default_rng(trial)
        y, p = rng.integers(0, 2, 12), np.round(rng.random(12), 1)
        if len(set(y.tolist())) == 2:
            gains = [np.mean(p[y == 1] >= t) - np.mean(p[y == 0] >= t) for t in [*p, 2.0]]
            chosen = youden_threshold(p, y)
            assert np.mean(p[y == 1] >= chosen) - np.mean(p[y == 0] >= chosen) >= max(gains) - 1e-9
    assert youden_threshold(scores, labels * 0) == youden_threshold(scores[:0], labels[:0]) == 0.5


def test_weights_count_as_images_that_are_there_so_often() -> None:
    weights = weights_of_groups(np.arange(40), "alder", 50)
    for drawn, area in zip(weights, weighted_auc(SCORES, LABELS, weights), strict=True):
        often = np.repeat(np.arange(40), drawn.astype(int))
        wins, _ = placements(SCORES[often], LABELS[often])
        assert area == pytest.approx(np.mean(wins))
    assert np.isnan(weighted_auc(SCORES, LABELS, weights * LABELS)).all()
    assert np.isnan(weighted_auc(SCORES * math.nan, LABELS, weights)).all()


def test_whole_groups_are_drawn_the_same_for_every_model_of_a_hospital() -> None:
    groups = np.array([0, 1, 0, 2, 1, 3])
    weights = weights_of_groups(groups, "alder", 500)
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3, 5]].sum(axis=1) == 4).all()
    assert (weights == weights_of_groups(groups, "alder", 500)).all()
    assert (weights != weights_of_groups(groups, "birch", 500)).any()
    assert (weights_of_seeds(1, "alder") == 1).all()
    assert weights_of_seeds(3, "alder").sum(axis=1) == pytest.approx(1)


def test_the_bootstrap_of_a_mean_has_the_spread_of_theory() -> None:
    values = np.random.default_rng(0).normal(size=(400, 1))
    means = weighted_means(values, weights_of_groups(np.arange(400), "alder"))
    assert means.std() == pytest.approx(values.std() / 20, rel=0.06)
    # Every image twice, as a group: no image more than before, and so no shorter interval.
    twice, groups = np.repeat(values, 2, axis=0), np.repeat(np.arange(400), 2)
    assert weighted_means(twice, weights_of_groups(groups, "alder")) == pytest.approx(means)


def test_an_interval_needs_most_of_its_draws() -> None:
    assert of_replicates(0.5, np.arange(1001.0)) == pytest.approx((0.5, 25, 975))
    assert math.isnan(of_replicates(0.5, np.array([math.nan, 1.0])).low)


def test_replicates_that_all_lie_above_their_number_are_moved_to_it() -> None:
    """From 10 to 1010, of mean 510; percentiles 35 and 985, moved by 5 - 510 and cut at 0."""
    assert of_biased_replicates(5.0, np.arange(10.0, 1011.0)) == pytest.approx((5, 0, 480))
    assert of_biased_replicates(600.0, np.arange(10.0, 1011.0)) == pytest.approx((600, 125, 1075))
    assert math.isnan(of_biased_replicates(0.5, np.array([math.nan, 1.0])).low)


@given(st.integers(0, 2**32), st.integers(20, 60))
@settings(deadline=None, max_examples=40)
def test_the_interval_of_an_ece_holds_it(seed: int, count: int) -> None:
    """Of true probabilities, whose draws mostly have a larger ECE than the images themselves."""
    rng = np.random.default_rng(seed)
    scores = rng.random(count)
    labels = (rng.random(count) < scores).astype(int)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=500).astype(float)
    [value] = expected_calibration_error(scores, labels, np.ones((1, count)))
    draws = expected_calibration_error(scores, labels, weights)
    found = of_biased_replicates(float(value), draws)
    assert 0 <= found.low <= value <= found.high


def test_calibration_is_that_computed_by_hand() -> None:
    scores, labels = np.array([0.1, 0.1, 0.9, 1.0]), np.array([0, 1, 1, 1])
    assert squared_errors(scores, labels) == pytest.approx([0.01, 0.81, 0.01, 0.0])
    # Bin of 0.1: |0.1 - 0.5| of half the images; bin of 0.9 and 1: |0.95 - 1| of the other half.
    assert expected_calibration_error(scores, labels, ONCE) == pytest.approx([0.225])
    told, found = reliability(scores, labels, ONCE)
    assert (told[0, 1], found[0, 1]) == (0.1, 0.5)
    assert (told[0, 9], found[0, 9]) == (0.95, 1.0)
    assert np.isnan(told[0, 2:9]).all()


def test_net_benefit_is_that_computed_by_hand() -> None:
    scores, labels = np.array([0.3, 0.6, 0.6, 0.9]), np.array([0, 0, 1, 1])
    found = dict(zip(ODDS.round(2), net_benefit(scores, labels, ONCE)[0], strict=True))
    assert found[0.5] == pytest.approx(2 / 4 - 1 / 4 * 1)
    assert found[0.2] == pytest.approx(2 / 4 - 2 / 4 * 0.25)
    assert found[0.8] == pytest.approx(1 / 4)


def test_holm_and_wilcoxon_are_the_textbook_ones() -> None:
    assert holm(np.array([0.01, 0.04, math.nan, 0.03, 0.005])) == pytest.approx(
        [0.03, 0.06, math.nan, 0.06, 0.02], nan_ok=True
    )
    differences = np.array([0.1, 0.2, -0.05, 0.3, 0.4])
    ranks = np.array([2, 3, 1, 4, 5])
    lower = sum(ranks[differences < 0])
    as_low = sum(
        sum(r for r, s in zip(ranks, signs, strict=True) if s < 0) <= lower
        for signs in product((-1, 1), repeat=5)
    )
    assert wilcoxon_p(differences) == pytest.approx(2 * as_low / 2**5)
    assert wilcoxon_p(np.zeros(4)) == 1.0
    assert math.isnan(wilcoxon_p(np.array([])))


# The BCG vaccine trials (Colditz et al., JAMA 271, 1994): cases and others, vaccinated and not.
BCG = """4 119 11 128; 6 300 29 274; 3 228 11 209; 62 13536 248 12619; 33 5036 47 5761;
180 1361 372 1079; 8 2537 10 619; 505 87886 499 87892; 29 7470 45 7232; 17 1699 65 1600;
186 50448 141 27197; 5 2493 3 2338; 27 16886 29 17825"""


def test_random_effects_are_those_of_metafor_on_the_bcg_trials() -> None:
    a, b, c, d = np.array([row.split() for row in BCG.split(";")], dtype=float).T
    effects = np.log(a / (a + b) / (c / (c + d)))
    variances = 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
    found = random_effects(effects, variances)
    # rma(yi, vi, data = dat.bcg, method = "DL") of R's metafor.
    assert (found.mean, found.low, found.high) == pytest.approx(
        (-0.7141, -1.0644, -0.3638), abs=5e-5
    )
    assert (found.tau2, found.i2) == pytest.approx((0.3088, 0.9212), abs=5e-5)
    # t with 11 degrees of freedom: 2.200985.
    reach = 2.200985 * math.sqrt(0.308760 + 0.178741**2)
    assert (found.new_low, found.new_high) == pytest.approx(
        (found.mean - reach, found.mean + reach), abs=1e-5
    )


def test_hospitals_more_alike_than_chance_are_pooled_as_of_one_effect() -> None:
    found = random_effects([0.50, 0.51, 0.52], [0.04, 0.02, 0.04])
    assert (found.mean, found.tau2, found.i2) == pytest.approx((0.51, 0, 0))
    assert found.high - found.mean == pytest.approx(1.959964 * 0.1)


def test_alike_hospitals_have_no_spread_and_two_foretell_no_third() -> None:
    found = random_effects([0.5, 0.5], [0.04, 0.04])
    assert (found.mean, found.tau2, found.i2) == pytest.approx((0.5, 0, 0))
    assert found.high - 0.5 == pytest.approx(1.959964 * math.sqrt(0.02))
    assert math.isnan(found.new_low)
    assert math.isnan(random_effects([0.5], [0.04]).mean)


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [(0.001, 0.1, "better"), (-0.009, 0.1, "not worse"), (-0.02, 0.1, "undecided"),
     (-0.2, -0.001, "worse"), (-0.009, -0.001, "not worse"), (math.nan, math.nan, "undecided")],
)  # fmt: skip
def test_a_verdict_follows_from_the_interval_and_the_margin(
    low: float, high: float, says: str
) -> None:
    assert verdict(Interval((low + high) / 2, low, high), 0.01) == says
