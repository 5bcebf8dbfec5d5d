"""The secret that noise is made of: 32 bytes that are drawn once, kept in a file, and never sent.

A key is derived from it for each release and bound to what is released: a round that is repeated to
the same bits repeats its noise, so that nobody sees two; any other gets noise of its own.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from federated.dp.stream import KEY_BYTES
from federated.storage import DamagedFileError, write_bytes

FILE = "noise.key"
"""Name of the file, mode 0600."""


def kept_secret(folder: Path) -> bytes:
    """Return the secret in a folder, drawn by the system's generator the first time.

    Raises:
        DamagedFileError: the file does not hold a secret.
    """
    path = folder / FILE
    if not path.exists():
        write_bytes(path, os.urandom(KEY_BYTES))
    secret = path.read_bytes()
    if len(secret) != KEY_BYTES:
        raise DamagedFileError(f"{path} is damaged: it must have {KEY_BYTES} bytes")
    return secret


def digest_of_all(arrays: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """Return SHA-256 over the names, shapes, types and bits of some arrays."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name}\0{array.dtype}{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
