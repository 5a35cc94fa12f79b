"""Means and differences with intervals that heed patients, for the tables of the review."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from ultrafm.reporting.records import FEWEST_PATIENTS

LEVEL = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean over n images of some patients with its 95 % interval; None where there are too few patients."""

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    patients: int


def mean_interval(values: np.ndarray, patients: np.ndarray) -> Mean:
    """Mean of (N,) values and its interval, images of one patient counted as one cluster; NaN are left out.

    Sum of residuals over each patient, Student's t with patients - 1 degrees of freedom (the sandwich estimator with
    G / (G - 1); Cameron and Miller 2015, equation 11 for a mean).
    """
    values, patients = np.asarray(values, dtype=float), np.asarray(patients)
    known = ~np.isnan(values)
    values, patients = values[known], patients[known]
    names, place = np.unique(patients.astype(str), return_inverse=True)
    count, clusters = len(values), len(names)
    if not count:
        return Mean(None, None, None, 0, 0)
    mean = float(values.mean())
    if clusters < FEWEST_PATIENTS:
        return Mean(mean, None, None, count, clusters)
    sums = np.bincount(place, weights=values - mean, minlength=clusters)
    error = np.sqrt((sums**2).sum() * clusters / (clusters - 1)) / count
    reach = float(student.ppf(0.5 + LEVEL / 2, clusters - 1) * error)
    return Mean(mean, mean - reach, mean + reach, count, clusters)
