"""What a rollout tells its hospitals: pure functions of a run that return tidy DataFrames.

run = federated.runs.reading.load("runs/rollout")
time_to_target(run)   # how soon each hospital's AUC is good enough, together and alone
waiting(run)          # who computes, who waits, and who keeps everyone waiting
cost(run)             # megabytes, hours, money and energy against the AUC gained
joining(run)          # what a newcomer gets, and how the others fared while it joined
disturbances(run)     # AUC before and after outages, garbage, new scanners and leaves

Hours and weeks are virtual, since week 0. NaN: it never happened, or is not defined.
"""

from collections.abc import Iterator, Mapping

import pandas as pd

from federated.answers.effort import cost, waiting
from federated.rollout.scenario import HOURS_PER_WEEK, Hospital
from federated.runs.columns import CELL, ROUND, SITE
from federated.runs.history import (
    ALONE,
    evaluations,
    events,
    first_reached,
    gains,
    go_live_hours,
    hospitals,
    sharing_methods,
)
from federated.runs.reading import Run

__all__ = ["cost", "disturbances", "joining", "time_to_target", "waiting"]

ROUNDS_AFTER_JOIN = 3
EVALUATIONS_AROUND = 2

SLACK = 1e-9
"""Weeks: a round's week was divided and multiplied since the scenario was asked about it."""


