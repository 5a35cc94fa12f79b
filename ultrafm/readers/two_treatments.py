"""Two or more modalities (aided and unaided, say) read by the same readers on the same cases.

Obuchowski-Rockette analysis with Hillis' degrees of freedom. With the jackknife covariance it equals the analysis of
Dorfman, Berbaum and Metz. Sources: Obuchowski and Rockette, Communications in Statistics 1995, 24:285; Hillis,
Statistics in Medicine 2007, 26:596; Hillis 2014, 33:330. Differences are the earlier modality minus the later one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, fdtrc

from ultrafm.errors import UltraFMError
from ultrafm.readers.inference import NO_SPREAD, Inference, infer, missing
from ultrafm.readers.one_treatment import FIXED_CASES, FIXED_READERS, RANDOM, mean_auc


@dataclass(frozen=True)
class Variances:
    """Mean squares and covariances of I x J AUROCs, and the variance components of readers (may be negative)."""

    ms_modality: float
    ms_reader: float | None
    ms_interaction: float | None
    variance: float
    cov1: float
    cov2: float | None
    cov3: float | None
    reader: float | None
    modality_reader: float | None


@dataclass(frozen=True)
class Equality:
    """Test that all modalities are equal: an F test, or a chi-squared test where df2 is None."""

    model: str
    denominator: float | None
    statistic: float | None
    df1: int
    df2: float | None
    p_value: float | None
    status: str = "ok"


@dataclass(frozen=True)
class Model:
    """One model's test of equality and its pairwise differences, in the order of `combinations(range(I), 2)`."""

    equality: Equality
    differences: tuple[Inference, ...]


@dataclass(frozen=True)
class Comparison:
    """Modalities compared under three models; `means` has one entry per modality. `variances` are a dataclass."""

    variances: Any
    random: Model
    fixed_readers: Model
    fixed_cases: Model
    means: tuple[Inference, ...]


def compare_modalities(
    aucs: NDArray[np.float64], covariance: NDArray[np.float64], confidence: float = 0.95, floor: bool = False
) -> Comparison:
    """Compare I >= 2 modalities read by J readers, fully crossed.

    aucs: (I, J); covariance: (I*J, I*J) due to cases, modality by modality. floor: count a negative Cov2 - Cov3 as
    zero also in the fixed-reader test and the components, as RJafroc does (Iowa's program: in the test); MRMCaov does
    not, and without it that test is exactly the variance of the mean difference. Raises UltraFMError for fewer than two
    modalities or shapes that do not match.
    """
    if aucs.ndim != 2 or aucs.shape[0] < 2 or covariance.shape != (aucs.size, aucs.size):
        raise UltraFMError(
            "comparison of modalities",
            f"AUROCs of shape {aucs.shape} and a covariance of shape {covariance.shape}",
            "(modalities, readers) with at least two modalities, and a square covariance of all of them",
        )
    parts = variances(aucs, covariance, floor)
    return Comparison(
        parts,
        _random(aucs, parts, confidence),
        _fixed_readers(aucs, parts, confidence, floor),
        _fixed_cases(aucs, parts, confidence),
        modality_means(list(aucs), covariance, confidence),
    )


def modality_means(
    values: list[NDArray[np.float64]], covariance: NDArray[np.float64], confidence: float = 0.95
) -> tuple[Inference, ...]:
    """The mean of each modality's readers; values: one array a modality, in the order of the covariance."""
    ends = np.cumsum([row.size for row in values])
    return tuple(
        mean_auc(row, covariance[end - row.size : end, end - row.size : end], confidence)
        for row, end in zip(values, ends, strict=True)
    )


def variances(aucs: NDArray[np.float64], covariance: NDArray[np.float64], floor: bool = False) -> Variances:
    """Mean squares, V, Cov1, Cov2, Cov3 and the components of readers and of modality x reader (Hillis 2014).

    floor: a negative Cov2 - Cov3 counts as zero in both components (RJafroc).
    """
    modalities, readers = aucs.shape
    blocks = covariance.reshape(modalities, readers, modalities, readers)
    same = np.einsum("ijij->", blocks) / (modalities * readers)
    cov1 = np.einsum("ijkj->", blocks) - same * modalities * readers
    cov1 /= modalities * (modalities - 1) * readers
    rows, columns = aucs.mean(axis=1), aucs.mean(axis=0)
    ms_modality = readers * rows.var(ddof=1)
    if readers == 1:
        return Variances(float(ms_modality), None, None, float(same), float(cov1), None, None, None, None)
    within = np.einsum("ijik->", blocks) - same * modalities * readers
    cov2 = within / (modalities * readers * (readers - 1))
    across = covariance.sum() - np.einsum("ijik->", blocks) - cov1 * modalities * (modalities - 1) * readers
    cov3 = across / (modalities * (modalities - 1) * readers * (readers - 1))
    residual = aucs - rows[:, None] - columns[None, :] + aucs.mean()
    interaction = (residual**2).sum() / ((modalities - 1) * (readers - 1))
    interaction = interaction if interaction > NO_SPREAD else 0.0
    ms_reader = modalities * columns.var(ddof=1)
    reader = (ms_reader - interaction) / modalities - cov1 + cov3
    both = interaction - same + cov1 + cov2 - cov3
    if floor and cov2 < cov3:
        both = interaction - same + cov1
        reader = (ms_reader - both - same + cov2 - (modalities - 1) * (cov1 - cov3)) / modalities
    values = (
        ms_modality,
        ms_reader,
        interaction,
        same,
        cov1,
        cov2,
        cov3,
        reader,
        both,
    )
    return Variances(*(float(value) for value in values))


