"""From dotted keys to one frozen ``Study``, parsed once at the edge.

Keys are dotted and hyphenated (``train.local-epochs``); lists are comma-separated strings where a
list cannot be written (command line, Flower run-config).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from federated.config.calendars import calendars_of, split_calendars
from federated.config.common import Common
from federated.config.external import look_in
from federated.config.given import Given, with_scenario
from federated.config.images import SOURCES
from federated.config.keys import KEYS, checked, find_key, plain
from federated.config.lookup import settings_of
from federated.config.presets import METHODS
from federated.config.privacy import check_privacy
from federated.config.rollout import Rollout
from federated.config.schema import METHOD_SECTIONS, Config
from federated.errors import UserError, did_you_mean, shown

OF_METHODS = tuple(name for name in KEYS if name.split(".")[0] in METHOD_SECTIONS)
"""The settings that may differ between the methods of a run."""

PHANTOMS = "phantom.sites"
"""The setting whose default depends on whether images are named."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
TAKEN = ("sites", "plots", "answers", "trackers", "lock")
"""Folders of a run beside those of its methods."""

Settings = TypeVar("Settings", bound=Common)


@dataclass(frozen=True)
class Study:
    """A parsed run.

    Attributes:
        common: What all methods share.
        by_method: The whole configuration of each method.
        bases: The method of ours, or of the user's own, that each derives from.
    """

    common: Common
    by_method: Mapping[str, Config]
    bases: Mapping[str, str]

    def cells(self) -> list[tuple[str, int]]:
        """Return every (method, seed) of the run, in the order in which they run."""
        return [(method, seed) for seed in self.common.seeds for method in self.common.methods]


def build(given: Given) -> Config:
    """Return the ``Config`` of dotted keys, everything else at its default.

    Raises:
        UserError: a key is unknown, or a value has the wrong type or is out of its range.
    """
    given, tables = split_calendars(given)
    values = {name: checked(find_key(name), value) for name, value in given.items()}
    config = Config(calendars=calendars_of(tables))
    for name, value in values.items():
        config = with_value(config, name, value)
    return config


def with_value(config: Settings, name: str, value: Any) -> Settings:
    """Return the settings with another value of one, by its dotted name."""
    *section, last = name.replace("-", "_").split(".")
    if not section:
        return replace(config, **{last: value})
    part = replace(getattr(config, section[0]), **{last: value})
    return replace(config, **{section[0]: part})


def with_threads(study: Study, threads: int) -> Study:
    """Return the study with another number of threads, the same for all methods."""
    common = replace(study.common, engine=replace(study.common.engine, threads=threads))
    by_method = {
        name: replace(config, engine=common.engine) for name, config in study.by_method.items()
    }
    return replace(study, common=common, by_method=by_method)


def value_of(config: Common, name: str) -> Any:
    """Return the value of a setting by its dotted name."""
    value: Any = config
    for part in name.replace("-", "_").split("."):
        value = getattr(value, part)
    return value


def parse(given: Given) -> Study:
    """Return the study that a user described.

    Code that it names is looked for in the folders of ``modules``, from now on.

    Raises:
        UserError: one sentence on the first thing that is wrong.
    """
    common, tables = _split_method_tables(with_scenario(given))
    common = _without_unasked_phantoms(common)
    common["methods"] = _names_of_methods(common, tables)
    config = build(common)
    _check_name(config.name)
    look_in(config.modules)
    for name, table in tables.items():
        # A study's file may define more methods than one call of it runs.
        if name not in config.methods and name not in METHODS and "base" not in table:
            hint = did_you_mean(name, config.methods)
            raise UserError(
                f"[method.{shown(name)[1:-1]}] is not among methods = "
                f"{plain(config.methods)}{hint}."
            )
    bases = {name: _base_of(name, tables.get(name, {})) for name in config.methods}
    by_method = {name: _of_method(common, name, bases, tables.get(name, {})) for name in bases}
    shared = {item.name: getattr(config, item.name) for item in fields(Common)}
    return Study(Common(**shared), by_method, bases)


