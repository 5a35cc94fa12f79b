"""What a secure round costs a site: messages and bytes of each stage, beside a plain round."""

from __future__ import annotations

import pandas as pd

from ultrafm.federation.secure.masks import KEY_BYTES
from ultrafm.federation.secure.ring import LONG, kind_for
from ultrafm.federation.secure.sealing import NONCE_BYTES
from ultrafm.federation.secure.shamir import SHARE_BYTES

SIGNATURE_BYTES = 104  # of ECDSA P-384, at most
SEALED_BYTES = NONCE_BYTES + 2 * SHARE_BYTES + 16  # with the tag of Poly1305
WEIGHT_BYTES = 4


def secure_traffic(sites: int, weights: int) -> pd.DataFrame:
    """Of one site and one round with `sites` sites and `weights` shared weights, when nobody drops out.

    Rows: the five stages, and "plain round" for comparison. Columns: stage, purpose, messages (questions and answers),
    bytes_to and bytes_from the site. Bytes are those of keys, shares, signatures and numbers; names and Flower's own
    packing come on top, less than a kilobyte for each message and site named in it.
    """
    model, masked = WEIGHT_BYTES * weights, kind_for(sites).itemsize * (weights + LONG)
    keys = 2 * KEY_BYTES + SIGNATURE_BYTES
    rows = [
        ("keys", "fresh public keys, signed", 0, keys),
        ("shares", "shares of two secrets, sealed from site to site", sites * keys, sites * SEALED_BYTES),
        ("masked", "the model, and what it changed, as masked numbers", model + sites * SEALED_BYTES, masked),
        ("consent", "a signature of who is in the sum", 0, SIGNATURE_BYTES),
        ("unmask", "one share of every site", sites * SIGNATURE_BYTES, sites * SHARE_BYTES),
        ("plain round", "the model, and the trained model", model, model),
    ]
    table = pd.DataFrame(rows, columns=["stage", "purpose", "bytes_to", "bytes_from"])
    table.insert(2, "messages", 2)
    return table
