"""A scenario with some settings changed: for a group first, then for single hospitals."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from federated.config.given import Given, parse_overrides, with_scenario
from federated.config.rollout import Calendar
from federated.config.study import parse
from federated.data import site_names
from federated.errors import UserError
from federated.questions.hospital_tables import one_table_each, without_tables
from federated.questions.trials import ready, the_method
from federated.rollout.scenario import Hospital, Windows, scenario_of

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
    single = {key: value for key, value in changes.items() if key.startswith("rollout.hospital.")}
    common_changes = {key: value for key, value in changes.items() if key not in single}
    settings = {**with_scenario(given), **common_changes}
    common = parse(settings).common
    every = replace(common.rollout, only="")
    scenario = scenario_of(every, common.calendars, site_names(common))
    return {**without_tables(settings), **one_table_each(scenario.hospitals.values()), **single}


def lies_beyond(as_it_is: Given, other: Given, last_week: float) -> bool:
    """Return whether two configurations differ only in moments after a week.

    Args:
        as_it_is: A configuration as ``changed`` returns it.
        other: The same.
        last_week: When the simulation of the first has ended.
    """
    if without_tables(as_it_is) != without_tables(other):
        return False
    return _until(as_it_is, last_week) == _until(other, last_week)


def _until(given: Given, week: float) -> dict[str, Hospital]:
    """Return the hospitals of a scenario as if nothing came after a week."""
    common = parse(given).common
    hospitals = scenario_of(common.rollout, common.calendars, site_names(common)).hospitals

    def cut(windows: Windows) -> Windows:
        return tuple((start, min(end, week)) for start, end in windows if start < week)

    return {
        name: replace(
            hospital,
            calendar=_without_moments(hospital.calendar),
            go_live=min(hospital.go_live, week),
            leave=min(hospital.leave, week),
            outages=cut(hospital.outages),
            garbage=cut(hospital.garbage),
            new_scanner=min(hospital.new_scanner, week),
        )
        for name, hospital in hospitals.items()
    }


def _without_moments(calendar: Calendar) -> Calendar:
    """Return a calendar but for its moments as they were written."""
    return replace(calendar, go_live="", leave="", outages="", garbage="", new_scanner="")


def folder_name(text: str) -> str:
    """Return a folder's name that says what is otherwise, the same for the same text."""
    safe = re.sub(r"[^\w.=,+-]+", "_", text)[:80]
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def checked(given: Given, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``changed``, checked as before a run.

    Raises:
        UserError: as ``changed``, or it cannot be run.
    """
    settings = changed(given, changes)
    the_method(settings)
    ready(settings)
    return settings


def alternatives(given: Given, texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the checked configuration of each alternative by what it changes.

    Raises:
        UserError: a setting is wrong, or an alternative is none.
    """
    as_it_is = parse(changed(given, {}))
    by_text: dict[str, dict[str, Any]] = {}
    for text in texts:
        try:
            by_text[text] = checked(given, changes_of(text))
        except UserError as error:
            raise UserError(f'--if "{text}": {error}') from None
        if parse(by_text[text]) == as_it_is:
            raise UserError(f'--if "{text}" changes nothing: so it is in the scenario already.')
    if len(by_text) < len(texts):
        raise UserError("the same --if stands there twice; leave one out.")
    return by_text
