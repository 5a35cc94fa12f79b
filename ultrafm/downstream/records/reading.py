"""Records as tables for reading and drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ultrafm.reporting.records import interval_text


def records_table(records: Sequence[Mapping[str, Any]], metric: str, differences: bool) -> pd.DataFrame:
    """Records of one metric as a table for reading and drawing, either of values or of differences.

    Columns task, model ("linear probe"), encoder (or "federated - random"), estimate, ci_low, ci_high, ci_method, n,
    n_patients, fold, images. A task of several answers is their mean; single answers are left out.
    """
    wanted = [row for row in records if row["metric"] == metric and (row["comparator"] is not None) == differences]
    wanted = [row for row in wanted if not str(row["level"]).startswith("answer ")]
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


def p_value_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """P-values of differences of AUROC (`p_value_records`), a row a task and comparison.

    Columns task, model, encoder ("federated - random"), DeLong, bootstrap, Holm over tasks; missing where not defined.
    """
    names = {"auroc_p": "DeLong", "auroc_bootstrap_p": "bootstrap", "auroc_p_holm": "Holm over tasks"}
    keys = ["task", "model", "encoder"]
    found: pd.DataFrame | None = None
    for metric, name in names.items():
        table = records_table(records, metric, differences=True)
        rows = (table if len(table) else pd.DataFrame(columns=[*keys, "estimate"]))[[*keys, "estimate"]]
        rows = rows.rename(columns={"estimate": name})
        found = rows if found is None else found.merge(rows, on=keys, how="left")
    return found.astype(dict.fromkeys(names.values(), float))


def measures_table(records: Sequence[Mapping[str, Any]], method: str) -> pd.DataFrame:
    """What one method and encoder ("linear_probe/federated") reached, a row a metric, a column a task.

    Cells are "0.81 [0.75, 0.86]", or the reason that there is no number; no differences, no levels.
    """
    cells: dict[str, dict[str, str]] = {}
    for row in records:
        if row["method"] == method and row["comparator"] is None and row["level"] is None:
            text = interval_text(row["estimate"], row["ci_low"], row["ci_high"], 2)
            said = text if row["estimate"] is not None else str(row["ci_method"])
            unit = f" ({row['unit']})" if row["unit"] else ""
            cells.setdefault(row["metric"].replace("_", " ") + unit, {})[row["task"].replace("_", " ")] = said
    return pd.DataFrame([{"metric": metric} | found for metric, found in cells.items()]).fillna("")
