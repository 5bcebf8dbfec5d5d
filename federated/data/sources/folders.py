"""A folder per class, as most people keep their images: FOLDER/[SITE/]CLASS/[PATIENT/...]IMAGE.

Where a folder right below FOLDER has the name of a class, FOLDER is one site; else each folder in
it is one. What lies below a class's folder in a folder of its own is one patient, by that folder's
name, and the same name below two classes is the same patient. Files that are no images are left
out and counted; hidden ones are ignored.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from federated.data.sources.listing import Listing, Row, class_notes, files_in, frame, is_image
from federated.data.sources.manifest import label_of
from federated.errors import UserError


def site_of(name: str) -> str:
    """Return a folder's name as a site's: letters, digits, spaces, '.', '_' and '-'."""
    return re.sub(r"^\W+|[^\w .-]", "-", name).strip("- .") or "site"


def folder_sites(folder: Path, labels: Mapping[str, int]) -> dict[str, Path]:
    """Return the folder of each site.

    Raises:
        UserError: there is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; correct data.folder")
    below = sorted(_folders(folder))
    if not below:
        raise UserError(f"{folder}: holds no folder; put the images in one folder per class")
    if any(label_of(path.name, labels) is not None for path in below):
        return {site_of(folder.name): folder}
    return {site_of(path.name): path for path in below}


def class_folders(folder: Path, labels: Mapping[str, int], *, strict: bool) -> Listing:
    """List one site.

    Raises:
        UserError: a class is empty, or (if strict) of unknown name.
    """
    rows: list[Row] = []
    notes: list[str] = []
    skipped: list[str] = []
    for place in sorted(_folders(folder)):
        label = label_of(place.name, labels)
        if label is None:
            sentence = (
                f"{place}: '{place.name}' is no known class; set data.labels = {place.name}=0 "
                "(or 1 for COVID), or remove the folder"
            )
            if strict:
                raise UserError(sentence)
            skipped.append(sentence)
            continue
        names = files_in(place, deep=True)
        good = [name for name in names if is_image(place / name)]
        if not good:
            raise UserError(f"{place}: the class holds no image; fill or remove the folder")
        if len(good) < len(names):
            notes.append(
                f"{place.name}: left out {len(names) - len(good)} files that are no images"
            )
        rows += [(f"{place.name}/{name}", label, _patient(name), "") for name in good]
    if not rows:
        raise UserError(
            f"{folder}: holds no folder of a class such as covid or non-covid; rename the folders "
            "or set data.labels"
        )
    table = frame(rows)
    return Listing(folder, folder, table, (*notes, *class_notes(table)), tuple(skipped))


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _patient(name: str) -> str:
    patient, slash, _ = name.partition("/")
    return patient if slash else ""
