"""A study as ``flwr run --run-config`` takes it, and what of it the hospitals are told instead."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from federated.config.common import Common
from federated.config.identity import DATA_PLACES, FILES
from federated.config.keys import KEYS, checked, plain
from federated.config.study import value_of
from federated.errors import UserError, absolute_path
from federated.storage import write_bytes

RUN_CONFIG = "run.toml"


def own_settings(config: Common) -> dict[str, str]:
    """Return what a hospital's node-config says of places on its disk; a server's are not followed.

    All hospitals of a trial share this machine's folders, and each opens its own images.
    """
    named = {key: str(value_of(config, key)) for key in (*DATA_PLACES, *FILES)}
    return {key: str(absolute_path(place, key)) for key, place in named.items() if place}


def write_run_config(folder: Path, given: Mapping[str, Any]) -> Path:
    """Write settings to ``run.toml`` in a deployment's folder, and return its path.

    The run's own folder is ``run`` in there, unless they name one.

    Raises:
        UserError: one is a table, which Flower's run-config cannot hold.
    """
    if tables := [name for name in given if name not in KEYS]:
        raise UserError(
            f"{tables[0]}: Flower's run-config holds settings and no tables of methods or "
            "hospitals; leave it out, or write hospitals into the file of rollout.scenario."
        )
    values = {name: plain(checked(KEYS[name], value)) for name, value in given.items()}
    run = absolute_path(str(values.get("folder") or folder / "run"), "folder")
    path = folder / RUN_CONFIG
    write_bytes(path, tomli_w.dumps({**values, "folder": str(run)}).encode())
    return path
