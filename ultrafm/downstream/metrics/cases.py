"""What is measured and what comes out: scored images, estimates of several encoders, one estimate with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from ultrafm.errors import UltraFMError

LEVEL = 0.95
Z = float(norm.ppf(0.5 + LEVEL / 2))


@dataclass(frozen=True)
class Cases:
    """K images of one task and answer, scored by C encoders.

    scores: (C, K); truth: (K,) 0/1; patients: (K,) names. `name` is the answer, where a task has several.
    For a mean over images (Dice, surface distance), `scores` holds the value of each image and `truth` is not read.
    Raises UltraFMError for lengths that differ and for a score that is not a number, with its encoder and row.
    """

    scores: np.ndarray
    truth: np.ndarray
    patients: np.ndarray
    name: str = ""

    def __post_init__(self) -> None:
        shape = np.shape(self.scores)
        if len(shape) != 2 or np.shape(self.truth) != shape[1:] or np.shape(self.patients) != shape[1:]:
            found = f"shapes {shape}, {np.shape(self.truth)} and {np.shape(self.patients)}"
            raise UltraFMError("scores, truth and patients", found, "(encoders, images), (images,) and (images,)")
        missing = np.argwhere(np.isnan(self.scores))
        if len(missing):
            encoder, row = missing[0]
            where = f"scores of encoder {encoder}, row {row} (patient {self.patients[row]})"
            raise UltraFMError(where, "no number (NaN)", "a score for every image", "find out why the model gave none")


@dataclass(frozen=True)
class Estimates:
    """C values, and their `covariance` (C, C) or bootstrap `replicates` (B, C), or the `reason` that there is neither.

    left_out: (P, C) what leaving each patient out changes, for an interval that corrects bias and skewness (BCa).
    degenerate: (C,) True where the covariance of a perfect ranking was put in from a score interval (see `auroc`).
    """

    values: np.ndarray
    method: str
    covariance: np.ndarray | None = None
    replicates: np.ndarray | None = None
    degenerate: np.ndarray | None = None
    reason: str | None = None
    left_out: np.ndarray | None = None


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; None where not defined, and then `method` says why."""

    estimate: float | None
    low: float | None
    high: float | None
    method: str


def undefined(tasks: tuple[Cases, ...] | list[Cases], reason: str) -> Estimates:
    """Estimates without a value, for the encoders of `tasks`, and why."""
    return Estimates(np.full(len(tasks[0].scores) if tasks else 0, np.nan), "none", reason=reason)


def why_one_class(cases: Cases) -> str | None:
    """The reason that a measure of both classes is not defined, or None."""
    if len(set(np.asarray(cases.truth).tolist())) >= 2:
        return None
    return f"images of one class only{f' (answer {cases.name})' if cases.name else ''}"


def task_weights(tasks: list[Cases] | tuple[Cases, ...], weights: np.ndarray | None) -> np.ndarray:
    """(T,) weights whose mean is 1: all alike, or as given. Raises UltraFMError when there is not one for each."""
    if weights is None:
        return np.ones(len(tasks))
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (len(tasks),) or not (weights > 0).all():
        raise UltraFMError("weights of tasks", f"{weights.tolist()}", f"{len(tasks)} positive numbers")
    return weights / weights.mean()
