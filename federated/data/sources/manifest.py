"""The one manifest format: a table with a row per image, whatever the images came from.

A user's manifest needs less than the full format; see ``federated.data.sources.usermanifest``.
"""

from __future__ import annotations

import os
from pathlib import Path

from federated.data.names import is_site
from federated.data.site import SPLITS
from federated.data.sources.tables import need_columns, read_table, row_sentence
from federated.errors import UserError
from federated.lazy import pd

MANIFEST_COLUMNS = ("path", "site", "group", "label", "split", "sha256", "width", "height")
NUMBERS = ("label", "width", "height")
MOST_CLASSES = 100
"""What labels of a cache entry are below, whose classes the settings of a run name."""


def write_manifest(
    frame: pd.DataFrame, path: Path, classes: int = 2, *, more: tuple[str, ...] = ()
) -> None:
    """Write a full manifest as CSV or parquet (by suffix), whole or not at all.

    Args:
        frame: has :data:`MANIFEST_COLUMNS`, and ``more``.
        path: where to.
        classes: how many there are.
        more: further columns to write.
    """
    frame = frame.loc[:, [*MANIFEST_COLUMNS, *more]]
    first = 2 if path.suffix == ".csv" else 1  # below the header
    _check_full(frame.set_axis(range(first, first + len(frame)), axis=0), path, classes)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix == ".csv":
            frame.to_csv(part, index=False)
        else:
            frame.to_parquet(part, index=False)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_manifest(path: Path, classes: int = 2) -> pd.DataFrame:
    """Read a full manifest with exactly :data:`MANIFEST_COLUMNS`; numbers are int64, the rest text.

    Raises:
        UserError: naming the file, the row and the remedy.
    """
    text = read_table(path, MANIFEST_COLUMNS)
    need_columns(text, MANIFEST_COLUMNS, path)
    frame = text.loc[:, list(MANIFEST_COLUMNS)]
    for column in NUMBERS:
        bad = ~frame[column].str.fullmatch(r"\d{1,9}").astype(bool)
        _refuse(frame, bad, path, f"has {column} '{{{column}}}'; make it a number")
    frame = frame.astype(dict.fromkeys(NUMBERS, "int64"))
    _check_full(frame, path, classes)
    return frame.reset_index(drop=True)


def _check_full(frame: pd.DataFrame, path: Path, classes: int) -> None:
    if frame.empty:
        raise UserError(f"{path}: lists no image; add a row per image")
    for bad, complaint in path_and_site_checks(frame):
        _refuse(frame, bad, path, complaint)
    remedy = "use 1 for COVID and 0 for not" if classes == 2 else f"use 0 to {classes - 1}"
    checks: dict[str, tuple[pd.Series, str]] = {
        "group": (frame["group"].str.len() > 0, "name the patient or group"),
        "label": (frame["label"] < classes, remedy),
        "split": (frame["split"].isin(SPLITS), "use train, val or test"),
        "sha256": (frame["sha256"].str.fullmatch("[0-9a-f]{64}").astype(bool), "use 64 hex digits"),
        "width": (frame["width"] > 0, "use pixels above 0"),
        "height": (frame["height"] > 0, "use pixels above 0"),
    }
    for column, (good, remedy) in checks.items():
        _refuse(frame, ~good, path, f"has {column} '{{{column}}}'; {remedy}")


def path_and_site_checks(frame: pd.DataFrame) -> list[tuple[pd.Series, str]]:
    """Return which rows have unusable paths or sites, and what to say of each."""
    return [
        (
            ~frame["path"].str.fullmatch(r"[^\x00-\x1f\x7f]*[^\x00-\x20\x7f]").astype(bool),
            "has no usable path ({path!r}); name the image file",
        ),
        (
            ~frame["site"].map(is_site).astype(bool),
            "has the site '{site}'; use letters, digits, spaces, '.', '_' and '-', with a letter "
            "or digit first",
        ),
        (
            frame.duplicated(["path", "site"]),
            "lists '{path}' of site '{site}' again; remove one of the rows",
        ),
    ]


def _refuse(frame: pd.DataFrame, bad: pd.Series, path: Path, complaint: str) -> None:
    """Raise for the first bad row."""
    if bad.any():
        raise UserError(row_sentence(frame, int(bad.to_numpy().argmax()), path, complaint))
