"""What two sites agree on that the server passes between them: X25519, then HKDF-SHA256.

Each site has two key pairs a round: of one it makes the masks of its pairs, and that secret is told
should it drop out; of the other it makes the keys under which it sends shares to its peers.
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
TAG_BYTES = 16
NONCE = bytes(12)
"""A key seals one text only, so its nonce may stand still."""


class BadSharesError(Exception):
    """Shares that were not sealed by the peer they are said to come from, or were changed."""


@dataclass(frozen=True)
class Pair:
    """Two sites of a session, in the order in which something goes from one to the other."""

    session: str
    giver: str
    taker: str

    def key(self, purpose: str, agreed: bytes) -> bytes:
        """Return the key of a purpose out of what the two have agreed on."""
        words = [purpose, self.session, self.giver, self.taker]
        info = b"".join(len(w.encode()).to_bytes(2, "big") + w.encode() for w in words)
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(agreed)


def public_of(private: bytes) -> bytes:
    """Return the public half of a private key of 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agreed(private: bytes, public: bytes) -> bytes:
    """Return what the owners of two key pairs agree on, each from its private and other's public.

    Raises:
        ValueError: the public key is none.
    """
    peer = X25519PublicKey.from_public_bytes(public)
    return X25519PrivateKey.from_private_bytes(private).exchange(peer)


def sealed(text: bytes, pair: Pair, secret: bytes) -> bytes:
    """Return a text that only the pair can read, and nobody change."""
    return ChaCha20Poly1305(pair.key("shares", secret)).encrypt(NONCE, text, None)


def opened(text: bytes, pair: Pair, secret: bytes) -> bytes:
    """Return what was sealed.

    Raises:
        BadSharesError: it was not sealed so.
    """
    try:
        return ChaCha20Poly1305(pair.key("shares", secret)).decrypt(NONCE, text, None)
    except InvalidTag as error:
        raise BadSharesError(f"the shares of {pair.giver} cannot be opened") from error
