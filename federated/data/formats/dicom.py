"""DICOM through pydicom, with headers believed only as far as the pixels bear them out.

What the values are is decided in this order, after the rescale slope and intercept
(``federated.data.formats.rescale``):

1. There is air in them (a value of -200 or less), or it is CT and a value is negative: Hounsfield
   units.
2. Unsigned CT of 10 to 12 bits with slope 1, intercept 0 and under 1 % of the pixels at the top:
   stored Hounsfield units that lost their intercept; -1024 is added. Exports that were windowed
   have bone and contrast cut off at white, raw CT has not.
3. Anything else was windowed before export, whatever the header says: greys. White is 255, 4095 or
   65535 by the greatest value, and MONOCHROME1, where small values are white, is inverted.

MONOCHROME1 does not touch Hounsfield units: it says how to show them, and we show air as black.
"""

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from federated.data.formats import rescale
from federated.data.formats.slices import (
    ImageFormat,
    Numbers,
    Slice,
    check_size,
    chosen_slices,
    coloured,
    damaged,
    eight_bits,
    is_hounsfield,
    luma,
    too_large,
)
from federated.errors import UserError

MAGIC = b"DICM"  # after a preamble of 128 bytes
LOST_INTERCEPT = -1024.0
DEFLATED, DEFLATED_LIMIT = b"1.2.840.10008.1.2.1.99", 2**21  # bytes; they inflate up to 1032-fold
CUT_OFF = 0.01  # share of pixels at the top from which on an image counts as windowed
NO_PATIENT = frozenset({"", "0", "unknown", "anonymous", "anonymized", "anon", "none", "na"})
FIRST_GROUPS, EARLY_GROUPS = (0x0002, 0x0008), (0x0002, 0x0008, 0x0010, 0x0018, 0x0020, 0x0028)


def starts(head: bytes) -> bool:
    """Return whether a file starts as DICOM: with its magic number, or right with its first tag."""
    return head[128:132] == MAGIC or _starts_bare(head)


def _starts_bare(head: bytes) -> bool:
    """Return whether a file without preamble has two tags where its first two tags would be."""
    return any(_has_two_tags(head, order) for order in "<>")


def _has_two_tags(head: bytes, order: str) -> bool:
    if len(head) < 12:
        return False
    group, element, _, short = struct.unpack(f"{order}4H", head[:8])
    # Without two letters for a type the length has 4 bytes.
    length = short if head[4:6].isalpha() else struct.unpack(f"{order}I", head[4:8])[0]
    second = head[8 + length : 12 + length]
    if group not in FIRST_GROUPS or len(second) < 4:
        return False
    following = struct.unpack(f"{order}HH", second)
    return following[0] in EARLY_GROUPS and following > (group, element)


