"""The final diagnosis as an endpoint: is the disease that the reader named the one that the case has?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ultrafm.errors import UltraFMError
from ultrafm.readers.checks import combined, row_place
from ultrafm.readers.names import categories
from ultrafm.readers.ratings import ONE_DISEASE

HEALTHY = ("healthy", "none", "normal", "0")
DISEASED = ("diseased", "1")
FINAL = "final diagnosis"


def diagnosis_table(table: pd.DataFrame, source: str = "ratings") -> pd.DataFrame:
    """One row per reader, modality and case of a checked table; rating is 1 where the final diagnosis is right, else 0.

    Right means: one of the diseases that the case has (truth 1), or "healthy" (or none, normal) where it has none. With
    one unnamed disease "diseased" or "1" names it. Raises UltraFMError for a table without the column, for an empty
    cell and for a diagnosis that is no disease of the table.
    """
    if "diagnosis" not in table:
        raise UltraFMError(source, "no column 'diagnosis'", "the final diagnosis of each reading")
    diseases = table["disease"].cat.categories.tolist()
    named = table["diagnosis"].astype(str)
    healthy, single = named.str.lower().isin(HEALTHY), diseases == [ONE_DISEASE]
    known = healthy | named.isin(diseases) | (single & named.str.lower().isin(DISEASED))
    if not known.all():
        row = int(np.flatnonzero(~known)[0])
        expected = f"one of {', '.join(DISEASED[:1] if single else diseases)}, or healthy"
        raise UltraFMError(f"{row_place(source, row)}, column 'diagnosis'", repr(named.iloc[row]), expected)
    ill = _ill_cases(table)
    hit = (table["truth"] == 1) & ((named == table["disease"].astype(str)) | (single & ~healthy))
    reading = combined(table, ("reader", "modality", "case"))
    first, places = np.unique(reading, return_index=True, return_inverse=True)[1:]
    right = np.bincount(places, weights=hit, minlength=first.size) > 0
    rows = table.iloc[first].copy()
    own_ill = ill[rows["case"].cat.codes.to_numpy()]
    rows["rating"] = np.where(own_ill, right, healthy.to_numpy()[first]).astype(float)
    rows["truth"] = own_ill.astype(int)
    rows["disease"] = categories(pd.Series(FINAL, index=rows.index, name="disease"))
    return rows.reset_index(drop=True)


def _ill_cases(table: pd.DataFrame) -> np.ndarray:
    """Whether each case, by its code, has any disease."""
    ill = np.zeros(len(table["case"].cat.categories), dtype=bool)
    ill[table["case"].cat.codes.to_numpy()[(table["truth"] == 1).to_numpy()]] = True
    return ill
