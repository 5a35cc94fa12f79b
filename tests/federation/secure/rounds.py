"""A whole secure round as pure functions, without messages; the randomness is a test's own."""

from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from ultrafm.federation.compression import Update
from ultrafm.federation.deployment.keys import public_pem
from ultrafm.federation.secure.keys import advertise, new_secrets, require_genuine
from ultrafm.federation.secure.ring import encode
from ultrafm.federation.secure.sealing import open_shares, seal_shares
from ultrafm.federation.secure.session import Session, threshold_of
from ultrafm.federation.secure.sums import mask, reveal, unmask

KEYS = [ec.generate_private_key(ec.SECP384R1()) for _ in range(8)]


def random_of(seed):
    """So many bytes from a generator with a seed."""
    return np.random.default_rng(seed).bytes


def session_of(sites, threshold=0.0, number=1, attempt="a", run="run"):
    names = tuple(f"site_{place:02d}" for place in range(sites))
    return Session(run, number, attempt, names, threshold_of(threshold, sites))


@dataclass
class Round:
    """What all sites hold once shares have travelled between those of `members`."""

    session: Session
    roster: dict
    secrets: dict
    advertised: dict
    members: list
    shares: dict


def shared_round(session, members, seed=0):
    """Keys of all sites of the session; shares of and for `members`."""
    random = random_of(seed)
    keys = dict(zip(session.sites, KEYS * 8))
    roster = {site: public_pem(key.public_key()) for site, key in keys.items()}
    secrets = {site: new_secrets(random) for site in session.sites}
    advertised = {site: advertise(session, site, secrets[site], keys[site]) for site in session.sites}
    for site, told in advertised.items():
        require_genuine(session, site, told, roster)
    sealed = {site: seal_shares(session, site, secrets[site], advertised, random) for site in members}
    shares = {
        site: open_shares(session, site, secrets[site], advertised, {other: sealed[other][site] for other in members})
        for site in members
    }
    return Round(session, roster, secrets, advertised, list(members), shares)


def masked(held, ring, site, change, weight=1):
    """The masked numbers of a site that changed zeros by `change`."""
    old = np.zeros(len(change), np.float32)
    numbers = encode(ring, Update(old, {"weights": np.asarray(change, np.float32)}), weight, weight, 0.5)
    mask(numbers, held.session, site, held.secrets[site], held.advertised, held.members)
    return numbers


def unmasked(held, ring, vectors, answering=None):
    """The sum of the survivors' masked numbers, unmasked by the sites that answer (all survivors)."""
    total = np.zeros(len(next(iter(vectors.values()))), ring.kind)
    for numbers in vectors.values():
        total += numbers
    survivors = held.session.in_order(vectors)
    revealed = {site: reveal(held.shares[site], survivors) for site in answering or survivors}
    unmask(total, held.session, held.advertised, held.members, survivors, revealed)
    return total
