"""Leaks: a patient, a clip or a picture that stands in two folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ultrafm.curation.duplicates import CLOSE_HASHES
from ultrafm.curation.likeness import Compared, Resemblance, compared, tying
from ultrafm.curation.store import decode_png, read_plain, read_table
from ultrafm.errors import UltraFMError

TOLD_APART = ("patient", "clip", "sha256", "source_hash")
WORDS = {"patient": "a patient", "clip": "a clip", "sha256": "the same pixels", "source_hash": "the same file"}
COLUMNS = ["kind", "value", "folds", "images"]
REMEMBERED = 512  # pictures at comparing size in memory


def find_leaks(images: Path) -> pd.DataFrame:
    """What stands in more than one fold, or group of a fold: kind, value (a hash), folds, images.

    `images` is a site's images.parquet; one of its long columns is in memory at a time. Unknown clips do not count.
    """
    names, places = _places_of(read_plain(images, ["fold", "group"]))
    found = []
    for column in TOLD_APART:
        for value, rows in shared_between(read_plain(images, [column])[column], places):
            folds = ", ".join(names[place] for place in np.unique(places[rows]))
            found.append((WORDS[column], value, folds, len(rows)))
    return pd.DataFrame(found, columns=COLUMNS)


def shared_between(values: pa.ChunkedArray | np.ndarray, places: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each of `values` (N,) that stands in more than one of `places` (N,), and its rows.

    Empty and unknown values do not count.
    """
    column = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else pa.array(values, type=pa.string())
    encoded = column.dictionary_encode("encode")  # unknown is a value
    codes = encoded.indices.to_numpy()
    one = np.empty(len(encoded.dictionary), places.dtype)
    one[codes] = places  # that of any of its rows
    for code in np.unique(codes[places != one[codes]]):
        value = encoded.dictionary[int(code)].as_py()
        if value:
            yield value, np.flatnonzero(codes == code)


def _places_of(table: pa.Table) -> tuple[list[str], np.ndarray]:
    """The folds, each with its group where it has groups, in the order of the alphabet; for each row, which it is."""
    rows = zip(table["fold"].to_pylist(), table["group"].to_pylist())
    placed = [f"{fold} {group}" if group >= 0 else fold for fold, group in rows]
    names, places = np.unique(placed, return_inverse=True)
    return names.tolist(), places


def require_no_leak(site: str, images: Path) -> None:
    """Raise UltraFMError when `find_leaks` finds one."""
    leaks = find_leaks(images)
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
    _names, places = _places_of(table.select(["fold", "group"]))
    names = table["image_id"].to_pylist()
    pairs = near_pairs(table["perceptual_hash"].to_pylist(), places, lambda row: _look(table, row))
    found = [(names[one], names[other], *alike) for one, other, alike in pairs]
    return pd.DataFrame(found, columns=["image_id", "other_image_id", *Resemblance._fields])


def near_pairs(
    hashes: Sequence[str], places: np.ndarray, look: Callable[[int], Compared]
) -> Iterator[tuple[int, int, Resemblance]]:
    """Rows of two pictures in different `places` (N,) that show one scan, and how alike they are.

    hashes: (N,) perceptual hashes, 16 hexadecimal digits each; `look` gives the picture of a row at comparing size.
    """
    seen = lru_cache(maxsize=REMEMBERED)(look)
    bits = np.array([int(text, 16) for text in hashes], dtype=np.uint64)
    for one in range(len(bits)):
        close = (np.bitwise_count(bits[one + 1 :] ^ bits[one]) <= CLOSE_HASHES) & (places[one + 1 :] != places[one])
        for other in map(int, np.flatnonzero(close) + one + 1):
            alike = tying(seen(one), seen(other))
            if alike is not None:
                yield one, other, alike


def _look(table: object, row: int) -> Compared:
    image, sector = (decode_png(table[name][row].as_py()["bytes"]) for name in ("image", "sector"))
    return compared(image, sector)
