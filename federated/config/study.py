"""From files, overrides and Flower run-configs to one frozen ``Config``, parsed once at the edge.

Keys are dotted and hyphenated (``train.local-epochs``); lists are comma-separated strings where a
list cannot be written (command line, Flower run-config).
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from federated.config.calendars import TABLES, calendar_values, calendars_of, split_calendars
from federated.config.keys import KEYS, checked, find_key, plain
from federated.config.presets import METHODS
from federated.config.rollout import Rollout
from federated.config.schema import Config
from federated.errors import UserError, did_you_mean

Given = Mapping[str, Any]
"""What a user wrote: dotted key to value."""

METHOD_SECTIONS = (
    "rounds",
    "code",
    "model",
    "train",
    "contrast",
    "sharing",
    "bn",
    "server",
    "personalise",
)
"""What may differ between methods of one run. Data and engine are the same for all of them."""


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as dotted keys, underscores in keys turned into hyphens."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        # A hospital is called what it is called; only settings have hyphens for underscores.
        own_name = prefix.endswith(("hospital.", "group."))
        key = prefix + (name if own_name else name.replace("_", "-"))
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{key}."))
        else:
            flat[key] = value
    return flat


def read_toml(path: Path) -> dict[str, Any]:
    """Return the settings in a TOML file as dotted keys.

    Raises:
        UserError: the file is missing or is not TOML.
    """
    try:
        return flatten(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = [str(p) for p in sorted(Path("configs").glob("**/*.toml"))]
        hint = did_you_mean(str(path), known)
        raise UserError(f"there is no config file {path}{hint}.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name a .toml file in it.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from None


def with_scenario(given: Given) -> dict[str, Any]:
    """Return ``given`` with the scenario's own file, if it names one, read into it.

    What the configuration says itself goes before what the file says.

    Raises:
        UserError: the file is missing or is not TOML.
    """
    name = given.get("rollout.scenario")
    if not name:
        return dict(given)
    told = {f"rollout.{key}": value for key, value in read_toml(Path(str(name))).items()}
    return {**told, **given, "rollout.scenario": ""}


def parse_overrides(words: Iterable[str]) -> dict[str, Any]:
    """Return ``key=value`` words as dotted keys; values stay text until their type is known."""
    given = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"'{word}' is not a setting; write key=value, such as rounds=5.")
        given[_hyphenated(key.strip())] = value.strip()
    return given


def _hyphenated(key: str) -> str:
    """Return a key with hyphens for underscores; a hospital is called what it is called."""
    table, dot, last = key.rpartition(".") if key.startswith(TABLES) else ("", "", key)
    return table + dot + last.replace("_", "-")


def parse_run_config(run_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Flower run-config as what a user gave.

    Flower overrides only keys that have a default in pyproject.toml, so every key is there. A key
    that a method may set has the default "" there, which means: as the method says.
    """
    return {key: value for key, value in flatten(run_config).items() if value != ""}


def run_config_defaults() -> dict[str, bool | int | float | str]:
    """Return what ``[tool.flwr.app.config]`` in pyproject.toml must hold."""
    of_methods = {key for method in METHODS.values() for key in method.settings}
    defaults: dict[str, bool | int | float | str] = {}
    for name, key in KEYS.items():
        defaults[name] = "" if name in of_methods else plain(key.default)
    return defaults


def build(given: Given) -> Config:
    """Return the ``Config`` of dotted keys, everything else at its default.

    Raises:
        UserError: a key is unknown, or a value has the wrong type or is out of its range.
    """
    given, tables = split_calendars(given)
    values = {name: checked(find_key(name), value) for name, value in given.items()}
    config = Config(calendars=calendars_of(tables))
    for name, value in values.items():
        *section, last = name.replace("-", "_").split(".")
        if section:
            part = replace(getattr(config, section[0]), **{last: value})
            config = replace(config, **{section[0]: part})
        else:
            config = replace(config, **{last: value})
    return config


def _split_method_tables(given: Given) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    common: dict[str, Any] = {}
    tables: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        if name.startswith("method."):
            _, method, *rest = name.split(".", 2)
            tables.setdefault(method, {})[rest[0] if rest else ""] = value
        else:
            common[name] = value
    return common, tables


@dataclass(frozen=True)
class Study:
    """A parsed run.

    Attributes:
        common: What all methods share; its ``METHOD_SECTIONS`` are at their defaults.
        by_method: The whole configuration of each method.
    """

    common: Config
    by_method: Mapping[str, Config]

    def cells(self) -> list[tuple[str, int]]:
        """Return every (method, seed) of the run, in the order in which they run."""
        return [(method, seed) for seed in self.common.seeds for method in self.common.methods]


