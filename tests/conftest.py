"""Runs small enough for a test: three phantom hospitals, a tiny network, this process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from federated.engine import run
from federated.runs.reading import Run, load

TINY = {
    "engine.kind": "inline",
    "methods": "fedavg",
    "rounds": "2",
    "phantom.sites": "3",
    "phantom.patients": "12",
    "data.image-size": "32",
    "model.name": "convnet",
    "model.width": "0.25",
    "train.batch-size": "8",
    "train.precision": "fp32",
}

RunTiny = Callable[..., Run]


@pytest.fixture(scope="session")
def data_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def tiny(tmp_path: Path, data_cache: Path) -> Callable[..., dict[str, str]]:
    """Return settings of a tiny run, with overrides, in a folder of its own."""

    def settings(folder: str = "run", **overrides: object) -> dict[str, str]:
        words = {k.replace("__", ".").replace("_", "-"): str(v) for k, v in overrides.items()}
        fixed = {"folder": str(tmp_path / folder), "data.cache": str(data_cache)}
        return {**TINY, **fixed, **words}

    return settings


@pytest.fixture
def run_tiny(tiny: Callable[..., dict[str, str]]) -> RunTiny:
    """Run a tiny federation and return its results."""

    def go(folder: str = "run", **overrides: object) -> Run:
        given = tiny(folder, **overrides)
        run(given)
        return load(given["folder"])

    return go
