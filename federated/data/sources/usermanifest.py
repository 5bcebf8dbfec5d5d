"""A user's own manifest: fewer columns than the full format, under whatever names.

Rules for bad rows (unknown label or split, no path, unusable site, a repetition): strict stops at
the first; otherwise they are left out and each gets its sentence. Rows without a cell mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from unicodedata import normalize

from federated.config.images import Data
from federated.data.names import refuse_alike, site_of
from federated.data.site import SPLITS
from federated.data.sources.labels import class_names, label_of, labels_of, pairs
from federated.data.sources.listing import Listing, class_notes
from federated.data.sources.manifest import path_and_site_checks
from federated.data.sources.source import DataSets, Dealing, Source, absolute
from federated.data.sources.tables import need_columns, read_table, row_sentence
from federated.errors import UserError, did_you_mean
from federated.lazy import pd

NEEDED = ("path", "label", "site")
USER_COLUMNS = (*NEEDED, "patient", "split")
OPTIONAL = ("patient", "group", "split", "hospital")
_SPLITS = {**dict(zip(SPLITS, SPLITS, strict=True)), "validation": "val", "": ""}
_NONE: Mapping[str, str] = MappingProxyType({})
_NO_LABELS: Mapping[str, int] = MappingProxyType({})


def read_user_manifest(
    path: Path,
    columns: Mapping[str, str] = _NONE,
    labels: Mapping[str, int] = _NO_LABELS,
    *,
    strict: bool = True,
    whole: str = "site",
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read path, site, label (int64), class, patient, split and hospital; a sentence per bad row.

    Columns ``path``, ``label`` and ``site`` are needed; ``patient`` (or ``group``) and ``split``
    may be there, as may others, which are ignored. Labels are 0 and 1 or names such as ``COVID``
    and ``non-COVID``. Unknown patients and splits are empty. Relative paths are relative to the
    manifest's folder.

    Args:
        path: of the CSV or parquet file.
        columns: name above -> the file's own; an empty one for ``site`` makes all images one site;
            ``hospital`` is any column.
        labels: names of classes beyond the usual.
        strict: stop at the first bad row.
        whole: name of that one site.

    Raises:
        UserError: naming the file, the row and the remedy.
    """
    wanted = {theirs for theirs in columns.values() if theirs} | {*NEEDED, *OPTIONAL} - {*columns}
    text = _renamed(read_table(path, wanted), columns, path, whole)
    empty = pd.Series("", index=text.index, dtype=str)
    frame = pd.DataFrame(
        {
            "path": text["path"].map(_plain_path),
            "site": text["site"].map(_plain_name),
            "label": text["label"].map(lambda label: label_of(label, labels)),
            "class": text["label"],
            "patient": text.get("patient", text.get("group", empty)).str.strip(),
            "split": text.get("split", empty).str.strip().str.lower().map(_SPLITS.get),
            "hospital": text.get("hospital", empty).map(_plain_name),
        }
    )
    shown = text.assign(site=frame["site"])
    checks = [
        (
            frame["label"].isna(),
            "has the unknown label '{label}'; use 1 or covid, 0 or non-covid, or set data.labels",
        ),
        (frame["split"].isna(), "has the unknown split '{split}'; use train, val or test"),
        *path_and_site_checks(frame),
    ]
    bad = pd.Series(False, index=frame.index)
    skipped: list[str] = []
    for which, complaint in checks:
        for index in (which & ~bad).to_numpy().nonzero()[0].tolist():
            skipped.append(row_sentence(shown, index, path, complaint))
            if strict:
                raise UserError(skipped[0])
        bad |= which
    frame = frame[~bad]
    for column in ("site", "hospital"):
        if column in text:
            refuse_alike(zip(text[column][~bad], frame[column], strict=True), str(path))
    if frame.empty:
        raise UserError(f"{path}: lists no image; add a row per image (skipped: {len(skipped)})")
    return frame.astype({"label": "int64"}), tuple(skipped)


