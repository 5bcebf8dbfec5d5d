"""What a user wrote, from files, the command line and scenarios, as dotted and hyphenated keys."""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from federated.config.calendars import TABLES
from federated.config.keys import KEYS, checked
from federated.errors import UserError, did_you_mean, shown, shown_path

Given = Mapping[str, Any]
"""What a user wrote: dotted key to value."""

NAMED = (*TABLES, "hospital.", "group.")
"""Tables whose next word is a name, in a config and in a scenario's own file."""


def flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables as dotted keys, underscores in keys turned into hyphens.

    Raises:
        UserError: two keys come to the same setting.
    """
    flat: dict[str, Any] = {}
    for written, value in _leaves(table):
        key = hyphenated(written)
        if key in flat:
            raise UserError(f"{shown(key)} is set twice; leave one of them out.")
        flat[key] = value
    return flat


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def hyphenated(key: str) -> str:
    """Return a key with hyphens for underscores; hospitals and methods are called what they are."""
    if key.startswith("method."):
        table, name, *rest = key.split(".", 2)
        return ".".join([table, name, *(word.replace("_", "-") for word in rest)])
    table, dot, last = key.rpartition(".") if key.startswith(NAMED) else ("", "", key)
    return table + dot + last.replace("_", "-")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the settings in a TOML file as dotted keys.

    Raises:
        UserError: the file is missing, cannot be read or is not TOML.
    """
    name = shown_path(path)
    try:
        return parse_toml(path.read_text(encoding="utf-8"), name)
    except FileNotFoundError:
        known = [str(p) for p in sorted(Path("configs").glob("**/*.toml"))]
        hint = did_you_mean(str(path), known)
        raise UserError(f"there is no config file {name}{hint}.") from None
    except IsADirectoryError:
        raise UserError(f"{name} is a folder; name a .toml file in it.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not valid TOML: {error}; save it as UTF-8.") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}.") from None


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Return the settings in a text of TOML as dotted keys.

    Args:
        text: TOML.
        source: What the sentence about a mistake calls it.

    Raises:
        UserError: the text is not TOML.
    """
    try:
        return flatten(tomllib.loads(text))
    except RecursionError:
        raise UserError(f"{source} is not valid TOML: nested too deeply.") from None
    except ValueError as error:  # TOMLDecodeError, and what Python says of overlong numbers
        sentence = " ".join(str(error).split())
        raise UserError(f"{source} is not valid TOML: {sentence[:200]}.") from None


def read_config(path: Path | None) -> dict[str, Any]:
    """Return the settings in a configuration file, and where code that they name is looked for.

    That is beside the file, or where its ``modules`` says, and in the current folder.

    Args:
        path: A .toml file; None: no settings.

    Raises:
        UserError: the file is missing, cannot be read or is not TOML.
    """
    if path is None:
        return {"modules": str(Path.cwd())}
    given, beside = read_toml(path), path.absolute().parent
    written = checked(KEYS["modules"], given.get("modules", "")).split(os.pathsep)
    folders = [str(beside / folder) for folder in written] + [str(Path.cwd())]
    return {**given, "modules": os.pathsep.join(dict.fromkeys(folders))}


def read_given(path: Path | None, words: Iterable[str]) -> dict[str, Any]:
    """Return the settings of a configuration file, if there is one, and those that go before them.

    Args:
        path: The file; what holds a ``=`` is no file but the first of the settings.
        words: Settings as ``key=value``.

    Raises:
        UserError: as for ``read_config`` and ``parse_overrides``.
    """
    first = [] if path is None or "=" not in str(path) else [str(path)]
    return {**read_config(None if first else path), **parse_overrides([*first, *words])}


def with_scenario(given: Given) -> dict[str, Any]:
    """Return ``given`` with the scenario's own file, if it names one, read into it.

    What the configuration says itself goes before what the file says.

    Raises:
        UserError: the file is missing or is not TOML.
    """
    name = checked(KEYS["rollout.scenario"], given.get("rollout.scenario", ""))
    if not name:
        return dict(given)
    in_file = {f"rollout.{key}": value for key, value in read_toml(Path(name)).items()}
    return {**in_file, **given, "rollout.scenario": ""}


def parse_overrides(words: Iterable[str]) -> dict[str, Any]:
    """Return ``key=value`` words as dotted keys; values stay text until their type is known."""
    given = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"{shown(word)} is not a setting; write key=value, such as rounds=5.")
        given[hyphenated(key.strip())] = value.strip()
    return given
