"""Masks: streams of ChaCha20 under keys that two sites agree on, added to whole numbers and taken off again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ultrafm.errors import UltraFMError
from ultrafm.federation.secure.session import MEND, Session

KEY_BYTES = 32
PART_BYTES = 1 << 17  # of a stream at a time: it stays in the processor's cache
START = bytes(16)  # block counter and nonce: every key makes one stream only


def public_of(private: bytes) -> bytes:
    """The public half of an X25519 key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agree(private: bytes, public: bytes, purpose: bytes) -> bytes:
    """The key (32 bytes) that two sites share for a purpose: X25519, then HKDF with SHA-256 (RFC 7748, RFC 5869).

    Raises UltraFMError for a public key that leads to no secret.
    """
    try:
        theirs = X25519PublicKey.from_public_bytes(public)
        shared = X25519PrivateKey.from_private_bytes(private).exchange(theirs)
    except ValueError as error:
        raise UltraFMError("secure aggregation, a public key", str(error), "a sound X25519 key", MEND) from None
    return derive(shared, purpose)


def derive(secret: bytes, purpose: bytes) -> bytes:
    """A key (32 bytes) for one purpose from a secret."""
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(secret)


def own_mask(session: Session, site: str, seed: bytes) -> tuple[bytes, int]:
    """The key and the sign of a site's mask of its own."""
    return derive(seed, session.bind("own mask", site)), 1


def pair_mask(session: Session, site: str, private: bytes, other: str, public: bytes) -> tuple[bytes, int]:
    """The key and the sign of the mask that `site` shares with `other`: what one adds, the other takes off."""
    pair = session.in_order((site, other))
    return agree(private, public, session.bind("pair mask", *pair)), 1 if pair[0] == site else -1


def add_masks(numbers: np.ndarray, masks: Sequence[tuple[bytes, int]]) -> None:
    """Add (sign 1) or take off (sign -1) every mask in place, part by part; `numbers` are unsigned, 32 or 64 bits."""
    streams = [(Cipher(algorithms.ChaCha20(key, START), None).encryptor(), sign) for key, sign in masks]
    zeros, buffer, size = memoryview(bytes(PART_BYTES)), bytearray(PART_BYTES), PART_BYTES // numbers.itemsize
    little = numbers.dtype.newbyteorder("<")
    for start in range(0, len(numbers), size):
        part = numbers[start : start + size]
        mask = np.frombuffer(buffer, little, len(part))
        for stream, sign in streams:
            stream.update_into(zeros[: part.nbytes], buffer)
            (np.add if sign > 0 else np.subtract)(part, mask, out=part)
