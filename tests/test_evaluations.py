"""When models are evaluated: how often, on which images, and what is left out of the figures."""

import numpy as np
import pandas as pd
import pytest
from test_plots import write_run

from federated import plots
from federated.config.evaluation import Evaluation
from federated.plots.numbers import with_gaps

METHODS = "fedbn,consilium"


@pytest.fixture
def pair(run_tiny):
    """A run of five rounds evaluated in each, and one in every second."""
    settings = {"methods": METHODS, "rounds": 5, "phantom__sites": 2}
    return run_tiny("all", **settings), run_tiny("second", eval__every=2, **settings)


def test_rounds_that_are_due_are_every_kth_and_the_last() -> None:
    assert [r for r in range(1, 8) if Evaluation(every=3).is_due(r, 7)] == [3, 6, 7]
    assert all(Evaluation().is_due(r, 4) for r in range(1, 5))


def test_evaluating_less_often_trains_the_same_to_the_bit(pair) -> None:
    whole, second = pair
    trained = [
        run.metrics.query("split == 'train' and metric in ('loss', 'gradient_norm')")
        .reset_index(drop=True)
        for run in pair
    ]  # fmt: skip
    pd.testing.assert_frame_equal(*trained)
    looked = second.wide("val")
    assert set(looked["round"]) == {2, 4, 5}
    same = whole.wide("val").query("round in (2, 4, 5)").reset_index(drop=True)
    pd.testing.assert_frame_equal(looked, same)
    assert set(second.selected("test")["kept_round"]) <= {2, 4, 5}


def test_test_images_are_looked_at_by_kept_models_only(pair) -> None:
    for run in pair:
        tested = run.metrics.query("split == 'test'")
        assert set(tested["model"]) == {"kept", "final"} and set(tested["round"]) == {5}


def test_a_hospital_that_leaves_between_two_evaluations_leaves_with_a_model(run_tiny) -> None:
    leaves = {"rollout__hospital__phantom_2__leave": "round 3"}
    run = run_tiny(methods="consilium", rounds=5, eval__every=5, phantom__sites=2, **leaves)
    assert set(run.wide("val")["round"]) == {5} and set(run.wide("val")["site"]) == {"phantom-1"}
    kept = run.selected("test").set_index("site")["kept_round"].to_dict()
    assert kept == {"phantom-1": 5, "phantom-2": 2}


def test_only_rounds_that_were_due_leave_gaps() -> None:
    table = pd.DataFrame({0: [0.5, 0.6, 0.8, 0.9]}, index=[2, 4, 8, 9])
    assert list(with_gaps(table, 2).index) == [2, 4, 6, 8, 9]
    assert with_gaps(table, 2)[0].isna().tolist() == [False, False, True, False, False]
    assert list(with_gaps(table).index) == list(range(2, 10))


def test_lines_join_the_evaluations_of_a_run_that_has_few(tmp_path) -> None:
    rows = [
        ("fedavg", 0, r, "alder", split, "current", "auc", r / 10, 9)
        for r in range(1, 8)
        for split in ("train", "val")
        if split == "train" or r in (3, 6, 7)
    ]
    run = write_run(tmp_path, rows, **{"eval.every": 3})
    for draw in (plots.convergence, plots.methods_side_by_side, plots.worst_and_mean):
        drawn = draw(run).axes[0].lines[0]
        np.testing.assert_array_equal(drawn.get_xdata(), [3, 6, 7])
        np.testing.assert_array_equal(drawn.get_ydata(), [0.3, 0.6, 0.7])
