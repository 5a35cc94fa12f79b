"""How different sites are, as something that can be set: simulated training pictures dealt to the sites anew.

Real pictures are refused: they stay at their sites.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from ultrafm.curation.identity.release import make_release, write_release
from ultrafm.curation.store import read_table, write_store
from ultrafm.errors import UltraFMError, one_of
from ultrafm.files import replacing

DEALS = ("as scanned", "mixed", "by organ")


def deal_anew(curated: Path, sites: list[str], folder: Path, deal: str, generator: np.random.Generator) -> Path:
    """Stores of the same sites and sizes below `folder`, whose training pictures are dealt otherwise; `folder`.

    "mixed": every site gets patients of all sites, at random. "by organ": patients in the order of their organs, so
    that a site sees one or two. "as scanned": the stores as they are, and `curated` is returned. Validation and test
    pictures stay where they were. Raises UltraFMError when a picture is real.
    """
    if one_of("deal", deal, DEALS) == "as scanned":
        return curated
    tables = {site: read_table(curated, site) for site in sites}
    if real := [site for site, table in tables.items() if not all(table["simulated"].to_pylist())]:
        raise UltraFMError(f"site {real[0]}", "real pictures", "simulated ones", "real pictures stay at their site")
    training = pa.concat_tables([table.filter(pa.compute.equal(table["fold"], "train")) for table in tables.values()])
    order = dealing_order(training.select(["site", "patient", "organ"]).to_pandas(), deal, generator)
    start = 0
    for site, table in tables.items():
        held_out = table.filter(pa.compute.not_equal(table["fold"], "train"))
        count = len(table) - len(held_out)
        rows = pa.concat_tables([training.take(order[start : start + count]), held_out])
        start += count
        write_site(rows, folder, site)
    return folder


def dealing_order(table: pd.DataFrame, deal: str, generator: np.random.Generator) -> np.ndarray:
    """The rows of all training pictures in the order in which sites are served, one patient after the other.

    Sites take what they had before in number, so the last patient of a site may go on at the next.
    """
    patients = table.groupby(["site", "patient"], sort=True)
    keys = sorted(patients.groups)
    keys = [keys[number] for number in generator.permutation(len(keys))]
    if deal == "by organ":
        keys.sort(key=lambda key: table["organ"].iloc[patients.indices[key][0]])
    return np.concatenate([patients.indices[key] for key in keys])


def write_site(rows: pa.Table, folder: Path, site: str) -> None:
    """Write these rows as the store of a simulated site that needs no signature."""
    with replacing(folder / site) as temporary:
        temporary.mkdir(parents=True)
        content = write_store(unpacked(rows), len(rows), temporary / "store", "simulated", "")
        write_release(temporary, make_release(content, False, None, {}))


def unpacked(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """One row at a time, with pictures as their bytes."""
    for batch in rows.to_batches(max_chunksize=256):
        for row in batch.to_pylist():
            yield {name: cell["bytes"] if isinstance(cell, dict) else cell for name, cell in row.items()}
