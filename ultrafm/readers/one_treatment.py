"""Artificial intelligence (AI) alone against J readers of the same cases.

One-treatment Obuchowski-Rockette analysis of the differences AI minus reader, with random readers, random cases and
Hillis' degrees of freedom (Hillis, Statistics in Medicine 2007, 26:596; Chakraborty 2017, chapter 22). The sign is
always AI minus readers. It takes AUROCs and their covariance from wherever they come: DeLong, jackknife, clustered by
patient, one disease or the average of several.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ultrafm.readers.inference import NO_SPREAD, Inference, infer, missing

RANDOM = "random readers and random cases (inference to new readers and new cases)"
FIXED_READERS = "fixed readers, random cases (inference to these readers only)"
FIXED_CASES = "random readers, fixed cases (inference to these cases only)"


@dataclass(frozen=True)
class Components:
    """Variance components of J values: spread over readers, mean variance and mean covariance due to cases."""

    mean_square: float | None
    variance: float
    cov2: float | None
    denominator: float | None


@dataclass(frozen=True)
class AgainstReaders:
    """AI minus readers under three models; `random` is the primary one."""

    auc_ai: float
    auc_readers: float
    readers: int
    components: Components
    random: Inference
    fixed_readers: Inference
    fixed_cases: Inference


def ai_versus_readers(
    aucs: NDArray[np.float64], covariance: NDArray[np.float64], confidence: float = 0.95
) -> AgainstReaders:
    """Compare the first AUROC (the AI) with the mean of the others (J readers).

    aucs: (1 + J,), covariance: (1 + J, 1 + J) due to cases. One reader: the DeLong test of two curves, labelled as
    fixed reader. No spread among the readers: normal instead of t. Negative covariance between readers counts as
    zero.
    """
    differences, spread = reader_differences(aucs, covariance)
    weights = np.concatenate([[1.0], np.full(differences.size, -1 / differences.size)])
    fixed = infer(FIXED_READERS, differences.mean(), float(weights @ covariance @ weights), None, confidence)
    return _three_models(differences, spread, (float(aucs[0]), float(aucs[1:].mean())), fixed, confidence)


def paired_differences(
    differences: NDArray[np.float64],
    covariance: NDArray[np.float64],
    means: tuple[float, float],
    confidence: float = 0.95,
) -> AgainstReaders:
    """The same from the J differences AI minus reader and their covariance (J, J), each on the reader's own cases.

    Readers without common cases have covariance 0, so that Cov2, the mean over all pairs, is the smaller the more the
    cases are divided: the variance of the mean difference stays unbiased. means: of the AI and of the readers.
    """
    fixed = infer(FIXED_READERS, differences.mean(), float(covariance.mean()), None, confidence)
    return _three_models(differences, covariance, means, fixed, confidence)


def reader_differences(
    aucs: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Differences (J,) of the first AUROC minus each other one, and their covariance (J, J)."""
    contrast = np.hstack([np.ones((aucs.size - 1, 1)), -np.eye(aucs.size - 1)])
    return contrast @ aucs, contrast @ covariance @ contrast.T


def components(values: NDArray[np.float64], covariance: NDArray[np.float64]) -> Components:
    """MS, mean variance, mean covariance (Cov2) and MS + J max(Cov2, 0) of J values; None where J = 1."""
    readers, variance = values.size, float(np.trace(covariance)) / values.size
    if readers < 2:
        return Components(None, variance, None, None)
    mean_square = float(values.var(ddof=1))
    mean_square = mean_square if mean_square > NO_SPREAD else 0.0
    cov2 = float(covariance.sum() - np.trace(covariance)) / (readers * (readers - 1))
    return Components(mean_square, variance, cov2, mean_square + readers * max(cov2, 0.0))


def random_readers(values: NDArray[np.float64], parts: Components, confidence: float = 0.95) -> Inference:
    """Mean of J >= 2 values for random readers and random cases: SE^2 = D/J, df = (J-1)(D/MS)^2 (Hillis 2007)."""
    readers, spread = values.size, parts.mean_square
    df = None if spread == 0 else (readers - 1) * (parts.denominator / spread) ** 2
    return infer(RANDOM, float(values.mean()), parts.denominator / readers, df, confidence)


def mean_auc(aucs: NDArray[np.float64], covariance: NDArray[np.float64], confidence: float = 0.95) -> Inference:
    """Mean AUROC of J readers of one modality, interval clipped to 0..1; one reader: normal, that reader only."""
    if aucs.size > 1:
        found = random_readers(aucs, components(aucs, covariance), confidence)
    else:
        found = infer(FIXED_READERS, float(aucs[0]), float(covariance[0, 0]), None, confidence)
    return clipped(found)


def one_auc(
    aucs: NDArray[np.float64], covariance: NDArray[np.float64], place: int, confidence: float = 0.95
) -> Inference:
    """One curve's AUROC with a normal interval, clipped to 0..1; no interval where it is 1 and its variance 0."""
    return clipped(infer(FIXED_READERS, float(aucs[place]), float(covariance[place, place]), None, confidence))


def clipped(found: Inference) -> Inference:
    """The same inference with its interval cut to 0..1, where an AUROC lives."""
    if found.ci_low is None:
        return found
    values = found.__dict__ | {"ci_low": max(found.ci_low, 0.0), "ci_high": min(found.ci_high, 1.0)}
    return Inference(**values)


def _three_models(
    differences: NDArray[np.float64],
    covariance: NDArray[np.float64],
    means: tuple[float, float],
    fixed: Inference,
    confidence: float,
) -> AgainstReaders:
    """Random readers, fixed readers and fixed cases together."""
    readers, parts = differences.size, components(differences, covariance)
    random = random_readers(differences, parts, confidence) if readers > 1 else fixed
    return AgainstReaders(*means, readers, parts, random, fixed, _fixed_cases(differences, parts, confidence))


def _fixed_cases(differences: NDArray[np.float64], parts: Components, confidence: float) -> Inference:
    """Paired t over the readers' differences (Hupse, European Radiology 2013, 23:93)."""
    if differences.size < 2:
        return missing(FIXED_CASES, differences.mean(), "no test: one reader says nothing about readers", confidence)
    df = float(differences.size - 1)
    return infer(FIXED_CASES, differences.mean(), parts.mean_square / differences.size, df, confidence)
