"""PNG and JPEG, whatever the file's name says, through Pillow."""

import io
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from federated.data.formats.slices import (
    AIR_SEEN,
    ImageFormat,
    Numbers,
    Slice,
    check_size,
    coloured,
    damaged,
    eight_bits,
    too_large,
)

ORIENTATION = 0x112  # number of the EXIF tag
OFFSET = 32768  # that DeepLesion and others add to Hounsfield units, to store them unsigned
OFFSET_RANGE = (-4096, 8191)  # HU; 16-bit greys that are none use more of their range


def read(path: Path, content: bytes, slices: int, *, format: str) -> list[Slice]:
    """Return the image, upright; of an animated one the first picture.

    Raises:
        UserError: it is damaged, too small or too large.
    """
    image = _open(path, content, format)
    check_size(path, *image.size)
    odd = _oddities(path, image, format)
    try:
        image.load()
        image, turned = _upright(image)
        return [_slice(image, format, (*odd, *turned))]
    except Exception as error:  # decoders raise nearly anything on damaged pixels
        raise damaged(path) from error


def _open(path: Path, content: bytes, format: str) -> Image.Image:
    """Read the header; Pillow decodes no pixel before ``load``."""
    try:
        return Image.open(io.BytesIO(content), formats=(format,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit lies above ours, which is checked without changing Pillow's for
        # everything else in the user's process.
        raise too_large(path) from error
    except Exception as error:  # decoders raise nearly anything on damaged headers
        raise damaged(path) from error


def _oddities(path: Path, image: Image.Image, format: str) -> tuple[str, ...]:
    suffixes = {"PNG": PNG.suffixes, "JPEG": JPEG.suffixes}[format]
    named = () if path.suffix.lower() in suffixes else (f"{format} named {path.suffix}",)
    pictures = int(getattr(image, "n_frames", 1))
    return (*named, f"first of {pictures} pictures") if pictures > 1 else named


def _upright(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Turn an image as its EXIF orientation says, as every viewer does."""
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF, without which the image is as good as any
        return image, ()
    if orientation not in range(2, 9):
        return image, ()
    return ImageOps.exif_transpose(image), ("turned by EXIF",)


def _slice(image: Image.Image, format: str, odd: tuple[str, ...]) -> Slice:
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        values, more = _sixteen_bits(np.asarray(image))
        return Slice(values, format, "16 bit", odd=(*odd, "16 bit", *more))
    if mode == "L" and "transparency" not in image.info:
        return Slice(np.asarray(image), format, mode, odd=odd)
    if mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if np.asarray(rgba.getchannel("A")).min() < 255:
            odd = (*odd, "see-through")
        # On black, because what surrounds the body in CT is air, and air is black.
        flat = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        image = Image.alpha_composite(flat, rgba)
    rgb = image.convert("RGB")
    return Slice(np.asarray(rgb.convert("L")), format, mode, coloured(np.asarray(rgb)), odd)


def _sixteen_bits(values: Numbers) -> tuple[Numbers, tuple[str, ...]]:
    """Return 8-bit greys; or Hounsfield units, where the values are these plus 32768."""
    shifted = values.astype(np.float32) - OFFSET
    lowest, highest = float(shifted.min()), float(shifted.max())
    if OFFSET_RANGE[0] <= lowest <= AIR_SEEN and highest <= OFFSET_RANGE[1]:
        return shifted, ("Hounsfield units + 32768",)
    return eight_bits(values), ()


PNG = ImageFormat(
    name="PNG",
    suffixes=(".png",),
    starts=lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
    read=partial(read, format="PNG"),
)
JPEG = ImageFormat(
    name="JPEG",
    suffixes=(".jpg", ".jpeg"),
    starts=lambda head: head.startswith(b"\xff\xd8\xff"),
    read=partial(read, format="JPEG"),
)
