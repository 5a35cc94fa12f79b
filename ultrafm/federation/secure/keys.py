"""A site's keys: fresh ones for each attempt at a round, signed by the one that stands for the site.

The others know that key beforehand: in a deployment it is the site's node key, whose public half every site holds in
files that the plan names; on one machine, each site's folder holds one, and the public halves travel with the grid.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.keys import make_site_keys, read_public_key
from ultrafm.federation.secure.masks import KEY_BYTES, public_of
from ultrafm.federation.secure.session import MEND, Session
from ultrafm.federation.secure.shamir import Random
from ultrafm.files import read_json, write_json

HASH = ec.ECDSA(hashes.SHA384())
ROSTER, SIGNING_KEY = "roster", "signing_key"  # of a node's configuration: the files of both


@dataclass(frozen=True)
class Secrets:
    """What a site keeps to itself in one attempt: private keys for sealing and masking, the seed of its own mask."""

    sealing: bytes
    masking: bytes
    seed: bytes


@dataclass(frozen=True)
class Advertised:
    """What a site tells the others: public keys for sealing and masking, and the site's signature of both."""

    sealing: bytes
    masking: bytes
    signature: bytes


def new_secrets(random: Random = os.urandom) -> Secrets:
    """Fresh secrets from the machine's source of randomness."""
    return Secrets(random(KEY_BYTES), random(KEY_BYTES), random(KEY_BYTES))


def advertise(session: Session, site: str, secrets: Secrets, key: ec.EllipticCurvePrivateKey) -> Advertised:
    """The site's public keys of this session, signed."""
    sealing, masking = public_of(secrets.sealing), public_of(secrets.masking)
    return Advertised(sealing, masking, key.sign(told_keys(session, site, sealing, masking), HASH))


def told_keys(session: Session, site: str, sealing: bytes, masking: bytes) -> bytes:
    """What a site signs of its keys."""
    return session.bind("keys", site, sealing.hex(), masking.hex())


def require_genuine(session: Session, site: str, told: Advertised, roster: Mapping[str, bytes]) -> None:
    """Raises UltraFMError unless these keys were signed for this session by the site whose key the roster names."""
    about = told_keys(session, site, told.sealing, told.masking)
    require_signature(site, about, told.signature, roster, "its public keys of this round")


def require_signature(site: str, about: bytes, signature: bytes, roster: Mapping[str, bytes], what: str) -> None:
    """Raises UltraFMError unless the site signed these bytes."""
    key = serialization.load_pem_public_key(roster[site])
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UltraFMError(f"secure aggregation, roster, {site}", "a key of another kind", "an ECDSA key")
    try:
        key.verify(signature, about, HASH)
    except InvalidSignature:
        found = f"a signature of {what} that is not {site}'s"
        raise UltraFMError(f"secure aggregation, site {site}", found, "its own, for this session", MEND) from None


def write_roster(path: Path, keys: Mapping[str, bytes]) -> None:
    """Write the sites' public keys (PEM) in the order of the plan."""
    write_json(path, {site: key.decode() for site, key in keys.items()})


def read_roster(path: Path) -> dict[str, bytes]:
    """Site -> public key (PEM), in the order of the plan."""
    return {site: key.encode() for site, key in read_json(path).items()}


def prepare_keys(folder: Path, sites: list[str]) -> dict[str, dict[str, str]]:
    """On one machine: a key in each site's folder below `folder`, made once, and the roster of all.

    Site -> what its node's configuration has to name.
    """
    roster = folder / "roster.json"
    for site in sites:
        if not (folder / site / f"{site}.pub").is_file():
            (folder / site / f"{site}.key").unlink(missing_ok=True)  # made by a run that was killed in between
            make_site_keys(site, folder / site)
    keys = {site: read_public_key(folder / site / f"{site}.pub", f"site {site}") for site in sites}
    write_roster(roster, keys)
    return {site: {SIGNING_KEY: str(folder / site / f"{site}.key"), ROSTER: str(roster)} for site in sites}
