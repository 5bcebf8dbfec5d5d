"""NIfTI volumes through nibabel: axial slices as a radiologist sees them."""

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
    is_hounsfield,
)
from federated.errors import UserError

SUFFIXES = (".nii", ".nii.gz")


def is_nifti(path: Path) -> bool:
    """Return whether a file is to be read as NIfTI: by its name."""
    return path.name.lower().endswith(SUFFIXES)


def read(path: Path, content: bytes, slices: int) -> list[Section]:
    """Return axial slices, front of the patient up and right of the patient left.

    Values are Hounsfield units where there is air in the volume, else greys over the range of the
    slices taken: NIfTI has no notion of bits stored.

    Raises:
        UserError: the file is damaged, no volume or too large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            raw, slope, intercept = _volume(path, content)
            return _sections(raw, slope, intercept, slices)
        except UserError:
            raise
        except Exception as error:  # nibabel raises nearly anything on damaged files
            raise damaged(path) from error


def _volume(path: Path, content: bytes) -> tuple[Numbers, float, float]:
    """Return unscaled values (right to left, front to back, foot to head), slope, intercept."""
    import gzip

    import nibabel  # slow to import, and many a user has no NIfTI
    from nibabel.orientations import apply_orientation, io_orientation

    file = io.BytesIO(content)
    stream = gzip.GzipFile(fileobj=file) if path.suffix.lower() == ".gz" else file
    image = nibabel.Nifti1Image.from_stream(stream)  # reads the header alone
    shape = tuple(image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise UserError(
            f"{path}: has {len(shape)} dimensions instead of 3; split it into volumes or remove it"
        )
    axes = io_orientation(image.affine)  # type: ignore[no-untyped-call]
    turned_shape = [shape[axis] for axis in np.argsort(axes[:, 0])]
    check_size(path, *turned_shape)
    proxy: Any = image.dataobj
    raw = np.asarray(proxy.get_unscaled()).reshape(shape)
    turned = apply_orientation(raw, axes)  # type: ignore[no-untyped-call]  # right, front, head
    return turned[::-1, ::-1], float(proxy.slope), float(proxy.inter)


def _sections(raw: Numbers, slope: float, intercept: float, slices: int) -> list[Section]:
    def scaled(index: int) -> Numbers:
        plane = raw[:, :, index].T.astype(np.float32)
        values: Numbers = np.nan_to_num(plane * np.float32(slope) + np.float32(intercept))
        return values

    chosen = chosen_slices(raw.shape[2], slices, scaled)
    planes = np.stack([scaled(index) for index in chosen])
    odd: tuple[str, ...] = ()
    values = planes
    if not is_hounsfield(planes):
        odd = ("windowed before export",)
        low, high = planes.min(), planes.max()
        values = np.rint((planes - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    return [
        Section(plane, "NIfTI", str(raw.dtype), odd=odd, part=f"#{index + 1}")
        for index, plane in zip(chosen, values, strict=True)
    ]
