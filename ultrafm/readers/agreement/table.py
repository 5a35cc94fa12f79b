"""Agreement of a ratings table by level: calls at a threshold, ordered ratings, and pairs of readers."""

from __future__ import annotations

from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ultrafm.downstream.limits import bland_altman
from ultrafm.readers.agreement.kappa import (
    Agreement,
    category_counts,
    cluster_interval,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    observed_agreement,
)
from ultrafm.readers.agreement.measurements import ABSOLUTE, CONSISTENT, intraclass_correlation
from ultrafm.readers.design import Crossed, cross
from ultrafm.readers.names import level_order
from ultrafm.readers.ratings import check_ratings, reader_values
from ultrafm.readers.study import reader_modalities
from ultrafm.reporting.records import interval_text
from ultrafm.seeds import spawn

EVERYONE = "all"


def agreement_table(
    ratings: pd.DataFrame,
    threshold: float,
    ai: str | None = None,
    by: str | None = "level",
    cluster: str | None = None,
    seed: int = 0,
    replicates: int = 2000,
    source: str = "ratings",
) -> pd.DataFrame:
    """Fleiss' kappa, AC1 (calls from `threshold` on) and ICC of the ratings, for all readers and each group of `by`.

    One row per disease, modality, group and statistic; the AI is left out. Intervals treat cases as independent, or
    with `cluster` come from a bootstrap of clusters (kappa and AC1; an ICC then says so in its status). Prevalence and
    observed agreement stand beside each kappa, without which it cannot be read. Raises UltraFMError as `cross` does.
    """
    table = check_ratings(ratings, source)
    rows = []
    for modality, readers, disease in _parts(table, ai, cluster, source):
        for group, members in _groups(table, readers, by):
            about = {"disease": disease.disease, "modality": modality, "group": group, "readers": len(members)}
            about["cases"] = disease.truth.size
            generator = spawn(seed, f"agreement {modality} {group}", disease.disease)
            if len(members) > 1:
                rows += _rows(about, disease.scores[members], threshold, disease, cluster, generator, replicates)
    return pd.DataFrame(rows)


def agreement_page(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `agreement_table` as text for a page: a line per disease and group, a column per statistic."""
    about = ["disease", "modality", "group", "readers", "cases"]
    text = [interval_text(*ends) for ends in table[["value", "ci_low", "ci_high"]].itertuples(index=False)]
    wide = table[about].assign(statistic=table["statistic"], text=text)
    lines = wide[about].drop_duplicates()
    for name in table["statistic"].unique():
        own = wide[wide["statistic"] == name].set_index(about)["text"]
        lines[f"{name} [95% interval]"] = own.reindex(pd.MultiIndex.from_frame(lines[about])).to_numpy()
    return lines.reset_index(drop=True)


def limits_table(
    ratings: pd.DataFrame,
    ai: str | None = None,
    by: str | None = "level",
    cluster: str | None = None,
    weights: str | None = "quadratic",
    source: str = "ratings",
) -> pd.DataFrame:
    """Every pair of readers of one group: weighted kappa of their ratings, bias and limits of agreement.

    weights: None, "linear" or "quadratic"; the kappa is left out where ratings have more than 20 values, since it is
    one for ordered categories. Its interval treats cases as independent, that of the limits heeds `cluster`. Raises
    UltraFMError as `cross` does.
    """
    table = check_ratings(ratings, source)
    rows = []
    for modality, readers, disease in _parts(table, ai, cluster, source):
        units = None if cluster is None else disease.units
        for group, members in _groups(table, readers, by)[1 if by else 0 :]:
            for one, two in combinations(members, 2):
                first, second = disease.scores[one], disease.scores[two]
                about = {"disease": disease.disease, "modality": modality, "group": group}
                about |= {"first": readers[one], "second": readers[two]}
                few = np.unique([first, second]).size <= 20
                kappa = cohen_kappa(first, second, weights) if few else None
                found = {"kappa": None, "kappa_low": None, "kappa_high": None}
                if kappa is not None:
                    found = {"kappa": kappa.value, "kappa_low": kappa.ci_low, "kappa_high": kappa.ci_high}
                rows.append(about | found | asdict(bland_altman(first, second, units)))
    return pd.DataFrame(rows)


def _parts(
    table: pd.DataFrame, ai: str | None, cluster: str | None, source: str
) -> list[tuple[str, list[str], Crossed]]:
    """Each modality with its readers and the arrays of each disease."""
    curves, found = reader_modalities(table, ai), []
    for modality in dict.fromkeys(modality for _, modality in curves):
        own = [curve for curve in curves if curve[1] == modality]
        found += [(modality, [reader for reader, _ in own], disease) for disease in cross(table, own, cluster, source)]
    return found


def _groups(table: pd.DataFrame, readers: list[str], by: str | None) -> list[tuple[str, NDArray[np.intp]]]:
    """All readers, then the readers of each group."""
    everyone = [(EVERYONE, np.arange(len(readers)))]
    if by is None or by not in table:
        return everyone
    values = reader_values(table, by)
    own = np.array([values[reader] for reader in readers])
    return everyone + [(level, np.flatnonzero(own == level)) for level in level_order(own.tolist())]


def _rows(
    about: dict[str, Any],
    scores: NDArray[np.float64],
    threshold: float,
    disease: Crossed,
    cluster: str | None,
    generator: np.random.Generator,
    replicates: int,
) -> list[dict[str, Any]]:
    """The rows of one group."""
    positive = (scores >= threshold).astype(int)
    counts = category_counts(positive)
    calls: list[Agreement] = [fleiss_kappa(positive), gwet_ac1(positive)]
    if cluster is not None:
        calls = [
            one if one.value is None else cluster_interval(one, counts, disease.units, generator, replicates)
            for one in calls
        ]
    told = {"positive_share": float(positive.mean()), "observed_agreement": float(observed_agreement(counts).mean())}
    told["prevalence"] = float(disease.truth.mean())
    rows = [about | asdict(one) | told for one in calls]
    for kind in (ABSOLUTE, CONSISTENT):
        found = asdict(intraclass_correlation(scores, kind))
        if cluster is not None and found["status"] == "ok":
            found["status"] = "the interval treats cases as independent"
        rows.append(about | found)
    return rows
