import math
import random
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.learning.metrics import (
    HIGHER_IS_BETTER,
    METRICS,
    Confusion,
    auc,
    classification_metrics,
    paired_auc_difference,
    roc,
)

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
RATIOS = ("accuracy", "balanced_accuracy", "f1", "sensitivity", "specificity", "precision")

# Scores are eighths, so that ties are common and the threshold 0.5 is hit.
images = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1)), min_size=1, max_size=40)


def arrays(drawn: list[tuple[int, int]]) -> tuple[Array, Labels]:
    return np.array([s / 8 for s, _ in drawn]), np.array([y for _, y in drawn])


def both_classes(labels: Labels) -> bool:
    return 0 < labels.sum() < len(labels)


def synthetic(seed: int, n: int) -> tuple[Array, Array, Labels]:
    """Two correlated, rounded scores of the same n images."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(np.int64)
    common = labels + rng.normal(size=n)
    a, b = (common + rng.normal(scale=s, size=n) for s in (0.5, 1.0))
    return a.round(1), b.round(1), labels


@settings(deadline=None)
@given(drawn=images, cuts=st.lists(st.integers(0, 40), max_size=3))
def test_merged_confusions_are_the_confusion_of_the_whole(
    drawn: list[tuple[int, int]], cuts: list[int]
) -> None:
    scores, labels = arrays(drawn)
    predicted = scores >= 0.5
    edges = [0, *sorted(min(c, len(labels)) for c in cuts), len(labels)]
    parts = [Confusion.of(predicted[i:j], labels[i:j]) for i, j in pairwise(edges)]
    assert sum(parts, Confusion()) == Confusion.of(predicted, labels)


@settings(deadline=None)
@given(drawn=images)
def test_metrics_are_those_of_scikit_learn(drawn: list[tuple[int, int]]) -> None:
    scores, labels = arrays(drawn)
    predicted = (scores >= 0.5).astype(int)
    ours = classification_metrics(scores, labels, 0.25)
    nan = {"zero_division": np.nan}
    assert ours["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    theirs = {
        "sensitivity": sk.recall_score(labels, predicted, **nan),
        "specificity": sk.recall_score(labels, predicted, pos_label=0, **nan),
        "precision": sk.precision_score(labels, predicted, **nan),
        "f1": sk.f1_score(labels, predicted, **nan),
    }
    if both_classes(labels):
        theirs["auc"] = sk.roc_auc_score(labels, scores)
        theirs["balanced_accuracy"] = sk.balanced_accuracy_score(labels, predicted)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, nan_ok=True), name


def test_confusion_by_hand() -> None:
    predicted = np.array([True, True, True, False, False, False, False, False])
    c = Confusion.of(predicted, np.array([1, 1, 0, 1, 0, 0, 0, 0]))
    assert c == Confusion(tp=2, fp=1, tn=4, fn=1)
    assert c.total == 8
    assert [c.accuracy, c.sensitivity, c.specificity, c.precision] == [6 / 8, 2 / 3, 4 / 5, 2 / 3]
    assert c.balanced_accuracy == (2 / 3 + 4 / 5) / 2
    assert c.f1 == 4 / 6


def test_f1_of_merged_sites_is_not_the_mean_of_f1() -> None:
    a, b = Confusion(tp=1, fn=1, tn=8), Confusion(tp=8, fp=2)
    assert (a + b).f1 == 18 / 21
    assert (a.f1 + b.f1) / 2 != pytest.approx((a + b).f1)


def test_undefined_ratios_are_nan() -> None:
    assert all(math.isnan(getattr(Confusion(), name)) for name in RATIOS)
    healthy = Confusion(tn=3, fp=1)
    assert math.isnan(healthy.sensitivity)
    assert math.isnan(healthy.balanced_accuracy)
    assert healthy.specificity == 3 / 4
    assert healthy.f1 == 0  # a false alarm, so F1 has a denominator
    assert math.isnan(Confusion(tn=3, fn=1).precision)


def test_names_and_directions() -> None:
    metrics = classification_metrics(np.array([0.2, 0.9]), np.array([0, 1]), 0.1)
    assert tuple(metrics) == METRICS
    assert [name for name in METRICS if not HIGHER_IS_BETTER[name]] == ["loss"]
    assert metrics == dict.fromkeys(METRICS, 1.0) | {"loss": 0.1}


def test_a_probability_at_the_threshold_is_a_positive_decision() -> None:
    probabilities = np.array([0.5, np.nextafter(0.5, 0)])
    assert classification_metrics(probabilities, np.array([1, 0]), 0.0)["accuracy"] == 1


def test_no_image_or_a_nan_gives_nan_for_everything_but_the_loss() -> None:
    nothing = classification_metrics(np.array([]), np.array([], dtype=int), math.nan)
    assert all(math.isnan(value) for value in nothing.values())
    diverged = classification_metrics(np.array([0.9, 0.1, math.nan]), np.array([1, 0, 0]), 5.0)
    assert diverged.pop("loss") == 5.0
    assert all(math.isnan(value) for value in diverged.values())


@settings(deadline=None)
@given(drawn=images, order=st.randoms(use_true_random=False))
def test_auc_is_the_share_of_won_pairs(drawn: list[tuple[int, int]], order: random.Random) -> None:
    scores, labels = arrays(drawn)
    pairs = [(p > n) + (p == n) / 2 for p in scores[labels == 1] for n in scores[labels == 0]]
    expected = sum(pairs) / len(pairs) if pairs else math.nan
    assert auc(scores, labels) == pytest.approx(expected, nan_ok=True)
    shuffled = np.array(order.sample(range(len(labels)), len(labels)))
    np.testing.assert_equal(auc(scores[shuffled], labels[shuffled]), auc(scores, labels))  # no bit
    np.testing.assert_allclose(auc(-scores, labels), 1 - auc(scores, labels))


def test_auc_is_exact_at_its_ends() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    assert auc(np.array([0.1, 0.2, 0.3, 0.4, 0.5], dtype=np.float32), labels) == 1
    assert auc(np.array([0.9, 0.8, 0.3, 0.4, 0.5]), labels) == 0
    assert auc(np.full(5, 0.3), labels) == 0.5
    assert math.isnan(auc(np.array([0.1, math.nan]), np.array([0, 1])))


@settings(deadline=None)
@given(drawn=images.filter(lambda d: len({y for _, y in d}) == 2))
def test_roc_is_that_of_scikit_learn_and_its_area_is_the_auc(drawn: list[tuple[int, int]]) -> None:
    scores, labels = arrays(drawn)
    curve = roc(scores, labels)
    for ours, theirs in zip(
        curve, sk.roc_curve(labels, scores, drop_intermediate=False), strict=True
    ):
        np.testing.assert_allclose(ours, theirs)
    fpr, tpr, _ = curve
    assert sk.auc(fpr, tpr) == pytest.approx(auc(scores, labels))


def test_roc_of_a_missing_class_or_a_nan_is_nan() -> None:
    fpr, tpr, thresholds = roc(np.array([0.2, 0.7]), np.array([1, 1]))
    assert np.isnan(fpr).all()
    assert tpr.tolist() == [0, 0.5, 1]
    assert thresholds.tolist() == [np.inf, 0.7, 0.2]
    assert np.isnan(roc(np.array([0.2, math.nan]), np.array([0, 1]))[:2]).all()


def test_lengths_must_agree() -> None:
    scores, labels = np.array([0.1, 0.9, 0.4]), np.array([0, 1])
    for call in (auc, roc, lambda s, y: classification_metrics(s, y, 0.0)):
        with pytest.raises(ValueError, match=r"\(3,\) and labels \(2,\)"):
            call(scores, labels)
    with pytest.raises(ValueError, match=r"\(3,\) and labels \(2,\)"):
        paired_auc_difference(scores[:2], scores, labels)


def test_delong_by_hand() -> None:
    labels = np.array([1, 1, 0, 0])
    a = np.array([0.9, 0.4, 0.5, 0.1])  # V10 = 1, 1/2; V01 = 1/2, 1; AUC 3/4
    b = np.array([0.6, 0.8, 0.7, 0.65])  # V10 = 0, 1; V01 = 1/2, 1/2; AUC 1/2
    # D10 = 1, -1/2: sample variance 9/8, of the mean 9/16. D01 = 0, 1/2: 1/8, of the mean 1/16.
    difference, error = paired_auc_difference(a, b, labels)
    assert difference == 0.25
    assert error == pytest.approx(math.sqrt(9 / 16 + 1 / 16))


def slow_delong(scores: list[Array], labels: Labels) -> float:
    """The standard error from the covariance matrices of DeLong et al., over all P*N pairs."""
    v10, v01 = [], []
    for s in scores:
        p, n = s[labels == 1][:, None], s[labels == 0][None]
        psi = (p > n) + (p == n) / 2
        v10.append(psi.mean(axis=1))
        v01.append(psi.mean(axis=0))
    covariance = np.cov(v10) / len(v10[0]) + np.cov(v01) / len(v01[0])
    contrast = np.array([1, -1])
    return math.sqrt(contrast @ covariance @ contrast)


@pytest.mark.parametrize("seed", range(5))
def test_delong_is_that_of_the_covariance_matrices(seed: int) -> None:
    a, b, labels = synthetic(seed, 60)
    difference, error = paired_auc_difference(a, b, labels)
    expected = sk.roc_auc_score(labels, a) - sk.roc_auc_score(labels, b)
    assert difference == pytest.approx(expected)
    assert error == pytest.approx(slow_delong([a, b], labels))
    assert paired_auc_difference(b, a, labels) == pytest.approx((-difference, error))


def test_delong_agrees_with_the_bootstrap() -> None:
    a, b, labels = synthetic(0, 300)
    rng = np.random.default_rng(1)
    classes = [np.flatnonzero(labels == y) for y in (0, 1)]
    draws = []
    for _ in range(1500):
        i = np.concatenate([rng.choice(c, len(c)) for c in classes])
        draws.append(auc(a[i], labels[i]) - auc(b[i], labels[i]))
    # 1500 draws leave 1.8 % of noise in a standard deviation; 10 % is five times that.
    assert paired_auc_difference(a, b, labels)[1] == pytest.approx(np.std(draws), rel=0.1)


def test_delong_of_identical_scores_is_zero() -> None:
    a, _, labels = synthetic(2, 50)
    assert paired_auc_difference(a, a.copy(), labels) == (0, 0)


def test_delong_is_nan_where_it_is_undefined() -> None:
    scores = np.array([0.1, 0.8, 0.9])
    assert np.isnan(paired_auc_difference(scores, scores, np.array([1, 1, 1]))).all()
    difference, error = paired_auc_difference(scores, -scores, np.array([0, 0, 1]))
    assert difference == 1
    assert math.isnan(error)  # one positive has no sample variance
