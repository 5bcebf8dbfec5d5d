"""One file on disk to squares of 8-bit greys, safely.

A hospital's folder is input from outside: a file may be truncated, lie about its format, or be a
few kilobytes that decode to gigabytes. Each such file ends in a sentence that names it.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from federated.config.images import Data
from federated.data import files
from federated.data.formats import table
from federated.data.formats.slices import FEW, FEW_GREYS, MIN_SIDE, Grey, Slice, span_of
from federated.errors import UserError

# Raise it when a change here, or in a reader, changes a pixel: it is part of the cache's key.
VERSION = 3
THUMBNAIL = 32
FLAT = 16  # greys by which a line of a border may vary: JPEG and scanning leave that much


@dataclass(frozen=True)
class Decoded:
    """One decoded slice.

    Attributes:
        square: uint8 greys, (R, R).
        thumbnail: uint8 greys, (32, 32), for the search for near-duplicates; made from the full
            image and with the lung window, so that groups, and with them splits, depend on no
            setting of preprocessing.
        sha256: of the file's bytes, or of these and the slice's number; hexadecimal.
        width: of the file's image in pixels.
        height: of the file's image in pixels.
        slice: where it came from; its values are dropped.
    """

    square: Grey
    thumbnail: Grey
    sha256: str
    width: int
    height: int
    slice: Slice


def decode(path: Path, data: Data) -> list[Decoded]:
    """Read one file, whatever its name says, as greys stretched to R x R; one per slice.

    Stretched, not cropped, because the published test transform resizes to a square of 224x224;
    one cached square so serves the crops of training and the whole image of evaluation. Bilinear
    with antialiasing, as in that transform.

    Raises:
        UserError: the file cannot be read, is of no known format, damaged, too small or too large.
    """
    try:
        content = files.read_file(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from error
    digest = hashlib.sha256(content)
    planes = table.read(path, content, data.slices)
    return [_decoded(plane, digest.copy(), data) for plane in planes]


def _decoded(plane: Slice, digest: "hashlib._Hash", data: Data) -> Decoded:
    digest.update(plane.part.encode())
    height, width = plane.values.shape
    usual = Data()
    thumbnail = plane.grey(usual.window_level, usual.window_width)
    grey = plane.grey(data.window_level, data.window_width)
    odd = (*plane.odd, *([FEW_GREYS] if span_of(grey) < FEW else []))
    if data.trim:
        grey = trimmed(grey)
    return Decoded(
        square=_stretch(grey, cached_side(data)),
        thumbnail=_stretch(thumbnail, THUMBNAIL),
        sha256=digest.hexdigest(),
        width=width,
        height=height,
        slice=replace(plane, values=np.empty((0, 0), np.uint8), odd=odd),
    )


def thumbnails(greys: Grey) -> Grey:
    """Return (N, 32, 32) thumbnails of (N, H, W) images."""
    return np.stack([_stretch(grey, THUMBNAIL) for grey in greys])


def trimmed(grey: Grey) -> Grey:
    """Return an image without the lines at its edges in which no grey differs from another.

    A line counts as border while its greys span at most :data:`FLAT`; never below 32 x 32 pixels.
    """
    box = []
    for axis in (1, 0):
        span = grey.max(axis=axis).astype(np.int16) - grey.min(axis=axis)
        inside = np.flatnonzero(span > FLAT)
        if len(inside) == 0 or inside[-1] - inside[0] + 1 < MIN_SIDE:
            return grey
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return grey[box[0], box[1]]


def _stretch(grey: Grey, side: int) -> Grey:
    small = Image.fromarray(grey).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.uint8)


def cached_side(data: Data) -> int:
    """Return R, the side of a cached image in pixels: 256/224 of the input's, as published."""
    side = data.resize or round(data.image_size * 256 / 224)
    if side < data.image_size:
        raise UserError(
            f"data.resize is {side}, below data.image-size {data.image_size}, so no crop fits in; "
            f"set it to {data.image_size} or more, or to 0"
        )
    return side
