"""Files as they lie on a disk: links, pipes, sockets and folders that nobody may read among them.

Links are followed. What is no file (a pipe, a device, a link to nothing) would hang a reader or
vanish in silence; here each becomes a sentence.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from federated.errors import UserError

HEAD = 4096  # bytes that tell every format apart, a compressed one too
# A volume of as many voxels as we take (2**29) of 8 bytes each; nothing greater can be an image.
MAX_BYTES = 2**32
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def read_file(path: Path, most: int = MAX_BYTES) -> bytes:
    """Return what is in a regular file; a pipe or a device is refused before it can hang.

    Raises:
        OSError: it cannot be opened or read.
        UserError: it is no regular file, or larger than ``most`` bytes.
    """
    # Opening a pipe that nobody writes to waits for ever, unless told not to.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        raise UserError(f"{path}: is {kind_of(state)}, not a file; remove it or name a file")
    with os.fdopen(descriptor, "rb") as file:
        if state.st_size > most:
            raise UserError(
                f"{path}: is {state.st_size} bytes long, above the limit of {most} for an image; "
                "shrink or remove it"
            )
        return file.read(most)


def read_head(path: Path) -> bytes:
    """Return the first bytes of a regular file, as many as tell its format.

    Raises:
        OSError: it cannot be opened or read.
    """
    with path.open("rb") as file:
        return file.read(HEAD)


def text_of(content: bytes) -> str:
    """Return text of UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        ValueError: it is neither.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    zeros = content[:HEAD].count(0)
    if zeros * 3 > len(content[:HEAD]):  # text of mostly ASCII in two bytes a letter
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be")
    return content.decode("utf-8-sig")


def kind_of(state: os.stat_result) -> str:
    """Return what something is that is no regular file."""
    return _KINDS.get(stat.S_IFMT(state.st_mode), "no file")


@dataclass
class Tree:
    """What lies in a folder, as paths relative to it with /.

    Attributes:
        files: regular files, sorted.
        folders: folders that were not entered, sorted.
        hidden: files and folders whose name starts with a dot; these are not entered either.
        broken: a sentence for each thing that can be neither read nor entered.
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def tree_of(place: Path, *, deep: bool = False) -> Tree:
    """Return what lies in a folder; links are followed.

    Args:
        place: the folder.
        deep: enter the folders in it, however deep.

    Raises:
        UserError: a name is not text.
    """
    tree = Tree()
    _walk(place, "", tree, deep, ())
    for names in (tree.files, tree.folders, tree.hidden):
        names.sort()
    return tree


def _walk(place: Path, prefix: str, tree: Tree, deep: bool, above: tuple[str, ...]) -> None:
    """Note in ``tree`` what lies in and below a folder that was entered by way of ``above``."""
    here = (*above, os.path.realpath(place))
    try:
        paths = sorted(place.iterdir())
    except OSError as error:
        tree.broken.append(f"{place}: cannot be entered ({error.strerror}); check its permissions")
        return
    for path in paths:
        name = f"{prefix}{path.name}"
        if not name.isprintable():  # undecodable bytes among them; a manifest cannot hold these
            raise UserError(
                f"{place}: holds a file whose name {path.name!a} is not text; rename it"
            )
        if path.name.startswith("."):
            tree.hidden.append(name)
            continue
        try:
            state = path.stat()
        except OSError as error:
            tree.broken.append(_unreachable(path, error))
            continue
        if stat.S_ISREG(state.st_mode):
            tree.files.append(name)
        elif not stat.S_ISDIR(state.st_mode):
            tree.broken.append(f"{path}: is {kind_of(state)}, not a file; remove it")
        elif not deep:
            tree.folders.append(name)
        elif os.path.realpath(path) in here:
            tree.broken.append(f"{path}: is a link to a folder that it lies in; remove it")
        else:
            _walk(path, f"{name}/", tree, deep, here)


def _unreachable(path: Path, error: OSError) -> str:
    if path.is_symlink():
        return (
            f"{path}: is a link to {os.readlink(path)}, which cannot be reached "  # noqa: PTH115
            f"({error.strerror}); restore what it points to or remove it"
        )
    return f"{path}: cannot be read ({error.strerror}); check its permissions"
