"""Arrays in numpy's file format, as they travel: written, and read without evaluating anything.

numpy's own reader evaluates the header as Python, which a hostile header turns into exceptions of
any kind. What ``numpy.save`` writes of an array of numbers fits one pattern; nothing else is read.
"""

import math
import re
from functools import lru_cache
from io import BytesIO
from typing import Literal

import numpy as np
import numpy.typing as npt

NPY_1_0 = np.lib.format.magic(1, 0)
LONGEST_HEADER = 2048
"""Bytes; 64 axes of 19 digits fit."""

_HEADER = re.compile(
    rb"\{'descr': '([<>|][biuf]\d{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,19}(?:, \d{1,19})*,?)?)\), \} *\n"
)


def write_npy(array: npt.NDArray[np.generic]) -> bytes:
    """Return the bytes that ``numpy.save`` writes of an array of numbers, at a third of the cost.

    Args:
        array: In C order.
    """
    return npy_header(array.dtype.str, array.shape) + array.tobytes()


@lru_cache(maxsize=4096)
def npy_header(descr: str, shape: tuple[int, ...]) -> bytes:
    """Return the bytes before the values in what ``write_npy`` writes."""
    file = BytesIO()
    layout = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, layout)
    return file.getvalue()


def read_npy(data: bytes) -> npt.NDArray[np.generic]:
    """Return a read-only view of the array in the bytes of a ``.npy`` of version 1.0.

    Raises:
        ValueError: they are not an array of numbers, or more or fewer bytes than its shape says.
    """
    start = 10 + int.from_bytes(data[8:10], "little")
    if data[:8] != NPY_1_0 or not 10 < start <= min(len(data), LONGEST_HEADER):
        raise ValueError("no array in numpy's format 1.0")
    shape, order, dtype = _layout(data[10:start])
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError("an array of another size than its shape says")
    return np.ndarray(shape, dtype, buffer=data, offset=start, order=order)


@lru_cache(maxsize=4096)
def _layout(header: bytes) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[np.generic]]:
    """Return shape, order and dtype in the header of a ``.npy``."""
    match = _HEADER.fullmatch(header)
    if match is None:
        raise ValueError("a header that numpy does not write of an array of numbers")
    descr, fortran, axes = (part.decode() for part in match.groups())
    try:
        dtype = np.dtype(descr)
    except TypeError as error:
        raise ValueError(f"no dtype {descr}") from error
    shape = tuple(int(axis) for axis in axes.split(",") if axis)
    return shape, "F" if fortran == "True" else "C", dtype
