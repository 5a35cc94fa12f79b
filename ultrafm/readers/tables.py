"""Pieces that both kinds of analysis put into their result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.readers.inference import Inference
from ultrafm.readers.ratings import Crossed, natural_order


def auc_entry(found: Inference) -> dict[str, Any]:
    """An AUROC with its interval; a test against zero would mean nothing."""
    return {
        "auc": found.estimate,
        "standard_error": found.standard_error,
        "df": found.df,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "model": found.model,
        "status": found.status.replace("no test", "no interval"),
    }


def counts(diseases: Sequence[Crossed], modalities: int, readers: int, cluster: str | None) -> dict[str, Any]:
    """I, J, K, m, n and how many units (patients); a case read for two diseases counts once in K, twice in m + n."""
    return {
        "modalities": modalities,
        "readers": readers,
        "diseases": len(diseases),
        "cases": _different([disease.cases for disease in diseases]),
        "diseased": sum(int(disease.truth.sum()) for disease in diseases),
        "healthy": sum(int((~disease.truth).sum()) for disease in diseases),
        "clusters": None if cluster is None else _different([disease.units for disease in diseases]),
    }


def endpoint(diseases: Sequence[Crossed]) -> str:
    """The endpoint in words."""
    if len(diseases) == 1:
        return "AUROC"
    return f"AUROC averaged over {len(diseases)} diseases with equal weight"


def reader_facts(table: pd.DataFrame, reader: str) -> dict[str, Any]:
    """Name, level and years of a reader, as far as the table tells."""
    row = table[table["reader"] == reader].iloc[0]
    return {"reader": reader} | {name: str(row[name]) or None for name in ("level", "years") if name in table}


def common_warnings(table: pd.DataFrame, cluster: str | None, names: Sequence[str], aucs: np.ndarray) -> list[str]:
    """Warnings that concern any analysis: ignored patients, perfect curves, and curves below chance."""
    found = []
    if cluster is None and "patient" in table and (table["patient"] != "").all():
        cases = table.drop_duplicates("case")
        if cases["patient"].duplicated().any():
            found.append(
                f"{len(cases)} cases come from {cases['patient'].nunique()} patients and were treated as independent; "
                "cluster by patient for an honest interval"
            )
    for name, value in zip(names, aucs, strict=True):
        if value < 0.5:
            found.append(f"{name} has an AUROC of {value:.3f}, below chance: are truth or ratings the wrong way round?")
        elif value == 1:
            found.append(f"{name} has an AUROC of 1: its variance is estimated as 0, so its interval says nothing")
    return found


def _different(names: Sequence[np.ndarray]) -> int:
    """How many different names."""
    return len(natural_order(np.concatenate(names).astype(str).tolist()))
