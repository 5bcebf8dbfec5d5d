"""The images of one data set before any is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from federated.data.formats import dicom, images
from federated.errors import UserError
from federated.lazy import pd

Row = tuple[str, int, str, str]


@dataclass(frozen=True)
class Listing:
    """The images of one data set.

    Attributes:
        root: folder that relative paths start from.
        origin: file or folder that names the images, for messages.
        rows: path (relative with / or absolute), label (int64), patient and split (empty where
            unknown) and hospital (what the images are partitioned by; empty where by no column),
            sorted by path.
        notes: what is missing or was left out by rule, for the user.
        skipped: a sentence for each unusable row or folder that was left out.
    """

    root: Path
    origin: Path
    rows: pd.DataFrame
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def drawn(self) -> bool:
        """Whether we draw the split."""
        return not self.rows["split"].all()


def frame(rows: list[Row]) -> pd.DataFrame:
    """Return rows of (path, label, patient, split) as those of a listing."""
    table = pd.DataFrame(sorted(rows), columns=["path", "label", "patient", "split"])
    table = table.astype({"label": "int64", "path": str, "patient": str, "split": str})
    return table.assign(hospital="")


def class_notes(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return what to tell a user whose data set lacks a class."""
    there = set(rows["label"])
    return tuple(
        f"no image is {name}: AUC is undefined here"
        for label, name in ((1, "COVID"), (0, "non-COVID"))
        if label not in there
    )


def folder(setting: str) -> Path:
    """Return a path setting as an absolute path, so that the key does not depend on the shell."""
    return Path(setting).expanduser().absolute()


def files_in(place: Path, *, deep: bool = False) -> list[str]:
    """Return the paths of the files in a folder (``deep``: and below), hidden ones left out.

    Raises:
        UserError: a name is not text.
    """
    found = place.rglob("*") if deep else place.iterdir()
    names = [path.relative_to(place).as_posix() for path in found if not deep or path.is_file()]
    for name in names:
        if not name.isprintable():  # undecodable bytes among them; a manifest cannot hold these
            raise UserError(f"{place}: holds a file whose name {name!a} is not text; rename it")
    return [name for name in names if not any(one.startswith(".") for one in name.split("/"))]


def is_image(path: Path) -> bool:
    """Return whether a file passes for an image by its name, or for DICOM without a suffix."""
    if path.name.lower().endswith(images.SUFFIXES):
        return True
    if path.suffix:
        return False
    with path.open("rb") as file:
        return dicom.is_dicom(path, file.read(132))


def pairs(text: str, setting: str) -> Mapping[str, str]:
    """Return ``a=b,c=d`` as a mapping.

    Raises:
        UserError: it is written otherwise.
    """
    found: dict[str, str] = {}
    for word in filter(None, map(str.strip, text.split(","))):
        name, equals, value = word.partition("=")
        if not equals or name.strip() in found:
            raise UserError(f"{setting} has '{word}'; write name=value, each name once")
        found[name.strip()] = value.strip()
    return found
