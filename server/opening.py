"""The run folder, opened: born whole if it is new, the same run if it is not, and ours alone."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from federated.config.given import parse_toml, read_toml
from federated.config.keys import KEYS
from federated.config.study import Study
from federated.config.writing import to_toml
from federated.errors import UserError
from federated.runs.columns import METRIC_COLUMNS
from federated.runs.environment import environment
from federated.runs.folder import RunFolder
from federated.runs.lineage import GROWING, Lineage
from federated.runs.lock import locked
from federated.runs.tracking import tracked
from federated.storage import sweep, sync_folder, write_bytes
from server.record import Listener, Record
from server.relay import Relay

BIRTH = ".birth"
"""Ends the name of a folder in which a run is made; it lies beside the run's."""


@contextmanager
def opened(
    folder: Path, study: Study, listener: Listener | None, *, relay: Relay
) -> Iterator[Record]:
    """Yield the record of a new run, or of the run that is already there if it is the same.

    It is the same with methods or seeds more, behind those that it has: then it grows by them.

    Args:
        folder: The run's.
        study: Its settings.
        listener: Told of every event.
        relay: By which it is told.

    Raises:
        UserError: the folder holds another run, or something else, or another process works in it.
    """
    files, config = RunFolder(folder), to_toml(study)
    settings = parse_toml(config, "the resolved configuration")
    if not files.lineage.exists():
        be_born(files, config, settings)
    with locked(files.lock):
        lineage = Lineage.read(files.lineage)
        # Readers of the results go by this file: it must not have become another's. A crash may
        # have come between it and the lineage as the run grew.
        written = read_toml(files.config)
        lineage.check(written, is_free, folder=folder)
        as_written = replace(lineage, settings=written)
        as_written.check(settings, is_free, folder=folder)
        if any(settings[name] != lineage.settings[name] for name in GROWING):
            write_bytes(files.config, config.encode())
            write_bytes(files.lineage, replace(lineage, settings=settings).to_json().encode())
        sweep(folder)
        with tracked(folder, study, listener) as listening:
            yield Record(folder, lineage.run, relay.to(listening))


def is_free(name: str) -> bool:
    """Return whether a setting may differ when a run goes on, because it changes no bit."""
    key = name.split(".", 2)[-1] if name.startswith("method.") else name
    return key in KEYS and not KEYS[key].changes_bits


def be_born(files: RunFolder, config: str, settings: Mapping[str, Any]) -> None:
    """Make a run's folder under another name and give it its own at once, with all that it needs.

    A crash leaves no run, and none that is half there.

    Raises:
        UserError: there is something in the folder already.
    """
    folder = files.path
    folder.parent.mkdir(parents=True, exist_ok=True)
    forget_stillborn(folder)
    young = RunFolder(folder.with_name(f".{folder.name}.{os.getpid()}{BIRTH}"))
    young.path.mkdir()
    try:
        facts = json.dumps(environment(), indent=1)
        write_bytes(young.environment, facts.encode())
        write_bytes(young.metrics, (",".join(METRIC_COLUMNS) + "\n").encode())
        write_bytes(young.events, b"")
        write_bytes(young.config, config.encode())
        write_bytes(young.lineage, Lineage.new(settings).to_json().encode())
        name_it(young.path, folder)
    except BaseException:
        shutil.rmtree(young.path, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def name_it(young: Path, folder: Path) -> None:
    """Rename a folder to one that is not there or empty.

    Raises:
        UserError: it has something in it, such as a run that kept no lineage.
    """
    try:
        young.rename(folder)
    except OSError as error:
        if not folder.is_dir() or not any(folder.iterdir()):
            raise
        raise UserError(
            f"{folder} is not empty and holds no run that can go on (it has no lineage.json); name "
            "another folder."
        ) from error


def forget_stillborn(folder: Path) -> None:
    """Remove what earlier processes left that died while this run's folder was being made."""
    for young in folder.parent.glob(f".{folder.name}.*{BIRTH}"):
        with suppress(ValueError):
            maker = int(young.name.removesuffix(BIRTH).rpartition(".")[2])
            if not is_alive(maker):
                shutil.rmtree(young, ignore_errors=True)


def is_alive(process: int) -> bool:
    """Return whether there is a process with this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
