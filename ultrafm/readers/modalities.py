"""The analysis of modalities read by the readers: equality, pairwise differences, levels, single readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.readers.design import INCOMPLETE, Curve, paired
from ultrafm.readers.inference import holm, missing
from ultrafm.readers.levels import few_readers
from ultrafm.readers.names import level_order, natural_order
from ultrafm.readers.nested import compare_nested
from ultrafm.readers.one_treatment import mean_auc, one_auc
from ultrafm.readers.ratings import reader_values
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
from ultrafm.readers.two_treatments import Comparison, Equality, Model, compare_modalities
from ultrafm.readers.ustatistics import USTATISTICS, kernel, one_kernel, two_kernels

MODEL = "Obuchowski-Rockette, random readers and random cases, Hillis degrees of freedom"
SIGN = "earlier modality minus later modality, in order of name"
KEYS = {"random_readers_random_cases": "random", "fixed_readers": "fixed_readers", "fixed_cases": "fixed_cases"}


def between_modalities(table: pd.DataFrame, curves: Sequence[Curve], options: Options) -> dict[str, Any]:
    """Compare all modalities of the readers, or describe the only one. Raises UltraFMError."""
    study = prepare(table, curves, options)
    values = [one_auc(study.mean, study.spread, place, options.confidence) for place in range(len(curves))]
    modalities = natural_order(modality for _, modality in curves)
    main, found = _main(study, np.arange(len(curves)), options)
    levels = _levels(table, study, options) if options.by else {}
    readers = len({reader for reader, _ in curves})
    compared = paired(curves).size // len(modalities) or readers
    few = few_readers("the study" if compared == readers else "the comparison of modalities", compared)
    warned = [few, *(level["warning"] for level in levels.values())]
    facts = reader_facts(table)
    labels = [f"reader {reader} (modality {modality})" for reader, modality in curves]
    return main | {
        "model": _model_words(study, options),
        "endpoint": endpoint_words(study, options),
        "design": study.design.name,
        "divided": study.design.divided,
        "counts": counts(study, len(modalities), readers, options.cluster),
        values_key(options): [value_row(study, place, options) for place in range(len(curves))],
        "diseases": _each_disease(study, options) if len(study.diseases) > 1 and found else [],
        "by": options.by,
        "levels": levels,
        "individual_readers": [
            facts[reader] | {"modality": modality, "value": value_entry(values[place])}
            for place, (reader, modality) in enumerate(curves)
        ],
        "reader_differences": _each_reader(table, study, options) if len(modalities) == 2 else [],
        "warnings": [text for text in warned if text]
        + (negative_warnings(found.variances) if found else [])
        + _unpaired(curves)
        + common_warnings(table, study, options, labels),
    }


def _model_words(study: Study, options: Options) -> str:
    """The model of the primary test in words."""
    if study.u_statistics(options):
        return USTATISTICS
    return f"{MODEL}, each curve on the cases that it has" if study.design.name == INCOMPLETE else MODEL


def _main(study: Study, members: np.ndarray, options: Options) -> tuple[dict[str, Any], Comparison | None]:
    """The three models over the curves `members`, or the mean of the only modality."""
    spread = study.spread[np.ix_(members, members)]
    modalities = natural_order(study.curves[place][1] for place in members)
    if len(modalities) == 1:
        mean = mean_auc(study.mean[members], spread, options.confidence)
        if study.u_statistics(options) and members.size > 1:
            mean = one_kernel(kernel(study.diseases[0].scores[members], study.diseases[0].truth), options.confidence)
        return {"kind": "one_modality", "sign": "none", "modalities": [_named(modalities[0], mean)]}, None
    found = _compared(study.mean[members], spread, [study.curves[place] for place in members], options)
    tests = {key: _model_entry(getattr(found, name), modalities) for key, name in KEYS.items()}
    if study.u_statistics(options):
        tests["available_cases"] = tests["random_readers_random_cases"]
        tests["random_readers_random_cases"] = _incomplete(study, members, modalities, options)
    main = {
        "kind": "modalities",
        "sign": SIGN,
        "modalities": [_named(name, mean) for name, mean in zip(modalities, found.means, strict=True)],
        "tests": tests,
        "components": asdict(found.variances),
    }
    return main, found


def _compared(values: np.ndarray, spread: np.ndarray, curves: Sequence[Curve], options: Options) -> Comparison:
    """Paired where readers have every modality, leaving out those who have not; nested where no reader has."""
    modalities = natural_order(modality for _, modality in curves)
    both = paired(curves)
    if both.size:
        aucs, joint = values[both].reshape(len(modalities), -1), spread[np.ix_(both, both)]
        return compare_modalities(aucs, joint, options.confidence, options.floor)
    groups = [modalities.index(modality) for _, modality in curves]
    return compare_nested(values, spread, groups, options.confidence)


def _unpaired(curves: Sequence[Curve]) -> list[str]:
    """A warning for readers who lack a modality that others have."""
    both = {curves[place][0] for place in paired(curves)}
    lone = natural_order(reader for reader, _ in curves if reader not in both)
    if not both or not lone:
        return []
    who = f"reader{'s' * (len(lone) > 1)} {', '.join(lone)}"
    return [f"{who}: not in every modality, so left out of all comparisons of modalities but U-statistics"]


def _named(name: str, mean: Any) -> dict[str, Any]:
    return {"modality": name} | value_entry(mean)


def _model_entry(model: Model, modalities: Sequence[str]) -> dict[str, Any]:
    """The test of equality and the differences, Holm over the pairs; with one pair its numbers stand at the top too."""
    adjusted = holm([difference.p_value for difference in model.differences])
    pairs = [
        {"first": first, "second": second} | test_entry(difference) | {"p_holm": value}
        for (first, second), difference, value in zip(
            combinations(modalities, 2), model.differences, adjusted, strict=True
        )
    ]
    top = pairs[0] if len(pairs) == 1 else _overall(model.equality)
    return top | {"equality": asdict(model.equality), "pairs": pairs}


def _overall(equality: Equality) -> dict[str, Any]:
    """The test that all modalities are equal, under the names of a difference, of which there are several."""
    gone = dict.fromkeys(("difference", "se", "ci_low", "ci_high"))
    found = {"df": equality.df2, "statistic": equality.statistic, "p": equality.p_value}
    return gone | found | {"model": equality.model, "status": equality.status}


def _incomplete(study: Study, members: np.ndarray, modalities: Sequence[str], options: Options) -> dict[str, Any]:
    """Pairwise differences by U-statistics over all readings that there are; no test of equality of three or more."""
    disease, names = study.diseases[0], natural_order(study.curves[place][0] for place in members)
    kernels = []
    for modality in modalities:
        scores = np.full((len(names), disease.cases.size), np.nan)
        for place in members:
            reader, own = study.curves[place]
            if own == modality:
                scores[names.index(reader)] = disease.scores[place]
        kernels.append(kernel(scores, disease.truth))
    found = [two_kernels(one, two, options.confidence) for one, two in combinations(kernels, 2)]
    adjusted = holm([difference.p_value for difference in found])
    pairs = [
        {"first": first, "second": second} | test_entry(difference) | {"p_holm": value}
        for (first, second), difference, value in zip(combinations(modalities, 2), found, adjusted, strict=True)
    ]
    status = "no test that three or more modalities are equal, only of pairs"
    top = pairs[0] if len(pairs) == 1 else test_entry(missing(USTATISTICS, np.nan, status, options.confidence))
    return top | {"equality": None, "pairs": pairs}


def _levels(table: pd.DataFrame, study: Study, options: Options) -> dict[str, Any]:
    """The same inside each level, Holm over levels and pairs together."""
    groups, entries = reader_values(table, options.by), {}
    own = [groups[reader] for reader, _ in study.curves]
    for level in level_order(own):
        members = np.flatnonzero([name == level for name in own])
        readers = len({study.curves[place][0] for place in members})
        main, _ = _main(study, members, options)
        rows = [value_row(study, place, options) for place in members]
        entries[level] = {
            "level": level,
            "readers": readers,
            **main,
            values_key(options): rows,
            "warning": few_readers(f"{options.by} {level}", readers),
        }
    _holm_over_levels(entries)
    return entries


def _holm_over_levels(entries: dict[str, Any]) -> None:
    """Replace Holm's p inside each level by one over all levels and pairs, for the random-reader test."""
    tests = [entry["tests"]["random_readers_random_cases"] for entry in entries.values() if "tests" in entry]
    rows = [row for test in tests for row in test["pairs"]]
    for row, value in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = value
    for test in tests:
        if len(test["pairs"]) == 1:
            test["p_holm"] = test["pairs"][0]["p_holm"]


