"""Agreement on numbers: intraclass correlation (limits of agreement: `ultrafm.downstream.limits`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import f as f_law

from ultrafm.errors import UltraFMError
from ultrafm.readers.agreement.kappa import Agreement

ABSOLUTE, CONSISTENT = "ICC(2,1)", "ICC(3,1)"


def intraclass_correlation(ratings: ArrayLike, kind: str = ABSOLUTE, confidence: float = 0.95) -> Agreement:
    """ICC of single ratings of J readers over K cases; ratings: (J, K).

    kind "ICC(2,1)": readers are a sample, differences of their level count (absolute agreement); "ICC(3,1)": only
    consistency counts. Shrout and Fleiss, Psychological Bulletin 1979, 86:420; intervals of McGraw and Wong 1996.
    Raises UltraFMError for fewer than two readers or cases and for another kind.
    """
    values = np.asarray(ratings, dtype=float).T
    if values.ndim != 2 or min(values.shape) < 2 or np.isnan(values).any():
        raise UltraFMError("ICC", f"ratings of shape {values.T.shape}", "(readers, cases), two of each, none missing")
    if kind not in (ABSOLUTE, CONSISTENT):
        raise UltraFMError("ICC", repr(kind), f"{ABSOLUTE} or {CONSISTENT}")
    squares = _mean_squares(values)
    if squares[0] + squares[2] == 0:
        return Agreement(kind, None, None, None, None, confidence, "F", "the ratings do not differ between cases")
    work = _absolute if kind == ABSOLUTE else _consistent
    value, low, high = work(*squares, *values.shape, confidence)
    return Agreement(kind, value, None, low, high, confidence, "F")


def _mean_squares(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean squares of cases, of readers and of the rest; values: (K, J)."""
    cases, readers = values.shape
    of_cases = readers * values.mean(axis=1).var(ddof=1)
    of_readers = cases * values.mean(axis=0).var(ddof=1)
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return float(of_cases), float(of_readers), float((rest**2).sum() / ((cases - 1) * (readers - 1)))


def _absolute(
    of_cases: float, of_readers: float, rest: float, cases: int, readers: int, confidence: float
) -> tuple[float, float, float]:
    """ICC(2,1) with its interval."""
    value = (of_cases - rest) / (of_cases + (readers - 1) * rest + readers * (of_readers - rest) / cases)
    if value >= 1:
        return 1.0, 1.0, 1.0
    a = readers * value / (cases * (1 - value))
    b = 1 + readers * value * (cases - 1) / (cases * (1 - value))
    top = (a * of_readers + b * rest) ** 2
    free = top / ((a * of_readers) ** 2 / (readers - 1) + (b * rest) ** 2 / ((cases - 1) * (readers - 1)))
    tail = (1 + confidence) / 2
    more, less = f_law.ppf(tail, cases - 1, free), f_law.ppf(tail, free, cases - 1)
    other = readers * of_readers + (readers * cases - readers - cases) * rest
    low = cases * (of_cases - more * rest) / (more * other + cases * of_cases)
    high = cases * (less * of_cases - rest) / (other + cases * less * of_cases)
    return float(value), float(low), float(high)


def _consistent(
    of_cases: float, _: float, rest: float, cases: int, readers: int, confidence: float
) -> tuple[float, float, float]:
    """ICC(3,1) with its interval."""
    if rest == 0:
        return 1.0, 1.0, 1.0
    ratio, tail = of_cases / rest, (1 + confidence) / 2
    free = ((cases - 1), (cases - 1) * (readers - 1))
    low, high = ratio / f_law.ppf(tail, *free), ratio * f_law.ppf(tail, *free[::-1])
    return tuple(float((one - 1) / (one + readers - 1)) for one in (ratio, low, high))
