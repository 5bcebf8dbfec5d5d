"""Every setting by its dotted name: its type, its range, and one sentence for a wrong value."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from typing import Any, cast, get_type_hints

from federated.config.rollout import Calendar
from federated.config.schema import Config
from federated.errors import UserError, did_you_mean, shown


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
    changes_bits: bool

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


LARGEST = 2**63 - 1
"""TOML's whole numbers have 64 bits."""


def _convert(kind: Any, value: Any) -> Any:
    """Return ``value`` in a type, or raise ValueError."""
    if kind is bool:
        return value if isinstance(value, bool) else _TRUTHS[str(value).lower()]
    if kind in (int, float):
        if not isinstance(value, int | float | str) or isinstance(value, bool):
            raise ValueError
        if isinstance(value, float) and kind is int and not value.is_integer():
            raise ValueError
        number = kind(value)
        if abs(number) > LARGEST if kind is int else not math.isfinite(number):
            raise ValueError
        return number
    if kind is str:
        return _text(value.isoformat() if isinstance(value, date) else value)
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        items = [items]
    of_int = kind == tuple[int, ...]
    if of_int:
        return tuple(_convert(int, item) for item in items if not _is_blank(item))
    if any("," in item for item in items if isinstance(item, str)):
        raise ValueError  # a comma is what separates them on the command line
    return tuple(_text(item).strip() for item in items if not _is_blank(item))


_TRUTHS = {"true": True, "false": False}


def _is_blank(item: Any) -> bool:
    return isinstance(item, str) and not item.strip()


def _text(value: Any) -> str:
    """Return text that files can hold, and file names: UTF-8 without NUL."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    value.encode()  # UnicodeEncodeError is a ValueError
    return value


_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text (UTF-8, no NUL)",
    tuple[int, ...]: "a comma-separated list of whole numbers",
    tuple[str, ...]: "a comma-separated list",
}


def checked(key: Key, value: Any) -> Any:
    """Return ``value`` in the type of ``key``.

    Raises:
        UserError: it has another type, is none of the choices or is out of range.
    """
    expected = _TYPE_NAMES[key.type]
    try:
        result = _convert(key.type, value)
    except (ValueError, KeyError, TypeError, OverflowError):
        raise UserError(f"{key.name} = {shown(value)}: {expected} is needed.") from None
    if key.choices and result not in key.choices:
        hint = did_you_mean(result, key.choices)
        raise UserError(f"{key.name} = {shown(result)} is none of {', '.join(key.choices)}{hint}.")
    for number in result if isinstance(result, tuple) else (result,):
        if key.low is not None and number < key.low:
            raise UserError(f"{key.name} = {number} is below its least value {key.low:g}.")
        if key.high is not None and number > key.high:
            raise UserError(f"{key.name} = {number} is above its greatest value {key.high:g}.")
    if isinstance(result, tuple) and len(set(result)) < len(result):
        raise UserError(f"{key.name} = {shown(value)}: none of them twice.")
    if isinstance(result, tuple) and key.default and not result:
        raise UserError(f"{key.name} = {shown(value)}: at least one entry.")
    return result


def find_key(name: str) -> Key:
    """Return the setting called ``name``.

    Raises:
        UserError: there is none.
    """
    if name not in KEYS:
        raise UserError(f"there is no setting {shown(name)}{did_you_mean(name, KEYS)}.")
    return KEYS[name]


def reference(keys: Mapping[str, Key] = KEYS) -> str:
    """Return docs/CONFIG.md's table of all settings, or of those of a scenario's tables."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for name, key in keys.items():
        free = "" if key.changes_bits else "; changes no bit"
        meaning = f"{key.meaning}{key.range_text()}{free}"
        lines.append(f"| `{name}` | `{plain(key.default)}` | {meaning} |")
    return "\n".join(lines) + "\n"
