"""Is a saliency map true to its model? Three tests, each of which a map can fail.

Deletion and insertion (Petsiuk et al. 2018): patches are covered in the order of the map, the most salient first, and
the support of the call must fall faster than in a random order; uncovered in that order, it must rise faster. Covered
patches are filled with a blurred picture here and with the mean grey in the making of the map, so that a map is not
tested with the very pictures it was made from.
Pointing (after Zhang et al. 2018): on pictures with an outlined lesion, the share of the saliency that lies inside it
against the lesion's share of the area.
Randomised head (Adebayo et al. 2018): a map that stays the same when the head's weights are dealt anew does not show
what the head has learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from ultrafm.downstream.review.intervals import mean_interval
from ultrafm.downstream.review.saliency import Asked, mix, support_of

STEPS = 8  # shares of the patches at which the support is read, beside none
RANDOM_ORDERS = 4
ALIKE = 0.5  # rank correlation from which two maps count as much the same


def blurred(asked: Asked) -> torch.Tensor:
    """The picture blurred over the width of two patches: what covered patches are filled with in the tests."""
    picture = cv2.GaussianBlur(asked.picture[0, 0].numpy(), (0, 0), float(2 * asked.patch))
    return torch.from_numpy(picture)[None, None]


def covering_curves(asked: Asked, orders: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Deletion and insertion curves (R, STEPS + 1): the support while growing shares of the patches are covered with a
    blurred picture or, for insertion, uncovered, in each of R orders.

    orders: numbers of the patches inside the sector (see `Asked.inside`), the first to go first.
    """
    inside = torch.from_numpy(asked.inside.ravel())
    covers = []
    for order in orders:
        counts = torch.from_numpy(np.round(np.linspace(0, 1, STEPS + 1) * len(order)).astype(int))
        rank = torch.full((asked.inside.size,), asked.inside.size)
        rank[torch.from_numpy(np.ascontiguousarray(order))] = torch.arange(len(order))
        touched = rank[None] < counts[:, None]
        covers += [touched, ~touched & inside]
    support = support_of(asked, mix(asked, torch.cat(covers).float(), blurred(asked)))
    deletion, insertion = np.moveaxis(support.reshape(len(orders), 2, STEPS + 1), 1, 0)
    return deletion, insertion


def salient_order(saliency: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The patches inside the sector, the most salient first; ties in the order of reading."""
    places = np.flatnonzero(inside)
    return places[np.argsort(-saliency.ravel()[places], kind="stable")]


def area(curve: np.ndarray) -> float:
    """Mean height of a curve over the share of the patches, by the trapezoidal rule."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def order_curves(
    asked: Asked, maps: Mapping[str, np.ndarray], generator: np.random.Generator
) -> dict[str, dict[str, np.ndarray]]:
    """Curves of one picture for each of its maps, all (STEPS + 1,): deletion, insertion, and the means of the same in
    random orders, which all maps share."""
    drawn = [generator.permutation(np.flatnonzero(asked.inside)) for _ in range(RANDOM_ORDERS)]
    orders = [salient_order(saliency, asked.inside) for saliency in maps.values()]
    deletion, insertion = covering_curves(asked, [*orders, *drawn])
    chance = {"random deletion": deletion[len(maps) :].mean(axis=0)}
    chance["random insertion"] = insertion[len(maps) :].mean(axis=0)
    return {
        name: {"deletion": deletion[place], "insertion": insertion[place]} | chance for place, name in enumerate(maps)
    }


def gains(curves: Sequence[dict[str, np.ndarray]]) -> pd.DataFrame:
    """One row per picture: by how much the map's order beats random ones; above 0 is better.

    deletion: area under the random curve minus that of the map. insertion: the other way round. In units of the logit.
    """
    return pd.DataFrame(
        {
            "deletion": [area(one["random deletion"]) - area(one["deletion"]) for one in curves],
            "insertion": [area(one["insertion"]) - area(one["random insertion"]) for one in curves],
        }
    )


def pointing(saliency: np.ndarray, asked: Asked, lesion: np.ndarray | None) -> tuple[float, float]:
    """Share of the positive saliency inside a lesion, and the lesion's share of the patches inside the sector.

    lesion: (S, S) 0 or 1. A patch that the lesion fills in part counts for that part. Both NaN without any positive
    saliency or without a lesion (None, or all 0): then nothing points anywhere.
    """
    if lesion is None or not lesion.any():
        return float("nan"), float("nan")
    grid = asked.patch
    parts = lesion.reshape(len(lesion) // grid, grid, -1, grid).mean(axis=(1, 3))
    positive = np.maximum(saliency, 0) * asked.inside
    if positive.sum() <= 0:
        return float("nan"), float("nan")
    return float((positive * parts).sum() / positive.sum()), float(parts[asked.inside].mean())


def likeness(one: np.ndarray, other: np.ndarray, inside: np.ndarray) -> float:
    """Spearman correlation of the sizes of two maps inside the sector; NaN where a map is the same everywhere."""
    first, second = np.abs(one[inside]), np.abs(other[inside])
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)


def verdict(values: np.ndarray, patients: np.ndarray, good: Callable[[float, float], str]) -> dict[str, object]:
    """Mean over pictures with its interval (clustered by patient), and what `good` says of its two ends."""
    found = mean_interval(values, patients)
    said = "too few patients to say" if found.low is None else good(found.low, found.high)
    return {"estimate": found.estimate, "ci_low": found.low, "ci_high": found.high, "n": found.n} | {
        "n_patients": found.patients, "verdict": said,
    }  # fmt: skip


def against_random(low: float, high: float) -> str:
    """What an interval of a gain over random orders, or of a share over its area, says."""
    if low > 0:
        return "better than random"
    return "worse than random" if high < 0 else "no better than random"


def against_itself(low: float, high: float) -> str:
    """What an interval of the likeness to maps of a randomised head says."""
    if high < ALIKE:
        return "depends on what the head has learnt"
    return "does not depend on the head" if low > ALIKE else "may hardly depend on the head"
