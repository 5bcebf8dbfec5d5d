"""DICOM through pydicom, with headers believed only as far as the pixels bear them out.

What the values are is decided in this order, after the rescale slope and intercept:

1. There is air in them (a value of -200 or less): Hounsfield units.
2. Unsigned CT of 10 to 12 bits with slope 1, intercept 0 and under 1 % of the pixels at the top:
   stored Hounsfield units that lost their intercept; -1024 is added. Exports that were windowed
   have bone and contrast cut off at white, raw CT has not.
3. Anything else was windowed before export, whatever the header says: greys. White is 255, 4095 or
   65535 by the greatest value, and MONOCHROME1, where small values are white, is inverted.

MONOCHROME1 does not touch Hounsfield units: it says how to show them, and we show air as black.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from federated.data.formats.section import (
    Numbers,
    Section,
    check_size,
    chosen_slices,
    damaged,
    eight_bits,
    is_hounsfield,
    too_large,
)
from federated.errors import UserError

MAGIC = b"DICM"  # after a preamble of 128 bytes
SUFFIXES = (".dcm", ".dicom", ".ima")
LOST_INTERCEPT = -1024.0
DEFLATED, DEFLATED_LIMIT = b"1.2.840.10008.1.2.1.99", 2**21  # bytes; they inflate up to 1032-fold
CUT_OFF = 0.01  # share of pixels at the top from which on an image counts as windowed
NO_PATIENT = frozenset({"", "0", "unknown", "anonymous", "anonymized", "anon", "none", "na"})


def is_dicom(path: Path, content: bytes) -> bool:
    """Return whether a file is to be read as DICOM: by its magic number, else by its name."""
    return content[128:132] == MAGIC or path.suffix.lower() in SUFFIXES


def read(path: Path, content: bytes, slices: int) -> list[Section]:
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
            if "PixelData" not in header:
                raise _no_pixels(path, header)
            shape = int(header.Columns), int(header.Rows)
            frames = int(header.get("NumberOfFrames") or 1)
            check_size(path, *shape, frames)
            return _sections(path, header, _pixels(path, header), slices)
        except UserError:
            raise
        except Exception as error:  # pydicom raises nearly anything on damaged files
            raise damaged(path) from error


def _no_pixels(path: Path, header: Any) -> UserError:
    if not len(header):
        return UserError(f"{path}: is no DICOM file; export it again or remove it")
    return UserError(
        f"{path}: is a DICOM file without pixels, such as a report or a directory; remove it"
    )


def _pixels(path: Path, header: Any) -> Numbers:
    """Return (F, H, W) values after slope and intercept."""
    from pydicom.pixels.processing import apply_rescale

    try:
        pixels: Numbers = header.pixel_array
    except (RuntimeError, NotImplementedError) as error:
        if "missing" in str(error) or "plugin" in str(error):
            syntax = header.file_meta.TransferSyntaxUID.name
            raise UserError(
                f"{path}: is compressed ({syntax}) and no decoder for that is installed; "
                "pip install 'consilium[dicom]', or export it uncompressed"
            ) from error
        raise
    if int(header.get("SamplesPerPixel", 1)) > 1:
        pixels = np.rint(pixels[..., :3] @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    else:
        pixels = apply_rescale(pixels, header)
    return pixels if pixels.ndim == 3 else pixels[np.newaxis]


def _sections(path: Path, header: Any, pixels: Numbers, slices: int) -> list[Section]:
    photometric = str(header.get("PhotometricInterpretation", ""))
    values, odd = _interpreted(header, pixels, photometric)
    chosen = [0]
    if len(values) > 1:
        chosen = chosen_slices(len(values), slices, lambda index: values[index])
    patient = str(header.get("PatientID") or "").strip()
    return [
        Section(
            values=values[index],
            format="DICOM",
            mode=f"{photometric} {header.get('BitsStored', '?')} bit",
            odd=odd,
            patient="" if patient.lower() in NO_PATIENT else patient,
            part=f"#{index + 1}" if len(values) > 1 else "",
        )
        for index in chosen
    ]


def _interpreted(header: Any, values: Numbers, photometric: str) -> tuple[Numbers, tuple[str, ...]]:
    """Return Hounsfield units or greys by the rule above, and what the header got wrong."""
    modality = str(header.get("Modality", ""))
    odd = () if modality == "CT" else (f"modality {modality or 'missing'}",)
    if is_hounsfield(values):
        return values.astype(np.float32), odd
    if modality == "CT" and _lost_intercept(header, values):
        return values.astype(np.float32) + np.float32(LOST_INTERCEPT), (*odd, "intercept lost")
    grey = values.astype(np.uint8) if values.max() <= 255 else eight_bits(values)
    if photometric == "MONOCHROME1":
        grey = 255 - grey
    return grey, (*odd, "windowed before export")


def _lost_intercept(header: Any, values: Numbers) -> bool:
    bits, top = int(header.get("BitsStored", 8)), values.max()
    plain = float(header.get("RescaleSlope", 1)) == 1 and not header.get("RescaleIntercept")
    return plain and 10 <= bits <= 12 and top > 1024 and bool((values == top).mean() < CUT_OFF)
