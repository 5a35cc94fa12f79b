"""The area under the ROC curve (AUROC) and the covariance of several of them over the same cases; NumPy only.

Everything comes from placement values: for a diseased case, the share of healthy cases that it outranks (a tie counts
one half); for a healthy case, the share of diseased cases that outrank it. Their mean is the AUROC. They cost two
binary searches in sorted scores, so K cases take K log K steps and ties are exact.

Sources: DeLong, DeLong, Clarke-Pearson, Biometrics 1988, 44:837; Sun and Xu, IEEE Signal Processing Letters 2014,
21:1389; Obuchowski, Biometrics 1997, 53:567 (clusters).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ultrafm.errors import UltraFMError, nearest

METHODS = ("delong", "jackknife", "clustered")


class Placements(NamedTuple):
    """Placement values of C curves: `aucs` (C,), `diseased` (C, m) and `healthy` (C, n), all in 0..1."""

    aucs: NDArray[np.float64]
    diseased: NDArray[np.float64]
    healthy: NDArray[np.float64]


class ClusterDeviations(NamedTuple):
    """What each of U clusters contributes to each AUROC: `diseased` and `healthy`, both (C, U), and how many count."""

    diseased: NDArray[np.float64]
    healthy: NDArray[np.float64]
    with_diseased: int
    with_healthy: int


def placements(scores: ArrayLike, truth: ArrayLike) -> Placements:
    """Placement values and AUROC of C score lists over the same K cases; a higher score means more suspicious.

    scores: (C, K), or (K,) for one curve; truth: (K,), 1 or True for diseased. Raises UltraFMError for shapes that do
    not match, for a score that is not a number, and when all cases are of one class.
    """
    values, diseased = _checked(scores, truth)
    pairs = [_outranked(row[diseased], row[~diseased]) for row in values]
    count_diseased, count_healthy = int(diseased.sum()), int((~diseased).sum())
    wins = np.array([pair[0].sum() for pair in pairs])
    return Placements(
        wins / (2 * count_diseased * count_healthy),
        np.array([pair[0] for pair in pairs]) / (2 * count_healthy),
        np.array([pair[1] for pair in pairs]) / (2 * count_diseased),
    )


def auc_covariance(
    scores: ArrayLike, truth: ArrayLike, method: str = "delong", clusters: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AUROC (C,) of C score lists over the same K cases, and their covariance (C, C) due to the sampling of cases.

    scores: (C, K); truth: (K,), 1 for diseased; clusters: (K,) names such as patients.
    method "delong": cases are independent, closed form (DeLong 1988). "jackknife": leave one case out, or one whole
    cluster where clusters are given. "clustered": Obuchowski 1997, equal to "delong" when every cluster holds one
    case. Raises UltraFMError for one class, for fewer than two cases (clusters) of a class, for an unknown method,
    and for "clustered" without clusters or "delong" with them.
    """
    _check_method(method, clusters)
    values, diseased = _checked(scores, truth)
    units = np.arange(diseased.size) if clusters is None else cluster_codes(clusters, diseased.size)
    if method == "jackknife":
        deviations = jackknife_deviations(values, diseased, units)
        return placements(values, diseased).aucs, deviations @ deviations.T
    found = placements(values, diseased)
    parts = cluster_deviations(found, diseased, units, int(units.max()) + 1)
    return found.aucs, deviation_covariance(parts, parts, int(units.max()) + 1)


def cluster_codes(clusters: ArrayLike, cases: int) -> NDArray[np.intp]:
    """Cluster names (K,) as numbers 0..G-1. Raises UltraFMError when there are not `cases` names."""
    names = np.asarray(clusters)
    if names.shape != (cases,):
        raise UltraFMError(
            "clusters of an AUROC", f"an array of shape {names.shape}", f"one cluster name for each of {cases} cases"
        )
    return np.unique(names, return_inverse=True)[1]


def cluster_deviations(
    found: Placements, diseased: NDArray[np.bool_], units: NDArray[np.intp], count: int
) -> ClusterDeviations:
    """Sums over each cluster of (placement value - AUROC), divided by the number of cases of that class.

    diseased: (K,) bool; units: (K,) cluster numbers below `count`. Raises UltraFMError when fewer than two clusters
    hold a diseased case, or fewer than two a healthy one.
    """
    centre = found.aucs[:, None]
    with_diseased, with_healthy = np.unique(units[diseased]).size, np.unique(units[~diseased]).size
    _check_counts(with_diseased, with_healthy)
    return ClusterDeviations(
        _sums(found.diseased - centre, units[diseased], count) / diseased.sum(),
        _sums(found.healthy - centre, units[~diseased], count) / (~diseased).sum(),
        with_diseased,
        with_healthy,
    )


def deviation_covariance(first: ClusterDeviations, second: ClusterDeviations, clusters: int) -> NDArray[np.float64]:
    """Covariance (C1, C2) of AUROCs of two sets of curves whose clusters carry the same numbers (Obuchowski 1997).

    For one set with itself this is the formula of the paper. For two sets over different cases (two diseases), only the
    clusters that occur in both add to the sum, and each set brings the square root of its own small-sample factor.
    clusters: how many clusters occur in either set.
    """
    one, two = _small_sample(first), _small_sample(second)
    mixed = first.diseased @ second.healthy.T + first.healthy @ second.diseased.T
    covariance = one[0] * two[0] * (first.diseased @ second.diseased.T)
    covariance += one[1] * two[1] * (first.healthy @ second.healthy.T)
    return covariance + mixed * clusters / (clusters - 1)