def read(path: Path, content: bytes, slices: int) -> list[Slice]:
    """Return the image, or ``slices`` of a multi-frame one.

    Raises:
        UserError: there are no pixels, no decoder for them, or they are damaged or too large.
    """
    import pydicom  # slow to import, and many a user has no DICOM

    if len(content) > DEFLATED_LIMIT and DEFLATED in content[:2048]:
        raise too_large(path, " deflated as a whole", volume=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on damaged and merely odd headers
        try:
            header = pydicom.dcmread(io.BytesIO(content), force=True)
            _check_pixels(path, header)
            shape = int(header.Columns), int(header.Rows)
            frames = int(header.get("NumberOfFrames") or 1)
            check_size(path, *shape, frames)
            return _slices(path, header, slices)
        except UserError:
            raise
        except Exception as error:  # pydicom raises nearly anything on damaged files
            raise damaged(path) from error


def _check_pixels(path: Path, header: Any) -> None:
    """Refuse what holds no pixels, or none of CT."""
    if header.preamble is None and "PixelData" not in header and "SOPClassUID" not in header:
        raise UserError(f"{path}: is no DICOM file; export it again or remove it")
    if "FloatPixelData" in header or "DoubleFloatPixelData" in header:
        raise UserError(f"{path}: holds a map of fractions, not the values of CT; remove it")
    if "PixelData" not in header:
        raise UserError(
            f"{path}: is a DICOM file without pixels, such as a report or a directory; remove it"
        )
    if int(header.BitsAllocated) == 1:
        raise UserError(f"{path}: is a mask of 1 bit, not an image; remove it")


def _pixels(path: Path, header: Any) -> Numbers:
    """Return what is stored, (F, H, W) or (F, H, W, channels)."""
    frames = int(header.get("NumberOfFrames") or 1)
    try:
        pixels: Numbers = header.pixel_array
    except RuntimeError as error:
        if "missing" in str(error) or "plugin" in str(error):
            syntax = header.file_meta.TransferSyntaxUID.name
            raise UserError(
                f"{path}: is compressed ({syntax}) and no decoder for that is installed; "
                "pip install 'consilium[dicom]', or export it uncompressed"
            ) from error
        raise
    return pixels if frames > 1 else pixels[np.newaxis]


def _slices(path: Path, header: Any, slices: int) -> list[Slice]:
    odd = _named_syntax(path, header)
    modality = str(header.get("Modality", ""))
    if modality != "CT":
        odd = (*odd, f"modality {modality or 'missing'}")
    photometric = str(header.get("PhotometricInterpretation", ""))
    pixels, colour = _pixels(path, header), False
    if photometric == "PALETTE COLOR" or int(header.get("SamplesPerPixel", 1)) > 1:
        values, colour = _from_colours(header, pixels, photometric)
        odd = (*odd, "windowed before export")
    else:
        values, more = _interpreted(path, header, pixels, photometric)
        odd = (*odd, *more)
    chosen = [0]
    if len(values) > 1:
        chosen = chosen_slices(len(values), slices, lambda index: values[index])
    patient = str(header.get("PatientID") or "").strip()
    return [
        Slice(
            values=values[index],
            format="DICOM",
            mode=f"{photometric} {header.get('BitsStored', '?')} bit",
            colour=colour,
            odd=odd,
            patient="" if patient.lower() in NO_PATIENT else patient,
            part=f"#{index + 1}" if len(values) > 1 else "",
        )
        for index in chosen
    ]


def _named_syntax(path: Path, header: Any) -> tuple[str, ...]:
    """Give a header that does not name the syntax of its pixels the one that it is written in."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(header, "file_meta", None)
    if meta is not None and meta.get("TransferSyntaxUID"):
        return ()
    if header["PixelData"].is_undefined_length:
        raise UserError(
            f"{path}: is compressed and does not say how (it has no file meta information); export "
            "it again"
        )
    implicit, little = header.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    header.file_meta = meta if meta is not None else FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return ("no file meta",)


def _from_colours(header: Any, pixels: Numbers, photometric: str) -> tuple[Numbers, bool]:
    """Return the greys of colours, of a palette or of three channels, and whether they are any."""
    from pydicom.pixels.processing import apply_color_lut

    white = float(2 ** int(header.get("BitsStored", 8)) - 1)
    if photometric == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, header)
        white = 255.0 if pixels.max() <= 255 else 65535.0
    grey = luma(pixels) * (255 / white)
    eight = (pixels[..., :3] * (255 / white)).clip(0, 255)
    return np.rint(grey).clip(0, 255).astype(np.uint8), coloured(eight)


def _interpreted(
    path: Path, header: Any, stored: Numbers, photometric: str
) -> tuple[Numbers, tuple[str, ...]]:
    """Return Hounsfield units or greys by the rule above, and what the header got wrong."""
    stored, odd = rescale.with_its_sign(header, stored)
    values, rescaled, more = rescale.apply(path, header, stored)
    odd = (*odd, *more)
    is_ct = str(header.get("Modality", "")) == "CT"
    outside = rescale.bright_padding(header, stored)
    inside = values[~outside] if outside.any() else values
    if is_hounsfield(inside) or (is_ct and inside.min() < 0):
        rescale.refuse_no_hounsfield(path, inside)
        return rescale.darkened(values.astype(np.float32), outside, hounsfield=True), odd
    if is_ct and not rescaled and _lost_intercept(header, inside):
        values = values.astype(np.float32) + np.float32(LOST_INTERCEPT)
        return rescale.darkened(values, outside, hounsfield=True), (*odd, "intercept lost")
    rescale.refuse_no_greys(path, inside)
    values = rescale.darkened(values, outside, white_is_low=photometric == "MONOCHROME1")
    grey = values.astype(np.uint8) if values.max() <= 255 else eight_bits(values)
    if photometric == "MONOCHROME1":
        grey = 255 - grey
    return grey, (*odd, "windowed before export")


def _lost_intercept(header: Any, values: Numbers) -> bool:
    bits, top = int(header.get("BitsStored", 8)), values.max()
    return 10 <= bits <= 12 and top > 1024 and bool((values == top).mean() < CUT_OFF)


DICOM = ImageFormat(
    name="DICOM",
    suffixes=(".dcm", ".dicom", ".ima"),
    starts=starts,
    read=read,
    has_no_magic=True,
)