def time_to_target(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return when each hospital's validation AUC first reached its target.

    The target is the hospital's own of the scenario, else ``rollout.target_auc``, else the best
    validation AUC that it reached alone (method ``local``) with the same seed. Test images have no
    part in it.

    Args:
        run: The run.
        target: An AUC that all hospitals should reach instead.

    Returns:
        One row per method, seed, site: ``target`` (AUC), ``reached_hours`` and ``reached_week``
        (since week 0), ``after_hours`` (since its own go-live), ``test_auc`` at that moment, the
        same times for it alone, ``alone_hours`` and ``alone_after_hours``, and ``sooner_weeks``,
        how much sooner than alone.
    """
    of, frame = hospitals(run), evaluations(run)
    # A hospital that was never evaluated has never reached it.
    table = pd.concat([run.timeline.query("site != ''")[SITE], frame[SITE]]).drop_duplicates()
    targets = _targets(run, of, table, frame)
    targets = targets if target is None else targets.assign(target=target)
    table = table.merge(targets, how="left").merge(first_reached(frame, targets), how="left")
    table["after_hours"] = table["reached_hours"] - go_live_hours(of, table["site"])
    times = {"reached_hours": "alone_hours", "after_hours": "alone_after_hours"}
    alone = table.loc[table["method"] == ALONE, ["seed", "site", *times]]
    table = table.merge(alone.rename(columns=times), on=["seed", "site"], how="left")
    return table.assign(
        reached_week=table["reached_hours"] / HOURS_PER_WEEK,
        sooner_weeks=(table["alone_hours"] - table["reached_hours"]) / HOURS_PER_WEEK,
    )


def _targets(
    run: Run, of: Mapping[str, Hospital], cells: pd.DataFrame, frame: pd.DataFrame
) -> pd.DataFrame:
    """Return the AUC that each hospital of ``cells`` wants: columns seed, site, target."""
    common = run.study.common.rollout.target_auc
    stated = {name: h.calendar.target_auc or common or float("nan") for name, h in of.items()}
    best = frame[frame["method"] == ALONE].groupby(["seed", "site"], as_index=False)["val"].max()
    table = cells[["seed", "site"]].drop_duplicates().merge(best, how="left")
    target = table["site"].map(stated).astype(float).fillna(table["val"])
    return table.assign(target=target).drop(columns="val")


def joining(run: Run) -> pd.DataFrame:
    """Return what each newcomer gained, and how the others fared while it joined.

    Newcomers joined in a later round than the first hospitals of their method and seed.
    ``others_change`` is an observed difference, not the newcomer's doing: the others go on
    training all the while, and others may join or leave. What it caused, ``consilium
    contribution`` tells, by running the same rollout without it.

    Returns:
        One row per method, seed and joiner: ``week`` in which it joined, ``own_gain`` (test AUC of
        its kept model over alone), ``others`` (how many hospitals the change is a mean over) and
        ``others_change`` (their validation AUC, from each one's last evaluation before the joining
        round to its last within 3 rounds after).
    """
    joined = events(run, "hospital-joined", [*ROUND, "site", "hours"])
    joined = joined[joined["method"].isin(sharing_methods(run))]
    # Where a hospital was unlearned, others have to join again.
    joined = joined.drop_duplicates(SITE)
    joined = joined[joined["round"] > joined.groupby(CELL)["round"].transform("min")]
    aucs = evaluations(run).dropna(subset=["val"])
    rows = []
    for method, seed, round, joiner, hours in joined.itertuples(index=False, name=None):
        cell = aucs[(aucs["method"] == method) & (aucs["seed"] == seed)]
        cell = cell[(cell["site"] != joiner) & (cell["round"] <= round + ROUNDS_AFTER_JOIN)]
        before = cell[cell["round"] < round].groupby("site")["val"].last()
        after = cell[cell["round"] >= round].groupby("site")["val"].last()
        change = (after - before).dropna()
        rows.append((method, seed, joiner, hours / HOURS_PER_WEEK, len(change), change.mean()))
    columns = [*CELL, "joiner", "week", "others", "others_change"]
    table = pd.DataFrame(rows, columns=columns)
    own = gains(run).rename(columns={"site": "joiner", "gain": "own_gain"})
    return table.merge(own[[*CELL, "joiner", "own_gain"]], on=[*CELL, "joiner"], how="left")


def disturbances(run: Run) -> pd.DataFrame:
    """Return validation AUC around each outage, garbage window, new scanner and leave.

    ``before`` is the mean of the last 2 evaluations in rounds that began before it, ``after`` of
    the first 2 in rounds that began since, ``last`` the very last one; ``others_…`` are the same of
    the other hospitals that have both, hospital by hospital and then averaged. A hospital in an
    outage is not evaluated, so its ``after`` is its return. What the run never came to is left out.

    Returns:
        One row per method, seed, site and disturbance: ``kind`` (outage, garbage, new scanner,
        left), ``week`` and ``until`` (NaN: for good), ``before``, ``after``, ``last``,
        ``others_before``, ``others_after``, ``others_last``.
    """
    aucs = evaluations(run).dropna(subset=["val"])
    planned, rows = list(disturbing(hospitals(run))), []
    for (method, seed), cell in aucs.groupby(CELL, sort=False):
        weeks = {week for _, _, week, _ in planned if week - SLACK <= cell["week"].max()}
        around_week = {week: _around(cell, week) for week in weeks}
        for name, kind, week, until in planned:
            if week not in weeks:
                continue
            around = around_week[week]
            # A newcomer's first AUC is no fall of the others': the same hospitals before and after.
            same = around.dropna(subset=["before", "after"])
            others = same.drop(index=name, errors="ignore").mean()
            own = around.reindex([name]).iloc[0]
            rows.append((method, seed, name, kind, week, until, *own, *others))
    moments = ["before", "after", "last"]
    columns = [*SITE, "kind", "week", "until", *moments, *(f"others_{m}" for m in moments)]
    return pd.DataFrame(rows, columns=columns)


def disturbing(of: Mapping[str, Hospital]) -> Iterator[tuple[str, str, float, float]]:
    """Yield hospital, kind, first week and end of every disturbance; NaN if it is for good."""
    for name, hospital in of.items():
        found = [("outage", *window) for window in hospital.outages]
        found += [("garbage", *window) for window in hospital.garbage]
        for kind, week in (("new scanner", hospital.new_scanner), ("left", hospital.leave)):
            if week != float("inf"):
                found.append((kind, week, float("nan")))
        for kind, week, until in sorted(found, key=lambda one: one[1]):
            yield name, kind, week, until


def _around(cell: pd.DataFrame, week: float) -> pd.DataFrame:
    """Return each site's mean AUC before and after ``week``, and its last."""
    is_before = cell["week"] < week - SLACK
    before = cell[is_before].groupby("site").tail(EVALUATIONS_AROUND)
    after = cell[~is_before].groupby("site").head(EVALUATIONS_AROUND)
    means = {
        "before": before.groupby("site")["val"].mean(),
        "after": after.groupby("site")["val"].mean(),
        "last": cell.groupby("site")["val"].last(),
    }
    return pd.DataFrame(means)
