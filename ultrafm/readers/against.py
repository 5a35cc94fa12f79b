"""The analysis of AI against readers: primary test, diseases, levels and single readers in one dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.errors import UltraFMError
from ultrafm.readers.claims import EVERYONE, closed_order, equivalence, judge
from ultrafm.readers.comparison import Pairs, compare, own_cases
from ultrafm.readers.design import CROSSED
from ultrafm.readers.inference import Inference, holm, non_inferiority
from ultrafm.readers.levels import LevelResult, ReaderResult, by_level, every_reader, few_readers
from ultrafm.readers.names import level_order
from ultrafm.readers.one_treatment import AgainstReaders, one_auc
from ultrafm.readers.ratings import find_ai, reader_values
from ultrafm.readers.study import Options, Study, prepare
from ultrafm.readers.tables import (
    common_warnings,
    counts,
    endpoint_words,
    negative_warnings,
    reader_facts,
    test_entry,
    value_entry,
    value_row,
    values_key,
)

MODEL = (
    "one-treatment Obuchowski-Rockette on the differences AI minus reader, random readers and random cases, "
    "Hillis degrees of freedom"
)
KEYS = {"random_readers_random_cases": "random", "fixed_readers": "fixed_readers", "fixed_cases": "fixed_cases"}


def against_readers(table: pd.DataFrame, readers: Sequence[tuple[str, str]], options: Options) -> dict[str, Any]:
    """AI against readers of one modality, given as (reader, modality). Raises UltraFMError."""
    study = prepare(table, [find_ai(table, options.ai, options.source), *_in_order(table, readers)], options, True)
    names = [reader for reader, _ in study.curves[1:]]
    pairs = own_cases(study, options)
    primary, mean = compare(study, pairs, np.arange(1, len(study.curves)), options)
    values = [one_auc(study.mean, study.spread, place, options.confidence) for place in range(len(study.curves))]
    groups = reader_values(table, options.by) if options.by else {}
    levels = by_level(study, pairs, [groups[name] for name in names], options) if options.by else []
    differences = {EVERYONE: primary.random} | {level.level: level.against.random for level in levels}
    warned = [few_readers("the study", len(names)), *(level.warning for level in levels)]
    return {
        "kind": "ai_versus_readers",
        "sign": "AI minus readers",
        "model": _model(study, primary, options),
        "endpoint": endpoint_words(study, options),
        "ai": options.ai,
        "design": study.design.name,
        "divided": study.design.divided,
        "counts": counts(study, 1, len(names), options.cluster),
        values_key(options): [value_row(study, place, options) for place in range(len(study.curves))],
        "components": primary.components,
        "ai_versus_readers": against_entry(primary, values[0], mean, study.curves[1][1]),
        **_margins(primary.random, options),
        "claims": judge(options.claims, differences),
        "diseases": _each_disease(study, pairs, options),
        "by": options.by,
        "levels": {level.level: _level_entry(level, values, study, options) for level in levels},
        "individual_readers": _each_reader(table, study, every_reader(study, pairs, options), options),
        "warnings": [text for text in warned if text]
        + negative_warnings(primary.components)
        + common_warnings(table, study, options, [options.ai, *names]),
    }


def against_entry(found: AgainstReaders, ai: Inference, readers: Inference, modality: str) -> dict[str, Any]:
    """The primary test with its names, the two values, and the three models below."""
    ends = {"modality": modality, "ai": value_entry(ai), "readers": value_entry(readers)}
    return test_entry(found.random) | ends | {key: test_entry(getattr(found, name)) for key, name in KEYS.items()}


def _in_order(table: pd.DataFrame, readers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The readers by level and name. UltraFMError when there are none."""
    if not readers:
        raise UltraFMError("readers", "no reader but the AI", "at least one other reader", "add their ratings")
    if "level" not in table:
        return list(readers)
    levels = reader_values(table, "level")
    order = {level: place for place, level in enumerate(level_order(list(levels.values())))}
    return sorted(readers, key=lambda curve: order[levels[curve[0]]])


def _margins(found: Inference, options: Options) -> dict[str, Any]:
    """Non-inferiority, the closed order, and equivalence, where a margin was stated."""
    margin, band = options.margin, options.equivalence
    return {
        "non_inferiority": None if margin is None else non_inferiority(found, margin),
        "closed_order": None if margin is None else closed_order(found, margin),
        "equivalence": None if band is None else equivalence(found, band),
    }


def _model(study: Study, primary: AgainstReaders, options: Options) -> str:
    """The model of the primary test in words."""
    if primary.readers == 1 or study.u_statistics(options):
        return primary.random.model
    return MODEL if study.design.name == CROSSED else f"{MODEL}, each reader on the cases that she rated"


def _each_disease(study: Study, pairs: Pairs | None, options: Options) -> list[dict[str, Any]]:
    """The same comparison inside each disease, secondary, Holm over diseases."""
    values, joint, everyone = study.values, study.joint, np.arange(1, len(study.curves))
    found, means = zip(*(compare(study, pairs, everyone, options, i) for i in range(len(study.diseases))), strict=True)
    adjusted = holm([result.random.p_value for result in found])
    return [
        {
            "disease": disease.disease,
            "cases": disease.truth.size,
            "diseased": int(disease.truth.sum()),
            "healthy": int((~disease.truth).sum()),
            "units": len(set(disease.units)),
            "ai": value_entry(one_auc(values[i], joint[i, :, i, :], 0, options.confidence)),
            "readers": value_entry(means[i]),
            "difference": test_entry(found[i].random),
            "p_holm": adjusted[i],
            "non_inferiority": None if options.margin is None else non_inferiority(found[i].random, options.margin),
        }
        for i, disease in enumerate(study.diseases)
    ]


def _level_entry(level: LevelResult, values: Sequence[Inference], study: Study, options: Options) -> dict[str, Any]:
    """One level as it stands in the result."""
    return {
        "level": level.level,
        "readers": level.against.readers,
        values_key(options): [value_row(study, place, options) for place in level.members],
        "ai_versus_readers": against_entry(level.against, values[0], level.auc_readers, ""),
        "components": level.against.components,
        "p_holm": level.p_holm,
        "non_inferiority": level.non_inferiority,
        "warning": level.warning,
    }


def _each_reader(
    table: pd.DataFrame, study: Study, results: Sequence[ReaderResult], options: Options
) -> list[dict[str, Any]]:
    """Every reader alone, with the value for each disease; Holm over readers."""
    entries, known = [], reader_facts(table)
    for place, result in enumerate(results, start=1):
        single = [
            {"disease": disease.disease}
            | value_entry(one_auc(study.values[i], study.joint[i, :, i, :], place, options.confidence))
            for i, disease in enumerate(study.diseases)
        ]
        reader, modality = study.curves[place]
        facts = known[reader] | {"modality": modality, "value": value_entry(result.auc)}
        entries.append(
            facts | {"difference": test_entry(result.difference), "p_holm": result.p_holm, "diseases": single}
        )
    return entries
