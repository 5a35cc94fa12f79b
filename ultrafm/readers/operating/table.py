"""Tables of operating points: each reader's counts, sensitivity and specificity, and AI against each reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.errors import UltraFMError
from ultrafm.readers.covariance import joint_covariance
from ultrafm.readers.design import Crossed, arrays
from ultrafm.readers.endpoints import Endpoint, calls
from ultrafm.readers.inference import holm, infer
from ultrafm.readers.one_treatment import FIXED_READERS, clipped
from ultrafm.readers.operating.paired import paired_proportions, wilson
from ultrafm.readers.ratings import check_ratings, find_ai, reader_values
from ultrafm.readers.study import reader_modalities

KINDS = ("sensitivity", "specificity")
PAIR_MODEL = "fixed readers, cases taken as independent; exact McNemar test, Tango's and Newcombe's intervals"


def operating_table(
    ratings: pd.DataFrame,
    threshold: float,
    ai: str | None = None,
    ai_threshold: float | None = None,
    cluster: str | None = None,
    confidence: float = 0.95,
    source: str = "ratings",
) -> pd.DataFrame:
    """One row per disease, reader and modality: counts, sensitivity and specificity with intervals.

    A rating of at least `threshold` (the AI: `ai_threshold`) is positive. Intervals are Wilson's, or with `cluster`
    normal ones with the variance of whole clusters. Raises UltraFMError as `analyse` does.
    """
    table = check_ratings(ratings, source)
    curves = _curves(table, ai, source)
    levels = reader_values(table, "level") if "level" in table else {}
    how, rows = "Wilson" if cluster is None else f"normal, clustered by {cluster}", []
    for disease in arrays(table, curves, cluster, source):
        ends = {kind: _intervals(disease, kind, threshold, ai_threshold, cluster, confidence) for kind in KINDS}
        for place, (reader, modality) in enumerate(curves):
            about = {"disease": disease.disease, "reader": reader, "modality": modality, "level": levels.get(reader)}
            limit = ai_threshold if reader == ai else threshold
            seen = ~np.isnan(disease.scores[place])
            positive, truth = disease.scores[place][seen] >= limit, disease.truth[seen]
            counted = {
                "true_positive": int((positive & truth).sum()), "false_negative": int((~positive & truth).sum()),
                "true_negative": int((~positive & ~truth).sum()), "false_positive": int((positive & ~truth).sum()),
            }  # fmt: skip
            values = {f"{kind}{end}": value for kind in KINDS for end, value in ends[kind][place].items()}
            rows.append(about | {"threshold": limit} | counted | values | {"model": FIXED_READERS, "interval": how})
    return pd.DataFrame(rows)


def pair_table(
    ratings: pd.DataFrame,
    ai: str,
    threshold: float,
    ai_threshold: float,
    margin: float | None = None,
    confidence: float = 0.95,
    source: str = "ratings",
) -> pd.DataFrame:
    """AI minus each reader: sensitivity and specificity by exact McNemar test, Tango's and Newcombe's intervals.

    These readers only, cases independent; Holm over all rows of a disease and kind. Raises UltraFMError as `analyse`.
    """
    table = check_ratings(ratings, source)
    rows = []
    for disease in arrays(table, _curves(table, ai, source), None, source):
        for kind in KINDS:
            rows += list(_pairs(disease, _curves(table, ai, source), kind, threshold, ai_threshold, margin, confidence))
    return pd.DataFrame(rows)


def _pairs(
    disease: Crossed,
    curves: list[tuple[str, str]],
    kind: str,
    threshold: float,
    ai_threshold: float,
    margin: float | None,
    confidence: float,
) -> Iterator[dict[str, Any]]:
    """The rows of one disease and kind."""
    successes = calls(disease, Endpoint(kind, threshold=threshold, ai_threshold=ai_threshold), True)
    found = []
    for row in successes[1:]:
        both = ~np.isnan(row) & ~np.isnan(successes[0])
        found.append(paired_proportions(successes[0][both], row[both], confidence, margin))
    for (reader, modality), test, adjusted in zip(curves[1:], found, holm([one.p_exact for one in found]), strict=True):
        about = {"disease": disease.disease, "kind": kind, "reader": reader, "modality": modality}
        values = asdict(test)
        for name in ("tango", "newcombe"):
            values[f"{name}_low"], values[f"{name}_high"] = values.pop(name)
        yield about | values | {"p_holm": adjusted, "model": PAIR_MODEL}


def _curves(table: pd.DataFrame, ai: str | None, source: str) -> list[tuple[str, str]]:
    """The AI first, then the readers by modality."""
    found = reader_modalities(table, ai)
    return found if ai is None else [find_ai(table, ai, source), *found]


def _intervals(
    disease: Crossed, kind: str, threshold: float, ai_threshold: float | None, cluster: str | None, confidence: float
) -> list[dict[str, float | None]]:
    """The share of right calls of each curve, with its interval."""
    endpoint = Endpoint(kind, threshold=threshold, ai_threshold=ai_threshold)
    successes = calls(disease, endpoint, ai_threshold is not None)
    if cluster is not None:
        values, joint = joint_covariance([disease], "delong", endpoint, ai_threshold is not None)
        found = [
            clipped(infer(FIXED_READERS, value, variance, None, confidence))
            for value, variance in zip(values[0], np.diag(joint[0, :, 0]), strict=True)
        ]
        return [{"": one.estimate, "_low": one.ci_low, "_high": one.ci_high} for one in found]
    counted = [row[~np.isnan(row)] for row in successes]
    if min(row.size for row in counted) == 0:
        raise UltraFMError(f"disease {disease.disease!r}", f"a reader without a case for {kind}", "a case at least")
    ends = [wilson(int(row.sum()), row.size, confidence) for row in counted]
    return [{"": float(row.mean()), "_low": low, "_high": high} for row, (low, high) in zip(counted, ends, strict=True)]