def refuse_repeats(rows: pd.DataFrame, path: Path) -> None:
    """Refuse a manifest that is one data set and lists a file for two sites.

    Raises:
        UserError: naming the file.
    """
    again = rows["path"][rows["path"].duplicated()]
    if len(again):
        raise UserError(
            f"{path}: lists '{again.iloc[0]}' for two sites; a partition needs each image once, so "
            "remove one of the rows"
        )


def _plain_path(text: str) -> str:
    """Return a path without ``./`` and double slashes, so that one file has one name."""
    return PurePosixPath(text).as_posix() if text.strip() else text


def _plain_name(text: str) -> str:
    """Return a name without spaces around it, with accents written one way."""
    return normalize("NFC", text.strip())


def _renamed(
    text: pd.DataFrame, columns: Mapping[str, str], path: Path, whole: str
) -> pd.DataFrame:
    """Return the table under our names."""
    for ours in columns:
        if ours not in (*USER_COLUMNS, "hospital"):
            raise UserError(
                f"data.columns names '{ours}', which is none of {', '.join(USER_COLUMNS)}"
                f"{did_you_mean(ours, USER_COLUMNS)}"
            )
    need_columns(text, [theirs for theirs in columns.values() if theirs], path)
    there = [name for name in (*NEEDED, *OPTIONAL) if name in text and name not in columns]
    need_columns(text, there, path)
    renamed = text[there].copy()
    for ours, theirs in columns.items():
        if theirs:
            renamed[ours] = text[theirs]
        elif ours == "site":
            renamed[ours] = whole
    if "site" not in renamed:
        raise UserError(
            f"{path}: has no column 'site' among {', '.join(map(str, text.columns))}; write "
            'data.columns="site=NAME" with the name of the column that says which hospital an '
            'image is from, or data.columns="site=" if all are of one'
        )
    need_columns(text, [name for name in NEEDED if name not in renamed], path)
    return renamed


def datasets(data: Data, dealing: Dealing) -> DataSets:
    """Return the sites of the user's manifest, or all of it as one where it is dealt out.

    Raises:
        UserError: the manifest cannot be read.
    """
    if dealing.pooled:
        return {_pool(_path(data)): partial(list_images, data, "", dealing.column)}
    sites = sorted(set(_rows(data, "")[0]["site"]))
    return {site: partial(list_images, data, site) for site in sites}


def list_images(data: Data, site: str, column: str = "") -> Listing:
    """List one site of the user's manifest (empty: all), whose splits are all given or all empty.

    Args:
        data: the settings.
        site: name of the site.
        column: that becomes the listing's ``hospital``.

    Raises:
        UserError: some images have a split and some have none.
    """
    rows, skipped = _rows(data, column)
    path, classes = (
        _path(data),
        class_names(zip(rows["class"], rows["label"], strict=True), data.classes),
    )
    if site:
        rows = rows[rows["site"] == site]
    rows = rows.sort_values("path", ignore_index=True)
    blank = rows["split"] == ""
    if blank.any() and not blank.all():
        what = f"site '{site}'" if site else "the manifest"
        raise UserError(
            f"{path}: {what} has a split for "
            f"{int((~blank).sum())} of {len(rows)} images; give one to every image of the site, or "
            "to none to have it drawn"
        )
    if not site:
        refuse_repeats(rows, path)
    rows = rows.drop(columns=["site", "class"])
    return Listing(path.parent, path, rows, class_notes(rows, classes), skipped, classes)


def _path(data: Data) -> Path:
    return absolute(data.manifest, "manifest")


def _pool(path: Path) -> str:
    return site_of(path.parent.name)


def _rows(data: Data, column: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    path = _path(data)
    try:
        state = path.stat()
        stamp = (state.st_size, state.st_mtime_ns)
    except OSError:
        stamp = (0, 0)  # reading says what is wrong
    return _rows_at(replace(data, manifest=str(path)), column, stamp)


@lru_cache(maxsize=2)
def _rows_at(
    data: Data, column: str, stamp: tuple[int, int]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a manifest once for all its sites, as long as it does not change."""
    path = Path(data.manifest)
    columns = {**pairs(data.columns, "data.columns")}
    if column:
        columns["hospital"] = column
    return read_user_manifest(path, columns, labels_of(data), strict=data.strict, whole=_pool(path))


SOURCE = Source("manifest", datasets)
