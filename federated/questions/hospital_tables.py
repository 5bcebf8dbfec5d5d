"""A scenario as one table a hospital, so that single hospitals' settings can be changed."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from federated.config.calendars import TABLES
from federated.config.keys import plain
from federated.config.rollout import Calendar
from federated.rollout.scenario import Hospital


def one_table_each(hospitals: Iterable[Hospital]) -> dict[str, Any]:
    """Return the hospitals as tables ``rollout.hospital.NAME``, also those of a group."""
    settings: dict[str, Any] = {}
    for hospital in hospitals:
        table = f"rollout.hospital.{hospital.name}"
        settings |= {f"{table}.{key}": value for key, value in _values(hospital).items()}
    return settings


def _values(hospital: Hospital) -> dict[str, Any]:
    values = {
        item.name.replace("_", "-"): plain(getattr(hospital.calendar, item.name))
        for item in fields(Calendar)
        if getattr(hospital.calendar, item.name) != item.default
    }
    # In a group its members go live one after the other.
    return {**values, "go-live": repr(hospital.go_live)}


def without_tables(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are of no hospital and of no group."""
    return {key: value for key, value in given.items() if not key.startswith(TABLES)}
