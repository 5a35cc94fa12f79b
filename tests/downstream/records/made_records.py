"""Three tasks made of noise and what is said of them, for the tests of records."""

from __future__ import annotations

import numpy as np
import pandas as pd
from made_predictions import made_predictions

from ultrafm.reporting.records import merge_records

CLASSES = ("normal", "benign", "malignant")
DESCRIBED = {
    name: {"images": "simulated", "kind": "diagnosis", "exclusive": name == "classes"}
    for name in ("mass", "classes", "third")
}


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def tables(fold: str, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    parts = [
        made_predictions(generator, "mass", fold=fold),
        made_predictions(generator, "classes", CLASSES, "site_02_b", fold=fold),
        made_predictions(generator, "third", site="site_03_c", patients=90, fold=fold),
    ]
    return pd.concat(parts, ignore_index=True)


def by_id(records: list[dict]) -> dict[str, dict]:
    merge_records([records])  # ids are unique, and every row is a record
    return {row["id"]: row for row in records}
