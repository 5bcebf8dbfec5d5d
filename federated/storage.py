"""Files that are whole or absent: safetensors and JSON, written atomically, checked when read.

Both the sites' vaults and the server's checkpoints are built of these.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


class DamagedFileError(Exception):
    """A file's content is not what was written."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds all of it, or what it held before a crash.

    Temporary file, fsync, rename, fsync of the folder; mode 0600.
    """
    _replace(path, content)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _replace(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``; a loss of power may still bring back what it held before."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors to ``path``, then ``facts`` and their SHA-256 to a JSON beside it: the commit.

    Args:
        path: Ends in ``.safetensors``; the JSON has the same name and ends in ``.json``.
        tensors: CPU tensors.
        facts: JSON values.
    """
    # safetensors refuses tensors that share memory, such as tied weights: each is copied out.
    content = save(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    )
    _replace(_next(path), content)  # the folder is synced once, with the JSON
    manifest = {"sha256": hashlib.sha256(content).hexdigest(), "facts": dict(facts)}
    write_bytes(path.with_suffix(".json"), json.dumps(manifest, indent=1).encode())
    _next(path).replace(path)


def _next(path: Path) -> Path:
    """Return where new tensors wait until their JSON is written.

    Old tensors stay beside the old JSON until the new JSON, which is the commit, has replaced it;
    so a crash at any moment leaves one pair that belongs together.
    """
    return path.with_name(f".{path.name}.next")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and facts written by ``write_tensors``.

    Raises:
        DamagedFileError: the content is not what was written, a flipped bit included.
        FileNotFoundError: there is no such file.
    """
    manifest = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    for candidate in (path, _next(path)):
        content = candidate.read_bytes() if candidate.exists() else b""
        if hashlib.sha256(content).hexdigest() == manifest["sha256"]:
            return load(content), manifest["facts"]
    raise DamagedFileError(f"{path} is damaged: its SHA-256 is not the recorded one")


def remove_tensors(path: Path) -> None:
    """Remove a file of ``write_tensors``; the JSON first, since it is the commit."""
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    _next(path).unlink(missing_ok=True)
