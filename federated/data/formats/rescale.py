"""From what a DICOM file stores to what it means: sign, slope, intercept and padding.

Slope and intercept lie at the top of the header, or in the functional groups of an enhanced image,
shared or of each frame. Half a pair is completed where that can mean one thing only, and refused
where it could mean several.
"""

from pathlib import Path
from typing import Any

import numpy as np

from federated.data.formats.slices import AIR, AIR_SEEN, Numbers, is_hounsfield
from federated.errors import UserError

LOWEST = -8192.0  # HU; scanners pad with -2000 to -3024, and below this is nothing
PADS = 2  # values below LOWEST that may be padding; more are greys of the wrong sign


def with_its_sign(header: Any, stored: Numbers) -> tuple[Numbers, tuple[str, ...]]:
    """Return stored values, 16-bit ones that are signed and marked unsigned with their sign.

    Such a slice holds air as 64,536 and the body around 40, and nothing in between.
    """
    if stored.dtype != np.uint16 or int(header.get("BitsStored", 16)) != 16:
        return stored, ()
    signed = stored.view(np.int16)
    wrapped = stored[stored >= 2**15]
    between = ((stored > 2**13) & (stored < 2**16 - 2**13)).any()
    varied = wrapped.size < stored.size and len(np.unique(wrapped)) > PADS
    if varied and not between and signed.min() <= AIR_SEEN:
        return signed, ("signed values marked unsigned",)
    return stored, ()


def apply(path: Path, header: Any, stored: Numbers) -> tuple[Numbers, bool, tuple[str, ...]]:
    """Return (F, H, W) values after slope and intercept, whether these did anything, oddities.

    Raises:
        UserError: the pair cannot be used.
    """
    from pydicom.pixels.processing import apply_modality_lut

    if header.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, header), True, ()
    pairs = [_pair(path, header, frame) for frame in range(len(stored))]
    if all(pair == (None, None) for pair in pairs):
        return stored, False, ()
    odd = ("slope missing",) if any(slope is None for slope, _ in pairs) else ()
    slopes = np.array([1.0 if slope is None else slope for slope, _ in pairs])
    intercepts = np.array([0.0 if intercept is None else intercept for _, intercept in pairs])
    values: Numbers = stored * slopes[:, None, None] + intercepts[:, None, None]
    half = any(intercept is None and slope not in (None, 1.0) for slope, intercept in pairs)
    if half and not is_hounsfield(values):
        raise UserError(
            f"{path}: has a rescale slope without an intercept, so its values cannot be told; "
            "export it again or remove it"
        )
    plain = bool((slopes == 1).all() and (intercepts == 0).all())
    return values, not plain, odd


def _pair(path: Path, header: Any, frame: int) -> tuple[float | None, float | None]:
    """Return slope and intercept of a frame, None where they are missing or empty."""
    places = [header]
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    each = header.get("PerFrameFunctionalGroupsSequence") or ()
    for group in (*shared[:1], *each[frame : frame + 1]):
        places += list(group.get("PixelValueTransformationSequence") or ())[:1]
    slope = intercept = None
    for place in places:  # what is said of the frame counts for more than what is said of all
        slope = _number(path, place, "RescaleSlope", slope)
        intercept = _number(path, place, "RescaleIntercept", intercept)
    if slope == 0:
        raise UserError(f"{path}: has a rescale slope of 0, which leaves nothing; export it again")
    return slope, intercept


def _number(path: Path, place: Any, keyword: str, before: float | None) -> float | None:
    try:
        value = place.get(keyword)
        number = before if value in (None, "") else float(value)
    except (TypeError, ValueError):
        number = np.nan
    if number is not None and not np.isfinite(number):
        raise UserError(f"{path}: has a {keyword} that is no number; export it again or remove it")
    return number


def bright_padding(header: Any, stored: Numbers) -> Numbers:
    """Return where padding lies that is brighter than something else: it would pass for bone."""
    padding = header.get("PixelPaddingValue")
    if not isinstance(padding, int):
        return np.zeros(stored.shape, bool)
    kind = stored.dtype
    outside: Numbers = stored == np.array(padding).astype(kind)
    inside = stored[~outside]
    bright = inside.size and outside.any() and stored[outside].max() > inside.min()
    return outside if bright else np.zeros(stored.shape, bool)


def darkened(
    values: Numbers, outside: Numbers, *, hounsfield: bool = False, white_is_low: bool = False
) -> Numbers:
    """Return values with what lies outside as air in Hounsfield units, in greys as black."""
    if not outside.any():
        return values
    inside = values[~outside]
    black = inside.max() if white_is_low else inside.min()
    return np.where(outside, values.dtype.type(AIR if hounsfield else black), values)


def refuse_no_hounsfield(path: Path, values: Numbers) -> None:
    """Refuse values that are lower than any tissue and too varied for padding."""
    if len(np.unique(values[values < LOWEST])) > PADS:
        raise UserError(
            f"{path}: has values down to {values.min():.0f}, which are no Hounsfield units; its "
            "sign or slope is wrong, so export it again or remove it"
        )


def refuse_no_greys(path: Path, values: Numbers) -> None:
    """Refuse greys of which nobody can say what black or white is."""
    if values.min() < 0 or values.max() > 65535:
        raise UserError(
            f"{path}: has values from {values.min():.0f} to {values.max():.0f}: neither Hounsfield "
            "units of CT with air nor greys of up to 16 bits; export it again or remove it"
        )
