"""Leaks: the same patient, clip, file or picture in two folds, or two groups, of one task."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ultrafm.curation.leaks import near_pairs, shared_between
from ultrafm.curation.likeness import Compared, compared
from ultrafm.downstream.tasks.data import patient_names

MOST_TOLD = 3
NEAR = "nearly the same picture"


def leak_reason(table: pd.DataFrame, images: np.ndarray, sectors: np.ndarray) -> str | None:
    """Why a task is skipped because something of one fold stands in another too; None when nothing does.

    table: rows of the stores of all sites of the task. images (N, S, S) uint8, sectors (N, S, S) bool.
    """
    leaks = [*task_leaks(table), *near_leaks_of(table, images, sectors)]
    if not leaks:
        return None
    more = f", and {len(leaks) - MOST_TOLD} more" if len(leaks) > MOST_TOLD else ""
    return f"leak between folds: {'; '.join(leaks[:MOST_TOLD])}{more}"


def task_leaks(table: pd.DataFrame) -> list[str]:
    """In words, every patient and clip (of one site), file and picture (of any) that stands in more than one place."""
    site = table["site"].astype(str)
    named = table["clip"].fillna("").ne("")
    columns = {
        "the patient": patient_names(table),
        "the clip": (site + "/" + table["clip"].astype(str)).where(named, "").to_numpy(dtype=object),
        "the same pixels": table["sha256"].to_numpy(dtype=object),
        "the same file": table["source_hash"].to_numpy(dtype=object),
    }
    places = _places(table)
    images = table["image_id"].to_numpy()
    told = []
    for words, values in columns.items():
        for value, rows in shared_between(values, places):
            name = value if words in ("the patient", "the clip") else " and ".join(images[rows][:2])
            told.append(f"{words} {name} in {' and '.join(sorted(set(places[rows])))}")
    return told


def near_leaks_of(table: pd.DataFrame, images: np.ndarray, sectors: np.ndarray) -> list[str]:
    """In words, every pair of pictures in different places that show one scan, as curation judges it."""

    def look(row: int) -> Compared:
        return compared(images[row], sectors[row].astype(np.uint8) * np.uint8(255))

    names, places = table["image_id"].to_numpy(), _places(table)
    different = table["sha256"].to_numpy()
    return [
        f"{NEAR} {names[one]} in {places[one]} and {names[other]} in {places[other]}"
        for one, other, _alike in near_pairs(table["perceptual_hash"], places, look)
        if different[one] != different[other]  # the same pixels are told of already
    ]


def _places(table: pd.DataFrame) -> np.ndarray:
    """(N,) the fold of each row, with its group where it has one."""
    return np.array([f"{fold} {group}" if group >= 0 else fold for fold, group in zip(table["fold"], table["group"])])
