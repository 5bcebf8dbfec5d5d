"""What happened in a run's virtual time: the frames that the answers and the figures start from."""

from collections.abc import Mapping

import pandas as pd

from federated.config.presets import ALONE
from federated.rollout.scenario import HOURS_PER_WEEK, Hospital, scenario_of
from federated.runs.columns import ROUND, SITE, SITE_ROUND
from federated.runs.once import once
from federated.runs.reading import Run

SPLITS = ("val", "test")

FLOATS = ("hours", "seconds", "norm", "bound")

_SPENT_ON = {
    "train": "computing_hours",
    "evaluate": "computing_hours",
    "download": "transfer_hours",
    "upload": "transfer_hours",
}


def hospitals(run: Run) -> Mapping[str, Hospital]:
    """Return the hospitals of the run's scenario by name."""
    common = run.study.common
    named = {
        table.partition(".")[2] for table, _ in common.calendars if table.startswith("hospital.")
    }
    registered = {str(site) for site in events(run, "site-registered", ["site"])["site"]}
    names = named | registered | set(run.sites)
    return scenario_of(common.rollout, common.calendars, sorted(names)).hospitals


def events(run: Run, kind: str, columns: list[str]) -> pd.DataFrame:
    """Return the events of a kind, one row each; seeds and rounds are whole numbers."""
    frame = run.events
    if "kind" not in frame:
        return pd.DataFrame(columns=columns)
    chosen = frame[frame["kind"] == kind].reindex(columns=columns)
    # Events of other kinds have no seed, so pandas made these numbers floats; nor does it know what
    # a column is of which there is nothing.
    types = {"seed": int, "round": int, **dict.fromkeys(FLOATS, float)}
    return chosen.astype({name: types.get(name, str) for name in columns})


@once
def evaluations(run: Run) -> pd.DataFrame:
    """Return every evaluation of the current weights, in the run's order of methods.

    Returns:
        Columns method, seed, round, site, ``val`` and ``test`` (AUC, NaN where undefined),
        ``week`` (when the round began) and ``hours`` (when the hospital had evaluated), since
        week 0.
    """
    val, test = (run.values("auc", split).set_index(SITE_ROUND)["value"] for split in SPLITS)
    table = pd.DataFrame({"val": val, "test": test}).reset_index()
    done = run.timeline[run.timeline["activity"] == "evaluate"]
    done = done.rename(columns={"end": "hours"})[[*SITE_ROUND, "hours"]]
    table = table.merge(done.groupby(SITE_ROUND).max().reset_index(), how="left")
    table["week"] = round_weeks(run, table)
    return run.in_order(table)


def round_weeks(run: Run, frame: pd.DataFrame) -> pd.Series:
    """Return the week in which each row's round began.

    Where nobody waits for anybody, a round begins at its slot.
    """
    began = frame[ROUND].merge(rounds(run), how="left")["start"] / HOURS_PER_WEEK
    slots = (frame["round"] - 1) / run.study.common.rollout.rounds_per_week
    return began.set_axis(frame.index).fillna(slots)


@once
def rounds(run: Run) -> pd.DataFrame:
    """Return when each round began and ended: method, seed, round, start, end (hours).

    Methods that share nothing have no such rows: each hospital goes its own way.
    """
    frame = run.timeline
    return frame.loc[frame["activity"] == "round", [*ROUND, "start", "end"]]


@once
def spent(run: Run) -> pd.DataFrame:
    """Return hours computing and transferring, a row per method, seed and site of the timeline."""
    frame = run.timeline[run.timeline["site"] != ""]
    hours = frame[SITE].assign(
        hours=frame["end"] - frame["start"], on=frame["activity"].map(_SPENT_ON)
    )
    sums = hours.groupby([*SITE, "on"], sort=False)["hours"].sum().unstack("on")
    table = frame[SITE].drop_duplicates().merge(sums.reset_index(), on=SITE, how="left")
    columns = [*SITE, "computing_hours", "transfer_hours"]
    return table.reindex(columns=columns).fillna(dict.fromkeys(columns[len(SITE) :], 0.0))


@once
def gains(run: Run) -> pd.DataFrame:
    """Return the kept models' test AUC and what each hospital gains over itself alone.

    Returns:
        Columns method, seed, site, ``test_auc``, ``gain`` (NaN without the method ``local``). The
        kept round was never chosen on test images.
    """
    kept = run.values("auc", "test", "kept")
    table = kept[[*SITE, "value"]].rename(columns={"value": "test_auc"})
    alone = table.loc[table["method"] == ALONE, ["seed", "site", "test_auc"]]
    table = table.merge(alone.rename(columns={"test_auc": "alone"}), how="left")
    return table.assign(gain=table["test_auc"] - table["alone"]).drop(columns="alone")


@once
def gains_over_time(run: Run) -> pd.DataFrame:
    """Return at each evaluation how much better the hospital is than alone at that moment.

    Alone it has what its latest evaluation under ``local`` gave, up to that hour; rounds need not
    take equally long with both.

    Returns:
        Columns of ``evaluations`` without those of ``local``, ``alone`` (validation AUC) and
        ``gain`` = ``val`` - ``alone``.
    """
    frame = evaluations(run).dropna(subset=["hours"]).sort_values("hours", kind="stable")
    is_alone = frame["method"] == ALONE
    table = pd.merge_asof(
        frame[~is_alone],
        frame.loc[is_alone, ["seed", "site", "hours", "val"]].rename(columns={"val": "alone"}),
        on="hours",
        by=["seed", "site"],
    )
    return run.in_order(table.assign(gain=table["val"] - table["alone"]))


def go_live_hours(hospitals: Mapping[str, Hospital], sites: pd.Series) -> pd.Series:
    """Return when each site joins, hours since week 0; NaN for one outside the scenario."""
    weeks = {name: hospital.go_live for name, hospital in hospitals.items()}
    return sites.map(weeks).astype(float) * HOURS_PER_WEEK


def sharing_methods(run: Run) -> list[str]:
    """Return the methods under which hospitals share anything."""
    return [
        name for name, config in run.study.by_method.items() if config.sharing.policy != "nothing"
    ]