def _random(aucs: NDArray[np.float64], parts: Variances, confidence: float) -> Model:
    """Random readers, random cases: F = MS(T)/D with D = MS(TR) + J max(Cov2 - Cov3, 0)."""
    modalities, readers = aucs.shape
    if readers == 1:
        return _nothing(RANDOM, aucs, "no test: one reader says nothing about readers", confidence)
    denominator = parts.ms_interaction + readers * max(parts.cov2 - parts.cov3, 0.0)
    spread = parts.ms_interaction
    df = None if spread == 0 else (denominator / spread) ** 2 * (modalities - 1) * (readers - 1)
    equality = f_test(RANDOM, parts.ms_modality, denominator, modalities - 1, df)
    return Model(equality, _pairs(RANDOM, aucs, 2 * denominator / readers, df, confidence))


def _fixed_readers(aucs: NDArray[np.float64], parts: Variances, confidence: float, floor: bool) -> Model:
    """Fixed readers, random cases: a chi-squared test; for one reader and two modalities the DeLong test."""
    modalities, readers = aucs.shape
    bracket = parts.variance - parts.cov1
    if readers > 1:
        between = parts.cov2 - parts.cov3
        bracket += (readers - 1) * (max(between, 0.0) if floor else between)
    equality = f_test(FIXED_READERS, parts.ms_modality, bracket, modalities - 1, None)
    return Model(equality, _pairs(FIXED_READERS, aucs, 2 * bracket / readers, None, confidence))


def _fixed_cases(aucs: NDArray[np.float64], parts: Variances, confidence: float) -> Model:
    """Random readers, fixed cases: F = MS(T)/MS(TR); for two modalities the paired t test over readers."""
    modalities, readers = aucs.shape
    if readers == 1:
        return _nothing(FIXED_CASES, aucs, "no test: one reader says nothing about readers", confidence)
    df = float((modalities - 1) * (readers - 1))
    equality = f_test(FIXED_CASES, parts.ms_modality, parts.ms_interaction, modalities - 1, df)
    return Model(equality, _pairs(FIXED_CASES, aucs, 2 * parts.ms_interaction / readers, df, confidence))


def f_test(model: str, mean_square: float, denominator: float, df1: int, df2: float | None) -> Equality:
    """F test, or chi-squared (df1 times the ratio) where df2 is None; a reason where there is no variance."""
    if not denominator > NO_SPREAD:
        kind = "not defined" if np.isnan(denominator) else "zero" if abs(denominator) <= NO_SPREAD else "negative"
        return Equality(model, denominator, None, df1, df2, None, f"no test: the estimated variance is {kind}")
    ratio = mean_square / denominator
    if df2 is None:
        return Equality(model, denominator, df1 * ratio, df1, None, float(chdtrc(df1, df1 * ratio)))
    return Equality(model, denominator, ratio, df1, df2, float(fdtrc(df1, df2, ratio)))


def _pairs(
    model: str, aucs: NDArray[np.float64], variance: float, df: float | None, confidence: float
) -> tuple[Inference, ...]:
    """Differences of the modality means for every pair."""
    means = aucs.mean(axis=1)
    return tuple(
        infer(model, means[i] - means[k], variance, df, confidence) for i, k in combinations(range(len(means)), 2)
    )


def _nothing(model: str, aucs: NDArray[np.float64], reason: str, confidence: float) -> Model:
    """Differences without tests, and the reason."""
    means = aucs.mean(axis=1)
    pairs = combinations(range(len(means)), 2)
    differences = tuple(missing(model, means[i] - means[k], reason, confidence) for i, k in pairs)
    return Model(Equality(model, None, None, len(means) - 1, None, None, reason), differences)
