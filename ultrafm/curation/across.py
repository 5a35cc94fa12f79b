"""The same picture at two sites: found by keyed hashes, without a picture leaving its site.

Exact duplicates are told by HMAC-SHA-256 of the pixels under one key of the study: who has the key can test whether a
picture that he already holds is at a site, and learns nothing else. Near duplicates need hashes that keep likeness
(64 bits of coarse brightness): who gets them can tell pictures of one organ or device from others, can recognise a
picture that he knows even if it was changed, and can guess at a coarse outline. They are therefore compared only when
all sites opt in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ultrafm.curation.store import read_table

ROWS_AT_ONCE = 512
ACROSS_SITES = 4  # bits of 64; between sites nothing but hashes is compared, so the bound is tight
COLUMNS = ["site", "image_id", "other_site", "other_image_id", "bits", "same_pixels", "two_folds"]


def site_fingerprints(curated: Path, site: str, study_key: bytes, near: bool = False) -> pd.DataFrame:
    """What one site hands out: site, image_id, fold and `exact`, the keyed hash; with `near` also the 64 open bits."""
    columns = ["site", "image_id", "fold", "sha256", "perceptual_hash"]
    table = read_table(Path(curated), site).select(columns).to_pandas()
    table["exact"] = [hmac.new(study_key, text.encode(), hashlib.sha256).hexdigest() for text in table["sha256"]]
    hidden = ["sha256"] if near else ["sha256", "perceptual_hash"]
    return table.drop(columns=hidden)


def cross_site_duplicates(
    curated: Path, sites: Sequence[str], study_key: bytes | None = None, near: bool = False
) -> pd.DataFrame:
    """Pairs of pictures of two sites that are the same or, with `near`, whose open hashes differ by at most 4 bits.

    Columns: site, image_id, other_site, other_image_id, bits (of the open hash; 0 without), same_pixels, two_folds.
    The key only hides the hashes from others; the pairs do not depend on it. Without one a new one is made and
    forgotten, which does when all sites are compared in one place.
    """
    study_key = study_key or secrets.token_bytes(32)
    tables = [site_fingerprints(curated, site, study_key, near) for site in sorted(sites)]
    found = [
        pair for number, one in enumerate(tables) for other in tables[number + 1 :] for pair in _pairs(one, other, near)
    ]
    return pd.DataFrame(found, columns=COLUMNS)


def _pairs(one: pd.DataFrame, other: pd.DataFrame, near: bool) -> Iterator[tuple[object, ...]]:
    """The pairs of two sites, exact ones first; near ones are looked for a few hundred rows at a time."""
    places: dict[str, list[int]] = {}
    for column, text in enumerate(other["exact"]):
        places.setdefault(text, []).append(column)
    for row, text in enumerate(one["exact"]):
        for column in places.get(text, ()):
            yield _pair(one, row, other, column, 0, True)
    if not near:
        return
    first, second = (
        np.array([int(text, 16) for text in table["perceptual_hash"]], dtype=np.uint64) for table in (one, other)
    )
    for start in range(0, len(first), ROWS_AT_ONCE):
        bits = np.bitwise_count(first[start : start + ROWS_AT_ONCE, None] ^ second[None, :])
        for row, column in zip(*np.nonzero(bits <= ACROSS_SITES)):
            if one["exact"].iat[start + row] != other["exact"].iat[column]:
                yield _pair(one, start + row, other, column, int(bits[row, column]), False)


def _pair(one: pd.DataFrame, row: int, other: pd.DataFrame, column: int, bits: int, same: bool) -> tuple[object, ...]:
    here, there = one.iloc[row], other.iloc[column]
    return (
        here["site"], here["image_id"], there["site"], there["image_id"], bits, same, here["fold"] != there["fold"]
    )  # fmt: skip
