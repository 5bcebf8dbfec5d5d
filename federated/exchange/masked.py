"""The releases of secure aggregation: what they look like, and how a sum is made of them.

A masked release is the two integers of each number (``federated.exchange.exact``) plus masks, so
the server adds up what no one can read; all masks off, the sum is the plain one to the bit.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from federated.exchange.exact import Accumulator, ExactSum
from federated.exchange.sharing import Boundary, Release, TensorSpec
from federated.masks.keys import KEY_BYTES, TAG_BYTES
from federated.masks.masking import Int64
from federated.masks.shares import SHARE_BYTES

SESSION = "masking"
"""The record of a message that says what round of masks it belongs to."""
FEWEST = 3
"""Of two sites each would read the other's update out of the sum."""
CHECK = "check/sites"
"""A tensor that is 1 at every site: so is its mean, if and only if all masks are off."""

KEYS = Boundary(
    tuple(TensorSpec(f"keys/{name}", (KEY_BYTES,), "uint8") for name in ("mask", "shares")), ()
)
"""What a site releases first: the public halves of its two key pairs."""


def sealed_of(sites: int) -> Boundary:
    """Return what a site releases next: a sealed pair of shares for each of so many sites."""
    return Boundary(
        (TensorSpec("shares/sealed", (sites, 2 * SHARE_BYTES + TAG_BYTES), "uint8"),), ()
    )


def told_of(sites: int) -> Boundary:
    """Return what a site releases at last: one share of each of so many sites."""
    return Boundary((TensorSpec("shares/told", (sites, SHARE_BYTES), "uint8"),), ())


def masked_of(boundary: Boundary) -> Boundary:
    """Return what a site releases in the place of what ``boundary`` admits."""
    specs = (*boundary.shared, TensorSpec(CHECK, (1,), "float32"))
    return replace(
        boundary, shared=tuple(TensorSpec(s.name, (2, *s.shape), "int64") for s in specs)
    )


def threshold_of(sites: int) -> int:
    """Return how many of so many sites must tell their shares: two thirds."""
    return -(-2 * sites // 3)


def integers_of(release: Release, weight: int, heaviest: int) -> dict[str, Int64]:
    """Return the integers of a release times its weight, (2, ...) for each tensor.

    Raises:
        ValueError: a value is not finite, or too large to be added up.
    """
    accumulator = Accumulator(heaviest)
    arrays = {name: tensor.numpy() for name, tensor in release.tensors.items()}
    accumulator.include({**arrays, CHECK: np.ones(1, np.float32)}, weight)
    return {name: np.stack(parts) for name, parts in accumulator.total().parts.items()}


def sum_of(arrays: Mapping[str, npt.NDArray[np.generic]], weight: int) -> ExactSum:
    """Return masked integers as a sum of one, to be added to others modulo 2^64."""
    integers = {name: np.asarray(array, np.int64) for name, array in arrays.items()}
    return ExactSum({name: (array[0], array[1]) for name, array in integers.items()}, weight)


def checked_sum(total: ExactSum) -> ExactSum:
    """Return the sum without its check.

    Raises:
        ValueError: the check is not what it must be: a mask is still on.
    """
    if total.mean()[CHECK].tolist() != [1.0]:
        raise ValueError("a mask is still on the sum")
    return ExactSum({n: p for n, p in total.parts.items() if n != CHECK}, total.weight)


def bytes_release(name: str, rows: bytes | list[bytes]) -> Release:
    """Return a release of one tensor of bytes; of a list each is a row."""
    joined, count = (rows, 0) if isinstance(rows, bytes) else (b"".join(rows), len(rows))
    tensor = torch.frombuffer(bytearray(joined), dtype=torch.uint8)
    return Release({name: tensor.reshape(count, -1) if count else tensor})
