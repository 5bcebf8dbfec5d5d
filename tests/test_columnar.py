"""A run's files as columns: every bit comes back, and rows come in the run's order."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_plots import write_run

from federated.runs.columnar import chosen, frame_of, read_table, sorted_rows, words_in
from federated.runs.columns import METRIC_TYPES
from federated.runs.once import once
from federated.runs.reading import Run

HEAD = ",".join(METRIC_TYPES) + "\n"


def table_of(folder: Path, *lines: str, methods: tuple[str, ...] = ("b", "a")):
    path = folder / "metrics.csv"
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return read_table(path, METRIC_TYPES, methods)


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_numbers_have_the_bits_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float]
) -> None:
    lines = [f"a,0,1,s,val,current,auc,{number!r},3" for number in numbers]
    read = frame_of(table_of(tmp_path_factory.mktemp("bits"), *lines))["value"]
    assert [math.isnan(n) for n in numbers] == list(read.isna())
    known = [n for n in numbers if not math.isnan(n)]
    assert np.array_equal(np.array(known).view(np.int64), read.dropna().to_numpy().view(np.int64))


def test_words_that_mean_nothing_elsewhere_are_words_here(tmp_path: Path) -> None:
    names = ["null", "NA", "nan", "", '"quoted, with a comma"', "Zürich"]
    table = table_of(tmp_path, *(f"a,0,1,{name},val,current,auc,0.5,3" for name in names))
    expected = ["null", "NA", "nan", "", "quoted, with a comma", "Zürich"]
    assert words_in(table, "site") == list(frame_of(table)["site"]) == expected
    assert list(frame_of(chosen(table, site="NA", metric="auc"))["site"]) == ["NA"]
    assert len(chosen(table, site="elsewhere")) == 0


def test_rows_are_in_the_order_of_methods_seeds_and_rounds_else_as_written(tmp_path: Path) -> None:
    places = [("a", 1, 2), ("a", 0, 3), ("b", 1, 1), ("a", 0, 1), ("b", 1, 1)]
    lines = [f"{m},{s},{r},site-{k},val,current,auc,0.5,3" for k, (m, s, r) in enumerate(places)]
    assert list(frame_of(table_of(tmp_path, *lines))["site"]) == [
        f"site-{k}" for k in (2, 4, 3, 1, 0)
    ]


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3)))
def test_rows_in_order_are_told_from_those_that_are_not(keys: list[tuple[int, int, int]]) -> None:
    rows = sorted_rows(*np.array(keys, int).reshape(-1, 3).T)
    order = sorted(range(len(keys)), key=lambda row: keys[row])
    assert rows is None if order == list(range(len(keys))) else list(rows) == order


@pytest.mark.parametrize("line", ["a,0,1,s,val,current,auc,0.5", "a,0,1,s,val,current,auc,x,3", ""])
def test_a_row_that_is_none_is_an_error(line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"columns|conversion"):
        table_of(tmp_path, "a,0,1,s,val,current,auc,0.5,3", line or "\0\0\0")


def test_values_are_the_rows_of_the_long_form(tmp_path: Path) -> None:
    rows = [
        ("local", 0, r, s, split, model, metric, r / 10, 30)
        for r in (1, 2)
        for s in ("alder", "birch")
        for split in ("val", "test")
        for model in ("current", "kept")
        for metric in ("auc", "f1")
    ]
    run = write_run(tmp_path / "run", rows, ["local"])
    long = run.metrics.query("metric == 'f1' and split == 'test' and model == 'kept'")
    long = long[["method", "seed", "round", "site", "value", "num_examples"]]
    pd.testing.assert_frame_equal(run.values("f1", "test", "kept"), long.reset_index(drop=True))
    assert run.sites == ("alder", "birch") and run.reached == {("local", 0): 2}


def test_what_is_worked_out_once_cannot_be_spoilt_by_who_asked(tmp_path: Path) -> None:
    asked: list[float] = []

    @once
    def numbers(run: Run, target: float = 0.0) -> pd.DataFrame:
        asked.append(target)
        return pd.DataFrame({"x": [target]})

    run = write_run(tmp_path / "run", [], ["local"])
    spoilt = numbers(run)
    spoilt["x"] = 9.0
    assert list(numbers(run)["x"]) == [0.0] and list(numbers(run, 1.0)["x"]) == [1.0]
    assert list(numbers(Run(run.folder))["x"]) == [0.0]
    assert asked == [0.0, 1.0, 0.0]
