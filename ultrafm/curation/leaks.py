"""Leaks: a patient, a clip or a picture that stands in two folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ultrafm.curation.duplicates import CLOSE_HASHES
from ultrafm.curation.likeness import Compared, Resemblance, compared, resemblance
from ultrafm.curation.store import decode_png, read_table
from ultrafm.errors import UltraFMError

TOLD_APART = ("patient", "clip", "sha256", "source_hash")
WORDS = {"patient": "a patient", "clip": "a clip", "sha256": "the same pixels", "source_hash": "the same file"}
TOLD_BY = (*TOLD_APART, "fold", "group")  # the columns that `find_leaks` reads
COLUMNS = ["kind", "value", "folds", "images"]


def find_leaks(table: pd.DataFrame) -> pd.DataFrame:
    """What stands in more than one fold, or group of a fold: kind, value (a hash), folds, images.

    `table` has the columns of TOLD_BY. Unknown clips do not count.
    """
    places = table.groupby(["fold", "group"]).ngroup()  # numbers: a large site has hundreds of thousands of hashes
    found = []
    for column in TOLD_APART:
        known = table[column].notna() & (table[column] != "")
        counts = places[known].groupby(table.loc[known, column]).nunique()
        for value in counts.index[counts > 1]:
            some = table[known & (table[column] == value)]
            names = {f"{fold} {group}" if group >= 0 else fold for fold, group in zip(some["fold"], some["group"])}
            found.append((WORDS[column], value, ", ".join(sorted(names)), len(some)))
    return pd.DataFrame(found, columns=COLUMNS)


def require_no_leak(site: str, table: pd.DataFrame) -> None:
    """Raise UltraFMError when `find_leaks` finds one."""
    leaks = find_leaks(table)
    if len(leaks):
        first = leaks.iloc[0]
        found = f"{first['kind']} in the folds {first['folds']} ({len(leaks)} such leaks)"
        mend = "give each patient one identifier over all files, and each clip one patient"
        raise UltraFMError(f"{site}, folds", found, "each patient, clip and picture in one fold", mend)


def near_leaks(curated: Path, site: str) -> pd.DataFrame:
    """Pairs of pictures of a site in different folds that are so alike that they show one scan.

    Columns: image_id, other_image_id, texture, quarter (see `Resemblance`). The cost grows with the square of the
    number of pictures.
    """
    table = read_table(Path(curated), site)
    hashes = np.array([int(text, 16) for text in table["perceptual_hash"].to_pylist()], dtype=np.uint64)
    places = [*zip(table["fold"].to_pylist(), table["group"].to_pylist())]
    names, found = table["image_id"].to_pylist(), []
    for one in range(len(hashes)):
        close = np.flatnonzero(np.bitwise_count(hashes[one + 1 :] ^ hashes[one]) <= CLOSE_HASHES) + one + 1
        for other in map(int, close):
            if places[one] == places[other]:
                continue
            alike = resemblance(*(_look(table, row) for row in (one, other)))
            if alike.tied:
                found.append((names[one], names[other], *alike))
    return pd.DataFrame(found, columns=["image_id", "other_image_id", *Resemblance._fields])


def _look(table: object, row: int) -> Compared:
    image, sector = (decode_png(table[name][row].as_py()["bytes"]) for name in ("image", "sector"))
    return compared(image, sector)
