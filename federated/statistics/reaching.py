"""When each hospital reached its target AUC, together and alone, as numbers."""

import pandas as pd

from federated.config.presets import ALONE
from federated.rollout.scenario import HOURS_PER_WEEK
from federated.runs.columns import SITE
from federated.runs.history import evaluations, go_live_hours, hospitals
from federated.runs.once import once
from federated.runs.reading import Run
from federated.statistics.targets import first_held, targets_of


@once
def numbers(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return when each hospital's validation AUC reached its target and stayed there.

    Its target is that of ``targets_of``, and when it is reached is that of ``first_held``. Test
    images have no part in it.

    Args:
        run: The run, a rollout or not.
        target: An AUC that all hospitals should reach instead.

    Returns:
        One row per method, seed, site: ``target`` (AUC), ``target_low`` and ``target_high``,
        ``evaluations`` (how many), ``reached_round``, ``reached_hours`` and ``reached_week`` (since
        week 0), ``after_hours`` (since its own go-live), ``test_auc`` at that moment (NaN unless
        test images were looked at in rounds), the same for it alone, ``alone_round``,
        ``alone_hours`` and ``alone_after_hours``, and how much sooner than alone: ``sooner_rounds``
        and ``sooner_weeks``. Hours and weeks are NaN unless the run is a rollout.
    """
    by_name, frame = hospitals(run), evaluations(run)
    # A hospital that was never evaluated has never reached it.
    table = pd.concat([run.timeline.query("site != ''")[SITE], frame[SITE]]).drop_duplicates()
    targets = targets_of(run, target)
    table = table.merge(targets, on="site", how="left")
    table = table.merge(first_held(frame, targets), on=SITE, how="left")
    table["after_hours"] = table["reached_hours"] - go_live_hours(by_name, table["site"])
    times = {
        "reached_round": "alone_round",
        "reached_hours": "alone_hours",
        "after_hours": "alone_after_hours",
    }
    by_itself = table.loc[table["method"] == ALONE, ["seed", "site", *times]]
    table = table.merge(by_itself.rename(columns=times), on=["seed", "site"], how="left")
    return table.assign(
        reached_week=table["reached_hours"] / HOURS_PER_WEEK,
        sooner_rounds=table["alone_round"] - table["reached_round"],
        sooner_weeks=(table["alone_hours"] - table["reached_hours"]) / HOURS_PER_WEEK,
    )
