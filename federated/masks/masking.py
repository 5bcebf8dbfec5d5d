"""Masks on the integers of an exact sum, modulo 2^64 (Bonawitz et al., CCS 2017, section 4).

Site i sends its integers plus a mask of its own, plus the mask that it shares with each peer whose
name is greater, less that of each whose name is smaller. In the sum of all, the masks of the pairs
are gone; shares of the secrets behind the others take off what is left.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from federated.masks.keys import Pair, agreed

BLOCK = 2**18
"""Bytes at a time, which stay in a core's own cache."""

Int64 = npt.NDArray[np.int64]
Integers = Mapping[str, Int64]
"""Arrays of integers by name, the same names and shapes at every site, in the same order."""


@dataclass(frozen=True)
class Mask:
    """A stream of integers out of a key, and whether it is added or taken off."""

    key: bytes
    sign: int

    def apply(self, arrays: Integers) -> None:
        """Add the stream to the arrays in place, one after the other, modulo 2^64."""
        encryptor = Cipher(algorithms.AES256(self.key), modes.CTR(bytes(16))).encryptor()
        zeros, add = bytes(BLOCK), np.add if self.sign > 0 else np.subtract
        for array in arrays.values():
            flat = array.reshape(-1)
            if array.size and not np.shares_memory(flat, array):
                raise ValueError("a mask is added in place, to arrays that are contiguous")
            for start in range(0, flat.size, BLOCK // 8):
                part = flat[start : start + BLOCK // 8]
                stream = encryptor.update(zeros[: 8 * part.size])
                add(part, np.frombuffer(stream, np.int64), out=part)


def own_mask(seed: bytes, session: str, site: str) -> Mask:
    """Return the mask that only a site itself makes, of its seed."""
    return Mask(Pair(session, site, site).key("own mask", seed), 1)


def pair_masks(
    private: bytes, site: str, peers: Mapping[str, bytes], session: str
) -> Iterator[Mask]:
    """Yield the masks that a site has in common with its peers.

    Args:
        private: The site's private key of masks.
        site: Its name.
        peers: The others' public keys of masks, by name.
        session: Of the round; another has other masks.
    """
    for peer, public in peers.items():
        first, second = sorted((site, peer))
        key = Pair(session, first, second).key("pair mask", agreed(private, public))
        yield Mask(key, 1 if site == first else -1)


def inverse(masks: Iterable[Mask]) -> Iterator[Mask]:
    """Yield what takes masks off again."""
    for mask in masks:
        yield Mask(mask.key, -mask.sign)
