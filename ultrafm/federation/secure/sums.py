"""Masking at a site and unmasking at the coordinator, as pure functions (Bonawitz et al., CCS 2017, figure 4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ultrafm.errors import UltraFMError
from ultrafm.federation.secure.keys import Advertised, Secrets
from ultrafm.federation.secure.masks import add_masks, own_mask, pair_mask, public_of
from ultrafm.federation.secure.sealing import Shares, masking_share, seed_share
from ultrafm.federation.secure.session import MEND, Session
from ultrafm.federation.secure.shamir import join

Revealed = Mapping[str, Mapping[str, bytes]]  # site that answers -> site that the share is of -> the share


def mask(
    numbers: np.ndarray,
    session: Session,
    site: str,
    secrets: Secrets,
    advertised: Mapping[str, Advertised],
    members: Sequence[str],
) -> None:
    """Mask a site's numbers in place: its own mask, and one with every other of `members`, who all shared secrets."""
    pairs = [
        pair_mask(session, site, secrets.masking, other, advertised[other].masking)
        for other in members
        if other != site
    ]
    add_masks(numbers, [own_mask(session, site, secrets.seed), *pairs])


def reveal(shares: Shares, survivors: Collection[str]) -> dict[str, bytes]:
    """Of every site one share: of its seed when it is in the sum, of its masking key when it is not. Never both."""
    return {site: (seed_share if site in survivors else masking_share)(both) for site, both in shares.items()}


def unmask(
    total: np.ndarray,
    session: Session,
    advertised: Mapping[str, Advertised],
    members: Sequence[str],
    survivors: Sequence[str],
    revealed: Revealed,
) -> None:
    """Take the masks off the sum of the survivors' numbers, in place.

    Raises UltraFMError with fewer answers than the threshold, and for shares that do not lead to an advertised key.
    """
    session.require_enough(revealed, "shares")
    masks = []
    for site in members:
        secret = joined_secret(session, site, revealed)
        if site in survivors:
            key, sign = own_mask(session, site, secret)
            masks.append((key, -sign))
            continue
        if public_of(secret) != advertised[site].masking:
            raise UltraFMError(f"secure aggregation, site {site}", "shares of another key", "those of its own", MEND)
        for other in survivors:  # whose sign is the opposite of this site's, so that adding takes off
            masks.append(pair_mask(session, site, secret, other, advertised[other].masking))
    add_masks(total, masks)


def joined_secret(session: Session, site: str, revealed: Revealed) -> bytes:
    """The secret of which every answer holds a share."""
    shares = {session.number(other): told[site] for other, told in revealed.items() if site in told}
    return join(shares, session.threshold)
