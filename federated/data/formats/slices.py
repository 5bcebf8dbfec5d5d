"""One slice as a file holds it, before it becomes 8-bit greys, and rules that formats share.

A slice is either greys, windowed by whoever exported it, or Hounsfield units, which we window.
Headers are no proof of which: what has air in it below :data:`AIR_SEEN` HU is Hounsfield units.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from federated.errors import UserError

Grey = npt.NDArray[np.uint8]
Numbers = npt.NDArray[Any]  # of whatever type a file stores
# 16 Mpixel is 60 times a CT slice of 512x512; a greater image is a mistake or an attack.
MAX_PIXELS = 4096 * 4096
# 512 slices of 1024x1024, and as 16 bits 1 GiB of memory.
MAX_VOXELS = 2**29
# A side below that of the near-duplicate thumbnail carries no anatomy to learn from.
MIN_SIDE = 32
AIR = -1000.0  # HU
AIR_SEEN = -200.0  # HU; fat is above -150, lung and air below -500, and greys are never negative
# Greys went through JPEG as colour come back with chroma of a few levels.
TINT, TINTED = 16, 0.001
ASIDE = 0.01  # share of the pixels at either end that letters and arrows may take
# CT that spans fewer of 256 greys was stored on another scale than it was read on.
FEW, FEW_GREYS = 32, "spans under 32 of 256 greys"
LUNG = (-950.0, -300.0)  # HU; between the air around the patient and soft tissue


@dataclass(frozen=True)
class Slice:
    """One slice.

    Attributes:
        values: (H, W); uint8 greys, or float32 Hounsfield units.
        format: of the file, such as PNG.
        mode: how the file stores the pixels, such as RGB.
        colour: whether there is colour in it.
        odd: what a person should know of the file.
        patient: patient in the file's header, empty where unknown.
        part: what tells the slices of one file apart, such as ``#57``; empty where there is one.
    """

    values: Numbers
    format: str
    mode: str
    colour: bool = False
    odd: tuple[str, ...] = ()
    patient: str = ""
    part: str = ""

    def grey(self, level: float, width: float) -> Grey:
        """Return 8-bit greys, Hounsfield units through the window of ``level`` and ``width``."""
        if self.values.dtype == np.uint8:
            return self.values.astype(np.uint8, copy=False)
        low = np.float32(level - width / 2)
        unit = np.clip((self.values.astype(np.float32) - low) / np.float32(width), 0, 1)
        grey: Grey = (unit * 255 + 0.5).astype(np.uint8)
        return grey


@dataclass(frozen=True)
class ImageFormat:
    """A format of image files, declared once.

    Attributes:
        name: as users know it.
        suffixes: endings of names that promise it, lower case.
        starts: whether the first bytes of a file (``files.HEAD`` of them) are of this format.
        read: returns the slices of a file (path, content, most slices of a volume).
        has_no_magic: some files of it cannot be told by their first bytes, so the name may do.
    """

    name: str
    suffixes: tuple[str, ...]
    starts: Callable[[bytes], bool]
    read: Callable[[Path, bytes, int], list[Slice]]
    has_no_magic: bool = False


def eight_bits(values: Numbers) -> Grey:
    """Scale integer greys of up to 16 bits to 8, by a fixed range so that slices stay comparable.

    CT is commonly stored as 12 bits in 16: where no value needs more than 12 bits, 4095 is white,
    else 65535.

    Args:
        values: of any shape.
    """
    wide = np.clip(values.astype(np.float32), 0, 65535)
    white = 4095.0 if wide.max() <= 4095 else 65535.0
    scaled: Grey = np.rint(wide * (255.0 / white)).astype(np.uint8)
    return scaled


def luma(colours: Numbers) -> Numbers:
    """Return the lightness of (..., 3 or more) channels (ITU-R BT.601), on their scale."""
    lightness: Numbers = colours[..., :3] @ np.array([0.299, 0.587, 0.114])
    return lightness


def coloured(colours: Numbers) -> bool:
    """Return whether 1 pixel in 1000 of (..., 3) 8-bit channels differs by more than 16 greys."""
    red, green, blue = np.moveaxis(colours.astype(np.int16), -1, 0)
    apart = np.maximum(abs(red - green), abs(green - blue)) > TINT
    return bool(apart.mean() > TINTED)


def span_of(grey: Grey) -> int:
    """Return how many of 256 greys an image spans, the darkest and brightest 1 % set aside."""
    shares = np.cumsum(np.bincount(grey.reshape(-1), minlength=256)) / grey.size
    low, high = np.searchsorted(shares, (ASIDE, 1 - ASIDE))
    return int(high - low) + 1


def is_hounsfield(values: Numbers) -> bool:
    """Return whether values are Hounsfield units: whether there is air in them."""
    return bool(values.min() <= AIR_SEEN)


def chosen_slices(count: int, wanted: int, slice_at: Callable[[int], Numbers]) -> list[int]:
    """Return which of a volume's axial slices are used: spread evenly over its lungs.

    In Hounsfield units, over the slices with at least half as much lung (:data:`LUNG`) as the
    slice with the most; in greys, where lung cannot be told, over the middle half of the volume.

    Args:
        count: slices in the volume.
        wanted: most slices to take.
        slice_at: returns a slice, (H, W).
    """
    lung = np.zeros(count)
    if any(is_hounsfield(slice_at(index)) for index in range(count)):
        for index in range(count):
            values = slice_at(index)
            lung[index] = ((values > LUNG[0]) & (values < LUNG[1])).mean()
    if lung.max() > 0:
        usable = np.flatnonzero(lung >= lung.max() / 2)
    else:
        usable = np.arange(count // 4, count - count // 4)
    taken = min(wanted, len(usable))
    # The middles of equal parts: one slice is the middle one, not the first.
    places = ((np.arange(taken) + 0.5) * len(usable) / taken).astype(int)
    chosen: list[int] = usable[places].tolist()
    return chosen


def check_size(path: Path, width: int, height: int, slices: int = 1) -> None:
    """Refuse an image that is too large or too small, before a pixel of it is decoded.

    Raises:
        UserError: naming the file and the limit.
    """
    if width * height > MAX_PIXELS or width * height * slices > MAX_VOXELS:
        deep = f" x {slices}" if slices > 1 else ""
        raise too_large(path, f" of {width} x {height}{deep} pixels", slices > 1)
    if min(width, height) < MIN_SIDE:
        raise UserError(
            f"{path}: is {width} x {height} pixels, below the {MIN_SIDE} x {MIN_SIDE} "
            "that a CT slice needs; remove it or export it again"
        )


def too_large(path: Path, size: str = "", volume: bool = False) -> UserError:
    """Return the error for a decompression bomb, or for what looks like one."""
    return UserError(
        f"{path}: is an image{size}, above the limit of {MAX_VOXELS if volume else MAX_PIXELS} "
        "pixels that guards against decompression bombs; shrink or remove it"
    )


def damaged(path: Path) -> UserError:
    """Return the error for a file that starts well and cannot be decoded."""
    return UserError(
        f"{path}: is damaged or cut short and cannot be decoded; copy or download it again, or "
        "remove it"
    )
