"""What would be otherwise if: a scenario as it is beside the same with some settings changed.

Nothing but the settings differs between the runs, so the difference is caused by them; every
seed is compared with itself.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from federated.answers.effort import waiting
from federated.answers.rollout_answers import time_to_target
from federated.answers.rollout_tables import Columns, mean_week, text_table, unit_of
from federated.config.given import Given, parse_overrides, with_scenario
from federated.config.study import parse
from federated.data import site_names
from federated.errors import UserError
from federated.plots.style import short
from federated.questions.tables import one_table_each, without_tables
from federated.questions.trials import kept_auc
from federated.rollout.scenario import HOURS_PER_WEEK, scenario_of
from federated.runs.history import evaluations, first_reached, rounds
from federated.runs.reading import Run

MOST_LETTERS = 44
"""Of an alternative in a table for a terminal; the file has the whole."""

AS_IT_IS = "as it is"
EVERYONE = "everyone"

NUMBERS = ["hours", "waited_hours", "reached", "reached_week", "val_auc", "test_auc"]

SAME = ("folder", "name", "seeds", "rollout.scenario", "data.cache")
"""What cannot differ between the runs that are compared."""


def changes_of(text: str) -> dict[str, str]:
    """Return the settings of one alternative by their full names.

    Args:
        text: ``key=value`` words; a value may hold spaces. ``hospital.`` and ``group.`` may stand
            for ``rollout.hospital.`` and ``rollout.group.``.

    Raises:
        UserError: it holds no setting, or one that is the same in all runs.
    """
    words = re.split(r"\s+(?=[^\s=]+=)", text.strip())
    full = (f"rollout.{w}" if w.startswith(("hospital.", "group.")) else w for w in words)
    changes = parse_overrides(full)
    for key in changes:
        if key in SAME or key.startswith("engine.") or key.endswith("target-auc"):
            raise UserError(f"{key} is the same in all runs; set it before --if.")
    return changes


def changed(given: Given, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with changes, and its scenario as one table a hospital.

    What is said of groups and of the whole rollout changes first, then single hospitals.

    Raises:
        UserError: as ``parse``, or the scenario does not fit the hospitals.
    """
    own = {key: value for key, value in changes.items() if key.startswith("rollout.hospital.")}
    told = {**with_scenario(given), **{k: v for k, v in changes.items() if k not in own}}
    common = parse(told).common
    every = replace(common.rollout, only="")
    scenario = scenario_of(every, common.calendars, site_names(common))
    return {**without_tables(told), **one_table_each(scenario.hospitals.values()), **own}


def folder_name(text: str) -> str:
    """Return a folder's name that says what is otherwise, the same for the same text."""
    safe = re.sub(r"[^\w.=,+-]+", "_", text)[:80]
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def targets_of(run: Run) -> pd.DataFrame:
    """Return the AUC that each hospital wants: columns seed, site, target."""
    return time_to_target(run)[["seed", "site", "target"]].drop_duplicates(["seed", "site"])


def outcome(run: Run, method: str, targets: pd.DataFrame) -> pd.DataFrame:
    """Return what a run came to, hospital by hospital.

    Args:
        run: The run, a rollout.
        method: Whose rounds.
        targets: Of ``targets_of``, of the scenario as it is: one target for all that is compared.

    Returns:
        One row per seed and site: ``hours`` (virtual, when the run's last round ended),
        ``waited_hours``, ``reached`` (1 or 0; NaN without a target), ``reached_week``, and
        ``val_auc`` and ``test_auc`` of the kept model.
    """
    keys = ["seed", "site"]
    table = waiting(run).query("method == @method")[[*keys, "waiting_hours"]]
    table = table.rename(columns={"waiting_hours": "waited_hours"})
    ends = rounds(run).query("method == @method").groupby("seed")["end"].max()
    table["hours"] = table["seed"].map(ends)
    first = first_reached(evaluations(run).query("method == @method"), targets)
    table = table.merge(targets, on=keys, how="left")
    table = table.merge(first[[*keys, "reached_hours"]], on=keys, how="left")
    table["reached_week"] = table["reached_hours"] / HOURS_PER_WEEK
    is_reached = table["reached_week"].notna().astype(float)
    table["reached"] = is_reached.where(table["target"].notna())
    for split in ("val", "test"):
        kept = kept_auc(run, method, split)
        table = table.merge(kept.rename(columns={"auc": f"{split}_auc"}), on=keys, how="left")
    return table[[*keys, *NUMBERS]]


def compared(outcomes: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return all outcomes below each other, with the difference to the first, seed by seed.

    Args:
        outcomes: What was otherwise -> its ``outcome``; the first is the scenario as it is.

    Returns:
        Columns ``if``, ``seed``, ``site``, the numbers, and for each ``…_change``: it minus what
        it is as it is; NaN where it is not defined in both. Rows of the site ``everyone`` come
        first: means over hospitals; of ``reached_week`` over those that reached their target.
    """
    keys = ["seed", "site"]
    base = next(iter(outcomes.values()))
    parts = []
    for name, table in outcomes.items():
        both = table[keys].merge(base, on=keys, how="left")
        difference = table[NUMBERS].reset_index(drop=True) - both[NUMBERS]
        difference = difference.add_suffix("_change")
        parts.append(pd.concat([table.reset_index(drop=True), difference], axis=1))
        parts[-1].insert(0, "if", name)
    rows = pd.concat(parts, ignore_index=True)
    means = rows.drop(columns="site").groupby(["if", "seed"], sort=False).mean().reset_index()
    means.insert(2, "site", EVERYONE)
    return pd.concat([means, rows], ignore_index=True)


def table_text(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return ``compared`` as text, means ± sd over seeds; everyone first.

    Args:
        run: The scenario as it is; for its dates and units.
        table: Of ``compared``.
    """
    unit, hours = unit_of(run)
    later = table["reached_week_change"] * HOURS_PER_WEEK / hours
    table = table.assign(later=later)
    changes = [f"{name}_change" for name in NUMBERS]
    table.loc[table["if"] == AS_IT_IS, [*changes, "later"]] = float("nan")
    columns: Columns = {
        "hours": ("ends after h", "{:.2f}"),
        "hours_change": ("h later", "{:+z.2f}"),
        "waited_hours": ("waited h", "{:.2f}"),
        "waited_hours_change": ("h more", "{:+z.2f}"),
        "reached": ("target reached", "{:.0%}"),
        "reached_week": ("when", partial(mean_week, run)),
        "later": (f"{unit} later", "{:+z.1f}"),
        "val_auc": ("val AUC", "{:.3f}"),
        "val_auc_change": ("change", "{:+z.3f}"),
        "test_auc": ("test AUC", "{:.3f}"),
        "test_auc_change": ("its change", "{:+z.3f}"),
    }
    text = text_table(table.rename(columns={"site": "hospital"}), ["hospital", "if"], columns)
    return text.assign(**{"if": [short(name, MOST_LETTERS) for name in text["if"]]})
