"""Covariance of the AUROCs of several readers for several diseases, whose cases may overlap or be different ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ultrafm.downstream.auc import cluster_deviations, deviation_covariance, jackknife_deviations, placements
from ultrafm.errors import UltraFMError, nearest
from ultrafm.readers.ratings import Crossed

COVARIANCES = ("delong", "jackknife")


def check_covariance(covariance: str) -> None:
    """UltraFMError for a covariance that is not offered."""
    if covariance not in COVARIANCES:
        raise UltraFMError(
            "--covariance", repr(covariance) + nearest(covariance, COVARIANCES), " or ".join(COVARIANCES)
        )


def describe_covariance(covariance: str, cluster: str | None) -> str:
    """The name of the method in words, for tables and reports."""
    if covariance == "jackknife":
        return f"jackknife, one {cluster or 'case'} left out at a time"
    return f"clustered by {cluster} (Obuchowski 1997)" if cluster else "DeLong 1988"


def joint_covariance(
    diseases: Sequence[Crossed], covariance: str = "delong"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AUROCs (D, C) of C curves for D diseases and their covariance (D, C, D, C) due to cases.

    Inside a disease this is `auc_covariance` over the units (cases, or patients). Between two diseases only the units
    that occur in both count; diseases without a common unit are independent. Raises UltraFMError as `auc_covariance`
    does.
    """
    check_covariance(covariance)
    names = np.unique(np.concatenate([disease.units for disease in diseases]).astype(str))
    codes = [np.searchsorted(names, disease.units.astype(str)) for disease in diseases]
    aucs = np.array([placements(disease.scores, disease.truth).aucs for disease in diseases])
    joint = np.empty((*aucs.shape, *aucs.shape))
    pair = _jackknife_blocks if covariance == "jackknife" else _clustered_blocks
    for (i, k), block in pair(diseases, codes, names.size):
        joint[i, :, k, :], joint[k, :, i, :] = block, block.T
    return aucs, joint


def macro_average(
    aucs: NDArray[np.float64], joint: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unweighted mean over diseases: AUROCs (C,) and their covariance (C, C)."""
    return aucs.mean(axis=0), joint.mean(axis=(0, 2))


def _clustered_blocks(
    diseases: Sequence[Crossed], codes: Sequence[NDArray[np.intp]], count: int
) -> list[tuple[tuple[int, int], NDArray[np.float64]]]:
    """Blocks of Obuchowski's covariance for every pair of diseases (DeLong when units are cases)."""
    parts = [
        cluster_deviations(placements(disease.scores, disease.truth), disease.truth, units, count)
        for disease, units in zip(diseases, codes, strict=True)
    ]
    return [
        ((i, k), deviation_covariance(parts[i], parts[k], np.union1d(codes[i], codes[k]).size))
        for i in range(len(parts))
        for k in range(i, len(parts))
    ]


def _jackknife_blocks(
    diseases: Sequence[Crossed], codes: Sequence[NDArray[np.intp]], count: int
) -> list[tuple[tuple[int, int], NDArray[np.float64]]]:
    """Blocks of the jackknife covariance for every pair of diseases; a unit that one lacks deviates by nothing."""
    parts = []
    for disease, units in zip(diseases, codes, strict=True):
        own, inside = np.unique(units, return_inverse=True)
        spread = np.zeros((disease.scores.shape[0], count))
        spread[:, own] = jackknife_deviations(disease.scores, disease.truth, inside)
        parts.append(spread)
    return [((i, k), parts[i] @ parts[k].T) for i in range(len(parts)) for k in range(i, len(parts))]
