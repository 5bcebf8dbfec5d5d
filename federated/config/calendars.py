"""Tables of a scenario, from a config or from a file of their own, as dotted keys.

In a config they are ``[rollout.hospital.NAME]`` and ``[rollout.group.NAME]``; in a scenario's own
file the same without ``rollout``, beside the settings of ``[rollout]``.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from typing import Any

from federated.config.keys import CALENDAR, checked
from federated.config.rollout import Calendar
from federated.errors import UserError, did_you_mean

TABLES = ("rollout.hospital.", "rollout.group.")


def split_calendars(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the settings of ``given`` that name no hospital or group, and the tables that do."""
    rest: dict[str, Any] = {}
    tables: dict[str, dict[str, Any]] = {}
    for key, value in given.items():
        if not key.startswith(TABLES):
            rest[key] = value
            continue
        # A hospital's name may hold dots, a setting's never does.
        table, _, last = key.removeprefix("rollout.").rpartition(".")
        if table in ("hospital", "group"):
            raise UserError(
                f"{key} = {value!r}: write [rollout.{table}.{last}] with settings in it."
            )
        tables.setdefault(table, {})[last] = value
    return rest, tables


def calendars_of(tables: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, Calendar], ...]:
    """Return the tables as checked calendars.

    Raises:
        UserError: a setting is unknown, or its value has the wrong type or is out of range.
    """
    return tuple((table, _calendar(table, given)) for table, given in tables.items())


def _calendar(table: str, given: Mapping[str, Any]) -> Calendar:
    values = {}
    for name, value in given.items():
        if name not in CALENDAR:
            raise UserError(
                f"[rollout.{table}] has no setting '{name}'{did_you_mean(name, CALENDAR)}."
            )
        if name in ("count", "every") and not table.startswith("group."):
            raise UserError(f"[rollout.{table}] {name} is for groups; write [rollout.group.NAME].")
        # A moment may be written as 4, as "4", or as TOML's own date; a list of windows as a list.
        if CALENDAR[name].type is str:
            items = value if isinstance(value, list | tuple) else [value]
            value = ",".join(i.isoformat() if isinstance(i, date) else str(i) for i in items)
        try:
            values[name.replace("-", "_")] = checked(CALENDAR[name], value)
        except UserError as error:
            raise UserError(f"[rollout.{table}] {error}") from None
    return Calendar(**values)


def calendar_values(
    calendars: tuple[tuple[str, Calendar], ...],
) -> list[tuple[str, dict[str, Any]]]:
    """Return each table's name and what it says beyond the defaults, for writing it down again."""
    return [
        (
            table,
            {
                item.name.replace("_", "-"): getattr(calendar, item.name)
                for item in fields(Calendar)
                # One line at least, so that the table is still there when it is read again.
                if getattr(calendar, item.name) != item.default or item.name == "go_live"
            },
        )
        for table, calendar in calendars
    ]
