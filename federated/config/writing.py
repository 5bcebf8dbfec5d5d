"""A study written down again: as a run's config.toml, and as a run-config and its defaults."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import tomli_w

from federated.config.calendars import calendar_values
from federated.config.given import flatten, parse_toml
from federated.config.keys import KEYS, plain
from federated.config.presets import METHODS
from federated.config.study import OF_METHODS, PHANTOMS, Study, parse, value_of

RESOLVED = "resolved"
"""The one key of our own grids' run-config: a study as TOML, which keeps types and empty texts."""


def to_toml(study: Study) -> str:
    """Return the resolved run as TOML that gives the same study when read again.

    Each method's table holds all that may differ between methods, so that a later version with
    other presets still reads this run as it was.
    """
    common = [name for name in KEYS if name not in OF_METHODS]
    lines = ["# Every setting of this run; `consilium run` on this file repeats it."]
    lines += [f"{name} = {_toml(value_of(study.common, name))}" for name in common]
    for table, values in calendar_values(study.common.calendars):
        kind, _, name = table.partition(".")
        lines.append(f"\n[rollout.{kind}.{_toml(name)}]")
        lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
    for method, config in study.by_method.items():
        lines += [f"\n[method.{method}]", f"base = {_toml(study.bases[method])}", "resolved = true"]
        lines += [f"{name} = {_toml(value_of(config, name))}" for name in OF_METHODS]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"  # on one line, which tomli-w never does
    return tomli_w.dumps({"value": value}).removeprefix("value = ").removesuffix("\n")


def run_config_of(study: Study) -> dict[str, bool | int | float | str]:
    """Return the run-config from which ``parse_run_config`` gives this very study."""
    return {RESOLVED: to_toml(study)}


def parse_run_config(run_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run-config, of our own grids or of Flower's, as what a user gave.

    Flower overrides only keys that have a default in pyproject.toml, so every key is there. A key
    that a method may set has the default "" there, which means: as the method says; that of
    phantoms means: as the data say.
    """
    given = flatten(run_config)
    if RESOLVED in given:
        resolved = parse_toml(str(given.pop(RESOLVED)), "the run-config")
        return {**resolved, **given}  # a node may set things of its own beside it
    silent = {name for name, default in run_config_defaults().items() if default == ""}
    return {key: value for key, value in given.items() if value != "" or key not in silent}


def run_config_defaults() -> dict[str, bool | int | float | str]:
    """Return what ``[tool.flwr.app.config]`` in pyproject.toml must hold."""
    by_itself = {PHANTOMS, *(key for method in METHODS.values() for key in method.settings)}
    defaults: dict[str, bool | int | float | str] = {}
    for name, key in KEYS.items():
        defaults[name] = "" if name in by_itself else plain(key.default)
    return defaults


def study_from(run_config: Mapping[str, Any]) -> Study:
    """Return the study that a run-config describes, parsed once a process.

    Raises:
        UserError: as ``parse``.
    """
    # With their types: True and 1 are equal, and not the same setting.
    items = flatten(run_config).items()
    return _parsed_once(tuple((key, type(value), value) for key, value in items))


@lru_cache(maxsize=16)
def _parsed_once(items: tuple[tuple[str, type, Any], ...]) -> Study:
    return parse(parse_run_config({key: value for key, _, value in items}))
