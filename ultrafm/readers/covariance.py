"""Covariance of the endpoints of several readers for several diseases, whose cases may overlap or be different ones.

Closed forms wherever there are some: DeLong's for the AUROC, Obuchowski's where cases are clustered, the covariance of
right and wrong for sensitivity, specificity and accuracy, the jackknife of the AUROC. Resampling does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ultrafm.downstream.auc import cluster_deviations, jackknife_deviations, placements
from ultrafm.errors import UltraFMError, nearest
from ultrafm.readers.design import Crossed
from ultrafm.readers.endpoints import AUC, Endpoint, calls
from ultrafm.readers.resampled import resampled_covariance

COVARIANCES = ("delong", "jackknife", "bootstrap")
REPLICATES = 2000


@dataclass(frozen=True)
class Sampling:
    """How the covariance due to cases is estimated: the method's name and, for the bootstrap, replicates and draws."""

    method: str = "delong"
    replicates: int = REPLICATES
    generator: np.random.Generator | None = None


@dataclass(frozen=True)
class Deviations:
    """What each of U units adds to each of C values: parts (C, U), and the small-sample factor (C,) of each part.

    `diseased` and `healthy` are the two classes of an AUROC; a proportion has only the first.
    """

    diseased: NDArray[np.float64]
    healthy: NDArray[np.float64]
    factor_diseased: NDArray[np.float64]
    factor_healthy: NDArray[np.float64]


def check_covariance(covariance: str, endpoint: Endpoint = AUC) -> None:
    """UltraFMError for a covariance that is not offered, or not for this endpoint."""
    if covariance not in COVARIANCES:
        found = repr(covariance) + nearest(covariance, COVARIANCES)
        raise UltraFMError("--covariance", found, f"one of {', '.join(COVARIANCES)}")
    if endpoint.kind == "partial_auc" and covariance == "delong":
        raise UltraFMError("--covariance", "'delong' for a partial AUROC", "jackknife or bootstrap")


def describe_covariance(covariance: str, cluster: str | None, endpoint: Endpoint = AUC) -> str:
    """The name of the method in words, for tables and reports."""
    if covariance == "bootstrap":
        return f"bootstrap of {'cases' if cluster is None else f'whole {cluster}s'}"
    if endpoint.kind in ("sensitivity", "specificity", "diagnosis"):
        return "covariance of right and wrong" + (f", clustered by {cluster}" if cluster else "")
    if covariance == "jackknife":
        return f"jackknife, one {cluster or 'case'} left out at a time"
    return f"clustered by {cluster} (Obuchowski 1997)" if cluster else "DeLong 1988"


