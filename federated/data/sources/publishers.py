"""What the layouts of publishers have in common: class folders, and lists of their files.

Rules for what does not fit: a file that a list names must exist, else the download is incomplete
and the import stops, strict or not; what no list names, what is no image and what is hidden is left
out and counted in a note; links to nothing and pipes are unusable. No pixel is read here.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from federated.data.files import Tree, read_file, text_of, tree_of
from federated.errors import UserError


def dataset_folder(folder: Path) -> Tree:
    """Return what lies in the folder of a data set.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; correct the setting or download it")
    return tree_of(folder)


def class_folder(place: Path) -> Tree:
    """Return what lies in the folder of a class.

    Raises:
        UserError: it is not there or empty.
    """
    if not place.is_dir():
        raise UserError(f"{place}: the class folder is missing; unpack the data set as published")
    tree = tree_of(place)
    if not tree.files:
        raise UserError(f"{place}: holds no image; download the data set again")
    return tree


def as_on_disk(listed: Iterable[str], files: Iterable[str]) -> dict[str, str]:
    """Return the file of each listed name that has one.

    That of the same name; else the only one whose name differs in case, in the way that accents are
    written or, last, in its ending: COVID-CT's lists say .png for files that are .jpeg.
    """
    there = set(files)
    listed = list(listed)
    free = sorted(there - set(listed))
    matches = {name: name for name in listed if name in there}
    for likeness in (_plain, _stem):
        by_likeness: dict[str, list[str]] = {}
        for file in free:
            by_likeness.setdefault(likeness(file), []).append(file)
        for name in listed:
            candidates = by_likeness.get(likeness(name), [])
            if name not in matches and len(candidates) == 1:
                matches[name] = candidates[0]
    return matches


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _stem(name: str) -> str:
    return PurePosixPath(_plain(name)).stem


def lines_of(path: Path, *, keep_ends: bool = False) -> list[str]:
    """Return the lines of a publisher's list or table.

    Captions in the tables are of mixed encodings; names and ids are ASCII or UTF-8.

    Raises:
        UserError: it cannot be read.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    try:
        return text_of(content).splitlines(keep_ends)
    except ValueError:
        return content.decode("utf-8-sig", errors="replace").splitlines(keep_ends)
