"""Readers nested in modalities: every reader reads in one modality only, all on the same cases.

Obuchowski-Rockette analysis for unpaired readers (Hillis, Statistics in Medicine 2014, 33:330): the spread of readers
within their modality takes the place of the reader by modality interaction, and Cov1 does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ultrafm.readers.inference import NO_SPREAD, infer, missing
from ultrafm.readers.one_treatment import FIXED_CASES, FIXED_READERS, RANDOM
from ultrafm.readers.two_treatments import Comparison, Equality, Model, f_test, modality_means


@dataclass(frozen=True)
class NestedVariances:
    """Mean squares and mean covariances where readers are nested in modalities."""

    ms_modality: float
    ms_reader_within: float | None
    variance: float
    cov2: float | None
    cov3: float
    denominator: float | None


def compare_nested(
    values: NDArray[np.float64], covariance: NDArray[np.float64], groups: Sequence[int], confidence: float = 0.95
) -> Comparison:
    """Compare I modalities with readers of their own. values: (N,); covariance: (N, N); groups: modality of each."""
    group = np.asarray(groups)
    sizes = np.bincount(group)
    parts, scale = _variances(values, covariance, group, sizes)
    return Comparison(
        parts,
        _random(values, parts, group, sizes, scale, confidence),
        _fixed_readers(values, covariance, group, sizes, confidence),
        _fixed_cases(values, parts, group, sizes, confidence),
        modality_means([values[group == i] for i in range(sizes.size)], covariance, confidence),
    )


def _variances(
    values: NDArray[np.float64], covariance: NDArray[np.float64], group: NDArray[np.intp], sizes: NDArray[np.intp]
) -> tuple[NestedVariances, float]:
    """The mean squares, and the factor of max(Cov2 - Cov3, 0), which is J where all modalities have J readers."""
    total, modalities = values.size, sizes.size
    means = np.bincount(group, weights=values) / sizes
    ms_modality = float((sizes * (means - values.mean()) ** 2).sum() / (modalities - 1))
    same = group[:, None] == group[None, :]
    pairs = same & ~np.eye(total, dtype=bool)
    cov2 = float(covariance[pairs].mean()) if pairs.any() else None
    within = float(((values - means[group]) ** 2).sum() / (total - modalities)) if total > modalities else None
    within = within if within is None or within > NO_SPREAD else 0.0
    scale = (total - (sizes**2).sum() / total) / (modalities - 1)
    variance, cov3 = float(np.trace(covariance) / total), float(covariance[~same].mean())
    denominator = None if within is None else within + scale * max((cov2 or 0.0) - cov3, 0.0)
    return NestedVariances(ms_modality, within, variance, cov2, cov3, denominator), float(scale)


def _random(
    values: NDArray[np.float64],
    parts: NestedVariances,
    group: NDArray[np.intp],
    sizes: NDArray[np.intp],
    scale: float,
    confidence: float,
) -> Model:
    """Random readers and cases: F = MS(T)/D, df2 = (N - I) (D / MS(R within T))^2; pairs with their own readers."""
    if parts.ms_reader_within is None or (sizes < 2).any():
        return _nothing(RANDOM, values, group, sizes, "no test: a modality has one reader only", confidence)
    free = values.size - sizes.size
    within, shared = parts.ms_reader_within, max(parts.cov2 - parts.cov3, 0.0)
    df = None if within == 0 else free * (parts.denominator / within) ** 2
    equality = f_test(RANDOM, parts.ms_modality, parts.denominator, sizes.size - 1, df)
    pairs = []
    for i, k in combinations(range(sizes.size), 2):
        error = within * (1 / sizes[i] + 1 / sizes[k])
        variance = error + 2 * shared
        own = None if within == 0 else free * (variance / error) ** 2
        pairs.append(infer(RANDOM, _difference(values, group, i, k), variance, own, confidence))
    return Model(equality, tuple(pairs))


def _fixed_readers(
    values: NDArray[np.float64],
    covariance: NDArray[np.float64],
    group: NDArray[np.intp],
    sizes: NDArray[np.intp],
    confidence: float,
) -> Model:
    """Fixed readers: the exact variance of each difference of means; equality by Wald's chi-squared test."""
    weights = (group[None, :] == np.arange(sizes.size)[:, None]) / sizes[:, None]
    contrast = weights[:-1] - weights[-1]
    spread, difference = contrast @ covariance @ contrast.T, contrast @ values
    known = np.isfinite(spread).all()  # not where a jackknife leaves out the only patient of a class
    solved = float(difference @ np.linalg.pinv(spread) @ difference) if known else float("nan")
    equality = f_test(FIXED_READERS, solved / difference.size, 1.0 if known else solved, difference.size, None)
    pairs = []
    for i, k in combinations(range(sizes.size), 2):
        one = weights[i] - weights[k]
        pairs.append(infer(FIXED_READERS, float(one @ values), float(one @ covariance @ one), None, confidence))
    return Model(equality, tuple(pairs))


def _fixed_cases(
    values: NDArray[np.float64],
    parts: NestedVariances,
    group: NDArray[np.intp],
    sizes: NDArray[np.intp],
    confidence: float,
) -> Model:
    """Fixed cases: one-way analysis of variance over readers; for two modalities the t test with pooled variance."""
    if parts.ms_reader_within is None:
        return _nothing(FIXED_CASES, values, group, sizes, "no test: a modality has one reader only", confidence)
    df = float(values.size - sizes.size)
    equality = f_test(FIXED_CASES, parts.ms_modality, parts.ms_reader_within, sizes.size - 1, df)
    pairs = [
        infer(
            FIXED_CASES, _difference(values, group, i, k), parts.ms_reader_within * (1 / sizes[i] + 1 / sizes[k]), df,
            confidence,
        )
        for i, k in combinations(range(sizes.size), 2)
    ]  # fmt: skip
    return Model(equality, tuple(pairs))


def _difference(values: NDArray[np.float64], group: NDArray[np.intp], i: int, k: int) -> float:
    return float(values[group == i].mean() - values[group == k].mean())


def _nothing(
    model: str, values: NDArray[np.float64], group: NDArray[np.intp], sizes: NDArray[np.intp], why: str, level: float
) -> Model:
    """Differences without tests, and the reason."""
    pairs = combinations(range(sizes.size), 2)
    found = tuple(missing(model, _difference(values, group, i, k), why, level) for i, k in pairs)
    return Model(Equality(model, None, None, sizes.size - 1, None, None, why), found)
