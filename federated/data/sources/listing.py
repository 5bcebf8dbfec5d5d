"""The images of one data set before any is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from federated.data.files import Tree
from federated.data.sources.labels import CLASSES
from federated.lazy import pd

Row = tuple[str, int, str, str]
NAMED = 3  # of what was left out


@dataclass(frozen=True)
class Listing:
    """The images of one data set.

    Attributes:
        root: folder that relative paths start from.
        named_by: file or folder that names the images, for messages.
        rows: path (relative with / or absolute), label (int64), patient and split (empty where
            unknown) and hospital (what the images are partitioned by; empty where by no column),
            sorted by path.
        notes: what is missing or was left out by rule, for the user.
        skipped: a sentence for each unusable row, file or folder that was left out.
        classes: what the classes are called, from 0.
    """

    root: Path
    named_by: Path
    rows: pd.DataFrame
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    classes: tuple[str, ...] = CLASSES

    @property
    def drawn(self) -> bool:
        """Whether we draw the split."""
        return not self.rows["split"].all()


def table_of(rows: list[Row]) -> pd.DataFrame:
    """Return rows of (path, label, patient, split) as those of a listing."""
    table = pd.DataFrame(sorted(rows), columns=["path", "label", "patient", "split"])
    table = table.astype({"label": "int64", "path": str, "patient": str, "split": str})
    return table.assign(hospital="")


def class_notes(rows: pd.DataFrame, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return what to tell a user whose data set lacks one of the classes that are called so."""
    there = set(rows["label"])
    return tuple(
        f"no image is {name}: AUC is undefined here"
        for label, name in reversed(tuple(enumerate(classes)))
        if label not in there
    )


def left_out(where: str, what: str, names: Sequence[str]) -> list[str]:
    """Return a note on what was left out by rule, if anything was."""
    if not names:
        return []
    shown = ", ".join([*names[:NAMED], *(["..."] if len(names) > NAMED else [])])
    return [f"{where}: left out {what}: {len(names)} ({shown})"]


def beside(where: str, tree: Tree, known: Sequence[str]) -> list[str]:
    """Return notes on what lies in a folder beside the files and folders that are ``known``."""
    others = [name for name in (*tree.folders, *tree.files) if name not in known]
    return [
        *left_out(where, "files and folders that are no part of it", others),
        *left_out(where, "hidden files and folders", tree.hidden),
    ]
