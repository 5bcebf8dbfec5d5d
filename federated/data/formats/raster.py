"""PNG and JPEG, whatever the file's name says, through Pillow."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from federated.data.formats.section import Section, check_size, damaged, eight_bits, too_large

FORMATS = ("PNG", "JPEG")
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
SUFFIXES = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg")}
# Greys went through JPEG as colour come back with chroma of a few levels.
TINT, TINTED = 16, 0.001


def read(path: Path, content: bytes) -> Section:
    """Return the image.

    Raises:
        UserError: it is damaged, too small or too large.
    """
    image = _open(path, content)
    check_size(path, *image.size)
    mode, format = image.mode, str(image.format)
    odd = () if path.suffix.lower() in SUFFIXES[format] else (f"{format} named {path.suffix}",)
    try:
        image.load()
        if mode.startswith("I") or mode == "F":
            return Section(eight_bits(np.asarray(image)), format, "16 bit", odd=(*odd, "16 bit"))
        if mode == "L" and "transparency" not in image.info:
            return Section(np.asarray(image), format, mode, odd=odd)
        if mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            if np.asarray(rgba.getchannel("A")).min() < 255:
                odd = (*odd, "see-through")
            # On black, because what surrounds the body in CT is air, and air is black.
            flat = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
            image = Image.alpha_composite(flat, rgba)
        rgb = image.convert("RGB")
        return Section(np.asarray(rgb.convert("L")), format, mode, _coloured(rgb), odd)
    except Exception as error:  # decoders raise nearly anything on damaged pixels
        raise damaged(path) from error


def _open(path: Path, content: bytes) -> Image.Image:
    """Read the header; Pillow decodes no pixel before ``load``."""
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit lies above ours, which is checked without changing Pillow's for
        # everything else in the user's process.
        raise too_large(path) from error
    except Exception as error:  # decoders raise nearly anything on damaged headers
        raise damaged(path) from error


def _coloured(rgb: Image.Image) -> bool:
    """Return whether 1 pixel in 1000 has channels that differ by more than 16 greys."""
    red, green, blue = np.moveaxis(np.asarray(rgb, dtype=np.int16), 2, 0)
    apart = np.maximum(abs(red - green), abs(green - blue)) > TINT
    return bool(apart.mean() > TINTED)
