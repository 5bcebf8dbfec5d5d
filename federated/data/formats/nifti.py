"""NIfTI-1 and NIfTI-2 volumes through nibabel: axial slices as a radiologist sees them.

Compressed or not, whatever the name says. NaN stands for what was never measured: it becomes air.
"""

import io
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from federated.data.formats.slices import (
    AIR,
    ImageFormat,
    Numbers,
    Slice,
    check_size,
    chosen_slices,
    damaged,
    is_hounsfield,
)
from federated.errors import UserError

GZIP = b"\x1f\x8b"
SIZES = {348: 1, 540: 2}  # bytes of a header -> version
MAGIC = {1: slice(344, 348), 2: slice(4, 8)}  # where a header names its version


def starts(head: bytes) -> bool:
    """Return whether the first bytes of a file, unpacked where they are packed, are a header."""
    return _version(_unpacked(head)) > 0


def _unpacked(head: bytes) -> bytes:
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, 2 * max(SIZES))
    except zlib.error:
        return b""


def _version(head: bytes) -> int:
    """Return the version of a header, 0 where there is none."""
    sizes = (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big"))
    version = next((SIZES[size] for size in sizes if size in SIZES), 0)
    named = head[MAGIC[version]] if version else b""
    return version if named[:3] in (b"ni%d" % version, b"n+%d" % version) else 0


def read(path: Path, content: bytes, slices: int) -> list[Slice]:
    """Return axial slices, front of the patient up and right of the patient left.

    Values are Hounsfield units where there is air in the volume, else greys over the range of the
    slices taken: NIfTI has no notion of bits stored.

    Raises:
        UserError: the file is damaged, no volume or too large.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            raw, scale, odd = _volume(path, content)
            return _slices(path, raw, scale, odd, slices)
        except UserError:
            raise
        except Exception as error:  # nibabel raises nearly anything on damaged files
            raise damaged(path) from error


def _volume(path: Path, content: bytes) -> tuple[Numbers, tuple[float, float], tuple[str, ...]]:
    """Return unscaled values (right to left, front to back, foot to head), scale, oddities."""
    import gzip

    import nibabel  # slow to import, and many a user has no NIfTI
    from nibabel.orientations import apply_orientation, io_orientation

    file = io.BytesIO(content)
    packed = content.startswith(GZIP)
    stream = gzip.GzipFile(fileobj=file) if packed else file
    head = _unpacked(content[: 2 * max(SIZES)]) if not packed else _unpacked(content[:4096])
    kind = nibabel.Nifti2Header if _version(head) == 2 else nibabel.Nifti1Header
    header: Any = kind.from_fileobj(stream)  # type: ignore[no-untyped-call]
    if head[MAGIC[_version(head)]][1:2] == b"i":
        raise UserError(
            f"{path}: is the header of a pair .hdr and .img; convert it to one .nii file"
        )
    shape = _shape(path, header)
    affine, odd = _affine(header)
    axes = io_orientation(affine)  # type: ignore[no-untyped-call]
    check_size(path, *(shape[axis] for axis in np.argsort(axes[:, 0])))
    raw = np.asarray(header.raw_data_from_fileobj(stream)).reshape(shape)
    turned = apply_orientation(raw, axes)  # type: ignore[no-untyped-call]  # right, front, head
    return turned[::-1, ::-1], _scale(path, header), odd


def _shape(path: Path, header: Any) -> tuple[int, int, int]:
    shape = tuple(header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise UserError(
            f"{path}: has {len(shape)} dimensions instead of 3; split it into volumes or remove it"
        )
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise UserError(
            f"{path}: holds colours or complex numbers, not the values of CT; remove it"
        )
    return shape


def _affine(header: Any) -> tuple[Numbers, tuple[str, ...]]:
    """Return how the volume lies in space: by its sform, its qform, or else as it is stored."""
    for code, get in (("sform_code", header.get_sform), ("qform_code", header.get_qform)):
        try:
            affine = get() if header[code] > 0 else None
        except Exception:  # noqa: S112  # a quaternion that is none
            continue
        if affine is not None and _is_usable(affine):
            return affine, ()
    base: Numbers = header.get_base_affine()
    return (base if _is_usable(base) else np.diag([-1.0, 1, 1, 1])), ("orientation unknown",)


def _is_usable(affine: Numbers) -> bool:
    return bool(np.isfinite(affine).all()) and abs(np.linalg.det(affine[:3, :3])) > 1e-12


def _scale(path: Path, header: Any) -> tuple[float, float]:
    """Return slope and intercept; by the standard a slope of 0 (or none) leaves values alone."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return 1.0, 0.0
    if not np.isfinite(intercept):
        raise UserError(
            f"{path}: has a slope of {slope:g} and no intercept that is a number; write scl_inter"
        )
    return slope, intercept


def _slices(
    path: Path, raw: Numbers, scale: tuple[float, float], odd: tuple[str, ...], slices: int
) -> list[Slice]:
    def measured(index: int) -> Numbers:
        plane = raw[:, :, index].T.astype(np.float32)
        values: Numbers = plane * np.float32(scale[0]) + np.float32(scale[1])
        values[~np.isfinite(values)] = np.nan
        return values

    darkest, gaps = _lowest(path, measured, raw.shape[2])
    hounsfield = is_hounsfield(darkest)

    def scaled(index: int) -> Numbers:
        return np.nan_to_num(measured(index), nan=AIR if hounsfield else float(darkest))

    chosen = chosen_slices(raw.shape[2], slices, scaled)
    values = planes = np.stack([scaled(index) for index in chosen])
    if gaps:
        odd = (*odd, "NaN taken as air")
    if not hounsfield:
        odd = (*odd, "windowed before export")
        low, high = planes.min(), planes.max()
        values = np.rint((planes - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    return [
        Slice(plane, "NIfTI", str(raw.dtype), odd=odd, part=f"#{index + 1}")
        for index, plane in zip(chosen, values, strict=True)
    ]


def _lowest(path: Path, measured: Any, depth: int) -> tuple[Numbers, bool]:
    """Return the lowest number in a volume, and whether there is anything but numbers in it."""
    lowest, gaps = np.float32(np.inf), False
    for index in range(depth):
        plane = measured(index)
        finite = plane[np.isfinite(plane)]
        gaps = gaps or finite.size < plane.size
        lowest = min(lowest, finite.min(initial=np.float32(np.inf)))
    if not np.isfinite(lowest):
        raise UserError(f"{path}: holds no number; export it again or remove it")
    return np.asarray(lowest), gaps


NIFTI = ImageFormat(name="NIfTI", suffixes=(".nii", ".nii.gz"), starts=starts, read=read)
