"""Every setting by its dotted name: its type, its range, and one sentence for a wrong value."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from typing import Any, cast, get_type_hints

from federated.config.rollout import Calendar
from federated.config.schema import Config
from federated.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Key:
    """One setting by its dotted name."""

    name: str
    type: Any
    default: Any
    meaning: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]

    def range_text(self) -> str:
        """Return the admitted values in brackets, or nothing if any will do."""
        if self.choices:
            return f" ({', '.join(self.choices)})"
        low = "" if self.low is None else f"{self.low:g}"
        high = "" if self.high is None else f"{self.high:g}"
        return f" ({low}..{high})" if low or high else ""


def _keys_of(cls: type, prefix: str) -> Iterable[Key]:
    hints = get_type_hints(cls)
    for item in fields(cls):
        if item.name == "calendars":
            continue  # named by the user: federated.config.calendars
        name = prefix + item.name.replace("_", "-")
        if is_dataclass(hints[item.name]):
            yield from _keys_of(hints[item.name], f"{name}.")
        else:
            yield Key(name, hints[item.name], item.default, **item.metadata)


KEYS: Mapping[str, Key] = {key.name: key for key in _keys_of(Config, "")}
"""Every setting there is."""

CALENDAR: Mapping[str, Key] = {key.name: key for key in _keys_of(Calendar, "")}
"""What a table of a scenario may say of a hospital or a group."""


def plain(value: Any) -> bool | int | float | str:
    """Return a setting's value as TOML, JSON and Flower can all hold it."""
    if isinstance(value, list | tuple):
        return ",".join(str(plain(item)) for item in value)
    if isinstance(value, date):
        return value.isoformat()
    return cast(bool | int | float | str, value)


def _convert(key: Key, value: Any) -> Any:
    """Return ``value`` in the type of ``key``, or raise ValueError."""
    if key.type is bool:
        if isinstance(value, bool):
            return value
        return {"true": True, "false": False}[str(value).lower()]
    if key.type is int:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        return int(value)
    if key.type is float:
        if isinstance(value, bool) or not math.isfinite(float(value)):
            raise ValueError
        return float(value)
    if key.type is str:
        if isinstance(value, date):
            return value.isoformat()
        if not isinstance(value, str):
            raise ValueError
        return value
    items = value if isinstance(value, list | tuple) else str(value).split(",")
    of_int = key.type == tuple[int, ...]
    return tuple(int(i) if of_int else str(i).strip() for i in items if str(i).strip())


_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def checked(key: Key, value: Any) -> Any:
    """Return ``value`` in the type of ``key``.

    Raises:
        UserError: it has another type, is none of the choices or is out of range.
    """
    expected = _TYPE_NAMES.get(key.type, "a comma-separated list")
    try:
        result = _convert(key, value)
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{key.name} = {value!r}: {expected} is needed.") from None
    if key.choices and result not in key.choices:
        hint = did_you_mean(str(result), key.choices)
        raise UserError(f"{key.name} = '{result}' is none of {', '.join(key.choices)}{hint}.")
    for number in result if isinstance(result, tuple) else (result,):
        if key.low is not None and number < key.low:
            raise UserError(f"{key.name} = {number} is below its least value {key.low:g}.")
        if key.high is not None and number > key.high:
            raise UserError(f"{key.name} = {number} is above its greatest value {key.high:g}.")
    if isinstance(result, tuple) and len(set(result)) < len(result):
        raise UserError(f"{key.name} = {value!r}: none of them twice.")
    if isinstance(result, tuple) and key.default and not result:
        raise UserError(f"{key.name} = {value!r}: at least one entry.")
    return result


def find_key(name: str) -> Key:
    """Return the setting called ``name``.

    Raises:
        UserError: there is none.
    """
    if name not in KEYS:
        raise UserError(f"there is no setting '{name}'{did_you_mean(name, KEYS)}.")
    return KEYS[name]


def reference(keys: Mapping[str, Key] = KEYS) -> str:
    """Return docs/CONFIG.md's table of all settings, or of those of a scenario's tables."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for name, key in keys.items():
        lines.append(f"| `{name}` | `{plain(key.default)}` | {key.meaning}{key.range_text()} |")
    return "\n".join(lines) + "\n"
