"""Loading curated pictures and masks of several sites into arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from ultrafm.curation.fitting import LESION
from ultrafm.curation.identity.release import require_release
from ultrafm.curation.store import PICTURES, decode_png, read_table
from ultrafm.errors import UltraFMError


@dataclass(frozen=True)
class Pictures:
    """Curated pictures in the order of the sites' names, then of image_id.

    images: (N, S, S) uint8. sectors: (N, S, S) bool, True inside the scan sector. table: the other columns, N rows.
    """

    images: np.ndarray
    sectors: np.ndarray
    table: pd.DataFrame


def load_pictures(curated: Path, sites: Sequence[str], folds: Sequence[str]) -> Pictures:
    """Pictures of these folds from the stores below `curated`.

    Raises UltraFMError when a site has not been curated, nobody has signed for its store although somebody must, its
    store was changed since, or sites were curated to different sizes or by different versions.
    """
    found, side = _select(curated, sites, folds)
    images, sectors = _stack(found["image"], side), _stack(found["sector"], side) > 0
    return Pictures(images, sectors, found.drop_columns([*PICTURES]).to_pandas())


def load_masks(
    curated: Path, sites: Sequence[str], folds: Sequence[str], structure: str = LESION
) -> tuple[np.ndarray, np.ndarray]:
    """Masks of one structure: (N, S, S) uint8 0 or 1, and (N,) bool: is there a mask that tells of this structure?

    The rows are those of `load_pictures`. A picture without a mask has zeros and False.
    """
    found, side = _select(curated, sites, folds)
    masks, known = np.zeros((len(found), side, side), dtype=np.uint8), np.zeros(len(found), dtype=bool)
    pairs = zip(found["mask"].to_pylist(), found["structures"].to_pylist())
    for number, (mask, structures) in enumerate(pairs):
        names = sorted(json.loads(structures)) if mask is not None else []
        if structure in names:
            masks[number] = decode_png(mask["bytes"]) == names.index(structure) + 1
            known[number] = True
    return masks, known


def _select(curated: Path, sites: Sequence[str], folds: Sequence[str]) -> tuple[pa.Table, int]:
    """The rows of these folds, and the side of all pictures in pixels."""
    for site in sites:
        require_release(curated, site)
    tables = {site: read_table(Path(curated), site) for site in sorted(set(sites))}
    if not tables:
        raise UltraFMError(str(curated), "no site asked for", "at least one site")
    sides = {site: len(decode_png(table["image"][0].as_py()["bytes"])) for site, table in tables.items()}
    if len(set(sides.values())) > 1:
        found = ", ".join(f"{site} with {side} pixels" for site, side in sides.items())
        raise UltraFMError(str(curated), found, "one picture size", "curate all sites with one image_size")
    _check_columns(tables)
    table = pa.concat_tables(tables.values())
    chosen = table.filter(pa.compute.is_in(table["fold"], pa.array(list(folds), type=pa.string())))
    return chosen, next(iter(sides.values()))


def _check_columns(tables: Mapping[str, pa.Table]) -> None:
    """Raise UltraFMError when a store lacks columns of another one, as those of earlier versions do."""
    known = {name for table in tables.values() for name in table.column_names}
    for site, table in tables.items():
        missing = sorted(known - set(table.column_names))
        if missing:
            found, expected = f"a store without {', '.join(missing)}", "the columns that the other sites' stores have"
            raise UltraFMError(site, found, expected, "curate the site again with this version")


def _stack(column: pa.ChunkedArray, side: int) -> np.ndarray:
    stack = np.zeros((len(column), side, side), dtype=np.uint8)
    for number, cell in enumerate(column.to_pylist()):
        stack[number] = decode_png(cell["bytes"])
    return stack
