"""A sweep's file, taken apart into runs: a configuration, and a ``[grid]`` of lists.

What may differ between the methods of a run becomes a method of its own for each value, so that all
of them are cells of one run and go side by side. What is the same for all methods, such as the
data, takes a run for each combination.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from federated.config.given import Given, read_config, with_scenario
from federated.config.keys import KEYS, checked, find_key, plain
from federated.config.schema import METHOD_SECTIONS
from federated.config.study import Study, parse
from federated.errors import UserError, shown

GRID = "grid."
WHOLE = "all"
"""The name of the only run of a sweep whose grid needs no more."""

Point = Mapping[str, Any]
"""One value for each key of the grid."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        name: By what it differs from the other runs; the name of its folder.
        given: Its settings.
        points: Method -> where in the grid it is, all keys included.
    """

    name: str
    given: Given
    points: Mapping[str, Point]

    @property
    def study(self) -> Study:
        """The parsed run."""
        return parse(self.given)


@dataclass(frozen=True)
class Sweep:
    """A sweep's file.

    Attributes:
        name: Of its settings.
        results: Where what is kept of each cell goes; empty: into the sweep's own folder.
        runs: All of its runs.
    """

    name: str
    results: str
    runs: tuple[PlannedRun, ...]


def read_sweep(path: Path, overrides: Given) -> Sweep:
    """Return the sweep that a file describes.

    Raises:
        UserError: the file is missing or no TOML, or a setting or the grid is wrong.
    """
    given = with_scenario({**read_config(path), **overrides})
    results = given.pop("results", "")
    if not isinstance(results, str):
        raise UserError(f"results = {shown(results)}: the name of a folder is needed.")
    grid = {key.removeprefix(GRID): given.pop(key) for key in list(given) if key.startswith(GRID)}
    axes = {key: _values(key, value) for key, value in grid.items()}
    for key in ("methods", "seeds"):  # both are lists anyway, and every run has all of them
        if key in axes:
            given[key] = axes.pop(key)
    if given.get("folder"):
        raise UserError(
            f"folder = {shown(given['folder'])}: a sweep makes a folder for each of its runs; name "
            "the folder of them all with --to FOLDER."
        )
    given["folder"] = ""
    runs = tuple(_runs(given, axes))
    return Sweep(runs[0].study.common.name, results, runs)


def _values(key: str, value: Any) -> list[Any]:
    """Return the values of a key of the grid, each checked.

    Raises:
        UserError: there is no such setting, or the values are no list of its type.
    """
    found = find_key(key)
    if not isinstance(value, list) or not value:
        raise UserError(f"grid.{key} = {shown(value)}: a list of one value or more is needed.")
    if key in ("methods", "seeds"):
        return list(checked(found, value))
    if key in ("folder", "name"):
        raise UserError(f"grid.{key}: a sweep has one {key}; leave it out of the grid.")
    values = [checked(found, item) for item in value]
    if any(values.count(item) > 1 for item in values):
        raise UserError(f"grid.{key} = {shown(value)}: none of them twice.")
    return values


def _runs(given: Given, axes: Mapping[str, list[Any]]) -> Iterator[PlannedRun]:
    inner = {key: axes[key] for key in axes if key.split(".")[0] in METHOD_SECTIONS}
    outer = {key: axes[key] for key in axes if key not in inner}
    for common in _points(outer):
        settings, points = _with_variants({**given, **common}, list(_points(inner)))
        whole = {method: {**common, **point} for method, point in points.items()}
        yield PlannedRun(_run_name(common), settings, whole)


def _points(axes: Mapping[str, list[Any]]) -> Iterator[Point]:
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _run_name(point: Point) -> str:
    words = (f"{key}={_word(value)}" for key, value in point.items())
    return ",".join(words) or WHOLE


def _with_variants(given: Given, points: list[Point]) -> tuple[dict[str, Any], Mapping[str, Point]]:
    """Return settings with a method for each point of the grid, and where each method is."""
    methods = parse(given).common.methods
    if points == [{}]:
        return dict(given), {method: {} for method in methods}
    settings, found = dict(given), {}
    written = checked(KEYS["methods"], given.get("methods", KEYS["methods"].default))
    for entry, method in zip(written, methods, strict=True):
        table = {
            key.split(".", 2)[2]: settings.pop(key)
            for key in list(settings)
            if key.startswith(f"method.{method}.")
        }
        for number, point in enumerate(points):
            name = _variant(method, point, number)
            own = {"base": entry, **table, **point}
            settings |= {f"method.{name}.{key}": value for key, value in own.items()}
            found[name] = point
    return {**settings, "methods": list(found)}, found


def _variant(method: str, point: Point, number: int) -> str:
    words = [f"{key.split('.')[-1]}-{_word(value)}" for key, value in point.items()]
    name = re.sub(r"[^A-Za-z0-9_-]", "_", "-".join([method, *words]))
    return name if len(name) <= 64 else f"{method[:56]}-{number}"


def _word(value: Any) -> str:
    """Return a value as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", str(plain(value))) or "none"
