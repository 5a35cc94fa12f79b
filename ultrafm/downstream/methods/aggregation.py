"""Test-time aggregation: the scores of a clip's or a patient's images as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy.special import expit, logit

from ultrafm.downstream.methods.answers import check_numbers
from ultrafm.downstream.tasks.data import unit_names
from ultrafm.errors import UltraFMError, one_of

UNITS = ("image", "clip", "patient")
SUREST = 2.0**-40  # scores nearer to 0 or 1 count as this near, so that no logit is infinite


def aggregate(predictions: pd.DataFrame, unit: str) -> pd.DataFrame:
    """The table of predictions with one row per answer and `unit`: "image" (as it is), "clip" or "patient".

    A unit's score is that of the mean logit of its images, so that each image counts alike; an answer is true of a unit
    when it is true of any of its images. `image_id` then names the unit ("site/clip", "site/patient"; an image of no
    clip stands for itself), `images` says how many there were, difficulty is their mean.
    Raises UltraFMError for scores that are not numbers from 0 to 1.
    """
    one_of("unit", unit, UNITS)
    scores = predictions["score"].to_numpy(dtype=float)
    check_numbers("scores", scores)
    if ((scores < 0) | (scores > 1)).any():
        found = f"scores from {scores.min():g} to {scores.max():g}"
        raise UltraFMError("aggregation", found, "probabilities, 0 to 1", "aggregate classes, not measurements")
    rows = predictions.assign(
        image_id=unit_names(predictions, unit), score=logit(scores.clip(SUREST, 1 - SUREST)), images=1
    )
    ways = {"truth": "max", "score": "mean", "difficulty": "mean", "images": "sum", "clip": _only_one}
    keys = [name for name in predictions.columns if name not in ways]
    found = rows.groupby(keys, sort=False, dropna=False).agg(ways).reset_index()
    return found.assign(score=expit(found["score"]))[[*predictions.columns, "images"]]


def aggregate_units(predictions: pd.DataFrame, described: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The table of predictions of several tasks, each about its own unit of analysis.

    described: task -> "unit", as `describe_tasks` says. Tasks about images stay as they are; see `aggregate`.
    """
    parts = [
        aggregate(rows, described[task]["unit"]) if described[task]["unit"] != "image" else rows.assign(images=1)
        for task, rows in predictions.groupby("task", sort=False)
    ]
    return pd.concat(parts, ignore_index=True) if parts else predictions.assign(images=1)


def _only_one(values: pd.Series) -> object:
    """The value that all share, or None."""
    return values.iloc[0] if values.nunique(dropna=False) == 1 else None
