"""The AUC that each hospital wants, and when it had it to stay rather than by luck.

A validation AUC of few images jumps from one evaluation to the next, and the best of many is the
luckiest. So the target is a mean of evaluations, and reaching it is a mean that stays there.
"""

from math import ceil, inf, isfinite, nan

import numpy as np
import pandas as pd

from federated.config.presets import ALONE
from federated.runs.columns import SITE
from federated.runs.history import evaluations, hospitals
from federated.runs.once import once
from federated.runs.reading import Run
from federated.statistics.interval import Interval, mean_of_seeds

QUARTER = 4
"""The target is the mean over the last evaluations alone, one in so many of them."""
SMOOTHED = 3
"""Evaluations of which a smoothed AUC is the mean: each and those before it."""
IN_A_ROW = 3
"""Evaluations for which the smoothed AUC has to stay at the target."""
FEWEST = 3
"""Numbers that an interval takes: Student's of two is wider than what an AUC can be."""
ROUNDING = 1e-9
"""By which a mean of equal numbers may miss them."""


@once
def targets_of(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return the validation AUC that each hospital wants.

    It is the hospital's own of the scenario, else ``rollout.target_auc``, else the mean over the
    last quarter of its evaluations alone (method ``local``), then over seeds.

    Args:
        run: The run.
        target: An AUC that all hospitals should reach instead.

    Returns:
        Columns ``site``, ``target``, ``target_low`` and ``target_high``: Student's 95 % interval
        over seeds, of a single seed over the evaluations of that quarter; NaN of a stated target
        and of fewer than three seeds or evaluations.
    """
    common, frame = run.study.common.rollout.target_auc, evaluations(run)
    of_alone = frame[frame["method"] == ALONE].dropna(subset=["val"])
    by_itself = {str(site): level_of(rows) for site, rows in of_alone.groupby("site")}
    rows = []
    for name, hospital in hospitals(run).items():
        stated = target or hospital.calendar.target_auc or common
        level = Interval(stated, nan, nan) if stated else by_itself.get(name)
        rows.append((name, *(level or Interval(nan, nan, nan))))
    return pd.DataFrame(rows, columns=["site", "target", "target_low", "target_high"])


def level_of(rows: pd.DataFrame) -> Interval:
    """Return the mean AUC over the last quarter of evaluations, and its interval.

    Args:
        rows: Of one hospital: columns seed, round, val, one row or more per seed.
    """
    ends = [_last_quarter(of_seed) for _, of_seed in rows.sort_values("round").groupby("seed")]
    means = np.array([end.mean() for end in ends])
    values = means if len(means) > 1 else ends[0]
    return mean_of_seeds(values) if len(values) >= FEWEST else Interval(values.mean(), nan, nan)


def _last_quarter(rows: pd.DataFrame) -> np.ndarray:
    return rows["val"].to_numpy(dtype=float)[-ceil(len(rows) / QUARTER) :]


def smoothed(values: pd.Series) -> pd.Series:
    """Return at each evaluation the mean of it and the two before it, as far as they exist."""
    return values.rolling(SMOOTHED, min_periods=1).mean()


def first_held(frame: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Return the first evaluation from which on the smoothed AUC stays at the target.

    It stays if it is at or above the target then and in the next two evaluations, too. A target
    that is met in the last two evaluations only is not reached.

    Args:
        frame: Rows of ``evaluations``.
        targets: Columns site and target.

    Returns:
        A row per method, seed and site of ``frame``: ``evaluations`` (how many), and at that moment
        ``reached_round``, ``reached_hours`` and ``test_auc``; NaN if it never reaches the target.
    """
    frame = frame.dropna(subset=["val"]).merge(targets[["site", "target"]], on="site", how="left")
    frame = frame.sort_values("round", kind="stable")
    mean = frame.groupby(SITE)["val"].transform(smoothed)
    frame["is_there"] = mean >= frame["target"] - ROUNDING
    stays, by_cell = frame["is_there"], frame.groupby(SITE)["is_there"]
    for later in range(1, IN_A_ROW):
        stays = stays & by_cell.shift(-later, fill_value=False)
    first = frame[stays].groupby(SITE, as_index=False).head(1)[[*SITE, "round", "hours", "test"]]
    names = {"round": "reached_round", "hours": "reached_hours", "test": "test_auc"}
    counts = frame.groupby(SITE, sort=False).size().rename("evaluations").reset_index()
    return counts.merge(first.rename(columns=names), on=SITE, how="left")


def middle(times: pd.Series) -> float:
    """Return the median over seeds, for which never (NaN) is later than all; NaN for never."""
    found = float(times.astype(float).fillna(inf).median())
    return found if isfinite(found) else nan
