"""Decode once: a folder per site of memory-mapped greys that all workers share as page cache.

An entry (see ``federated.data.entry``) is a folder named by its key, the SHA-256 of everything
that the entry depends on: of each file the path, size, modification and change time (which costs a
``stat``, not a read, and which no program that writes to the file can avoid), its label, patient
and split, and the settings. Hence nothing is ever updated: a change makes another key. An entry is
built in a folder beside it and renamed into place, so it is whole or not there, and of two builders
the second throws its copy away. Whoever may enter the cache's folder may read its entries; a folder
that we make is its user's alone.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from federated.errors import UserError, absolute_path

# Raise it when the layout of an entry, or the way that splits are drawn, changes.
VERSION = 3
FileProgress = Callable[[int, int], None]  # (images done, images in all)
_PRIVATE = 0o700
_BUILDING = ".building-"
_ABANDONED = 24 * 3600  # seconds after which a half-built folder belongs to no living process


def cache_folder(setting: str) -> Path:
    """Return ``data.cache``, or consilium/ in the user's cache folder where it is empty.

    Raises:
        UserError: the user has no home folder. A folder that anyone may guess, such as one in
            /tmp, is no place for decoded images of patients.
    """
    if setting:
        return absolute_path(setting, "data.cache")
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".cache") / "consilium"
    except RuntimeError as error:
        raise UserError(
            "data.cache: this user has no home folder for the cache; set data.cache to a folder."
        ) from error


def key_of(*parts: Any) -> str:
    """Return the SHA-256 of JSON values, hexadecimal."""
    return hashlib.sha256(json.dumps([VERSION, *parts], sort_keys=True).encode()).hexdigest()


def publish(cache: Path, key: str, build: Callable[[Path], None]) -> Path:
    """Return the entry of ``key``, having ``build`` fill a folder for it if there is none.

    Raises:
        UserError: the cache folder cannot be written.
    """
    entry = cache / key
    try:
        if entry.is_dir():
            return entry
        cache.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        _sweep(cache)
        part = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=cache))
        try:
            build(part)
            _settle(part, cache.stat().st_mode)
            _move(part, entry)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{cache}: the cache cannot be written ({error.strerror or error}); free space or set "
            "data.cache to another folder"
        ) from error
    return entry


def _settle(part: Path, mode: int) -> None:
    """Open an entry to whom the cache is open to, and bring it to the disk before its rename."""
    with suppress(OSError):  # a file system without modes
        part.chmod(mode & 0o777)
        for path in part.iterdir():
            path.chmod(mode & 0o666)
    for path in part.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _move(part: Path, entry: Path) -> None:
    try:
        part.rename(entry)
    except OSError:
        if not entry.is_dir():  # else another builder was first, with the same content
            raise


def _sweep(cache: Path) -> None:
    """Remove what killed builders left behind."""
    for part in cache.glob(f"{_BUILDING}*"):
        try:
            abandoned = time.time() - part.stat().st_mtime > _ABANDONED
        except OSError:  # its builder has just finished, or is another user
            continue
        if abandoned:
            shutil.rmtree(part, ignore_errors=True)
