"""The image formats, each declared in a file of its own; the content of a file decides which it is.

A new format is one file with a :class:`ImageFormat` and one entry in :data:`FORMATS`.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from federated.data import files
from federated.data.formats import dicom, nifti, raster
from federated.data.formats.slices import ImageFormat, Slice
from federated.errors import UserError

FORMATS = (raster.PNG, raster.JPEG, dicom.DICOM, nifti.NIFTI)
SUFFIXES = tuple(suffix for format in FORMATS for suffix in format.suffixes)
NAMES = ", ".join(format.name for format in FORMATS[:-1]) + f" or {FORMATS[-1].name}"
# What holds images and is not read: to pass over it in silence would lose data.
FOREIGN: dict[str, Callable[[bytes], bool]] = {
    "a GIF image": lambda head: head.startswith(b"GIF8"),
    "a BMP image": lambda head: head.startswith(b"BM") and head[6:10] == bytes(4),
    "a TIFF image": lambda head: head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    "a WebP image": lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP",
    "a JPEG 2000 image": lambda head: head.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")),
    "an NRRD volume": lambda head: head.startswith(b"NRRD0"),
    "a MetaImage volume": lambda head: head.startswith(b"ObjectType"),
    "a NumPy array": lambda head: head.startswith(b"\x93NUMPY"),
    "an HDF5 file": lambda head: head.startswith(b"\x89HDF\r\n"),
    "a ZIP archive": lambda head: head.startswith(b"PK\x03\x04"),
    "a RAR archive": lambda head: head.startswith(b"Rar!\x1a\x07"),
    "a 7-Zip archive": lambda head: head.startswith(b"7z\xbc\xaf\x27\x1c"),
    "a tar archive": lambda head: head[257:262] == b"ustar",
    "a gzip archive": lambda head: head.startswith(b"\x1f\x8b"),
}


def read(path: Path, content: bytes, slices: int) -> list[Slice]:
    """Return the slices of a file; of a volume, ``slices`` of them.

    Raises:
        UserError: it is of no known format, damaged, too small or too large.
    """
    head = content[: files.HEAD]
    if not content:
        raise UserError(f"{path}: is empty; copy or download it again, or remove it")
    format = _format_of(path.name, head)
    if format is None:
        what = foreign(head)
        raise UserError(
            f"{path}: is {what}, which is not read; unpack or convert it to PNG, or remove it"
            if what
            else f"{path}: is no {NAMES} image; convert it to PNG or remove it"
        )
    return format.read(path, content, slices)


def _format_of(name: str, head: bytes) -> ImageFormat | None:
    """Return the format of a file by its content, else by its name where content cannot tell."""
    for format in FORMATS:
        if format.starts(head):
            return format
    named = (one for one in FORMATS if one.has_no_magic and name.lower().endswith(one.suffixes))
    return None if foreign(head) else next(named, None)


def foreign(head: bytes) -> str:
    """Return what a file is that holds images and is not read; empty where it is nothing of it."""
    return next((what for what, starts in FOREIGN.items() if starts(head)), "")


def is_image(path: Path) -> bool:
    """Return whether a regular file passes for an image: by its name, else by its content.

    One that cannot be opened passes, so that reading says what is wrong.
    """
    if path.name.lower().endswith(SUFFIXES):
        return True
    try:
        state = path.stat()
        return _is_image_inside(path, (state.st_size, state.st_mtime_ns, state.st_ino))
    except OSError:
        return True


@lru_cache(maxsize=2**18)
def _is_image_inside(path: Path, state: tuple[int, int, int]) -> bool:
    """Open a file once a process, as long as it does not change."""
    head = files.read_head(path)
    return _format_of("", head) is not None or bool(foreign(head))
