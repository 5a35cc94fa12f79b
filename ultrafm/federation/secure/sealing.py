"""A site's shares for the others, sealed so that the coordinator, which carries them, can neither read nor change them.

ChaCha20-Poly1305 (RFC 8439) under a key that sender and receiver agreed on; what is sealed is bound to run, round,
attempt, sender and receiver.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ultrafm.errors import UltraFMError
from ultrafm.federation.secure.keys import Advertised, Secrets
from ultrafm.federation.secure.masks import agree
from ultrafm.federation.secure.session import MEND, Session
from ultrafm.federation.secure.shamir import SHARE_BYTES, Random, split

NONCE_BYTES = 12
Shares = dict[str, bytes]  # site -> a share of its seed and one of its masking key, one after the other


def seal_shares(
    session: Session, site: str, secrets: Secrets, others: Mapping[str, Advertised], random: Random = os.urandom
) -> dict[str, bytes]:
    """Receiver -> this site's two shares for it, sealed. `others` are all that advertised keys, this site too."""
    numbers = {other: session.number(other) for other in others}
    seed = split(secrets.seed, session.threshold, list(numbers.values()), random)
    masking = split(secrets.masking, session.threshold, list(numbers.values()), random)
    sealed = {}
    for other, number in numbers.items():
        key, nonce = sealing_key(session, secrets, others[other], site, other), random(NONCE_BYTES)
        plain = seed[number] + masking[number]
        sealed[other] = nonce + ChaCha20Poly1305(key).encrypt(nonce, plain, session.bind("shares", site, other))
    return sealed


def open_shares(
    session: Session, site: str, secrets: Secrets, others: Mapping[str, Advertised], sealed: Mapping[str, bytes]
) -> Shares:
    """What `sealed` (sender -> bytes) holds. Raises UltraFMError for what that sender did not seal for this site."""
    opened = {}
    for other, data in sealed.items():
        key, nonce = sealing_key(session, secrets, others[other], other, site), data[:NONCE_BYTES]
        try:
            plain = ChaCha20Poly1305(key).decrypt(nonce, data[NONCE_BYTES:], session.bind("shares", other, site))
        except (InvalidTag, ValueError):
            plain = b""
        if len(plain) != 2 * SHARE_BYTES:
            found = f"shares of {other} that cannot be opened"
            raise UltraFMError(f"secure aggregation, site {site}", found, "shares sealed for this session", MEND)
        opened[other] = plain
    return opened


def sealing_key(session: Session, secrets: Secrets, other: Advertised, sender: str, receiver: str) -> bytes:
    """The key for what goes from `sender` to `receiver`, of which `other` is the one that is not this site."""
    return agree(secrets.sealing, other.sealing, session.bind("sealing", sender, receiver))


def seed_share(shares: bytes) -> bytes:
    """Of two shares, that of the seed."""
    return shares[:SHARE_BYTES]


def masking_share(shares: bytes) -> bytes:
    """Of two shares, that of the masking key."""
    return shares[SHARE_BYTES:]