def _each_disease(study: Study, options: Options) -> list[dict[str, Any]]:
    """The random-reader comparison inside each disease, Holm over diseases and pairs."""
    entries = {}
    for number, disease in enumerate(study.diseases):
        found = _compared(study.values[number], study.joint[number, :, number, :], study.curves, options)
        modalities = natural_order(modality for _, modality in study.curves)
        tests = {"random_readers_random_cases": _model_entry(found.random, modalities)}
        entries[disease.disease] = {"disease": disease.disease, "cases": disease.truth.size, "tests": tests}
    _holm_over_levels(entries)
    return list(entries.values())


def _each_reader(table: pd.DataFrame, study: Study, options: Options) -> list[dict[str, Any]]:
    """Each reader's own difference of the two modalities, fixed, Holm over readers; for readers who have both."""
    place = {curve: number for number, curve in enumerate(study.curves)}
    first, second = natural_order(modality for _, modality in study.curves)
    found = {}
    for reader in natural_order(reader for reader, _ in study.curves):
        if (reader, first) in place and (reader, second) in place:
            pair = np.array([place[reader, first], place[reader, second]])
            values, spread = study.mean[pair][:, None], study.spread[np.ix_(pair, pair)]
            found[reader] = compare_modalities(values, spread, options.confidence).fixed_readers.differences[0]
    adjusted, facts = holm([difference.p_value for difference in found.values()]), reader_facts(table)
    return [
        facts[reader] | {"first": first, "second": second} | test_entry(difference) | {"p_holm": value}
        for (reader, difference), value in zip(found.items(), adjusted, strict=True)
    ]
