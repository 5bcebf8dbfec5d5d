"""The layouts in which publishers hand over their data sets.

Rules for what does not fit: a file that a list names must exist, else the download is incomplete
and the import stops, strict or not; a file that no list names is left out and counted in a note;
hidden files are ignored. No pixel is read here.
"""

import csv
from pathlib import Path

from federated.data.site import SPLITS
from federated.data.sources.listing import Listing, Row, files_in, frame, is_image
from federated.errors import UserError


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
    return Listing(folder, folder, frame(rows), tuple(notes))


def sars_cov_2(folder: Path) -> Listing:
    """List the SARS-CoV-2 CT-scan dataset (Soares et al. 2020): class folders, nothing else."""
    rows: list[Row] = []
    notes: list[str] = []
    for label, part in ((1, "COVID"), (0, "non-COVID")):
        names = _images(folder, part)
        good = [name for name in names if is_image(folder / part / name)]
        if len(good) < len(names):
            notes.append(f"{part}: left out {len(names) - len(good)} files that are no images")
        if not good:
            raise UserError(f"{folder / part}: holds no image; download the data set again")
        rows += [(f"{part}/{name}", label, "", "") for name in good]
    return Listing(folder, folder, frame(rows), tuple(notes))


def _images(folder: Path, part: str) -> list[str]:
    """Return the names of the files in a class folder."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; correct the setting or download it")
    place = folder / part
    if not place.is_dir():
        raise UserError(f"{place}: the class folder is missing; unpack the data set as published")
    names = files_in(place)
    if not names:
        raise UserError(f"{place}: holds no image; download the data set again")
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
