"""Runs as DataFrames: what was written comes back, undefined numbers included."""

import math

import pandas as pd

from federated.exchange.wire import Report
from federated.runs.columns import METRIC_COLUMNS
from server.record import Record


def test_long_form_comes_back_to_the_bit(run_tiny) -> None:
    run = run_tiny(methods="fedavg", rounds=1)
    assert tuple(run.metrics.columns) == METRIC_COLUMNS
    value = 0.1 + 0.2 * math.pi
    record = Record(run.folder)
    record.add(
        "fedavg", 0, 1, [Report("phantom-1", "val", "odd", 5, {"auc": value, "f1": math.nan})]
    )
    again = type(run)(run.folder).metrics.query("model == 'odd'")
    assert again["value"].iloc[0] == value and math.isnan(again["value"].iloc[1])
    assert list(again["num_examples"]) == [5, 5]


def test_wide_keeps_a_site_whose_auc_is_undefined(run_tiny) -> None:
    run = run_tiny(methods="fedavg", rounds=1)
    report = Report("other", "val", "current", 3, {"auc": math.nan, "loss": 1.0})
    Record(run.folder).add("fedavg", 0, 1, [report])
    wide = type(run)(run.folder).wide("val")
    assert list(wide["site"]) == ["phantom-1", "phantom-2", "phantom-3", "other"]
    assert math.isnan(wide["auc"].iloc[-1]) and wide["loss"].iloc[-1] == 1.0


def test_selected_is_the_row_of_the_kept_round(run_tiny) -> None:
    run = run_tiny(methods="fedavg,local", rounds=3, eval__views="centre", eval__test="rounds")
    every = run.wide("test")
    for row in run.selected("test").itertuples():
        place = (every["method"] == row.method) & (every["site"] == row.site)
        at = every[place & (every["round"] == row.kept_round)].iloc[0]
        assert (at["auc"], at["loss"]) == (row.auc, row.loss)


def test_kept_round_is_the_best_on_validation_and_the_earliest_of_equals(run_tiny) -> None:
    run = run_tiny(methods="fedavg", rounds=4)
    val = run.wide("val")
    for row in run.selected("val").itertuples():
        scores = val[val["site"] == row.site].set_index("round")["auc"]
        assert row.kept_round == scores.idxmax()


def test_parquet_holds_the_same(run_tiny) -> None:
    run = run_tiny(methods="fedavg", rounds=1)
    pd.testing.assert_frame_equal(pd.read_parquet(run.write_parquet()), run.metrics)


def test_without_validation_images_the_last_round_is_kept(run_tiny) -> None:
    run = run_tiny(methods="fedavg", rounds=3, data__val_fraction=0, eval__views="centre",
                   eval__test="rounds")  # fmt: skip
    assert "val" not in set(run.metrics["split"])
    final = run.wide("test", "kept").set_index("site")["loss"]
    last = run.wide("test").query("round == 3").set_index("site")["loss"]
    assert final.to_dict() == last.to_dict()
    assert set(run.selected("test")["kept_round"]) == {3}