def parse(given: Given) -> Study:
    """Return the study that a user described.

    Raises:
        UserError: one sentence on the first thing that is wrong.
    """
    common, tables = _split_method_tables(with_scenario(given))
    config = build(common)
    for name, table in tables.items():
        # A study's file may define more methods than one call of it runs.
        if name not in config.methods and name not in METHODS and "base" not in table:
            hint = did_you_mean(name, config.methods)
            raise UserError(
                f"[method.{name}] is not among methods = {plain(config.methods)}{hint}."
            )
    by_method = {name: _of_method(common, name, tables.get(name, {})) for name in config.methods}
    defaults = Config()
    shared = replace(config, **{name: getattr(defaults, name) for name in METHOD_SECTIONS})
    return Study(shared, by_method)


def run_config_of(given: Given) -> dict[str, bool | int | float | str]:
    """Return what a user gave as a Flower run-config, a scenario's own file read into it.

    Raises:
        UserError: the scenario's file is missing or is not TOML.
    """
    return {key: plain(value) for key, value in with_scenario(given).items()}


def study_from(run_config: Mapping[str, Any]) -> Study:
    """Return the study that a Flower run-config describes, parsed once a process.

    Raises:
        UserError: as ``parse``.
    """
    given = parse_run_config(run_config)
    # With their types: True and 1 are equal, and not the same setting.
    return _parsed_once(tuple((key, type(value), value) for key, value in given.items()))


@lru_cache(maxsize=16)
def _parsed_once(given: tuple[tuple[str, type, Any], ...]) -> Study:
    return parse({key: value for key, _, value in given})


def _of_method(common: Mapping[str, Any], name: str, table: Mapping[str, Any]) -> Config:
    own = {key: value for key, value in table.items() if key != "base"}
    base = table.get("base", name)
    if base not in METHODS:
        raise UserError(
            f"there is no method '{base}'{did_you_mean(base, METHODS)}; one of your own needs "
            f"[method.{name}] with base = one of {', '.join(METHODS)}."
        )
    for key in own:
        find_key(key)
        if key.split(".")[0] not in METHOD_SECTIONS:
            raise UserError(f"method.{name}.{key} is the same for all methods: set {key} instead.")
    preset = METHODS[base].settings
    several = len(build({"methods": common.get("methods", Config.methods)}).methods) > 1
    for key in preset if several else ():
        if key in common:
            raise UserError(
                f"{key} makes the method {base} what it is; with several methods write it as "
                f"method.{name}.{key}."
            )
    return _consistent(build({**preset, **common, **own}), name)


def _consistent(config: Config, method: str) -> Config:
    if config.contrast.objective == "moon" and config.contrast.memory_size:
        raise UserError(
            f"{method}: moon contrasts models and has no memory; memory-size must be 0."
        )
    if config.bn.recalibrate and config.model.norm != "batch":
        raise UserError(f"{method}: bn.recalibrate needs model.norm = batch.")
    if config.train.pooled and config.contrast.objective == "moon":
        raise UserError(f"{method}: pooled training has no global model for moon to contrast with.")
    if config.train.pooled and (config.contrast.memory_size or config.train.proximal_mu):
        raise UserError(f"{method}: pooled training uses neither memory-size nor proximal-mu.")
    if config.train.pooled and (config.calendars or config.rollout != Rollout()):
        raise UserError(
            f"{method}: pooled training is no federation and has no rollout; leave it out."
        )
    if config.data.val_fraction + config.data.test_fraction > 0.8:
        raise UserError("data.val-fraction and data.test-fraction leave under 20 % for training.")
    return config


def to_toml(given: Given, study: Study) -> str:
    """Return the resolved run as TOML that gives the same study when read again.

    Each method's table holds all that may differ between methods, so that a later version with
    other presets still reads this run as it was.
    """
    _, tables = _split_method_tables(given)
    lines = ["# Every setting of this run; `consilium run` on this file repeats it."]
    of_methods = [name for name in KEYS if name.split(".")[0] in METHOD_SECTIONS]
    for name in KEYS:
        if name not in of_methods:
            lines.append(f"{name} = {_toml_value(_value_of(study.common, name))}")
    for table, told in calendar_values(study.common.calendars):
        kind, _, name = table.partition(".")
        lines.append(f"\n[rollout.{kind}.{_toml_value(name)}]")
        lines += [f"{key} = {_toml_value(value)}" for key, value in told.items()]
    for method, config in study.by_method.items():
        base = tables.get(method, {}).get("base", method)
        lines += [f"\n[method.{method}]", f"base = {_toml_value(base)}"]
        lines += [f"{name} = {_toml_value(_value_of(config, name))}" for name in of_methods]
    return "\n".join(lines) + "\n"


def _value_of(config: Config, name: str) -> Any:
    value: Any = config
    for part in name.replace("-", "_").split("."):
        value = getattr(value, part)
    return value


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
