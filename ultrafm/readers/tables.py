"""Pieces of a result that can be written as JSON: tests, values, counts, warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.readers.design import INCOMPLETE
from ultrafm.readers.inference import Inference
from ultrafm.readers.one_treatment import one_auc
from ultrafm.readers.study import Options, Study

FEW_UNITS = 20
ROUNDING = 1e-15  # covariances nearer to each other than this differ by rounding only


def test_entry(found: Inference) -> dict[str, Any]:
    """A difference with its test and interval, under the names that the JSON file uses."""
    return {
        "difference": found.estimate,
        "se": found.standard_error,
        "df": found.df,
        "statistic": found.statistic,
        "p": found.p_value,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "confidence": found.confidence,
        "model": found.model,
        "status": found.status,
    }


def value_entry(found: Inference) -> dict[str, Any]:
    """A value of the endpoint with its interval; a test against zero would mean nothing."""
    return {
        "estimate": found.estimate,
        "se": found.standard_error,
        "df": found.df,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "model": found.model,
        "status": found.status.replace("no test", "no interval"),
    }


def counts(study: Study, modalities: int, readers: int, cluster: str | None) -> dict[str, Any]:
    """I, J, K, m, n and how many units (patients); a case read for two diseases counts once in K, twice in m + n."""
    return {
        "modalities": modalities,
        "readers": readers,
        "diseases": len(study.diseases),
        "cases": _different([disease.cases for disease in study.diseases]),
        "diseased": sum(int(disease.truth.sum()) for disease in study.diseases),
        "healthy": sum(int((~disease.truth).sum()) for disease in study.diseases),
        "clusters": None if cluster is None else _different([disease.units for disease in study.diseases]),
        "missing_readings": study.design.missing,
    }


def endpoint_words(study: Study, options: Options) -> str:
    """The endpoint in words."""
    if len(study.diseases) == 1:
        return options.endpoint.label
    return f"{options.endpoint.label} averaged over {len(study.diseases)} diseases with equal weight"


def reader_facts(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Name, level and years of each reader, as far as the table tells."""
    names = [name for name in ("level", "years") if name in table]
    first = np.unique(table["reader"].cat.codes.to_numpy(), return_index=True)[1]
    columns = {name: [str(value) or None for value in table[name].iloc[first]] for name in ("reader", *names)}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {row["reader"]: row for row in rows}


def values_key(options: Options) -> str:
    """Under which name a result holds the values of its curves."""
    return "auc" if options.endpoint.kind == "auc" else "values"


def value_row(study: Study, place: int, options: Options) -> dict[str, Any]:
    """One curve's value, as the JSON file holds it under `auc` (or `values`)."""
    found, (reader, modality) = one_auc(study.mean, study.spread, place, options.confidence), study.curves[place]
    name = "auc" if options.endpoint.kind == "auc" else "value"
    row = {"reader": reader, "modality": modality, name: found.estimate, "se": found.standard_error}
    return row | {"ci_low": found.ci_low, "ci_high": found.ci_high}


def common_warnings(table: pd.DataFrame, study: Study, options: Options, labels: Sequence[str]) -> list[str]:
    """Warnings that concern any analysis: ignored patients, few clusters, perfect curves, curves below chance."""
    found = _ignored_patients(table) if options.cluster is None else []
    found += _few_units(study, options.cluster)
    if study.design.name == INCOMPLETE:
        one = study.design.missing == 1
        told = f"{study.design.missing} reading{'' if one else 's'} {'is' if one else 'are'} missing, the first by"
        rest = "all others are used, which is honest only where missing has nothing to do with the rating"
        found.append(f"{told} {study.design.first_missing}; {rest}")
    word = "an AUROC" if options.endpoint.kind == "auc" else "a value"
    for name, value in zip(labels, study.mean, strict=True):
        if value < 0.5 and options.endpoint.kind == "auc":
            found.append(f"{name} has an AUROC of {value:.3f}, below chance: are truth or ratings the wrong way round?")
        elif value == 1:
            found.append(f"{name} has {word} of 1: its variance is estimated as 0, so its interval says nothing")
    return found


def negative_warnings(components: Any) -> list[str]:
    """Notes on variance components that came out below zero, whatever kind of analysis they are of."""
    found = []
    if hasattr(components, "cov3"):
        if components.cov2 is not None and components.cov3 - components.cov2 > ROUNDING:
            found.append("Cov2 is smaller than Cov3: their difference was counted as zero in the random-reader test")
        for name, word in (("reader", "of readers"), ("modality_reader", "of modality by reader")):
            value = getattr(components, name, None)
            if value is not None and value < 0:
                found.append(
                    f"the variance component {word} is negative ({value:.2g}); true ones are not: read it as 0"
                )
    elif components.cov2 is not None and components.cov2 < 0:
        found.append("the covariance between the readers' differences is negative and was counted as zero (Cov2)")
    return found


def _ignored_patients(table: pd.DataFrame) -> list[str]:
    """A warning where several cases of one patient were treated as independent."""
    if "patient" not in table or (table["patient"] == "").any():
        return []
    cases = table.drop_duplicates("case")
    if not cases["patient"].duplicated().any():
        return []
    return [
        f"{len(cases)} cases come from {cases['patient'].nunique()} patients and were treated as independent; "
        "cluster by patient for an honest interval"
    ]


def _few_units(study: Study, cluster: str | None) -> list[str]:
    """A warning where a disease has few independent units (cases, or clusters) of a class."""
    found, word = [], f"{cluster}s" if cluster else "cases"
    for disease in study.diseases:
        for kind, chosen in (("diseased", disease.truth), ("healthy", ~disease.truth)):
            number = len(set(disease.units[chosen])) if cluster else int(chosen.sum())
            if number < FEW_UNITS:
                told = f"disease {disease.disease!r} has {number} {kind} {word}, fewer than {FEW_UNITS}"
                found.append(f"{told}: variances over so few are unsure and often too small")
    return found


def _different(names: Sequence[np.ndarray]) -> int:
    """How many different names."""
    return int(pd.unique(pd.Series(np.concatenate(names))).size)
