"""Decode once: a folder per site of memory-mapped greys that all workers share as page cache.

An entry is ``images.npy`` (uint8, (N, R, R), train then val then test) and ``manifest.parquet`` in
a folder named by its key. The key is the SHA-256 of everything that the entry depends on: of each
file the path, size, modification and change time (which costs a ``stat``, not a read, and which no
program that writes to the file can avoid), its label, patient and split, and the settings. Hence
nothing is ever updated: a change makes another key. An entry is built in a folder beside it and
renamed into place, so it is whole or not there, and of two builders the second throws its copy
away.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from federated.data import duplicates, images, manifest, sources, splits
from federated.data.site import SPLITS, SiteData, Split
from federated.errors import UserError
from federated.settings import Data

# Raise it when the layout of an entry, or the way that splits are drawn, changes.
VERSION = 1
IMAGES = "images.npy"
MANIFEST = "manifest.parquet"
Progress = Callable[[int, int], None]  # (images done, images in all)
_BUILDING = ".building-"
_ABANDONED = 24 * 3600  # seconds after which a half-built folder belongs to no living process


def cache_folder(setting: str) -> Path:
    """Return ``data.cache``, or consilium/ in the user's cache folder where it is empty."""
    if setting:
        return Path(setting).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "consilium"


def key_of(*parts: Any) -> str:
    """Return the SHA-256 of JSON values, hexadecimal."""
    return hashlib.sha256(json.dumps([VERSION, *parts], sort_keys=True).encode()).hexdigest()


def publish(cache: Path, key: str, build: Callable[[Path], None]) -> Path:
    """Return the entry of ``key``, having ``build`` fill a folder for it if there is none.

    Raises:
        UserError: the cache folder cannot be written.
    """
    entry = cache / key
    if entry.is_dir():
        return entry
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        part = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=cache))
        try:
            build(part)
            _move(part, entry)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{cache}: the cache cannot be written ({error.strerror}); free space or set "
            "data.cache to another folder"
        ) from error
    return entry


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
        except FileNotFoundError:  # its builder has just finished
            continue
        if abandoned:
            shutil.rmtree(part, ignore_errors=True)


def key_of_files(listing: sources.Listing, data: Data, site: str, side: int) -> str:
    """Return the key of a site's entry; costs a ``stat`` per image.

    Raises:
        UserError: an image is not there.
    """
    states = []
    for path in listing.rows["path"]:
        try:
            state = (listing.root / path).stat()
        except OSError as error:
            raise UserError(
                f"{listing.origin}: names the image '{path}', which cannot be found "
                f"({error.strerror}); correct the path or remove the row"
            ) from error
        states.append((state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    drawn = not listing.rows["split"].all()
    alike = not listing.rows["patient"].all()
    return key_of(
        *("files", images.VERSION, site, side, str(listing.root)),
        [data.val_fraction, data.test_fraction, data.split_seed] if drawn else None,
        data.duplicate_correlation if alike else None,
        listing.rows.to_numpy().tolist(),
        states,
    )


def build_files(
    part: Path, listing: sources.Listing, data: Data, *, site: str, progress: Progress
) -> None:
    """Decode into a scratch file, find the groups, then write in the order of the splits."""
    rows, side = listing.rows, images.cached_side(data)
    paths = [listing.root / path for path in rows["path"]]
    thumbnails = np.empty((len(paths), images.THUMBNAIL, images.THUMBNAIL), np.uint8)
    found: list[tuple[str, int, int]] = []
    scratch = part / "decoded"
    with scratch.open("wb") as file, ThreadPoolExecutor(images.cores()) as pool:
        for index, one in enumerate(pool.map(lambda path: images.decode(path, side), paths)):
            file.write(one.square.tobytes())
            thumbnails[index] = one.thumbnail
            found.append((one.sha256, one.width, one.height))
            progress(index + 1, len(paths))
    full = rows[["path", "label"]].assign(site=site)
    full[["sha256", "width", "height"]] = pd.DataFrame(found, index=rows.index)
    full["group"] = duplicates.group_images(
        list(rows["path"]),
        list(rows["patient"]),
        list(full["sha256"]),
        thumbnails,
        threshold=data.duplicate_correlation,
    )
    if rows["split"].all():
        full["split"] = rows["split"]
        splits.check_given(list(rows["patient"]), list(rows["split"]), site=site)
    else:
        full["split"] = splits.draw(full, data, site)
    decoded = np.memmap(scratch, np.uint8, "r", shape=(len(paths), side, side))
    write_site(part, full, decoded)
    scratch.unlink()


def write_site(
    folder: Path, rows: pd.DataFrame, pixels: npt.NDArray[np.uint8], *, block: int = 1024
) -> None:
    """Write a site's images and manifest ordered by split, so that each split is one slice.

    Args:
        folder: where to.
        rows: a full manifest, in the order of ``pixels``.
        pixels: uint8, (N, R, R), often a memory map.
        block: images held in memory at a time.
    """
    order = np.argsort(rows["split"].map(SPLITS.index).to_numpy(), kind="stable")
    header = {
        "descr": np.lib.format.dtype_to_descr(pixels.dtype),
        "fortran_order": False,
        "shape": pixels.shape,
    }
    # Written, not mapped: on a full disk a write raises, where a store to a map kills the process.
    with (folder / IMAGES).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(order), block):
            file.write(pixels[order[start : start + block]].tobytes())
        file.flush()
        os.fsync(file.fileno())  # the rename must not reach the disk before the pixels
    manifest.write_manifest(rows.iloc[order].reset_index(drop=True), folder / MANIFEST)


def read_site(entry: Path, site: str) -> tuple[SiteData, pd.DataFrame]:
    """Return a site with its images mapped read-only, and its manifest.

    Raises:
        UserError: the entry was damaged after it was written.
    """
    rows = manifest.read_manifest(entry / MANIFEST)
    try:
        pixels: npt.NDArray[np.uint8] = np.load(entry / IMAGES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{entry}: the cache entry is damaged; delete this folder") from error
    if len(pixels) != len(rows):
        raise UserError(
            f"{entry}: the cache entry has {len(pixels)} images for {len(rows)} rows; delete this "
            "folder"
        )
    labels = rows["label"].to_numpy(dtype=np.int64)
    ids = tuple(rows["path"])
    ends = np.cumsum([0] + [int((rows["split"] == name).sum()) for name in SPLITS])
    parts = [
        Split(pixels[start:end], labels[start:end], ids[start:end])
        for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]
    return SiteData(site, *parts), rows
