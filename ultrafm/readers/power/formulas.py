"""Power of the Obuchowski-Rockette tests, from the variance components of a pilot study.

Two modalities: Hillis, Obuchowski and Berbaum, Academic Radiology 2011, 18:129; Hillis and Schartz, Journal of Medical
Imaging 2018, 5:045503. AI against readers: the same steps for the one-treatment test on the differences; in no package,
checked by simulation. Covariances due to cases shrink as 1/K; that assumes the pilot's share of diseased cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import f as f_law
from scipy.stats import ncf, nct, ncx2, norm
from scipy.stats import t as t_law

from ultrafm.errors import UltraFMError

RANDOM, FIXED_READERS, FIXED_CASES = "random_readers_random_cases", "fixed_readers", "fixed_cases"
MODELS = (RANDOM, FIXED_READERS, FIXED_CASES)
MOST_DF = 1e6  # beyond this a t distribution is normal, and SciPy's noncentral laws lose digits


@dataclass(frozen=True)
class ModalityPilot:
    """Components of a pilot study of two modalities: V, Cov1, Cov2, Cov3, the modality x reader part, and its cases."""

    variance: float
    cov1: float
    cov2: float
    cov3: float
    modality_reader: float
    cases: int


@dataclass(frozen=True)
class AgainstPilot:
    """Components of a pilot study of AI minus readers: spread of the differences, variance, Cov2, and its cases."""

    mean_square: float
    variance: float
    cov2: float
    cases: int


def power_modalities(
    pilot: ModalityPilot, difference: float, readers: int, cases: int, model: str = RANDOM, alpha: float = 0.05
) -> float:
    """Power of the two-sided test that two modalities differ, when they differ by `difference`.

    readers, cases: of the planned study; both modalities are read by all. Raises UltraFMError for fewer than two
    readers (one is enough for fixed readers) and for cases that cannot be.
    """
    _check(readers, cases, model, alpha)
    ratio = pilot.cases / cases
    own, shared = pilot.variance - pilot.cov1, max(pilot.cov2 - pilot.cov3, 0.0)
    spread = max(pilot.modality_reader, 0.0)
    noise = ratio * (own + (readers - 1) * shared)
    if model == FIXED_READERS:
        return _chi_squared_power(difference**2 * readers / (2 * noise), alpha)
    least = spread + ratio * (own - shared)
    denominator = least if model == FIXED_CASES else spread + noise
    return _f_power(difference**2 * readers / (2 * denominator), denominator, least, readers, alpha)


def power_against(
    pilot: AgainstPilot,
    difference: float,
    readers: int,
    cases: int,
    model: str = RANDOM,
    alpha: float = 0.05,
    margin: float | None = None,
) -> float:
    """Power of AI against readers when AI minus readers is `difference`.

    Without a margin the two-sided test against zero; with one the one-sided non-inferiority test at alpha / 2. Raises
    UltraFMError as `power_modalities` does.
    """
    _check(readers, cases, model, alpha)
    ratio, shared = pilot.cases / cases, max(pilot.cov2, 0.0)
    spread = max(pilot.mean_square - pilot.variance + pilot.cov2, 0.0)
    noise = ratio * (pilot.variance + (readers - 1) * shared)
    least = spread + ratio * (pilot.variance - shared)
    denominator = {RANDOM: spread + noise, FIXED_READERS: noise, FIXED_CASES: least}[model]
    if margin is not None:
        shift = (difference + margin) / np.sqrt(denominator / readers)
        free = np.inf if model == FIXED_READERS else _freedom(denominator, least, readers)
        return _one_sided_power(shift, free, alpha / 2)
    strength = difference**2 * readers / denominator
    if model == FIXED_READERS:
        return _chi_squared_power(strength, alpha)
    return _f_power(strength, denominator, least, readers, alpha)


def _freedom(denominator: float, least: float, readers: int) -> float:
    """Hillis' degrees of freedom that are expected."""
    return (readers - 1) * (denominator / least) ** 2 if least > 0 else np.inf


def _f_power(strength: float, denominator: float, least: float, readers: int, alpha: float) -> float:
    """Power of the F test with one numerator degree of freedom."""
    free = _freedom(denominator, least, readers)
    if free > MOST_DF:
        return _chi_squared_power(strength, alpha)
    if strength == 0:
        return alpha  # SciPy's noncentral F is wrong there
    return float(ncf.sf(f_law.isf(alpha, 1, free), 1, free, strength))


def _chi_squared_power(strength: float, alpha: float) -> float:
    """Power of the chi-squared test with one degree of freedom."""
    return float(ncx2.sf(norm.isf(alpha / 2) ** 2, 1, strength))


def _one_sided_power(shift: float, free: float, alpha: float) -> float:
    """Power of a one-sided t test, normal where there is no limit to the degrees of freedom."""
    if free > MOST_DF:
        return float(norm.sf(norm.isf(alpha) - shift))
    return float(nct.sf(t_law.isf(alpha, free), free, shift))


def _check(readers: int, cases: int, model: str, alpha: float) -> None:
    """UltraFMError for a study that cannot be."""
    if model not in MODELS:
        raise UltraFMError("power, model", repr(model), f"one of {', '.join(MODELS)}")
    if readers < (1 if model == FIXED_READERS else 2) or cases < 4:
        raise UltraFMError(
            "power", f"{readers} readers and {cases} cases", "2 readers (1 if fixed) and 4 cases at least"
        )
    if not 0 < alpha < 1:
        raise UltraFMError("power", f"alpha {alpha}", "a probability above 0 and below 1")
