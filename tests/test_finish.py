"""What a hospital does by itself at the end: last steps of its own, and a cautious choice."""

from types import SimpleNamespace

import numpy as np
import pytest

from clients.finish import MAKERS, choose
from federated.config.schema import Config
from federated.config.training import Personalise
from federated.exchange.candidates import CANDIDATES

LABELS = np.array([0] * 50 + [1] * 50)
TRIALS = 1000
CORRELATION = 0.6
"""Of two models' scores within a class."""


def scores(separation: float, seed: int) -> np.ndarray:
    return LABELS * separation + np.random.default_rng(seed).normal(size=100)


def site(margin: float, labels: np.ndarray = LABELS) -> SimpleNamespace:
    val = SimpleNamespace(labels=labels)
    config = Config(personalise=Personalise(margin=margin))
    return SimpleNamespace(data=SimpleNamespace(val=val), config=config)


def candidate(val: np.ndarray, test: np.ndarray) -> tuple:
    return {}, [], {"val": val, "test": test}


def test_a_clear_winner_is_chosen_and_an_unclear_one_is_not() -> None:
    base = scores(1.0, 0)
    clear = base + 2.0 * LABELS
    # Two labels' scores swapped by a hair: a larger AUC, but by less than its standard error.
    lucky = base.copy()
    lucky[np.argmin(np.where(LABELS == 1, base, np.inf))] += 0.3
    test = scores(1.0, 1)
    chosen = {}
    for name, other in {"clear": clear, "lucky": lucky}.items():
        candidates = {"kept": candidate(base, test), "personalised": candidate(other, test)}
        chosen[name] = choose(site(1.0), candidates)
    assert chosen == {"clear": "personalised", "lucky": "kept"}


def test_the_best_of_several_clear_ones_wins() -> None:
    base, test = scores(0.5, 0), scores(0.5, 1)
    candidates = {
        "kept": candidate(base, test),
        "personalised": candidate(base + 1.0 * LABELS, test),
        "own": candidate(base + 3.0 * LABELS, test),
    }
    assert choose(site(1.0), candidates) == "own"


def test_the_own_model_stays_unless_another_is_clearly_better() -> None:
    base, test = scores(1.0, 0), scores(1.0, 1)
    lucky = base.copy()
    lucky[np.argmin(np.where(LABELS == 1, base, np.inf))] += 0.3
    for other, expected in ((base, "own"), (lucky, "own"), (base + 3.0 * LABELS, "kept")):
        candidates = {"kept": candidate(other, test), "own": candidate(base, test)}
        assert choose(site(1.0), candidates) == expected


def test_every_candidate_has_what_makes_it() -> None:
    assert set(MAKERS) == set(CANDIDATES)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_predictions_that_are_not_finite_lose(bad: float) -> None:
    base, test = scores(1.0, 0), scores(1.0, 1)
    broken = np.where(np.arange(100) == 7, bad, base)
    for names in (("own", "kept"), ("kept", "own")):
        candidates = dict(zip(names, (candidate(broken, test), candidate(base, test)), strict=True))
        assert choose(site(0.0), candidates) == names[1]
    assert choose(site(0.0), {"kept": candidate(broken, test)}) == "kept"


def test_how_often_the_better_own_model_is_chosen() -> None:
    """True AUC 0.756 alone and 0.707 federated, 118 images: the numbers of docs/LOG.md."""
    rng, labels = np.random.default_rng(14), np.array([0] * 58 + [1] * 60)
    mixed = np.linalg.cholesky([[1.0, CORRELATION], [CORRELATION, 1.0]])
    chosen = {"federated first": 0, "own first": 0}
    for _ in range(TRIALS):
        noise = mixed @ rng.normal(size=(2, 118))
        # Two normals whose means are d apart have an AUC of Phi(d / sqrt 2).
        alone, federated = (
            candidate(labels * d + e, e) for d, e in zip((0.981, 0.770), noise, strict=True)
        )
        before = choose(site(1.0, labels), {"kept": federated, "personalised": alone})
        after = choose(site(1.0, labels), {"kept": federated, "own": alone})
        chosen["federated first"] += before == "personalised"
        chosen["own first"] += after == "own"
    # Three standard errors of such shares of 1000 trials are 0.047 and 0.015.
    assert chosen["federated first"] / TRIALS == pytest.approx(0.58, abs=0.047)
    assert chosen["own first"] / TRIALS == pytest.approx(0.98, abs=0.015)


def test_test_images_play_no_part() -> None:
    base = scores(1.0, 0)
    perfect, awful = 9.0 * LABELS, -9.0 * LABELS
    candidates = {"kept": candidate(base, awful), "personalised": candidate(base, perfect)}
    assert choose(site(0.0), candidates) == "kept"


def test_one_class_in_validation_means_no_choice() -> None:
    lonely = site(0.0)
    lonely.data.val.labels = np.ones(100, dtype=int)
    candidates = {
        "kept": candidate(scores(0, 0), scores(0, 0)),
        "personalised": candidate(scores(9, 0), scores(9, 0)),
    }
    assert choose(lonely, candidates) == "kept"


def test_reports_of_a_personalised_run(run_tiny) -> None:
    run = run_tiny(methods="local,fedbn", personalise__epochs=2, personalise__margin=0)
    models = run.metrics.query("method == 'fedbn' and split == 'val'")
    assert {"current", "kept", "personalised", "own", "final"} <= set(models["model"])
    auc = models.query("metric == 'auc' and model != 'current'").pivot(
        index="site", columns="model", values="value"
    )
    # With no margin the final model is the best of the three on validation.
    best = auc[["kept", "personalised", "own"]].max(axis=1)
    assert (auc["final"] == best).all()


def test_own_is_the_kept_model_of_the_method_local(run_tiny) -> None:
    run = run_tiny(methods="local,fedbn")
    kept = run.selected("test", "kept").query("method == 'local'").set_index("site")["auc"]
    own = run.wide("test", "own").query("method == 'fedbn'").set_index("site")["auc"]
    assert own.to_dict() == kept.to_dict()


def test_without_personalisation_the_final_model_is_the_kept_one(run_tiny) -> None:
    run = run_tiny(methods="fedbn")
    kept, final = run.wide("test", "kept"), run.wide("test", "final")
    assert kept["auc"].tolist() == final["auc"].tolist()
    assert "personalised" not in set(run.metrics["model"])


@pytest.mark.parametrize("method", ["moon", "pooled", "consilium"])
def test_every_kind_of_method_can_personalise(run_tiny, method: str) -> None:
    run = run_tiny(methods=method, personalise__epochs=1)
    assert set(run.wide("test", "personalised")["site"]) == {"phantom-1", "phantom-2", "phantom-3"}
