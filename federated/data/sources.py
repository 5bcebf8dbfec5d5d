"""The layouts in which publishers and users hand over images: each becomes a ``Listing``.

Rules for what does not fit: a file that a list names must exist, else the download is incomplete
and the import stops; a file that no list names is left out and counted in a note; hidden files are
ignored. No pixel is read here.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from federated.data import images, manifest
from federated.data.site import SPLITS
from federated.errors import UserError
from federated.settings import Data

Row = tuple[str, int, str, str]


@dataclass(frozen=True)
class Listing:
    """The images of one site before any is opened.

    Attributes:
        root: folder that relative paths start from.
        origin: file or folder that names the images, for messages.
        rows: path (relative with / or absolute), label (int64), patient and split (empty where
            unknown), sorted by path.
        notes: what was left out or is missing, for the user.
    """

    root: Path
    origin: Path
    rows: pd.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A public data set: the field of ``settings.Data`` that holds its folder, and its reader."""

    setting: str
    read: Callable[[Path], Listing]


def covid_ct(folder: Path) -> Listing:
    """List COVID-CT (Zhao et al. 2020): class folders, official split lists, patients in meta/."""
    rows: list[Row] = []
    notes: list[str] = []
    for label, part in ((1, "COVID"), (0, "NonCOVID")):
        names = _images(folder, f"CT_{part}")
        splits = _official_split(folder / "Data-split" / part, names)
        patients = _patients(folder, f"{part}-CT-MetaInfo.csv")
        rows += [(f"CT_{part}/{n}", label, patients.get(n, ""), s) for n, s in splits.items()]
        if unlisted := sorted(set(names) - set(splits)):
            notes.append(
                f"CT_{part}: left out {len(unlisted)} files that are in no official split list, "
                f"such as {unlisted[0]}"
            )
        if unknown := sum(name not in patients for name in splits):
            notes.append(f"CT_{part}: the patients of {unknown} images are unknown")
    return Listing(folder, folder, _frame(rows), tuple(notes))


def sars_cov_2(folder: Path) -> Listing:
    """List the SARS-CoV-2 CT-scan dataset (Soares et al. 2020): class folders, nothing else."""
    rows: list[Row] = []
    notes: list[str] = []
    for label, part in ((1, "COVID"), (0, "non-COVID")):
        names = _images(folder, part)
        good = [name for name in names if Path(name).suffix.lower() in images.SUFFIXES]
        if len(good) < len(names):
            notes.append(f"{part}: left out {len(names) - len(good)} files that are no images")
        if not good:
            raise UserError(f"{folder / part}: holds no image; download the data set again")
        rows += [(f"{part}/{name}", label, "", "") for name in good]
    return Listing(folder, folder, _frame(rows), tuple(notes))


SOURCES = {
    "covid-ct": Source("covid_ct", covid_ct),
    "sars-cov-2": Source("sars_cov_2", sars_cov_2),
}


def folder(setting: str) -> Path:
    """Return a path setting as an absolute path, so that the key does not depend on the shell."""
    return Path(setting).expanduser().absolute()


def find(data: Data, site: str) -> Listing | None:
    """List a site of the settings, or return None where it is of no source of files."""
    if site in SOURCES:
        return SOURCES[site].read(folder(getattr(data, SOURCES[site].setting)))
    if data.manifest and site in user_sites(folder(data.manifest)):
        return user_site(folder(data.manifest), site)
    return None


def user_sites(path: Path) -> tuple[str, ...]:
    """Return the sites of a user's manifest, sorted."""
    return tuple(sorted(set(_user_rows(path)["site"])))


def user_site(path: Path, site: str) -> Listing:
    """List one site of a user's manifest, whose splits must be all given or all empty."""
    rows = _user_rows(path)
    rows = rows[rows["site"] == site].sort_values("path", ignore_index=True)
    blank = rows["split"] == ""
    if blank.any() and not blank.all():
        raise UserError(
            f"{path}: site '{site}' has a split for {int((~blank).sum())} of {len(rows)} images; "
            "give one to every image of the site, or to none to have it drawn"
        )
    classes = set(rows["label"])
    notes = [
        f"no image is {name}: AUC is undefined here"
        for label, name in ((1, "COVID"), (0, "non-COVID"))
        if label not in classes
    ]
    return Listing(path.parent, path, rows.drop(columns="site"), tuple(notes))


def _user_rows(path: Path) -> pd.DataFrame:
    try:
        state = path.stat()
    except OSError:
        return manifest.read_user_manifest(path)  # which says what is wrong
    return _user_rows_at(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=2)
def _user_rows_at(path: Path, size: int, mtime_ns: int) -> pd.DataFrame:
    """Read a manifest once for all its sites, as long as it does not change."""
    return manifest.read_user_manifest(path)


def _frame(rows: list[Row]) -> pd.DataFrame:
    frame = pd.DataFrame(sorted(rows), columns=["path", "label", "patient", "split"])
    return frame.astype({"label": "int64", "path": str, "patient": str, "split": str})


def _images(folder: Path, part: str) -> list[str]:
    """Return the names of the files in a class folder."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; correct the setting or download it")
    place = folder / part
    if not place.is_dir():
        raise UserError(f"{place}: the class folder is missing; unpack the data set as published")
    names = [entry.name for entry in place.iterdir() if not entry.name.startswith(".")]
    if not names:
        raise UserError(f"{place}: holds no image; download the data set again")
    for name in names:
        if not name.isprintable():  # undecodable bytes among them; a manifest cannot hold these
            raise UserError(f"{place}: holds a file whose name {name!a} is not text; rename it")
    return names


def _official_split(folder: Path, names: list[str]) -> dict[str, str]:
    """Return the split of every listed name."""
    there = set(names)
    splits: dict[str, str] = {}
    for split in SPLITS:
        found = sorted(folder.glob(f"{split}*.txt"))
        if len(found) != 1:
            raise UserError(
                f"{folder}: has {len(found)} split lists {split}*.txt instead of one; copy the "
                "publisher's Data-split folder here"
            )
        for name in filter(None, map(str.strip, _lines(found[0]))):
            if name not in there:
                raise UserError(
                    f"{found[0]}: lists '{name}', of which there is no file; complete the download"
                )
            if splits.setdefault(name, split) != split:
                raise UserError(
                    f"{found[0]}: lists '{name}', which is in '{splits[name]}' too; copy the "
                    "publisher's Data-split folder again"
                )
    return splits


def _patients(folder: Path, name: str) -> dict[str, str]:
    """Return file name -> patient from the publisher's table, empty where there is no table."""
    for path in (folder / "meta" / name, folder / name):
        if path.is_file():
            table = csv.DictReader(_lines(path, keep_ends=True))
            columns = {str(column).strip().lower(): column for column in table.fieldnames or ()}
            image = columns.get("file name", columns.get("image name"))
            patient = columns.get("patient id")
            if image is None or patient is None:
                raise UserError(
                    f"{path}: has no columns 'file name' and 'patient id'; copy the publisher's "
                    "table again, or remove it to do without patients"
                )
            return {row[image].strip(): (row[patient] or "").strip() for row in table}
    return {}


def _lines(path: Path, keep_ends: bool = False) -> list[str]:
    # Captions in the publishers' tables are of mixed encodings; names and ids are ASCII or UTF-8.
    return path.read_text(encoding="utf-8-sig", errors="replace").splitlines(keep_ends)
