"""The analysis of AI against readers: primary endpoint, diseases, levels and single readers in one dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError
from ultrafm.readers.covariance import joint_covariance, macro_average
from ultrafm.readers.inference import Inference, holm, non_inferiority
from ultrafm.readers.levels import LevelResult, by_level, every_reader, few_readers, one_auc
from ultrafm.readers.one_treatment import AgainstReaders, ai_versus_readers, mean_auc
from ultrafm.readers.ratings import Crossed, cross, find_ai, level_order, natural_order
from ultrafm.readers.tables import auc_entry, common_warnings, counts, endpoint, reader_facts

MODEL = (
    "one-treatment Obuchowski-Rockette on the differences AI minus reader, random readers and random cases, "
    "Hillis degrees of freedom"
)


def against_readers(
    table: pd.DataFrame,
    ai: str,
    cluster: str | None,
    covariance: str,
    margin: float | None,
    by: str | None,
    confidence: float,
    source: str,
) -> dict[str, Any]:
    """AI against all other readers of a checked table; see `analyse` for the arguments. Raises UltraFMError."""
    curves = [find_ai(table, ai, source), *_reader_curves(table, ai, source)]
    diseases = cross(table, curves, cluster, source)
    all_aucs, joint = joint_covariance(diseases, covariance)
    aucs, spread = macro_average(all_aucs, joint)
    primary = ai_versus_readers(aucs, spread, confidence)
    readers = [reader for reader, _ in curves[1:]]
    groups = _groups(table, readers, by)
    levels = by_level(aucs, spread, groups, margin, confidence) if by else []
    warned = [few_readers("the study", len(readers)), *(level.warning for level in levels), _negative(primary)]
    return {
        "kind": "ai_versus_readers",
        "sign": "AI minus readers",
        "model": MODEL if len(readers) > 1 else primary.random.model,
        "endpoint": endpoint(diseases),
        "ai": ai,
        "counts": counts(diseases, 1, len(readers), cluster),
        "auc": {
            "ai": auc_entry(one_auc(aucs, spread, 0, confidence)),
            "readers": auc_entry(mean_auc(aucs[1:], spread[1:, 1:], confidence)),
        },
        "primary": primary.random,
        "components": primary.components,
        "fixed_readers": primary.fixed_readers,
        "fixed_cases": primary.fixed_cases,
        "non_inferiority": None if margin is None else non_inferiority(primary.random, margin),
        "diseases": _each_disease(diseases, all_aucs, joint, margin, confidence),
        "by": by,
        "levels": [_level_entry(level) for level in levels],
        "individual_readers": _each_reader(table, readers, aucs, spread, diseases, (all_aucs, joint), confidence),
        "warnings": [text for text in warned if text] + common_warnings(table, cluster, [ai, *readers], aucs),
    }


def _reader_curves(table: pd.DataFrame, ai: str, source: str) -> list[tuple[str, str]]:
    """Reader and modality of everyone but the AI, by level and name; UltraFMError unless in one modality."""
    others = table[table["reader"] != ai]
    modalities = natural_order(others["modality"])
    if len(modalities) != 1:
        found = f"the modalities {', '.join(modalities)}" if modalities else f"no reader but {ai!r}"
        raise UltraFMError(f"{source}, readers", found, "readers of one modality", "keep the rows of one modality")
    readers = natural_order(others["reader"])
    if "level" in others:
        levels = others.drop_duplicates("reader").set_index("reader")["level"]
        order = {level: place for place, level in enumerate(level_order(levels))}
        readers.sort(key=lambda reader: order[levels[reader]])
    return [(reader, modalities[0]) for reader in readers]


def _groups(table: pd.DataFrame, readers: Sequence[str], by: str | None) -> list[str]:
    """Each reader's group."""
    if by is None:
        return []
    first = table.drop_duplicates("reader").set_index("reader")[by]
    return [str(first[reader]) for reader in readers]


def _negative(found: AgainstReaders) -> str | None:
    """A note when the covariance between readers came out negative."""
    if found.components.cov2 is None or found.components.cov2 >= 0:
        return None
    return "the covariance between the readers' differences is negative and was counted as zero (Cov2)"


def _each_disease(
    diseases: Sequence[Crossed],
    aucs: NDArray[np.float64],
    joint: NDArray[np.float64],
    margin: float | None,
    confidence: float,
) -> list[dict[str, Any]]:
    """The same comparison inside each disease, secondary, Holm over diseases."""
    found = [ai_versus_readers(aucs[i], joint[i, :, i, :], confidence) for i in range(len(diseases))]
    adjusted = holm([result.random.p_value for result in found])
    return [
        {
            "disease": disease.disease,
            "cases": disease.truth.size,
            "diseased": int(disease.truth.sum()),
            "healthy": int((~disease.truth).sum()),
            "units": len(set(disease.units)),
            "auc_ai": auc_entry(one_auc(aucs[i], joint[i, :, i, :], 0, confidence)),
            "auc_readers": auc_entry(mean_auc(aucs[i, 1:], joint[i, 1:, i, 1:], confidence)),
            "difference": found[i].random,
            "p_holm": adjusted[i],
            "non_inferiority": None if margin is None else non_inferiority(found[i].random, margin),
        }
        for i, disease in enumerate(diseases)
    ]


def _level_entry(level: LevelResult) -> dict[str, Any]:
    """One level as it stands in the result."""
    return {
        "level": level.level,
        "readers": level.against.readers,
        "auc_readers": auc_entry(level.auc_readers),
        "difference": level.against.random,
        "components": level.against.components,
        "p_holm": level.p_holm,
        "non_inferiority": level.non_inferiority,
        "warning": level.warning,
    }


def _each_reader(
    table: pd.DataFrame,
    readers: Sequence[str],
    aucs: NDArray[np.float64],
    spread: NDArray[np.float64],
    diseases: Sequence[Crossed],
    whole: tuple[NDArray[np.float64], NDArray[np.float64]],
    confidence: float,
) -> list[dict[str, Any]]:
    """Every reader alone, with the AUROC of each disease; Holm over readers."""
    results = every_reader(aucs, spread, confidence)
    entries = []
    for place, (reader, result) in enumerate(zip(readers, results, strict=True), start=1):
        single = [one_auc(whole[0][i], whole[1][i, :, i, :], place, confidence) for i in range(len(diseases))]
        entry = reader_facts(table, reader) | {"auc": auc_entry(result.auc), "difference": result.difference}
        entries.append(entry | {"p_holm": result.p_holm, "diseases": _named(diseases, single)})
    return entries


def _named(diseases: Sequence[Crossed], single: Sequence[Inference]) -> list[dict[str, Any]]:
    """AUROC entries with the names of their diseases."""
    return [{"disease": disease.disease} | auc_entry(one) for disease, one in zip(diseases, single, strict=True)]
