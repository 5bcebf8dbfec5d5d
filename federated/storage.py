"""Files that are whole or absent: safetensors and JSON, written atomically, checked when read.

Both the sites' vaults and the server's checkpoints are built of these.
"""

import ctypes
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.numpy import save as numpy_save
from safetensors.torch import load
from safetensors.torch import save as torch_save
from torch import Tensor

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


class DamagedFileError(Exception):
    """A file's content is not what was written."""


def write_bytes(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write ``content`` so that ``path`` holds all of it, or what it held before a crash.

    Temporary file, fsync, rename, fsync of the folder; mode 0600.

    Args:
        path: Where to.
        content: What to.
        sync: False: whoever counts on it calls ``sync_disk`` first. Until then it outlives the
            death of any process, as all that was written does, but not a loss of power.
    """
    _replace(path, content, sync=sync)
    if sync:
        sync_folder(path.parent)


def sync_disk(folder: Path) -> None:
    """Make all that was written to the disk of ``folder`` outlive a loss of power, at once.

    One call for the files of a thousand sites; where the system has no ``syncfs``, for all disks.
    """
    syncfs = getattr(ctypes.CDLL(None), "syncfs", None)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor):
            raise OSError(f"{folder} could not be written to its disk")
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes, *, sync: bool) -> None:
    """Write ``content`` to ``path``; a loss of power may still bring back what it held before."""
    temporary = _temporary(path)
    # Not O_TRUNC: what was handed over is written over where it lies on the disk.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            written = 0
            while written < len(content):  # one call writes 2 GB at most
                written += file.write(memoryview(content)[written:])
            if os.fstat(descriptor).st_size > written:
                file.truncate(written)
            if sync:
                os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def hand_over(old: Path, new: Path) -> None:
    """Let a file that nobody needs any more be written over as the next content of another.

    A file that is made, and one that is removed, cost the system five times what writing over one
    does. A crash in between leaves neither, as after a removal.

    Args:
        old: The file given up; it may be missing.
        new: A path that ``write_bytes`` or ``write_tensors`` of this process writes next.
    """
    with suppress(FileNotFoundError):
        old.replace(_temporary(new))


def hand_over_tensors(old: Path, new: Path) -> None:
    """Let a file of ``write_tensors`` be written over as another, where there is none yet."""
    # The JSON first, since it is the commit.
    for suffix in (".json", ".safetensors"):
        hand_over(old.with_suffix(suffix), new.with_suffix(suffix))


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, sync: bool = True
) -> None:
    """Write tensors to ``path``, and facts and a SHA-256 over both to the JSON beside it.

    The JSON is written last: it commits.

    Args:
        path: Ends in ``.safetensors``; the JSON has the same name and ends in ``.json``.
        tensors: CPU tensors.
        facts: JSON values.
        sync: As for ``write_bytes``.
    """
    content = _serialised({n: tensor.detach().cpu().contiguous() for n, tensor in tensors.items()})
    finish_move(path)  # or what the present JSON speaks of would be overwritten before its time
    if not path.with_suffix(".json").exists():  # so nothing speaks of what is there
        _replace(path, content, sync=sync)
        _commit(path, content, facts, sync=sync)
        return
    _replace(_next(path), content, sync=sync)  # the folder is synced once, with the JSON
    _commit(path, content, facts, sync=sync)
    _next(path).replace(path)


def _serialised(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors as a safetensors file, those that share memory, as tied weights do, included.

    By way of numpy, whose bytes are the same and cost a quarter; it knows no bfloat16.
    """
    try:
        return numpy_save({name: tensor.numpy() for name, tensor in tensors.items()})
    except TypeError:
        return torch_save({name: tensor.clone() for name, tensor in tensors.items()})


def write_facts(path: Path, facts: Mapping[str, Any], *, sync: bool = True) -> None:
    """Write other facts beside the tensors that are there.

    Args:
        path: Of the tensors, which ``write_tensors`` wrote.
        facts: As for ``write_tensors``.
        sync: As for ``write_bytes``.

    Raises:
        DamagedFileError: the tensors are not what was written.
        FileNotFoundError: there are none.
    """
    finish_move(path)
    content, (old, digest) = path.read_bytes(), read_facts(path)
    if _digest(content, old) != digest:
        raise DamagedFileError(f"{path} is damaged: its SHA-256 is not the recorded one")
    _commit(path, content, facts, sync=sync)


def _commit(path: Path, content: bytes, facts: Mapping[str, Any], *, sync: bool) -> None:
    """Write the JSON that makes tensors count."""
    manifest = {"sha256": _digest(content, facts), "facts": dict(facts)}
    # Without indent=, which would have it written by Python code, ten times as slow.
    write_bytes(path.with_suffix(".json"), json.dumps(manifest).encode(), sync=sync)


def _digest(content: bytes, facts: Mapping[str, Any]) -> str:
    """Return SHA-256 over a file of tensors and its facts."""
    digest = hashlib.sha256(content)
    digest.update(json.dumps(dict(facts), sort_keys=True).encode())
    return digest.hexdigest()


def _next(path: Path) -> Path:
    """Return where new tensors wait until their JSON is written.

    Old tensors stay beside the old JSON until the new JSON, which is the commit, has replaced it;
    so a crash at any moment leaves one pair that belongs together.
    """
    return path.with_name(f".{path.name}.next")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and facts written by ``write_tensors``.

    Raises:
        DamagedFileError: the content is not what was written, a flipped bit or a cut JSON included.
        FileNotFoundError: there is no such JSON.
    """
    facts, digest = read_facts(path)
    for candidate in (path, _next(path)):
        content = candidate.read_bytes() if candidate.exists() else b""
        if _digest(content, facts) == digest:
            return load(content), facts
    raise DamagedFileError(f"{path} is damaged: its SHA-256 is not the recorded one")


def read_facts(path: Path) -> tuple[dict[str, Any], str]:
    """Return the facts beside a file of tensors, and the SHA-256 over both, not compared.

    Raises:
        DamagedFileError: the JSON is none, or not as it was written.
        FileNotFoundError: there is none.
    """
    manifest = path.with_suffix(".json")
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        return dict(content["facts"]), str(content["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{manifest} is damaged: {type(error).__name__}") from error


def finish_move(path: Path) -> None:
    """Put tensors in place that a crash left waiting after their commit; drop what came to none."""
    if not _next(path).exists():
        return
    try:
        facts, digest = read_facts(path)
        committed = _digest(_next(path).read_bytes(), facts) == digest
    except (DamagedFileError, FileNotFoundError):
        committed = False
    if committed:
        _next(path).replace(path)
    else:
        _next(path).unlink()


def remove_tensors(path: Path) -> None:
    """Remove a file of ``write_tensors``; the JSON first, since it is the commit."""
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    _next(path).unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what a crash left behind in a folder: half-written files and tensors without a JSON.

    Tensors that were committed and not yet in place are put there.
    """
    for path in list(folder.iterdir()):
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            path.unlink(missing_ok=True)
        elif path.name.startswith(".") and path.name.endswith(".next"):
            finish_move(path.with_name(path.name[1 : -len(".next")]))
    for path in list(folder.glob("*.safetensors")):
        if not path.with_suffix(".json").exists():
            path.unlink(missing_ok=True)