def jackknife_deviations(
    scores: NDArray[np.float64], diseased: NDArray[np.bool_], units: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Deviations (C, G) of the leave-one-cluster-out AUROC from its mean, scaled: their product is the covariance.

    The leave-one-out AUROC has a closed form: take the wins of the cluster's diseased and of its healthy cases away,
    and give back once what is counted twice, the pairs inside the cluster. Raises UltraFMError when a class has fewer
    than two clusters.
    """
    count = int(units.max()) + 1
    _check_counts(np.unique(units[diseased]).size, np.unique(units[~diseased]).size)
    found = placements(scores, diseased)
    total_diseased, total_healthy = int(diseased.sum()), int((~diseased).sum())
    wins = _sums(found.diseased, units[diseased], count) * total_healthy
    wins += _sums(found.healthy, units[~diseased], count) * total_diseased
    wins -= _inner_wins(scores, diseased, units, count)
    left_diseased = total_diseased - np.bincount(units[diseased], minlength=count)
    left_healthy = total_healthy - np.bincount(units[~diseased], minlength=count)
    left_out = (found.aucs[:, None] * total_diseased * total_healthy - wins) / (left_diseased * left_healthy)
    return (left_out - left_out.mean(axis=1, keepdims=True)) * np.sqrt((count - 1) / count)


def _outranked(
    diseased: NDArray[np.float64], healthy: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Twice the number of healthy cases below each diseased case, and of diseased cases above each healthy one."""
    low, high = np.sort(healthy), np.sort(diseased)
    above = np.searchsorted(low, diseased, "left") + np.searchsorted(low, diseased, "right")
    below = 2 * high.size - np.searchsorted(high, healthy, "left") - np.searchsorted(high, healthy, "right")
    return above, below


def _sums(values: NDArray[np.float64], units: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Sums (C, count) of the columns of `values` (C, k) that share a unit."""
    return np.array([np.bincount(units, weights=row, minlength=count) for row in values])


def _inner_wins(
    scores: NDArray[np.float64], diseased: NDArray[np.bool_], units: NDArray[np.intp], count: int
) -> NDArray[np.float64]:
    """Wins (C, count) among the pairs inside each cluster; zero for a cluster of one class."""
    inner = np.zeros((scores.shape[0], count))
    members = np.split(np.argsort(units, kind="stable"), np.cumsum(np.bincount(units, minlength=count))[:-1])
    for unit in np.intersect1d(units[diseased], units[~diseased]):
        ill = diseased[members[unit]]
        ours, theirs = scores[:, members[unit][ill], None], scores[:, None, members[unit][~ill]]
        inner[:, unit] = ((ours > theirs) + 0.5 * (ours == theirs)).sum(axis=(1, 2))
    return inner


def _small_sample(parts: ClusterDeviations) -> tuple[float, float]:
    """Square roots of I/(I-1) for the clusters with diseased and with healthy cases."""
    diseased, healthy = parts.with_diseased, parts.with_healthy
    return float(np.sqrt(diseased / (diseased - 1))), float(np.sqrt(healthy / (healthy - 1)))


def _checked(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores as (C, K) floats and truth as (K,) booleans, or UltraFMError."""
    values, labels = np.atleast_2d(np.asarray(scores, dtype=np.float64)), np.asarray(truth)
    if values.ndim != 2 or labels.shape != values.shape[1:]:
        raise UltraFMError(
            "scores of an AUROC", f"shapes {values.shape} and {labels.shape}", "(curves, cases) and (cases,)"
        )
    if np.isnan(values).any():
        curve, case = np.argwhere(np.isnan(values))[0]
        raise UltraFMError(f"scores of an AUROC, curve {curve}, case {case}", "no number", "a score for every case")
    if not np.isin(labels, (0, 1)).all():
        raise UltraFMError("truth of an AUROC", f"the values {np.unique(labels)[:5].tolist()}", "only 0 and 1")
    diseased = labels.astype(bool)
    if diseased.all() or not diseased.any():
        only = "diseased" if diseased.size and diseased.all() else "healthy"
        raise UltraFMError("truth of an AUROC", f"{diseased.size} cases, all {only}", "cases of both classes")
    return values, diseased


def _check_counts(with_diseased: int, with_healthy: int) -> None:
    """UltraFMError when a class is too small for a variance."""
    if min(with_diseased, with_healthy) < 2:
        raise UltraFMError(
            "variance of an AUROC",
            f"{with_diseased} independent diseased and {with_healthy} healthy units (cases, or clusters where given)",
            "at least two of each",
            "add cases, or report the AUROC without an interval",
        )


def _check_method(method: str, clusters: ArrayLike | None) -> None:
    """UltraFMError for a method that is unknown or does not fit the clusters."""
    if method not in METHODS:
        raise UltraFMError("covariance of AUROCs", repr(method) + nearest(method, METHODS), " or ".join(METHODS))
    if method == "clustered" and clusters is None:
        raise UltraFMError("covariance of AUROCs", "'clustered' without clusters", "a cluster name for every case")
    if method == "delong" and clusters is not None:
        raise UltraFMError("covariance of AUROCs", "'delong' with clusters", "'clustered', which heeds them")
