"""Properties of pictures that may go with errors: what curation measured, and size and contrast of the lesion."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ultrafm.curation import load_masks, load_pictures
from ultrafm.downstream.tasks.data import FOLDS, TaskData

NUMBERS = {
    "difficulty": "simulated difficulty",
    "contrast": "contrast of the scan",
    "blur": "sharpness",  # variance of the Laplacian
    "coverage": "coverage by the sector",
    "text_marks": "text marks",
    "calipers": "measuring marks",
    "lesion_size": "size of the lesion",
    "lesion_contrast": "contrast of the lesion",
}
KINDS = {"site": "site", "organ": "organ", "scan_mode": "scan mode", "modality": "modality"}
RING = 3  # pixels around a lesion that it is compared with


def picture_properties(curated: Path, data: TaskData, structure: str = "lesion") -> pd.DataFrame:
    """One row per picture of a task, in the order of its table: image_id, the columns of NUMBERS and of KINDS.

    NaN where a property is not known: difficulty of a real picture, size and contrast without an outline of
    `structure`. From the curated stores in `curated`, which must be those that the task was selected from.
    """
    pictures = load_pictures(curated, sorted(data.table["site"].unique()), FOLDS)
    rows = pd.Index(pictures.table["image_id"]).get_indexer(data.table["image_id"])
    table = pictures.table.iloc[rows].reset_index(drop=True)
    masks, known = lesion_outlines(curated, data, structure)
    found = table[["image_id", *KINDS, "difficulty", "contrast", "blur", "text_marks", "calipers"]].copy()
    found["coverage"] = data.sectors.mean(axis=(1, 2))
    lesions = [
        lesion_numbers(image, sector, mask) if has else (np.nan, np.nan)
        for image, sector, mask, has in zip(data.images, data.sectors, masks, known)
    ]
    found[["lesion_size", "lesion_contrast"]] = np.array(lesions, dtype=float).reshape(-1, 2)
    return found


def lesion_outlines(curated: Path, data: TaskData, structure: str = "lesion") -> tuple[np.ndarray, np.ndarray]:
    """(N, S, S) outlines 0 or 1 of the pictures of a task, and (N,) bool: is there one that tells of `structure`?"""
    sites = sorted(data.table["site"].unique())
    names = pd.Index(load_pictures(curated, sites, FOLDS).table["image_id"])
    masks, known = load_masks(curated, sites, FOLDS, structure)
    rows = names.get_indexer(data.table["image_id"])
    return masks[rows], known[rows]


def lesion_numbers(image: np.ndarray, sector: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Share of the sector that a mask covers, and its contrast: |mean grey inside - mean of a ring around|, 0 to 1.

    image (S, S) uint8; sector and mask (S, S), true inside. Both NaN for an empty mask; the contrast also where no ring
    is left inside the sector.
    """
    mask, sector = np.asarray(mask) > 0, np.asarray(sector) > 0
    if not mask.any() or not sector.any():
        return float("nan"), float("nan")
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((2 * RING + 1, 2 * RING + 1), np.uint8)) > 0
    ring = grown & ~mask & sector
    size = float(mask.sum() / sector.sum())
    if not ring.any():
        return size, float("nan")
    return size, float(abs(image[mask].mean() - image[ring].mean()) / 255)
