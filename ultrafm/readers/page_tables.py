"""Tables of a result as text for a page: differences, kinds of inference, every reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ultrafm.readers.sentences import freedom, number, p_number
from ultrafm.reporting.records import interval_text


def difference_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """AI minus readers for all readers, each level and each disease, as text for a page."""
    primary = found["ai_versus_readers"]
    rows = [_table_row("all readers", "primary", primary["readers"], primary, None, found["non_inferiority"])]
    for level, entry in found["levels"].items():
        test = entry["ai_versus_readers"]
        rows.append(_table_row(level, "by level", test["readers"], test, entry["p_holm"], entry["non_inferiority"]))
    for entry in found["diseases"] if len(found["diseases"]) > 1 else []:
        rows.append(
            _table_row(
                entry["disease"], "by disease", entry["readers"], entry["difference"], entry["p_holm"],
                entry["non_inferiority"],
            )
        )  # fmt: skip
    return pd.DataFrame(rows)


def inference_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """AI minus readers under each kind of inference, as text for a page; the first is the result of the study."""
    primary = found["ai_versus_readers"]
    kinds = {"random_readers_random_cases": "new readers, new cases", "fixed_readers": "these readers only"}
    kinds["fixed_cases"] = "these cases only"
    rows = [
        {
            "holds for": words, "AI minus readers (95% CI)": interval_text(*_ends(primary[kind])),
            "standard error": number(primary[kind]["se"]), "df": freedom(primary[kind]["df"]),
            "p": p_number(primary[kind]["p"]),
        }
        for kind, words in kinds.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def reader_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """Every reader alone: level, years, AUROC, and AI minus this reader, as text for a page; Holm over readers."""
    rows = [
        {name: entry[name] for name in ("reader", "level", "years") if name in entry}
        | {
            "AUROC (95% CI)": interval_text(*(entry["value"][name] for name in ("estimate", "ci_low", "ci_high"))),
            "AI minus reader (95% CI, not adjusted)": interval_text(*_ends(entry["difference"])),
            "p, Holm": p_number(entry["p_holm"]),
        }
        for entry in found["individual_readers"]
    ]
    return pd.DataFrame(rows)


def _ends(found: Mapping[str, Any]) -> tuple[float, float | None, float | None]:
    """Estimate and interval."""
    return found["difference"], found["ci_low"], found["ci_high"]


def _table_row(
    group: str,
    family: str,
    value: Mapping[str, Any],
    difference: Mapping[str, Any],
    p_holm: float | None,
    test: Mapping[str, Any] | None,
) -> dict[str, str]:
    """One line of the table of differences."""
    row = {
        "readers or disease": group,
        "family": family,
        "AUROC of readers": interval_text(*(value[name] for name in ("estimate", "ci_low", "ci_high"))),
        "AI minus readers (95% CI, not adjusted)": interval_text(*_ends(difference)),
        "df": freedom(difference["df"]),
        "p": p_number(difference["p"]),
        "p, Holm": p_number(p_holm),
    }
    return row if test is None else row | {f"p, non-inferior by {test['margin']}": p_number(test["p_value"])}
