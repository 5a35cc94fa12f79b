"""Records as tables for reading and drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd


def records_table(records: Sequence[Mapping[str, Any]], metric: str, differences: bool) -> pd.DataFrame:
    """Records of one metric as a table for reading and drawing, either of values or of differences.

    Columns task, model ("linear probe"), encoder (or "federated - random"), estimate, ci_low, ci_high, ci_method, n,
    n_patients, fold, images.
    """
    wanted = [row for row in records if row["metric"] == metric and (row["comparator"] is not None) == differences]
    rows = []
    for row in wanted:
        model, encoder = row["method"].split("/")
        other = f" − {row['comparator'].split('/')[1]}" if differences else ""
        level = f" ({row['level']})" if row["level"] else ""
        rows.append(
            {"task": f"{row['task']}{level}".replace("_", " "), "model": model.replace("_", " ")}
            | {"encoder": f"{encoder}{other}".replace("_", " ")}
            | {name: row[name] for name in ("estimate", "ci_low", "ci_high", "ci_method", "n", "n_patients")}
            | {"fold": row["fold"], "images": row["images"]}
        )
    return pd.DataFrame(rows)
