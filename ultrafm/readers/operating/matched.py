"""The AI at the readers' sensitivity: how specific is it there, and how sure is that?

The AI's threshold is not fixed but chosen from the data, so it is chosen anew in every bootstrap replicate; else the
interval would treat it as known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError
from ultrafm.readers.covariance import unit_codes
from ultrafm.readers.design import Crossed, cross
from ultrafm.readers.names import natural_order
from ultrafm.readers.ratings import check_ratings, find_ai
from ultrafm.readers.resampling import bootstrap_weights, unit_strata, weighted_roc
from ultrafm.readers.study import reader_modalities


@dataclass(frozen=True)
class Matched:
    """Specificity of AI and readers where the AI is at least as sensitive as the mean reader; AI minus readers.

    threshold_ai: None where the readers find no diseased case, so that the AI need not call any.
    """

    disease: str
    sensitivity_readers: float
    sensitivity_ai: float
    threshold_ai: float | None
    specificity_readers: float
    specificity_ai: float
    difference: float
    ci_low: float
    ci_high: float
    confidence: float
    replicates: int
    readers: str
    cluster: str | None


def matched_specificity(
    ratings: pd.DataFrame,
    ai: str,
    threshold: float,
    generator: np.random.Generator,
    cluster: str | None = None,
    random_readers: bool = True,
    replicates: int = 2000,
    confidence: float = 0.95,
    source: str = "ratings",
) -> list[Matched]:
    """For each disease the AI's specificity at the mean sensitivity of the readers, minus theirs; percentile intervals.

    threshold: a reader's rating of at least this is positive. The AI's threshold is the highest at which it finds at
    least as many of the diseased as the mean reader does. Units (cases, or whole clusters) are drawn within classes,
    and readers too where random_readers, else the result holds for these readers only. Raises UltraFMError unless all
    readers of one modality rated all cases.
    """
    table = check_ratings(ratings, source)
    readers = reader_modalities(table, ai)
    if len({modality for _, modality in readers}) != 1:
        found = f"the modalities {', '.join(natural_order(modality for _, modality in readers))}"
        raise UltraFMError(f"{source}, readers", found, "readers of one modality", "keep the rows of one modality")
    curves = [find_ai(table, ai, source), *readers]
    return [
        _one_disease(disease, threshold, generator, cluster, random_readers, replicates, confidence)
        for disease in cross(table, curves, cluster, source)
    ]


def _one_disease(
    disease: Crossed,
    threshold: float,
    generator: np.random.Generator,
    cluster: str | None,
    random_readers: bool,
    replicates: int,
    confidence: float,
) -> Matched:
    """One disease: the estimate, and the percentiles of its replicates."""
    (codes,), units = unit_codes([disease])
    size = disease.scores.shape[0] - 1
    point = _matched(disease, threshold, np.ones((disease.truth.size, 1)), np.full((size, 1), 1 / size))
    differences = []
    for drawn in bootstrap_weights(unit_strata([(codes, disease.truth)], units), replicates, generator):
        count = drawn.shape[1]
        shares = np.full((size, count), 1 / size)
        if random_readers:
            shares = generator.multinomial(size, np.full(size, 1 / size), count).T / size
        found = _matched(disease, threshold, drawn[codes], shares)
        differences.append(np.where(np.isnan(found[0]), np.nan, found[3] - found[2]))
    tails = (1 - confidence) / 2
    low, high = np.nanquantile(np.concatenate(differences), [tails, 1 - tails])
    hits, ai_hits, quiet, ai_quiet, limit = (float(value[0]) for value in point)
    own = limit if np.isfinite(limit) else None
    kind = "random readers and random cases" if random_readers else "fixed readers, random cases"
    return Matched(
        disease.disease, hits, ai_hits, own, quiet, ai_quiet, ai_quiet - quiet, float(low), float(high), confidence,
        replicates, kind, cluster,
    )  # fmt: skip


def _matched(
    disease: Crossed, threshold: float, weights: NDArray[np.float64], shares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Sensitivity of readers and AI, specificity of both, and the AI's threshold, each (B,).

    weights: (K, B) of cases; shares: (J, B) of readers, which add up to 1.
    """
    positive = (disease.scores[1:] >= threshold).astype(float)
    ill, well = weights[disease.truth], weights[~disease.truth]
    with np.errstate(invalid="ignore"):
        hits = ((positive[:, disease.truth] @ ill / ill.sum(axis=0)) * shares).sum(axis=0)
        quiet = 1 - ((positive[:, ~disease.truth] @ well / well.sum(axis=0)) * shares).sum(axis=0)
    alarms, ai_hits = weighted_roc(disease.scores[0], disease.truth, weights)
    place = np.argmax(ai_hits >= hits - 1e-12, axis=0)
    column = np.arange(weights.shape[1])
    limits = np.append(np.inf, np.unique(disease.scores[0])[::-1])
    return hits, ai_hits[place, column], quiet, 1 - alarms[place, column], limits[place]
