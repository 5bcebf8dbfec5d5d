"""Tables of a scenario, from a config or from a file of their own, as dotted keys.

In a config they are ``[rollout.hospital.NAME]`` and ``[rollout.group.NAME]``; in a scenario's own
file the same without ``rollout``, beside the settings of ``[rollout]``.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from typing import Any

from federated.config.keys import CALENDAR, LARGEST, checked
from federated.config.rollout import Calendar
from federated.errors import UserError, did_you_mean, shown

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
                f"{shown(key)} = {shown(value)}: write [rollout.{table}.{shown(last)[1:-1]}] with "
                "settings in it."
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
    values, where = {}, f"[rollout.{shown(table)[1:-1]}]"
    for name, value in given.items():
        if name not in CALENDAR:
            hint = did_you_mean(name, CALENDAR)
            raise UserError(f"{where} has no setting {shown(name)}{hint}.")
        if name in ("count", "every") and not table.startswith("group."):
            raise UserError(f"{where} {name} is for groups; write [rollout.group.NAME].")
        try:
            values[name.replace("-", "_")] = checked(CALENDAR[name], _moments(name, value))
        except UserError as error:
            raise UserError(f"{where} {error}") from None
    return Calendar(**values)


def _moments(name: str, value: Any) -> Any:
    """Return a moment, written as 4, as "4" or as TOML's own date, or a list of them, as text."""
    items = value if isinstance(value, list | tuple) else [value]
    scalars = all(isinstance(item, float | str | date) or _is_week(item) for item in items)
    if CALENDAR[name].type is not str or not scalars:
        return value
    return ",".join(i.isoformat() if isinstance(i, date) else str(i) for i in items)


def _is_week(item: Any) -> bool:
    return isinstance(item, int) and abs(item) <= LARGEST


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
