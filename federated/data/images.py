"""One file on disk to one square of 8-bit greys, safely.

A hospital's folder is input from outside: a file may be truncated, lie about its format, or be a
few kilobytes that decode to gigabytes. Each such file ends in a sentence that names it.
"""

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from federated.errors import UserError
from federated.settings import Data

# Raise it when a change here changes a pixel: it is part of the cache's key.
VERSION = 1
SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
FORMATS = ("PNG", "JPEG")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
# 16 Mpixel is 60 times a CT slice of 512x512; a greater image is a mistake or an attack.
MAX_PIXELS = 4096 * 4096
# A side below that of the near-duplicate thumbnail carries no anatomy to learn from.
MIN_SIDE = 32
THUMBNAIL = 32


@dataclass(frozen=True)
class Decoded:
    """One decoded file.

    Attributes:
        square: uint8 greys, (R, R).
        thumbnail: uint8 greys, (32, 32), for the search for near-duplicates; made from the full
            image so that groups, and with them splits, do not depend on R.
        sha256: of the file's bytes, hexadecimal.
        width: of the file's image in pixels.
        height: of the file's image in pixels.
    """

    square: npt.NDArray[np.uint8]
    thumbnail: npt.NDArray[np.uint8]
    sha256: str
    width: int
    height: int


def decode(path: Path, side: int) -> Decoded:
    """Read one PNG or JPEG, whatever its name says, as greys stretched to ``side`` x ``side``.

    Stretched, not cropped, because the published test transform resizes to a square of 224x224;
    one cached square so serves the crops of training and the whole image of evaluation. Bilinear
    with antialiasing, as in that transform.

    Raises:
        UserError: the file cannot be read, is no PNG or JPEG, is damaged, too small or too large.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from error
    image = _open(path, content)
    _check_size(path, image)
    width, height = image.size
    grey = _grey(path, image)
    return Decoded(
        square=_stretch(grey, side),
        thumbnail=_stretch(grey, THUMBNAIL),
        sha256=hashlib.sha256(content).hexdigest(),
        width=width,
        height=height,
    )


def _open(path: Path, content: bytes) -> Image.Image:
    """Read the header; Pillow decodes no pixel before ``load``."""
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(_too_large(path)) from error
    except Exception as error:  # decoders raise nearly anything on damaged headers
        if content.startswith(_MAGIC):
            raise UserError(_damaged(path)) from error
        raise UserError(
            f"{path}: is not a PNG or JPEG image; convert it to PNG or remove it"
        ) from error


def _check_size(path: Path, image: Image.Image) -> None:
    # Checked here rather than through Image.MAX_IMAGE_PIXELS, which would change Pillow's limit
    # for everything else in the user's process.
    if image.width * image.height > MAX_PIXELS:
        raise UserError(_too_large(path, f" of {image.width} x {image.height} pixels"))
    if min(image.size) < MIN_SIDE:
        raise UserError(
            f"{path}: is {image.width} x {image.height} pixels, below the {MIN_SIDE} x {MIN_SIDE} "
            "that a CT slice needs; remove it or export it again"
        )


def _too_large(path: Path, size: str = "") -> str:
    return (
        f"{path}: is an image{size}, above the limit of {MAX_PIXELS} pixels that guards against "
        "decompression bombs; shrink or remove it"
    )


def _damaged(path: Path) -> str:
    return (
        f"{path}: is damaged or cut short and cannot be decoded; copy or download it again, or "
        "remove it"
    )


def _grey(path: Path, image: Image.Image) -> Image.Image:
    """Decode the pixels and return them in mode L."""
    try:
        image.load()
        if image.mode.startswith("I") or image.mode == "F":
            return Image.fromarray(eight_bits(np.asarray(image)))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            # On black, because what surrounds the body in CT is air, and air is black.
            flat = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
            return Image.alpha_composite(flat, rgba).convert("L")
        return image.convert("L")
    except Exception as error:  # decoders raise nearly anything on damaged pixels
        raise UserError(_damaged(path)) from error


def eight_bits(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Scale integer greys of up to 16 bits to 8, by a fixed range so that slices stay comparable.

    CT is commonly stored as 12 bits in 16: where no value needs more than 12 bits, 4095 is white,
    else 65535.
    """
    wide = np.clip(values.astype(np.float32), 0, 65535)
    white = 4095.0 if wide.max() <= 4095 else 65535.0
    scaled: npt.NDArray[np.uint8] = np.rint(wide * (255.0 / white)).astype(np.uint8)
    return scaled


def _stretch(grey: Image.Image, side: int) -> npt.NDArray[np.uint8]:
    small = grey.resize((side, side), Image.Resampling.BILINEAR)
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


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
