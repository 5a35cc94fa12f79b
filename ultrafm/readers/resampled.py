"""Covariance by resampling: the bootstrap of any endpoint, and the jackknife of those without a closed form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError
from ultrafm.readers.design import Crossed
from ultrafm.readers.endpoints import Endpoint, calls
from ultrafm.readers.resampling import (
    bootstrap_weights,
    jackknife_weights,
    unit_strata,
    weighted_auc,
    weighted_partial,
)

if TYPE_CHECKING:
    from ultrafm.readers.covariance import Sampling


def resampled_covariance(
    diseases: Sequence[Crossed],
    codes: Sequence[NDArray[np.intp]],
    units: int,
    endpoint: Endpoint,
    ai_rows: int,
    sampling: Sampling,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values (D, C) and covariance (D, C, D, C), from replicates in which units are drawn or left out.

    Raises UltraFMError for a bootstrap without a generator, and where no replicate has both classes.
    """
    whole = _values(diseases, codes, np.ones((units, 1)), endpoint, ai_rows)[..., 0]
    if sampling.method == "jackknife":
        spread = _jackknife_spread(diseases, codes, units, endpoint)
    else:
        made = bootstrap_values(diseases, codes, units, endpoint, ai_rows, sampling)
        spread = _centred(made) / np.sqrt(made.shape[-1] - 1)
    return whole, np.einsum("icb,kdb->ickd", spread, spread, optimize=True)


def bootstrap_values(
    diseases: Sequence[Crossed],
    codes: Sequence[NDArray[np.intp]],
    units: int,
    endpoint: Endpoint,
    ai_rows: int,
    sampling: Sampling,
) -> NDArray[np.float64]:
    """Values (D, C, B) of every replicate in which they are defined; the same draw for all curves and diseases."""
    if sampling.generator is None:
        raise UltraFMError("bootstrap", "no generator", "a generator, so that it can be repeated")
    members = [(code, disease.truth) for code, disease in zip(codes, diseases, strict=True)]
    draws = bootstrap_weights(unit_strata(members, units), sampling.replicates, sampling.generator)
    made = _all(diseases, codes, draws, endpoint, ai_rows)
    defined = np.isfinite(made).all(axis=(0, 1))
    if defined.sum() < 2:
        raise UltraFMError("bootstrap", "no replicate with both classes", "more units of each class")
    return made[..., defined]


def _jackknife_spread(
    diseases: Sequence[Crossed], codes: Sequence[NDArray[np.intp]], units: int, endpoint: Endpoint
) -> NDArray[np.float64]:
    """Scaled deviations (D, C, U) of the leave-one-unit-out areas; a unit that a curve lacks deviates by nothing."""
    spread = np.zeros((len(diseases), diseases[0].scores.shape[0], units))
    for number, (disease, code) in enumerate(zip(diseases, codes, strict=True)):
        for curve, row in enumerate(disease.scores):
            seen = ~np.isnan(row)
            own, inside = np.unique(code[seen], return_inverse=True)
            draws = jackknife_weights(own.size)
            left = [_area(row[seen], disease.truth[seen], drawn[inside], endpoint) for drawn in draws]
            spread[number, curve, own] = _centred(np.concatenate(left)) * np.sqrt((own.size - 1) / own.size)
    return spread


def _all(
    diseases: Sequence[Crossed],
    codes: Sequence[NDArray[np.intp]],
    draws: Iterator[NDArray[np.float64]],
    endpoint: Endpoint,
    ai_rows: int,
) -> NDArray[np.float64]:
    """Values (D, C, B) of all draws."""
    return np.concatenate([_values(diseases, codes, drawn, endpoint, ai_rows) for drawn in draws], axis=-1)


def _values(
    diseases: Sequence[Crossed],
    codes: Sequence[NDArray[np.intp]],
    drawn: NDArray[np.float64],
    endpoint: Endpoint,
    ai_rows: int,
) -> NDArray[np.float64]:
    """Values (D, C, b) under unit weights (U, b)."""
    return np.array(
        [_one(disease, drawn[code], endpoint, ai_rows) for disease, code in zip(diseases, codes, strict=True)]
    )


def _one(disease: Crossed, weights: NDArray[np.float64], endpoint: Endpoint, ai_rows: int) -> NDArray[np.float64]:
    """Values (C, b) of one disease under case weights (K, b)."""
    if endpoint.kind in ("auc", "partial_auc"):
        return np.array([_area(row, disease.truth, weights, endpoint) for row in disease.scores])
    successes = calls(disease, endpoint, ai_rows)
    counted = ~np.isnan(successes)
    with np.errstate(invalid="ignore"):
        return (np.where(counted, successes, 0.0) @ weights) / (counted.astype(float) @ weights)


def _area(
    row: NDArray[np.float64], truth: NDArray[np.bool_], weights: NDArray[np.float64], endpoint: Endpoint
) -> NDArray[np.float64]:
    """AUROC or partial AUROC (b,) of one curve, over the cases that it rated."""
    seen = ~np.isnan(row)
    if not seen.all():
        row, truth, weights = row[seen], truth[seen], weights[seen]
    if endpoint.kind == "auc":
        return weighted_auc(row, truth, weights)
    return weighted_partial(row, truth, weights, endpoint.min_specificity, endpoint.mcclish)


def _centred(made: NDArray[np.float64]) -> NDArray[np.float64]:
    return made - made.mean(axis=-1, keepdims=True)
