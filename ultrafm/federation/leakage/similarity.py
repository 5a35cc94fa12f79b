"""How alike recovered and original pictures are, and whether that is more than being of the same site."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment

from ultrafm.errors import UltraFMError

MOST_DECIBELS = 60.0  # of a perfect match, which has no finite ratio


def signal_to_noise(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in decibels of two pictures with grey values 0 to 1, at most MOST_DECIBELS."""
    error = float(np.mean((np.asarray(first, float) - second) ** 2))
    return min(MOST_DECIBELS, -10 * np.log10(max(error, 1e-12)))


def structural_similarity(first: np.ndarray, second: np.ndarray, width: float = 1.5) -> float:
    """Mean structural similarity, SSIM, of two pictures (S, S) with grey values 0 to 1: 1 for equal ones.

    Gaussian windows of deviation `width` and the constants of Wang et al. 2004, IEEE TIP 13:600, section III.
    """
    one, two = (np.asarray(picture, float) for picture in (first, second))
    means = [gaussian_filter(picture, width) for picture in (one, two)]
    variances = [gaussian_filter(picture**2, width) - mean**2 for picture, mean in zip((one, two), means)]
    covariance = gaussian_filter(one * two, width) - means[0] * means[1]
    light = (2 * means[0] * means[1] + 0.01**2) / (means[0] ** 2 + means[1] ** 2 + 0.01**2)
    return float((light * (2 * covariance + 0.03**2) / (variances[0] + variances[1] + 0.03**2)).mean())


def best_order(recovered: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Which recovered picture is which original, (N,), so that the squared errors are least in all.

    Both are (N, S, S). An attack on a batch does not know the order of pictures.
    """
    if recovered.shape != originals.shape:
        raise UltraFMError("recovered pictures", f"shape {recovered.shape}", f"{originals.shape}, as the originals")
    flat = (one.reshape(len(one), -1).astype(float) for one in (originals, recovered))
    left, right = flat
    costs = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
    return linear_sum_assignment(costs)[1]


def compare_pictures(recovered: np.ndarray, originals: np.ndarray, others: np.ndarray) -> pd.DataFrame:
    """How alike each original and its best match are, beside a usual picture of the same site. One row per original.

    recovered, originals: (N, S, S); others: (M, S, S), other pictures of the site; grey values 0 to 1. Columns: psnr
    and ssim; baseline_psnr and baseline_ssim, the same of original and another picture, mean over `others`; and
    picked_out, the share of others to which the recovered picture is less alike (by SSIM) than to its original: about
    0.5 when it tells nothing, 1 when it picks its original out of all.
    """
    if not len(others):
        raise UltraFMError("comparison of recovered pictures", "no other picture", "one of the same site or more")
    rows = []
    for original, found in zip(originals, recovered[best_order(recovered, originals)]):
        alike = structural_similarity(found, original)
        to_others = np.array([structural_similarity(found, other) for other in others])
        rows.append(
            {
                "psnr": signal_to_noise(found, original),
                "ssim": alike,
                "baseline_psnr": np.mean([signal_to_noise(other, original) for other in others]),
                "baseline_ssim": np.mean([structural_similarity(other, original) for other in others]),
                "picked_out": np.mean((to_others < alike) + 0.5 * (to_others == alike)),
            }
        )
    return pd.DataFrame(rows)
