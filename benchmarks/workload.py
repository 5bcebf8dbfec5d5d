"""The peers' workload: 4 sites x 256 training images of 32x32, and the settings that make it."""

from pathlib import Path
from typing import Any

import numpy as np

from federated.config.study import parse
from federated.data import SPLITS, load_site, prepare, site_names

ROUNDS = 10
SETTINGS: dict[str, bool | int | float | str] = {
    "methods": "fedbn",
    "rounds": ROUNDS,
    "phantom.sites": 4,
    "phantom.patients": 160,
    "phantom.slices": 2,
    "data.image-size": 32,
    "data.resize": 32,
    "data.val-fraction": 0.1,
    "data.test-fraction": 0.1,
    "model.name": "convnet",
    "model.width": 1.0,
    "train.augment": False,
    "train.clip-norm": 0.0,
    "train.weight-decay": 0.0,
    "train.schedule": "constant",
    "train.precision": "fp32",
    "engine.threads": 1,
}
"""256 training, 32 validation and 32 test images a site; trained as ``plain_loop.py`` does."""


def words(**more: object) -> list[str]:
    """Return the settings, and more of them, as ``consilium run`` takes them."""
    given = {**SETTINGS, **{key.replace("__", "."): value for key, value in more.items()}}
    return [f"{key}={value}" for key, value in given.items()]


def write_arrays(path: Path, cache: Path) -> None:
    """Fill Consilium's cache, and write the very arrays that lie in it for everyone else."""
    config = parse({**SETTINGS, "data.cache": str(cache)}).common
    prepare(config)
    arrays: dict[str, Any] = {}
    for site in site_names(config):
        data = load_site(config, site)
        for split in SPLITS:
            arrays[f"{site}/{split}/images"] = np.array(data.split(split).images)
            arrays[f"{site}/{split}/labels"] = data.split(split).labels
    np.savez(path, **arrays)
