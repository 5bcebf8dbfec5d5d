"""Random numbers out of a key: the same in every process, and nobody's who has not the key.

The key is AES-256 in counter mode, so that numbers made of a secret are not foreseen from earlier
ones, as those of a Mersenne twister are. Of a key that follows from the run's seed everybody who
knows the seed makes the same numbers: then a simulation repeats its bits, and protects nobody.
"""

import hashlib

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
SUMMANDS = 4
"""Normal numbers that are added up for one that is used."""
UNIT = 2.0**-53

Float64 = npt.NDArray[np.float64]


def derived(secret: bytes, *purpose: object) -> bytes:
    """Return a key for one purpose, by HKDF-SHA256 (RFC 5869).

    Args:
        secret: What only its owner knows, or in a simulation everybody.
        *purpose: What the key is for; another purpose gives an unrelated key.
    """
    words = b"".join(len(word).to_bytes(4, "big") + word for word in map(_bytes_of, purpose))
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"consilium" + words).derive(secret)


def _bytes_of(word: object) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


def secret_of_seed(seed: int) -> bytes:
    """Return the secret that is none: what follows from a run's seed."""
    return hashlib.sha256(f"consilium seed {seed}".encode()).digest()


class Stream:
    """Random numbers of one key, one after the other.

    Args:
        key: 32 bytes; a key must serve one purpose only.
    """

    def __init__(self, key: bytes) -> None:
        self._encryptor = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()

    def uniforms(self, count: int) -> Float64:
        """Return ``count`` numbers in (0, 1], multiples of 2^-53."""
        bits = np.frombuffer(self._encryptor.update(bytes(8 * count)), np.uint64)
        return ((bits >> np.uint64(11)).astype(np.float64) + 1) * UNIT

    def normals(self, shape: tuple[int, ...]) -> Float64:
        """Return standard normal numbers of a shape.

        Each is half the sum of four of Box and Muller (1958): which float64 a single one is can
        give away what it was added to (Mironov 2012); to undo a sum of four takes a search that is
        out of reach (Holohan and Braghin 2021, arXiv 2107.10138).
        """
        count = int(np.prod(shape, dtype=np.int64))
        half = (SUMMANDS * count + 1) // 2
        radius = np.sqrt(-2 * np.log(self.uniforms(half)))
        angle = 2 * np.pi * self.uniforms(half)
        both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        summed: Float64 = both[: SUMMANDS * count].reshape(SUMMANDS, count).sum(axis=0)
        drawn: Float64 = (summed / np.sqrt(SUMMANDS)).reshape(shape)
        return drawn
