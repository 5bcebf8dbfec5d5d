"""A secret among n owners, of whom any t can tell it and fewer know nothing (Shamir 1979).

The secret is the value at 0 of a random polynomial of degree t - 1 over the integers modulo a
prime; a share is its value at the owner's number.
"""

import secrets
from collections.abc import Mapping

PRIME = 2**256 + 297
"""The smallest above 2^256, so that any 32 bytes are a secret."""
SECRET_BYTES = 32
SHARE_BYTES = 33


def split(secret: bytes, owners: int, threshold: int) -> list[bytes]:
    """Return a share of ``secret`` for each of the owners 1, 2, ...

    Args:
        secret: 32 bytes.
        owners: How many.
        threshold: Fewest shares that tell the secret.

    Raises:
        ValueError: the threshold is not in 1..owners, or the secret not of 32 bytes.
    """
    if not 1 <= threshold <= owners or len(secret) != SECRET_BYTES:
        raise ValueError(f"{threshold} of {owners} cannot share {len(secret)} bytes")
    tail = [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    coefficients = [int.from_bytes(secret, "big"), *tail]
    return [
        _value(coefficients, owner).to_bytes(SHARE_BYTES, "big") for owner in range(1, owners + 1)
    ]


def _value(coefficients: list[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % PRIME
    return value


def weights(owners: list[int]) -> dict[int, int]:
    """Return what the shares of these owners count in the secret: Lagrange's polynomials at 0."""
    found = {}
    for owner in owners:
        above = below = 1
        for other in owners:
            if other != owner:
                above = above * other % PRIME
                below = below * (other - owner) % PRIME
        found[owner] = above * pow(below, -1, PRIME) % PRIME
    return found


def joined(shares: Mapping[int, bytes], counts: Mapping[int, int]) -> bytes:
    """Return the secret of which ``shares`` are, by owner; ``counts`` are their ``weights``.

    Raises:
        ValueError: they are not shares of one secret of 32 bytes.
    """
    numbers = {owner: int.from_bytes(share, "big") for owner, share in shares.items()}
    secret = sum(counts[owner] * number for owner, number in numbers.items()) % PRIME
    if secret.bit_length() > 8 * SECRET_BYTES:
        raise ValueError("these are no shares of one secret")
    return secret.to_bytes(SECRET_BYTES, "big")
