"""What hospitals hold, as a manifest that ``data.manifest`` reads back to the same splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from federated.data.checking.survey import Surveyed
from federated.errors import UserError
from federated.lazy import pd


def readable_manifest(
    sites: tuple[Surveyed, ...], folder: Path
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return a row per file, and sentences on how paths are written and on what is left out.

    A volume of several slices is one row: all its slices are in one split and of one class.

    Args:
        sites: the hospitals.
        folder: of the manifest; paths below it are relative to it, as ``data.manifest`` reads them,
            all others are absolute.

    Raises:
        UserError: no hospital has files.
    """
    real = [one for one in sites if one.summary.root is not None]
    if not real:
        raise UserError(
            "synthetic hospitals have no files to list; name images, such as data.folder=PATH"
        )
    tables = [_of_files(one, one.summary.root or folder, folder) for one in real]
    return pd.concat(tables, ignore_index=True), tuple(_notes(sites, tables, folder))


def _of_files(one: Surveyed, root: Path, folder: Path) -> pd.DataFrame:
    rows = one.entry.rows
    paths = [_seen_from(folder, _file(root / path)) for path in rows["path"]]
    return rows.assign(path=paths).drop_duplicates("path", ignore_index=True)


def _file(place: Path) -> Path:
    """Return the file of an image, which may be a slice of one, called ``FILE#57``."""
    if place.exists():
        return place
    return place.with_name(place.name.rpartition("#")[0])


def _seen_from(folder: Path, place: Path) -> str:
    return (place.relative_to(folder) if place.is_relative_to(folder) else place).as_posix()


def _notes(sites: tuple[Surveyed, ...], tables: list[pd.DataFrame], folder: Path) -> Iterator[str]:
    absolute = sum(int(rows["path"].str.startswith("/").sum()) for rows in tables)
    relative = sum(map(len, tables)) - absolute
    if relative:
        yield f"{relative} paths are relative to {folder}, the manifest's folder: keep it there."
    if absolute:
        yield f"{absolute} paths are absolute: they hold on this machine only."
    if phantoms := [one.name for one in sites if one.summary.root is None]:
        yield f"left out: {', '.join(phantoms)}, which are synthetic and have no files."
