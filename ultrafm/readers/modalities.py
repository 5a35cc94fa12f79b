"""The analysis of modalities read by the same readers: equality, pairwise differences, levels, single readers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ultrafm.readers.covariance import joint_covariance, macro_average
from ultrafm.readers.inference import Inference, holm
from ultrafm.readers.levels import few_readers, one_auc
from ultrafm.readers.one_treatment import mean_auc
from ultrafm.readers.ratings import cross, level_order, natural_order
from ultrafm.readers.tables import auc_entry, common_warnings, counts, endpoint, reader_facts
from ultrafm.readers.two_treatments import Model, compare_modalities

MODEL = "Obuchowski-Rockette, random readers and random cases, Hillis degrees of freedom"


def between_modalities(
    table: pd.DataFrame, cluster: str | None, covariance: str, by: str | None, confidence: float, source: str
) -> dict[str, Any]:
    """Compare all modalities of a checked table, or describe the only one. Raises UltraFMError unless fully crossed."""
    modalities, readers = natural_order(table["modality"]), natural_order(table["reader"])
    curves = [(reader, modality) for modality, reader in product(modalities, readers)]
    diseases = cross(table, curves, cluster, source)
    aucs, spread = macro_average(*joint_covariance(diseases, covariance))
    levels = _levels(table, readers, modalities, aucs, spread, by, confidence)
    warned = [few_readers("the study", len(readers)), *(level["warning"] for level in levels)]
    names = [f"reader {reader} (modality {modality})" for reader, modality in curves]
    return _main(modalities, len(readers), aucs, spread, confidence) | {
        "model": MODEL,
        "endpoint": endpoint(diseases),
        "counts": counts(diseases, len(modalities), len(readers), cluster),
        "by": by,
        "levels": levels,
        "individual_readers": [
            reader_facts(table, reader)
            | {"modality": modality}
            | {"auc": auc_entry(one_auc(aucs, spread, i, confidence))}
            for i, (reader, modality) in enumerate(curves)
        ],
        "warnings": [text for text in warned if text] + common_warnings(table, cluster, names, aucs),
    }


def _main(
    modalities: Sequence[str], readers: int, aucs: NDArray[np.float64], spread: NDArray[np.float64], confidence: float
) -> dict[str, Any]:
    """The three models, or the mean of the only modality."""
    if len(modalities) == 1:
        mean = auc_entry(mean_auc(aucs, spread, confidence))
        return {"kind": "one_modality", "sign": "none", "modalities": [{"modality": modalities[0]} | mean]}
    found = compare_modalities(aucs.reshape(len(modalities), readers), spread, confidence)
    return {
        "kind": "modalities",
        "sign": "earlier modality minus later modality, in order of name",
        "modalities": [
            {"modality": name} | auc_entry(mean) for name, mean in zip(modalities, found.means, strict=True)
        ],
        "primary": _model_entry(found.random, modalities),
        "fixed_readers": _model_entry(found.fixed_readers, modalities),
        "fixed_cases": _model_entry(found.fixed_cases, modalities),
        "components": found.variances,
    }


def _model_entry(model: Model, modalities: Sequence[str]) -> dict[str, Any]:
    """Test of equality and named differences, Holm over the pairs."""
    adjusted = holm([difference.p_value for difference in model.differences])
    pairs = combinations(modalities, 2)
    return {
        "equality": model.equality,
        "differences": [
            {"first": first, "second": second, "difference": difference, "p_holm": value}
            for (first, second), difference, value in zip(pairs, model.differences, adjusted, strict=True)
        ],
    }


def _levels(
    table: pd.DataFrame,
    readers: Sequence[str],
    modalities: Sequence[str],
    aucs: NDArray[np.float64],
    spread: NDArray[np.float64],
    by: str | None,
    confidence: float,
) -> list[dict[str, Any]]:
    """Differences inside each level, Holm over levels and pairs together."""
    if by is None:
        return []
    groups = table.drop_duplicates("reader").set_index("reader")[by].astype(str)
    entries = []
    for level in level_order(groups):
        places = [place for place, reader in enumerate(readers) if groups[reader] == level]
        chosen = np.array([i * len(readers) + place for i in range(len(modalities)) for place in places])
        main = _main(modalities, len(places), aucs[chosen], spread[np.ix_(chosen, chosen)], confidence)
        main["warning"] = few_readers(f"{by} {level}", len(places))
        entries.append({"level": level, "readers": len(places)} | main)
    return _holm_over_levels(entries)


def _holm_over_levels(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Replace Holm's p inside each level by one over all levels and pairs."""
    rows = [row for entry in entries if "primary" in entry for row in entry["primary"]["differences"]]
    tests: list[Inference] = [row["difference"] for row in rows]
    for row, value in zip(rows, holm([test.p_value for test in tests]), strict=True):
        row["p_holm"] = value
    return entries