def joint_covariance(
    diseases: Sequence[Crossed],
    covariance: str | Sampling = "delong",
    endpoint: Endpoint = AUC,
    ai_rows: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values (D, C) of C curves for D diseases and their covariance (D, C, D, C) due to cases.

    Inside a disease with all ratings this is `auc_covariance` over the units (cases, or patients). Curves and diseases
    with different cases share only the units that occur in both; without any they are independent. ai_rows: so many
    curves at the beginning are the AI, with a threshold of its own. Raises UltraFMError for an unknown method, and when
    a class has fewer than two units.
    """
    sampling = Sampling(covariance) if isinstance(covariance, str) else covariance
    check_covariance(sampling.method, endpoint)
    codes, units = unit_codes(diseases)
    if sampling.method == "bootstrap" or endpoint.kind == "partial_auc":
        return resampled_covariance(diseases, codes, units, endpoint, ai_rows, sampling)
    proportions = endpoint.kind != "auc"
    if sampling.method == "jackknife" and not proportions:
        return _jackknifed(diseases, codes, units)
    work = [
        _proportions(calls(disease, endpoint, ai_rows), unit, units) if proportions else _areas(disease, unit, units)
        for disease, unit in zip(diseases, codes, strict=True)
    ]
    values, parts = np.array([value for value, _ in work]), [part for _, part in work]
    joint = np.empty((*values.shape, *values.shape))
    for i, first in enumerate(parts):
        for k in range(i, len(parts)):
            count = np.union1d(codes[i], codes[k]).size if i != k else np.unique(codes[i]).size
            block = _product(first, parts[k], count)
            joint[i, :, k, :], joint[k, :, i, :] = block, block.T
    return values, joint


def macro_average(
    values: NDArray[np.float64], joint: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unweighted mean over diseases: values (C,) and their covariance (C, C)."""
    return values.mean(axis=0), joint.mean(axis=(0, 2))


def unit_codes(diseases: Sequence[Crossed]) -> tuple[list[NDArray[np.intp]], int]:
    """The units of each disease as numbers that all diseases share, and how many there are."""
    if len(diseases) == 1 and diseases[0].units is diseases[0].cases:
        return [np.arange(diseases[0].cases.size)], diseases[0].cases.size
    names, codes = np.unique(np.concatenate([disease.units for disease in diseases]).astype(str), return_inverse=True)
    ends = np.cumsum([disease.units.size for disease in diseases])
    return np.split(codes, ends[:-1]), names.size


def case_groups(scores: NDArray[np.float64]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Curves that rated the same cases, and these cases: (curves, cases) for each group."""
    seen = ~np.isnan(scores)
    if seen.all():
        return [(np.arange(scores.shape[0]), np.arange(scores.shape[1]))]
    patterns, groups = np.unique(seen, axis=0, return_inverse=True)
    return [(np.flatnonzero(groups.ravel() == number), np.flatnonzero(row)) for number, row in enumerate(patterns)]


def _areas(disease: Crossed, codes: NDArray[np.intp], units: int) -> tuple[NDArray[np.float64], Deviations]:
    """AUROCs (C,) and what each unit adds to them."""
    curves = disease.scores.shape[0]
    values, found = np.empty(curves), Deviations(*np.zeros((2, curves, units)), *np.ones((2, curves)))
    for members, cases in case_groups(disease.scores):
        truth = disease.truth[cases]
        placed = placements(disease.scores[np.ix_(members, cases)], truth)
        part = cluster_deviations(placed, truth, codes[cases], units)
        values[members], found.diseased[members], found.healthy[members] = placed.aucs, part.diseased, part.healthy
        found.factor_diseased[members] = np.sqrt(part.with_diseased / (part.with_diseased - 1))
        found.factor_healthy[members] = np.sqrt(part.with_healthy / (part.with_healthy - 1))
    return values, found


def _proportions(
    successes: NDArray[np.float64], codes: NDArray[np.intp], units: int
) -> tuple[NDArray[np.float64], Deviations]:
    """Proportions (C,) of right calls and what each unit adds to them (the ratio estimate of a clustered sample)."""
    curves = successes.shape[0]
    values, found = np.empty(curves), Deviations(*np.zeros((2, curves, units)), *np.ones((2, curves)))
    for curve, row in enumerate(successes):
        counted = ~np.isnan(row)
        inside = np.unique(codes[counted]).size
        if inside < 2:
            raise UltraFMError("variance of a proportion", f"{inside} independent units that count", "at least two")
        values[curve] = row[counted].mean()
        deviation = (row[counted] - values[curve]) / counted.sum()
        found.diseased[curve] = np.bincount(codes[counted], weights=deviation, minlength=units)
        found.factor_diseased[curve] = np.sqrt(inside / (inside - 1))
    return values, found


def _product(first: Deviations, second: Deviations, clusters: int) -> NDArray[np.float64]:
    """Covariance (C1, C2) of two sets of curves (Obuchowski 1997); only units that both have add to it."""
    mixed = first.diseased @ second.healthy.T + first.healthy @ second.diseased.T
    covariance = np.outer(first.factor_diseased, second.factor_diseased) * (first.diseased @ second.diseased.T)
    covariance += np.outer(first.factor_healthy, second.factor_healthy) * (first.healthy @ second.healthy.T)
    return covariance + mixed * clusters / (clusters - 1)


def _jackknifed(
    diseases: Sequence[Crossed], codes: Sequence[NDArray[np.intp]], units: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AUROCs and their jackknife covariance; a unit that a curve lacks deviates by nothing."""
    curves = diseases[0].scores.shape[0]
    values, spread = np.empty((len(diseases), curves)), np.zeros((len(diseases), curves, units))
    for number, (disease, unit) in enumerate(zip(diseases, codes, strict=True)):
        for members, cases in case_groups(disease.scores):
            scores, truth = disease.scores[np.ix_(members, cases)], disease.truth[cases]
            own, inside = np.unique(unit[cases], return_inverse=True)
            values[number, members] = placements(scores, truth).aucs
            spread[number][np.ix_(members, own)] = jackknife_deviations(scores, truth, inside)
    return values, np.einsum("icu,kdu->ickd", spread, spread, optimize=True)
