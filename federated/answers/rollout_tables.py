"""The answers of a rollout as DataFrames of text, means ± sd over seeds."""

from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd

from federated.answers.rollout_answers import cost, disturbances, joining, time_to_target, waiting
from federated.plots.rollout_axis import is_short, when
from federated.rollout.scenario import HOURS_PER_WEEK
from federated.runs.history import ALONE, sharing_methods
from federated.runs.reading import Run

BY_SITE = ["site", "method"]

Columns = Mapping[str, tuple[str, str | Callable[[pd.Series], str]]]
"""Column of an answer: its header, and the form of its numbers or what makes a text of them."""


def target_table(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return per method how many hospitals reached their target, and how much sooner than alone.

    Args:
        run: The run.
        target: As in ``time_to_target``.
    """
    frame = time_to_target(run, target)
    unit, hours = unit_of(run)
    rows = []
    for method, group in frame[frame["method"] != ALONE].groupby("method", sort=False):
        reached, alone = group["reached_hours"].notna(), group["alone_hours"].notna()
        row = {"method": str(method), "reached": f"{reached.sum()} of {len(group)}"}
        if ALONE in run.study.common.methods:
            row |= {
                "alone": f"{alone.sum()} of {len(group)}",
                "only together": str((reached & ~alone).sum()),
                "only alone": str((alone & ~reached).sum()),
                f"{unit} sooner (median)": _number(
                    group["sooner_weeks"].median() * HOURS_PER_WEEK / hours, "{:+z.1f}"
                ),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def site_target_table(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return when each hospital reached its target, together and alone.

    Args:
        run: The run.
        target: As in ``time_to_target``.
    """
    frame = time_to_target(run, target)
    frame = frame[frame["method"] != ALONE]
    unit, hours = unit_of(run)
    frame = frame.assign(
        after=frame["after_hours"] / hours,
        alone_after=frame["alone_after_hours"] / hours,
        sooner=frame["sooner_weeks"] * HOURS_PER_WEEK / hours,
    )
    columns: Columns = {
        "target": ("target AUC", "{:.3f}"),
        "reached_week": ("reached", partial(mean_week, run)),
        "after": (f"{unit} after it joined", "{:.1f}"),
        "alone_after": ("the same alone", "{:.1f}"),
        "sooner": (f"{unit} sooner", "{:+z.1f}"),
        "test_auc": ("test AUC then", "{:.3f}"),
    }
    return text_table(frame, BY_SITE, columns)


def waiting_table(run: Run) -> pd.DataFrame:
    """Return how each hospital spent its hours, for the methods that wait for one another."""
    frame = waiting(run)
    columns: Columns = {
        "computing_hours": ("computing h", "{:.1f}"),
        "transfer_hours": ("transfer h", "{:.1f}"),
        "waiting_hours": ("waiting h", "{:.1f}"),
        "held_up_hours": ("held others up h", "{:.1f}"),
        "last_share": ("the last in", "{:.0%}"),
        "used": ("updates used", "{:.0f}"),
        "late": ("late", "{:.0f}"),
        "dropped": ("dropped", "{:.0f}"),
        "outage": ("rounds out", "{:.0f}"),
        "missed": ("missed", "{:.0f}"),
    }
    return text_table(frame[frame["method"].isin(sharing_methods(run))], BY_SITE, columns)


def spending_table(run: Run) -> pd.DataFrame:
    """Return what each hospital spent and gained; without columns that the scenario leaves open."""
    columns: Columns = {
        "mb_down": ("MB down", "{:.1f}"),
        "mb_up": ("MB up", "{:.1f}"),
        "compute_hours": ("computing h", "{:.1f}"),
        "money": ("cost", "{:.2f}"),
        "kwh": ("kWh", "{:.2f}"),
        "gain": ("AUC over alone", "{:+z.3f}"),
        "money_per_point": ("cost per 0.01 AUC", "{:.2f}"),
    }
    frame = cost(run)
    known = {name: of for name, of in columns.items() if frame[name].notna().any()}
    return text_table(frame, BY_SITE, known)


def joining_table(run: Run) -> pd.DataFrame:
    """Return each newcomer's gain and how the others fared."""
    columns: Columns = {
        "week": ("joined", partial(mean_week, run)),
        "own_gain": ("its AUC over alone (test)", "{:+z.3f}"),
        "others_change": ("change of the others' AUC", "{:+z.3f}"),
        "others": ("others", "{:.0f}"),
    }
    return text_table(joining(run), ["joiner", "method"], columns)


def disturbance_table(run: Run) -> pd.DataFrame:
    """Return AUC around every disturbance of the scenario that the run came to."""
    frame = disturbances(run).rename(columns={"kind": "what", "week": "from"})
    for moment in ("from", "until"):
        frame[moment] = [when(run, week) for week in frame[moment]]
    moments = ("before", "after", "last")
    columns: Columns = {
        **{name: (name, "{:.3f}") for name in moments},
        **{f"others_{name}": (f"others {name}", "{:.3f}") for name in moments},
    }
    return text_table(frame, ["site", "what", "from", "until", "method"], columns)


def text_table(frame: pd.DataFrame, by: list[str], columns: Columns) -> pd.DataFrame:
    """Return a row of text per group of rows, which are its seeds.

    Args:
        frame: One row per group and seed.
        by: What makes a group, the last of them what is compared side by side.
        columns: What is shown, and how.
    """
    if frame.empty:
        return pd.DataFrame()
    groups = frame.groupby(by, sort=False)
    texts = {
        header: groups[name].apply(partial(_over_seeds, form=form) if type(form) is str else form)
        for name, (header, form) in columns.items()
    }
    table = pd.DataFrame(texts).reset_index()
    # Hospital by hospital, as a reader looks them up; the methods stay as the run has them.
    return table.sort_values(by[:-1], key=_first_seen, kind="stable")


def _first_seen(column: pd.Series) -> pd.Series:
    return column.map({name: place for place, name in enumerate(column.unique())})


def _over_seeds(values: pd.Series, form: str) -> str:
    """Return mean ± sd unless all are equal, and of how many seeds if some are undefined."""
    known = values.dropna()
    text = _number(known.mean(), form)
    if known.nunique() > 1:
        text += " ± " + form.replace("+", "").format(known.std())
    return text if len(known) in (0, len(values)) else f"{text} ({len(known)} of {len(values)})"


def _number(value: float, form: str) -> str:
    return "–" if pd.isna(value) else form.format(value)


def mean_week(run: Run, weeks: pd.Series) -> str:
    """Return the mean of some weeks as the run's tables write a moment."""
    return when(run, weeks.mean())


def unit_of(run: Run) -> tuple[str, float]:
    """Return the unit of time of a rollout's tables, and its hours."""
    return ("hours", 1.0) if is_short(run) else ("weeks", HOURS_PER_WEEK)
