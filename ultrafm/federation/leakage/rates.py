"""How well an attack tells members from others: AUROC, and how many it finds while it accuses next to nobody wrongly.

Carlini et al. 2022 (arXiv 2112.03570, section III): an attack that is sure of a few is a breach, even where the AUROC
is near 0.5; so the true-positive rate is told at low false-positive rates.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t

from ultrafm.errors import UltraFMError

LEVELS = (0.01, 0.001)


def roc_points(
    scores: np.ndarray, members: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive rates at every threshold, both from 0 to 1; cases with equal scores fall together.

    scores, members, weights: (N,); a higher score means rather a member. Raises UltraFMError when all or none are.
    """
    members = np.asarray(members, bool)
    if members.all() or not members.any():
        found = f"{members.sum()} members of {members.size}"
        raise UltraFMError("membership inference", found, "members and others")
    weights = np.ones(len(scores)) if weights is None else weights
    place = np.unique(-np.asarray(scores, float), return_inverse=True)[1]
    rates = [np.cumsum(np.bincount(place, weights * side, place.max() + 1)) for side in (~members, members)]
    return tuple(np.concatenate([[0.0], rate / max(rate[-1], 1e-12)]) for rate in rates)


def attack_numbers(
    scores: np.ndarray, members: np.ndarray, levels: tuple[float, ...] = LEVELS, weights: np.ndarray | None = None
) -> np.ndarray:
    """AUROC, and the true-positive rate at each false-positive rate of `levels`; NaN where others are too few for it.

    A rate of 0.1 % needs a thousand others, for one of them to be accused.
    """
    false, true = roc_points(scores, members, weights)
    area = float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))
    others = int(np.sum(~np.asarray(members, bool)))
    found = [true[false <= level + 1e-9].max() if others * level >= 1 else np.nan for level in levels]
    return np.array([area, *found])


def attack_table(
    scores: np.ndarray,
    members: np.ndarray,
    patients: np.ndarray,
    generator: np.random.Generator,
    levels: tuple[float, ...] = LEVELS,
    resamples: int = 200,
) -> pd.DataFrame:
    """The numbers of an attack on M models, mean over them, with 95 % intervals. One row per number.

    scores, members: (M, N) or (N,); patients: (N,) names. Intervals are percentiles of a bootstrap that draws patients,
    with all of their pictures, and models anew. Columns: metric, estimate, low, high, images, patients, models, note.
    """
    scores, members = np.atleast_2d(scores), np.atleast_2d(members).astype(bool)
    codes = np.unique(patients, return_inverse=True)[1]
    found = np.array([attack_numbers(*one, levels) for one in zip(scores, members)])
    drawn = [_resampled(scores, members, codes, levels, generator) for _ in range(resamples)]
    defined = ~np.isnan(found.mean(axis=0))
    ends = np.full((2, found.shape[1]), np.nan)
    ends[:, defined] = np.nanpercentile(np.array(drawn)[:, defined], [2.5, 97.5], axis=0)
    names = ["auroc", *(f"true_positive_rate_at_{level:g}" for level in levels)]
    few = f"not defined: at most {int((~members).sum(axis=1).max())} others"
    return pd.DataFrame(
        {
            "metric": names, "estimate": found.mean(axis=0), "low": ends[0], "high": ends[1],
            "images": len(codes), "patients": int(codes.max()) + 1, "models": len(scores),
            "note": np.where(defined, "", few),
        }
    )  # fmt: skip


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's) of independent repeats; ends are NaN for a single one, or all alike."""
    values = np.asarray(values, float)
    mean, count = float(values.mean()), len(values)
    if count < 2 or np.ptp(values) == 0:  # an interval of no width would claim certainty
        return mean, np.nan, np.nan
    half = float(t.ppf(0.975, count - 1) * values.std(ddof=1) / count**0.5)
    return mean, mean - half, mean + half


def _resampled(
    scores: np.ndarray, members: np.ndarray, codes: np.ndarray, levels: tuple[float, ...],
    generator: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    count = int(codes.max()) + 1
    weights = np.bincount(generator.integers(count, size=count), minlength=count)[codes].astype(float)
    chosen = generator.integers(len(scores), size=len(scores))
    return np.mean([attack_numbers(scores[one], members[one], levels, weights) for one in chosen], axis=0)