def _without_unasked_phantoms(common: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with no phantoms where images are named and phantoms are not."""
    keys = (f"data.{name.replace('_', '-')}" for name in SOURCES)
    is_given = any(common.get(key, "") != "" for key in keys)
    return {PHANTOMS: 0, **common} if is_given else dict(common)


def _split_method_tables(given: Given) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    common: dict[str, Any] = {}
    tables: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        if not name.startswith("method."):
            common[name] = value
            continue
        _, method, *rest = name.split(".", 2)
        if not rest:
            raise UserError(
                f"{shown(name)} = {shown(value)}: write [method.NAME] with settings in it."
            )
        tables.setdefault(method, {})[rest[0]] = value
    return common, tables


def _names_of_methods(
    common: Mapping[str, Any], tables: dict[str, dict[str, Any]]
) -> tuple[str, ...]:
    """Return the methods' names; one of the user's own, ``package.module:name``, gets a table."""
    names = []
    for entry in checked(KEYS["methods"], common.get("methods", Config.methods)):
        _, colon, attribute = entry.rpartition(":")
        if colon and (attribute in METHODS or "base" in tables.get(attribute, {})):
            raise UserError(
                f"methods = {shown(entry)}: there is a method {attribute} already; give yours "
                "another name."
            )
        if colon:
            tables[attribute] = {"base": entry, **tables.get(attribute, {})}
        if not _NAME.fullmatch(attribute) or attribute in TAKEN:
            raise UserError(
                f"{shown(attribute)} is no name of a method: up to 64 letters of a to z, digits, "
                f"hyphens and underscores are, but for {', '.join(TAKEN)}."
            )
        names.append(attribute)
    return tuple(names)


def _check_name(name: str) -> None:
    if not name or len(name) > 100 or not name.isprintable() or "/" in name:
        raise UserError(
            f"name = {shown(name)}: it becomes part of the run folder's name, so 1 to 100 "
            "printable letters without a slash are needed."
        )


def _base_of(name: str, table: Mapping[str, Any]) -> str:
    base = table.get("base", name)
    if not isinstance(base, str):
        raise UserError(f"method.{name}.base = {shown(base)}: the name of a method is needed.")
    return base


def _of_method(
    common: Mapping[str, Any], name: str, bases: Mapping[str, str], table: Mapping[str, Any]
) -> Config:
    own = {key: value for key, value in table.items() if key not in ("base", "resolved")}
    for key in own:
        find_key(key)
        if key.split(".")[0] not in METHOD_SECTIONS:
            raise UserError(f"method.{name}.{key} is the same for all methods: set {key} instead.")
    # A resolved table says all by itself: neither code that is elsewhere by now nor a preset that
    # is another by now is asked; a setting newer than the table has its default.
    preset = {} if table.get("resolved") is True else settings_of(bases[name], name)
    for key in preset if len(bases) > 1 else ():
        if key in common:
            raise UserError(
                f"{key} makes the method {bases[name]} what it is; with several methods write it "
                f"as method.{name}.{key}."
            )
    return _consistent(build({**preset, **common, **own}), name)


def _consistent(config: Config, method: str) -> Config:
    if config.contrast.objective == "moon" and config.contrast.memory_size:
        raise UserError(
            f"{method}: moon contrasts models and has no memory; memory-size must be 0."
        )
    if config.train.augmentation != "published" and not config.train.augment:
        raise UserError(
            f"{method}: train.augmentation does nothing while train.augment is false; set it to "
            "true, or leave train.augmentation out."
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
    if config.server.compares_updates and config.rollout.policy == "fedasync":
        raise UserError(
            f"{method}: rollout.policy = fedasync uses every update by itself, so there are none "
            "that server.rule or server.norm-bound could compare; take fedbuff, or leave them out."
        )
    if config.personalise.share and (config.code or config.train.pooled):
        raise UserError(
            f"{method}: it has a rule of its own for its rounds, so personalise.share must be 0."
        )
    if config.data.val_fraction + config.data.test_fraction > 0.8:
        raise UserError("data.val-fraction and data.test-fraction leave under 20 % for training.")
    classes = config.data.classes
    if classes and len(classes) < 3:
        raise UserError(
            f"data.classes = {plain(classes)}: three or more names are needed; two classes are the "
            "default, without this setting."
        )
    if classes and (config.phantom.sites or config.data.covid_ct or config.data.sars_cov_2):
        raise UserError(
            "data.classes is of images in data.folder or data.manifest; phantoms, COVID-CT and "
            "SARS-CoV-2 have two classes, so leave one of them out."
        )
    check_privacy(config, method)
    return config
