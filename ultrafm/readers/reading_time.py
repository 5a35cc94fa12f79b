"""Reading time by modality and level, where the table has a column `seconds`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ultrafm.readers.inference import infer, missing
from ultrafm.readers.names import natural_order
from ultrafm.readers.one_treatment import FIXED_CASES
from ultrafm.readers.tables import test_entry

EVERYONE = "all"


def reading_time(
    table: pd.DataFrame, ai: str | None, by: str | None, confidence: float = 0.95
) -> dict[str, Any] | None:
    """Median seconds of each modality and level, and the ratio of two modalities over readers; None without times.

    Times are skewed, so each reader has one number per modality, the mean of log seconds over her readings; two
    modalities are compared by the paired t test of these numbers (these cases only) and reported as a ratio of times.
    """
    if "seconds" not in table or not table["seconds"].gt(0).any():
        return None
    rows = table[table["seconds"].gt(0) & (table["reader"] != ai).to_numpy()]
    rows = rows.drop_duplicates(["reader", "modality", "case"])
    rows = rows.assign(log=np.log(rows["seconds"]), group=rows[by].astype(str) if by else EVERYONE)
    medians = [
        {"modality": str(modality), "group": group, "median_seconds": float(part["seconds"].median())}
        | {"readers": int(part["reader"].nunique()), "readings": len(part)}
        for modality in natural_order(rows["modality"].astype(str))
        for group, part in _groups(rows[(rows["modality"] == modality).to_numpy()], by)
    ]
    return {"medians": medians, "ratio": _ratio(rows, confidence)}


def _groups(rows: pd.DataFrame, by: str | None) -> list[tuple[str, pd.DataFrame]]:
    """All readings, and those of each group."""
    parts = [(str(name), part) for name, part in rows.groupby("group", observed=True)] if by else []
    return [(EVERYONE, rows), *parts]


def _ratio(rows: pd.DataFrame, confidence: float) -> dict[str, Any] | None:
    """Earlier over later modality, when there are two: the ratio of times with its interval."""
    names = natural_order(rows["modality"].astype(str))
    if len(names) != 2:
        return None
    logs = rows.assign(reader=rows["reader"].astype(str), modality=rows["modality"].astype(str))
    wide = logs.groupby(["reader", "modality"])["log"].mean().unstack().dropna()
    difference = (wide[names[0]] - wide[names[1]]).to_numpy()
    if difference.size < 2:
        found = missing(
            FIXED_CASES, float(difference.mean()) if difference.size else 0.0, "no test: fewer than 2 readers"
        )
    else:
        variance = float(difference.var(ddof=1)) / difference.size
        found = infer(FIXED_CASES, float(difference.mean()), variance, float(difference.size - 1), confidence)
    entry = test_entry(found)
    ends = {name: None if entry[name] is None else float(np.exp(entry[name])) for name in ("ci_low", "ci_high")}
    about = {"first": names[0], "second": names[1], "ratio": float(np.exp(entry["difference"]))}
    return about | ends | {name: entry[name] for name in ("df", "statistic", "p", "model", "status")}
