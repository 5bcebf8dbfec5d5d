"""What lies in one folder of the cache: a data set's images in the order of its splits.

``images.npy`` is uint8, (N, R, R), train then val then test; ``manifest.parquet`` has a row for
each; ``facts.parquet`` and ``thumbnails.npy`` hold what ``consilium data check`` wants to know of
it; ``skipped.json`` has a sentence for each unusable file that was left out.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from federated.data.formats.slices import FEW, FEW_GREYS, Grey
from federated.data.site import SPLITS, SiteData, Split
from federated.data.sources import manifest
from federated.errors import UserError
from federated.lazy import pd

IMAGES, THUMBNAILS = "images.npy", "thumbnails.npy"
MANIFEST, FACTS, SKIPPED = "manifest.parquet", "facts.parquet", "skipped.json"
TRAINING = "training.json"
FACT_COLUMNS = ("patient", "hospital", "format", "mode", "colour", "odd")


@dataclass(frozen=True)
class CacheEntry:
    """A data set as it lies in the cache.

    Attributes:
        rows: a full manifest and :data:`FACT_COLUMNS` beside it.
        pixels: uint8, (N, R, R), often a memory map.
        thumbnails: uint8, (N, 32, 32), likewise.
        skipped: a sentence for each file that was left out.
    """

    rows: pd.DataFrame
    pixels: Grey
    thumbnails: Grey
    skipped: tuple[str, ...] = ()


def write(folder: Path, entry: CacheEntry) -> None:
    """Write an entry ordered by split, so that each split is one slice."""
    order = np.argsort(entry.rows["split"].map(SPLITS.index).to_numpy(), kind="stable")
    rows = entry.rows.iloc[order].reset_index(drop=True)
    _write_array(folder / IMAGES, entry.pixels, order)
    _write_array(folder / THUMBNAILS, entry.thumbnails, order)
    manifest.write_manifest(rows, folder / MANIFEST, manifest.MOST_CLASSES)
    rows[list(FACT_COLUMNS)].to_parquet(folder / FACTS, index=False)
    (folder / SKIPPED).write_text(json.dumps(entry.skipped), encoding="utf-8")
    (folder / TRAINING).write_text(json.dumps(_training(rows)), encoding="utf-8")


def _write_array(path: Path, values: Grey, order: npt.NDArray[np.int64], block: int = 1024) -> None:
    """Write an array in another order, ``block`` images in memory at a time."""
    header = {
        "descr": np.lib.format.dtype_to_descr(values.dtype),
        "fortran_order": False,
        "shape": values.shape,
    }
    # Written, not mapped: on a full disk a write raises, where a store to a map kills the process.
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(order), block):
            file.write(values[order[start : start + block]].tobytes())


def read(folder: Path) -> CacheEntry:
    """Return an entry with its images mapped read-only.

    Raises:
        UserError: it was damaged after it was written.
    """
    rows = manifest.read_manifest(folder / MANIFEST, manifest.MOST_CLASSES)
    try:
        pixels: Grey = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
        thumbnails: Grey = np.load(folder / THUMBNAILS, mmap_mode="r", allow_pickle=False)
        facts = pd.read_parquet(folder / FACTS)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error
    if not len(pixels) == len(thumbnails) == len(facts) == len(rows):
        raise UserError(
            f"{folder}: the cache entry has {len(pixels)} images for {len(rows)} rows; delete this "
            "folder"
        )
    return CacheEntry(pd.concat([rows, facts], axis=1), pixels, thumbnails, skipped_files(folder))


def skipped_files(folder: Path) -> tuple[str, ...]:
    """Return a sentence for each file that was left out of an entry.

    Raises:
        UserError: the entry was damaged after it was written.
    """
    try:
        return tuple(json.loads((folder / SKIPPED).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> UserError:
    if isinstance(error, PermissionError):
        return UserError(
            f"{folder}: the cache entry is another user's and cannot be read; have them open it, "
            "or set data.cache to a folder of your own"
        )
    return _damaged(folder)


def _damaged(folder: Path) -> UserError:
    return UserError(f"{folder}: the cache entry is damaged; delete this folder")


def _training(rows: pd.DataFrame) -> dict[str, Any]:
    """Return what training needs of rows that are ordered by split."""
    counts = [int((rows["split"] == name).sum()) for name in SPLITS]
    return {
        "ends": [0, *np.cumsum(counts).tolist()],
        "labels": rows["label"].astype(int).tolist(),
        "ids": rows["path"].tolist(),
        "groups": int(rows["group"].nunique()),
        "warnings": _warnings(rows),
    }


def _warnings(rows: pd.DataFrame) -> list[str]:
    """Return what a user should hear of the images before training on them."""
    few = sorted(rows["path"][rows["odd"].str.split("; ").map(lambda odd: FEW_GREYS in odd)])
    if not few:
        return []
    return [
        f"{len(few)} of {len(rows)} images span under {FEW} of 256 greys, such as {few[0]}: their "
        "values may lie on another scale than they were read on"
    ]


def load_training(folder: Path, site: str) -> tuple[SiteData, int, tuple[str, ...]]:
    """Return what training sees of the entry in ``folder``, its number of groups and warnings.

    Its tables are not read.

    Raises:
        UserError: it was damaged after it was written.
    """
    try:
        training = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
        pixels: Grey = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error
    if not len(pixels) == len(training["labels"]) == len(training["ids"]):
        raise _damaged(folder)
    return _site_data(pixels, training, site), training["groups"], tuple(training["warnings"])


def _site_data(pixels: Grey, training: Mapping[str, Any], site: str) -> SiteData:
    labels, ids = np.array(training["labels"], dtype=np.int64), tuple(training["ids"])
    parts = [
        Split(pixels[start:end], labels[start:end], ids[start:end])
        for start, end in itertools.pairwise(training["ends"])
    ]
    return SiteData(site, *parts)
