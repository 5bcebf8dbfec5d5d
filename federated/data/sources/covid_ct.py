"""COVID-CT (Zhao et al. 2020): class folders, official split lists, patients in meta/."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from federated.data.site import SPLITS
from federated.data.sources.listing import Listing, Row, beside, left_out, table_of
from federated.data.sources.publishers import as_on_disk, class_folder, dataset_folder, lines_of
from federated.data.sources.source import published
from federated.errors import UserError

CLASSES = ((1, "COVID"), (0, "NonCOVID"))
PATIENT_TABLES = {part: f"{part}-CT-MetaInfo.csv" for _, part in CLASSES}


def list_images(folder: Path) -> Listing:
    """List the data set as published in a folder.

    Raises:
        UserError: the folder, a class of it or a list is missing, or a listed file is.
    """
    around = dataset_folder(folder)
    known = ["Data-split", "meta", *PATIENT_TABLES.values(), *(f"CT_{part}" for _, part in CLASSES)]
    notes = beside(folder.name, around, known)
    rows: list[Row] = []
    broken = [*around.broken]
    for label, part in CLASSES:
        tree = class_folder(folder / f"CT_{part}")
        broken += tree.broken
        lists = _official_split(folder / "Data-split" / part)
        files = as_on_disk(lists, tree.files)
        _refuse_missing(lists, files, folder / "Data-split" / part)
        patients = _patients(folder, part, tree.files)
        rows += [
            (f"CT_{part}/{files[name]}", label, patients.get(files[name], ""), split)
            for name, split in lists.items()
        ]
        notes += _notes(f"CT_{part}", tree.files, files, patients)
        notes += beside(f"CT_{part}", tree, tree.files)
    return Listing(folder, folder, table_of(rows), tuple(notes), tuple(broken))


def _notes(
    where: str, there: Iterable[str], files: Mapping[str, str], patients: Mapping[str, str]
) -> list[str]:
    unlisted = sorted(set(there) - set(files.values()))
    notes = left_out(where, "files that are in no official split list", unlisted)
    if renamed := [file for name, file in files.items() if name != file]:
        notes.append(
            f"{where}: files that the split lists name with another ending, case or accent: "
            f"{len(renamed)} ({renamed[0]}{', ...' if len(renamed) > 1 else ''})"
        )
    if unknown := sum(file not in patients for file in files.values()):
        notes.append(f"{where}: the patients of {unknown} images are unknown")
    return notes


def _official_split(folder: Path) -> dict[str, str]:
    """Return the split of every listed name."""
    splits: dict[str, str] = {}
    for split in SPLITS:
        path = _split_list(folder, split)
        for name in filter(None, map(str.strip, lines_of(path))):
            if splits.setdefault(name, split) != split:
                raise UserError(
                    f"{path}: lists '{name}', which is in '{splits[name]}' too; copy the "
                    "publisher's Data-split folder again"
                )
    return splits


def _split_list(folder: Path, split: str) -> Path:
    lists = sorted(folder.glob(f"{split}*.txt"))
    if len(lists) != 1:
        raise UserError(
            f"{folder}: has {len(lists)} split lists {split}*.txt instead of one; copy the "
            "publisher's Data-split folder here"
        )
    return lists[0]


def _refuse_missing(lists: Mapping[str, str], files: Mapping[str, str], folder: Path) -> None:
    for name, split in lists.items():
        if name not in files:
            raise UserError(
                f"{_split_list(folder, split)}: lists '{name}', of which there is no file; "
                "complete the download"
            )
    taken: dict[str, str] = {}
    for name, file in files.items():
        if taken.setdefault(file, name) != name:
            raise UserError(
                f"{_split_list(folder, lists[name])}: lists '{taken[file]}' and '{name}', and only "
                f"'{file}' is there; complete the download"
            )


def _patients(folder: Path, part: str, there: Iterable[str]) -> dict[str, str]:
    """Return file -> patient from the publisher's table, empty where there is no table."""
    name = PATIENT_TABLES[part]
    for path in (folder / "meta" / name, folder / name):
        if path.is_file():
            by_listed = _table(path)
            return {file: by_listed[image] for image, file in as_on_disk(by_listed, there).items()}
    return {}


def _table(path: Path) -> dict[str, str]:
    table = csv.DictReader(lines_of(path, keep_ends=True))
    columns = {str(column).strip().lower(): column for column in table.fieldnames or ()}
    image = columns.get("file name", columns.get("image name"))
    patient = columns.get("patient id")
    if image is None or patient is None:
        raise UserError(
            f"{path}: has no columns 'file name' and 'patient id'; copy the publisher's "
            "table again, or remove it to do without patients"
        )
    return {(row[image] or "").strip(): (row[patient] or "").strip() for row in table}


SOURCE = published("covid_ct", list_images)
