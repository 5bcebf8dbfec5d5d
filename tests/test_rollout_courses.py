"""What answers look up of every site at once is what one would find site by site."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.answers.disturbances import Course
from federated.answers.joining import ROUNDS_AFTER_JOIN, Aucs

ROUNDS, SITES = 9, 3


@st.composite
def evaluations(draw: st.DrawFn) -> pd.DataFrame:
    """Rows as a cell has them: a round begins a week or more after the one before."""
    has_row = draw(st.lists(st.booleans(), min_size=ROUNDS * SITES, max_size=ROUNDS * SITES))
    steps = draw(st.lists(st.integers(1, 3), min_size=ROUNDS, max_size=ROUNDS))
    places = [(round, site) for round in range(1, ROUNDS + 1) for site in range(SITES)]
    rows = [
        (round, f"site-{site}", float(sum(steps[: round - 1])), 0.5 + 0.01 * place)
        for place, (round, site) in enumerate(places)
        if has_row[place] or place == 0
    ]
    return pd.DataFrame(rows, columns=["round", "site", "week", "val"])


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


@settings(max_examples=60, deadline=None)
@given(evaluations(), st.integers(-1, 3 * ROUNDS))
def test_around_a_week_are_the_two_before_the_two_since_and_the_last(
    rows: pd.DataFrame, week: float
) -> None:
    around = Course(rows).around(week)
    for site, group in rows.groupby("site"):
        before = list(group.loc[group["week"] < week, "val"])
        after = list(group.loc[group["week"] >= week, "val"])
        expected = [mean(before[-2:]), mean(after[:2]), list(group["val"])[-1]]
        found = around.loc[site, ["before", "after", "last"]].astype(float)
        assert np.array_equal(found, expected, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(evaluations(), st.integers(1, ROUNDS + 2))
def test_around_a_joining_are_the_last_before_and_the_last_within_three_rounds_after(
    rows: pd.DataFrame, joined: int
) -> None:
    change = Aucs(rows, ROUNDS_AFTER_JOIN).change_around(joined)
    for site, group in rows.groupby("site"):
        before = group.loc[group["round"] < joined, "val"]
        is_after = group["round"].between(joined, joined + ROUNDS_AFTER_JOIN)
        after = group.loc[is_after, "val"]
        if before.empty or after.empty:
            assert np.isnan(change[site])
        else:
            assert change[site] == after.iloc[-1] - before.iloc[-1]
