"""Where images come from: each source in the settings becomes data sets, each a ``Listing``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from federated.config.schema import Data
from federated.data.sources import folders, publishers, usermanifest
from federated.data.sources.listing import Listing, class_notes, folder, pairs
from federated.errors import UserError
from federated.lazy import pd


@dataclass(frozen=True)
class Source:
    """A public data set: the field of ``settings.Data`` that holds its folder, and its reader."""

    setting: str
    read: Callable[[Path], Listing]


SOURCES = {
    "covid-ct": Source("covid_ct", publishers.covid_ct),
    "sars-cov-2": Source("sars_cov_2", publishers.sars_cov_2),
}


def datasets(data: Data, *, pooled: bool) -> tuple[str, ...]:
    """Return the names of the settings' data sets of files, sorted.

    Args:
        data: the settings.
        pooled: a manifest is one data set, whatever its sites; else each of its sites is one.

    Raises:
        UserError: two have the same name.
    """
    names = [name for name, source in SOURCES.items() if getattr(data, source.setting)]
    if data.folder:
        names += folders.folder_sites(folder(data.folder), labels_of(data))
    if data.manifest:
        path = folder(data.manifest)
        own = (_pool(path),) if pooled else user_sites(data)
        if taken := sorted(set(own) & set(names)):
            raise UserError(
                f"{data.manifest}: has a site '{taken[0]}', a name that is taken by another "
                "source; rename it in the manifest"
            )
        names += own
    return tuple(sorted(names))


def find(data: Data, name: str, *, pooled: bool, hospital: str = "") -> Listing:
    """List a data set of :func:`datasets`.

    Args:
        data: the settings.
        name: of the data set.
        pooled: as for :func:`datasets`.
        hospital: column of the manifest that becomes the listing's column of that name.
    """
    if name in SOURCES and getattr(data, SOURCES[name].setting):
        return SOURCES[name].read(folder(getattr(data, SOURCES[name].setting)))
    if data.folder:
        labels = labels_of(data)
        places = folders.folder_sites(folder(data.folder), labels)
        if name in places:
            return folders.class_folders(places[name], labels, strict=data.strict)
    return user_site(data, "" if pooled else name, hospital)


def labels_of(data: Data) -> Mapping[str, int]:
    """Return the user's names of classes.

    Raises:
        UserError: one stands for neither 0 nor 1.
    """
    named = pairs(data.labels, "data.labels")
    for name, value in named.items():
        if value not in ("0", "1"):
            raise UserError(f"data.labels has {name}={value}; write 1 for COVID and 0 for not")
    return {name: int(value) for name, value in named.items()}


def user_sites(data: Data) -> tuple[str, ...]:
    """Return the sites of the user's manifest, sorted."""
    return tuple(sorted(set(_user_rows(data, "")[0]["site"])))


def user_site(data: Data, site: str, hospital: str = "") -> Listing:
    """List one site of the user's manifest (empty: all), whose splits are all given or all empty.

    Raises:
        UserError: some images have a split and some have none.
    """
    rows, skipped = _user_rows(data, hospital)
    path = folder(data.manifest)
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
        usermanifest.refuse_repeats(rows, path)
    rows = rows.drop(columns="site")
    return Listing(path.parent, path, rows, class_notes(rows), skipped)


def _pool(path: Path) -> str:
    return folders.site_of(path.parent.name)


def _user_rows(data: Data, hospital: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    path = folder(data.manifest)
    try:
        state = path.stat()
        stamp = (state.st_size, state.st_mtime_ns)
    except OSError:
        stamp = (0, 0)  # reading says what is wrong
    return _user_rows_at(replace(data, manifest=str(path)), hospital, stamp)


@lru_cache(maxsize=2)
def _user_rows_at(
    data: Data, hospital: str, stamp: tuple[int, int]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a manifest once for all its sites, as long as it does not change."""
    path = Path(data.manifest)
    columns = {**pairs(data.columns, "data.columns")}
    if hospital:
        columns["hospital"] = hospital
    return usermanifest.read_user_manifest(
        path, columns, labels_of(data), strict=data.strict, whole=_pool(path)
    )
