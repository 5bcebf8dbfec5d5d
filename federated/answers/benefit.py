"""When each hospital reaches its target AUC, together and alone."""

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from federated.answers.answer import Answer, TextTable
from federated.config.presets import ALONE
from federated.errors import UserError
from federated.plots.numbers import NothingToDrawError, names
from federated.plots.plot import Plot
from federated.plots.reached import (
    Course,
    alone,
    draw_lanes,
    draw_shares,
    lane_handles,
    share_handles,
    together,
)
from federated.plots.rollout_benefit import rollout_benefit
from federated.plots.rows import MOST_ROWS, heights
from federated.plots.style import DOUBLE, legend_below, method_looks, panels, short, styled
from federated.plots.text import TextColumns, number, text_table
from federated.plots.time_axis import joined, needs_timeline, unit_of, weeks_axis, when
from federated.rollout.scenario import HOURS_PER_WEEK, Hospital
from federated.runs.columns import SITE
from federated.runs.history import evaluations, first_reached, go_live_hours, hospitals
from federated.runs.once import once
from federated.runs.reading import Run


@once
def numbers(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return when each hospital's validation AUC first reached its target.

    The target is the hospital's own of the scenario, else ``rollout.target_auc``, else the best
    validation AUC that it reached alone (method ``local``) with the same seed. Test images have no
    part in it.

    Args:
        run: The run.
        target: An AUC that all hospitals should reach instead.

    Returns:
        One row per method, seed, site: ``target`` (AUC), ``reached_hours`` and ``reached_week``
        (since week 0), ``after_hours`` (since its own go-live), ``test_auc`` at that moment (NaN
        unless test images were looked at in rounds), the same times for it alone, ``alone_hours``
        and ``alone_after_hours``, and ``sooner_weeks``, how much sooner than alone.
    """
    by_name, frame = hospitals(run), evaluations(run)
    # A hospital that was never evaluated has never reached it.
    table = pd.concat([run.timeline.query("site != ''")[SITE], frame[SITE]]).drop_duplicates()
    targets = _targets(run, by_name, table, frame)
    targets = targets if target is None else targets.assign(target=target)
    table = table.merge(targets, how="left").merge(first_reached(frame, targets), how="left")
    table["after_hours"] = table["reached_hours"] - go_live_hours(by_name, table["site"])
    times = {"reached_hours": "alone_hours", "after_hours": "alone_after_hours"}
    by_itself = table.loc[table["method"] == ALONE, ["seed", "site", *times]]
    table = table.merge(by_itself.rename(columns=times), on=["seed", "site"], how="left")
    return table.assign(
        reached_week=table["reached_hours"] / HOURS_PER_WEEK,
        sooner_weeks=(table["alone_hours"] - table["reached_hours"]) / HOURS_PER_WEEK,
    )


def _targets(
    run: Run, by_name: Mapping[str, Hospital], cells: pd.DataFrame, frame: pd.DataFrame
) -> pd.DataFrame:
    """Return the AUC that each hospital of ``cells`` wants: columns seed, site, target."""
    common = run.study.common.rollout.target_auc
    stated = {name: h.calendar.target_auc or common or float("nan") for name, h in by_name.items()}
    best = frame[frame["method"] == ALONE].groupby(["seed", "site"], as_index=False)["val"].max()
    table = cells[["seed", "site"]].drop_duplicates().merge(best, how="left")
    target = table["site"].map(stated).astype(float).fillna(table["val"])
    return table.assign(target=target).drop(columns="val")


def table_by_method(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return per method how many hospitals reached their target, and how much sooner than alone.

    Args:
        run: The run.
        target: As in ``numbers``.
    """
    frame = numbers(run, target)
    unit, hours = unit_of(run)
    rows = []
    for method, group in frame[frame["method"] != ALONE].groupby("method", sort=False):
        is_reached, is_alone = group["reached_hours"].notna(), group["alone_hours"].notna()
        row = {"method": str(method), "reached": f"{is_reached.sum()} of {len(group)}"}
        if ALONE in run.study.common.methods:
            sooner = group["sooner_weeks"].median() * HOURS_PER_WEEK / hours
            row |= {
                "alone": f"{is_alone.sum()} of {len(group)}",
                "only together": str((is_reached & ~is_alone).sum()),
                "only alone": str((is_alone & ~is_reached).sum()),
                f"{unit} sooner (median)": number(sooner, "{:+z.1f}"),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def table_by_site(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return when each hospital reached its target, together and alone.

    Args:
        run: The run.
        target: As in ``numbers``.
    """
    frame = numbers(run, target)
    frame = frame[frame["method"] != ALONE]
    unit, hours = unit_of(run)
    frame = frame.assign(
        after=frame["after_hours"] / hours,
        alone_after=frame["alone_after_hours"] / hours,
        sooner=frame["sooner_weeks"] * HOURS_PER_WEEK / hours,
    )
    columns: TextColumns = {
        "target": ("target AUC", "{:.3f}"),
        "reached_week": ("reached", partial(when, run)),
        "after": (f"{unit} after it joined", "{:.1f}"),
        "alone_after": ("the same alone", "{:.1f}"),
        "sooner": (f"{unit} sooner", "{:+z.1f}"),
    }
    if frame["test_auc"].notna().any():
        columns = {**columns, "test_auc": ("test AUC then", "{:.3f}")}
    return text_table(frame, ["site", "method"], columns)


@styled
def figure(run: Run, target: float | None = None, *, width: float = DOUBLE) -> Figure:
    """Draw when each hospital reached its target AUC together and alone, a panel per method.

    A lane per hospital, those that join first on top. With several seeds a mark is their median,
    for which a seed that never reached it counts as later than all others; small dots are the
    seeds. What was not reached in the run is an arrow at the right edge. Of more than 30 hospitals
    the share that has reached it is drawn over time.

    Args:
        run: The run.
        target: As in ``numbers``.
        width: Of the figure in inches.

    Raises:
        NothingToDrawError: the run is no rollout, or no hospital has a target.
    """
    frame, there = _weeks(run, target), joined(run)
    methods, frame = names(frame, "method"), frame[frame["site"].isin(there)]
    lanes = sorted((there[name] for name in names(frame, "site")), key=lambda h: h.go_live)
    is_few, end = len(lanes) <= MOST_ROWS, run.last_hour / HOURS_PER_WEEK
    height = heights(len(lanes)) if is_few else 2.4
    figure, axes = panels(len(methods), width=width, height=height, least=2.6)
    figure.set_figwidth(width)
    draw = draw_lanes if is_few else draw_shares
    for ax, method in zip(axes, methods, strict=True):
        draw(ax, frame[frame["method"] == method], _courses(run, [method]), lanes, end=end)
        ax.set_title(short(method))
    weeks_axis(run, axes, ticks=10 if len(axes) == 1 else 5)
    courses = _courses(run, methods)
    if not is_few:
        axes[0].set_ylabel("share of hospitals and seeds")
    legend_below(figure, lane_handles(frame, courses) if is_few else share_handles(courses))
    return figure


def _weeks(run: Run, target: float | None) -> pd.DataFrame:
    """Return the weeks together and alone of every method but ``local``."""
    needs_timeline(run)
    frame = numbers(run, target).dropna(subset=["target"])
    frame = frame[frame["method"] != ALONE]
    if frame.empty:
        raise NothingToDrawError(
            f"{run.folder} has no target AUC to reach together: the scenario states none, or no "
            "hospital has been evaluated both together and alone (local)."
        )
    return frame.assign(alone_week=frame["alone_hours"] / HOURS_PER_WEEK)


def _courses(run: Run, methods: Sequence[str]) -> list[Course]:
    """Return alone, if the run has it, and together, in the order of drawing."""
    # Of the whole run, so that a method looks the same in every figure.
    looks = method_looks(run.study.common.methods)
    by_itself = [alone(looks[ALONE])] if ALONE in looks else []
    return [*by_itself, *(together(looks[method], method) for method in methods)]


def _needs_target(run: Run) -> None:
    """Raise if no hospital has a target, since none is stated and none was alone."""
    needs_timeline(run)
    common = run.study.common
    stated = [calendar.target_auc for _, calendar in common.calendars]
    if ALONE not in common.methods and not any([common.rollout.target_auc, *stated]):
        raise UserError(
            f"{run.folder} has no target: its methods have no local to compare with, and its "
            "scenario states none; give one with --target AUC."
        )


def with_target(target: float | None) -> Answer:
    """Return the answer for one target of all hospitals, or for those of the scenario.

    Raises:
        UserError: that is no AUC.
    """
    if target is not None and not 0 < target <= 1:
        raise UserError(f"--target {target:g} is no AUC; give one above 0 and at most 1.")
    of_scenario = "that of the scenario, else the best that the hospital reached alone"
    return Answer(
        "benefit",
        partial(numbers, target=target),
        (
            TextTable(
                "Who reached the target",
                partial(table_by_method, target=target),
                "the first evaluation whose validation AUC is at least the target: "
                f"{of_scenario if target is None else f'{target:g}'}; hospitals are counted once a "
                "seed",
            ),
            TextTable(
                "When each hospital reached its target",
                partial(table_by_site, target=target),
                "virtual time; runs with eval.test = rounds have the test AUC at that moment, too, "
                "which is never used to choose it",
            ),
        ),
        (
            Plot(
                "rollout-target",
                "When each hospital reached its target AUC, together and alone; several seeds: "
                "their median, small dots: the seeds. An arrow at the right edge: not in this run. "
                "If the target is the best AUC reached alone, everyone gets there alone in the "
                "end.",
                partial(figure, target=target),
                is_of_rollout=True,
            ),
            Plot(
                "rollout-benefit",
                "Validation AUC together minus alone over virtual time; alone: its latest "
                "evaluation up to then. Above zero it pays to take part.",
                rollout_benefit,
                is_of_rollout=True,
            ),
        ),
        "no hospital has been evaluated together with others.",
        needs_timeline if target else _needs_target,
    )


ANSWER = with_target(None)
