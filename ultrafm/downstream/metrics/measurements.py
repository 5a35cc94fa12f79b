"""How well measured numbers agree with true ones: bias and limits of agreement, mean absolute error, ICC."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ultrafm.downstream.metrics.cases import Cases, Estimates, undefined
from ultrafm.downstream.metrics.resampling import Resampling, bootstrapped
from ultrafm.errors import one_of
from ultrafm.readers.agreement import Limits, bland_altman


def limits_of_agreement(measured: np.ndarray, truth: np.ndarray, patients: np.ndarray) -> Limits:
    """Bias (measured minus true) and 95 % limits of agreement with intervals that heed patients measured repeatedly.

    measured, truth and patients: (K,), numbers of one unit. Bland and Altman 1999 and 2007: the variance of a single
    difference is that between patients plus that within. Raises UltraFMError for numbers that are not finite or fewer
    than two patients.
    """
    return bland_altman(measured, truth, patients)


def measurement(name: str, tasks: Sequence[Cases], draws: Resampling, weights: np.ndarray | None = None) -> Estimates:
    """One of MEASUREMENTS of each encoder, of one task or averaged over several of one unit.

    tasks: `scores` (C, K) measured and `truth` (K,) true numbers. "bias": mean of measured minus true.
    "mean_absolute_error". "intraclass_correlation": ICC(2,1), absolute agreement (Shrout and Fleiss, Psychological
    Bulletin 1979, 86:420), of images. Patients are drawn as in `draws`, so intervals heed repeated measurements.
    """
    one_of("measure of measurements", name, MEASUREMENTS)
    if not tasks or any(cases.scores.shape[1] < 2 for cases in tasks):
        return undefined(tasks, "fewer than two images" if tasks else "no task")
    found = bootstrapped(tasks, draws, MEASUREMENTS[name], weights)
    if np.isnan(found.values).any() and found.reason is None:
        return undefined(tasks, "the numbers do not differ between images")
    return found


def _bias(cases: Cases, weights: np.ndarray) -> np.ndarray:
    return weights @ (cases.scores - cases.truth).T / weights.sum(axis=1, keepdims=True)


def _absolute_error(cases: Cases, weights: np.ndarray) -> np.ndarray:
    return weights @ np.abs(cases.scores - cases.truth).T / weights.sum(axis=1, keepdims=True)


def _intraclass(cases: Cases, weights: np.ndarray) -> np.ndarray:
    """(B, C) ICC(2,1) of two measurements from weighted moments of their mean and their difference."""
    total = weights.sum(axis=1, keepdims=True)
    truth = cases.truth - np.mean(cases.truth)  # about the middle, where sums of squares lose no digits
    middle, apart = (cases.scores - np.mean(cases.truth) + truth) / 2, cases.scores - np.mean(cases.truth) - truth

    def variance(values: np.ndarray) -> np.ndarray:
        mean = weights @ values.T / total
        return np.maximum(weights @ (values**2).T - total * mean**2, 0) / np.maximum(total - 1, 1)

    of_images, rest = 2 * variance(middle), variance(apart) / 2
    of_methods = total * (weights @ apart.T / total) ** 2 / 2
    whole = of_images + rest + 2 * (of_methods - rest) / total
    return (of_images - rest) / np.where(whole > 0, whole, np.nan)


MEASUREMENTS: dict[str, Callable[[Cases, np.ndarray], np.ndarray]] = {
    "bias": _bias,
    "mean_absolute_error": _absolute_error,
    "intraclass_correlation": _intraclass,
}
