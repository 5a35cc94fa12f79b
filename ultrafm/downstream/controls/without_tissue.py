"""What a curated image tells beside its tissue, as numbers: size, border, text, calipers, grey values, device, site."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ultrafm.curation.store import read_plain
from ultrafm.downstream.tasks import TaskData
from ultrafm.errors import UltraFMError

BINS, SIDE = 32, 8  # of the grey histogram; of the coarse picture of the scan sector
FRAME, EVERYTHING = "all but grey values", "everything"
GREY = ("grey histogram", "sharpness and contrast")  # of the inside of the sector, so of tissue too
# Group -> columns of the store; words become one column for each word.
GROUPS = {
    "size": ("original_width", "original_height", "crop"),
    "border": ("area", "found_scan_mode", "sector_geometry"),
    "text": ("text_marks", "graphics"),
    "calipers": ("calipers",),
    "grey histogram": (),
    "sharpness and contrast": ("blur", "contrast", "entropy", "saturated", "blank"),
    "device": ("pixel_mm", "scan_mode", "modality", "colour", "coloured_share"),
    "site": ("site",),
}
STORED = tuple(dict.fromkeys(name for names in GROUPS.values() for name in names))


def features_without_tissue(curated: Path, data: TaskData) -> dict[str, np.ndarray]:
    """Group -> (N, F) numbers of each image of a task, from its store and its picture; and of groups together.

    Outside the scan sector a curated picture is black, so its border is the form of the sector. Grey values are those
    of the sector's inside: of tissue too, but of no place in it. "all but grey values" leaves them out, "everything"
    is all groups. Raises UltraFMError for an image that its store does not hold.
    """
    table = stored_columns(curated, data.table)
    found = {group: numbers_of(table[[*names]]) for group, names in GROUPS.items()}
    found["border"] = np.hstack([found["border"], coarse_sectors(data.sectors)])
    found["grey histogram"] = grey_histograms(data.images, data.sectors)
    if "device" in data.table:
        found["device"] = np.hstack([found["device"], numbers_of(data.table[["device"]])])
    frame = [numbers for group, numbers in found.items() if group not in GREY]
    return found | {FRAME: np.hstack(frame), EVERYTHING: np.hstack(list(found.values()))}


def stored_columns(curated: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The columns STORED of the images of `table`, in its order."""
    sites = sorted(table["site"].unique())
    parts = [read_plain(Path(curated) / site / "images.parquet", ["image_id", *STORED]).to_pandas() for site in sites]
    stored = pd.concat(parts).set_index("image_id")
    lost = table.loc[~table["image_id"].isin(stored.index), "image_id"]
    if len(lost):
        raise UltraFMError(str(curated), f"no image {lost.iloc[0]}", "the stores that the task was read from")
    return stored.loc[table["image_id"]].reset_index(drop=True)


def numbers_of(table: pd.DataFrame) -> np.ndarray:
    """(N, F) numbers: a column for each word and for each place of a list; what is missing is 0, with a flag."""
    parts = [_column(table[name]) for name in table]
    return np.hstack(parts) if parts else np.zeros((len(table), 0))


def _column(cells: pd.Series) -> np.ndarray:
    there = cells.map(lambda cell: cell is not None and not (isinstance(cell, float) and np.isnan(cell)))
    there = there.to_numpy(dtype=bool)
    if any(isinstance(cell, (list, tuple, np.ndarray)) for cell in cells[there]):
        length = max(len(cell) for cell in cells[there])
        numbers = np.zeros((len(cells), length))
        for row in np.flatnonzero(there):
            numbers[row, : len(cells.iloc[row])] = cells.iloc[row]
    elif pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_bool_dtype(cells):
        numbers = np.nan_to_num(cells.to_numpy(dtype=float))[:, None]
    else:
        numbers = pd.get_dummies(cells.where(there, "")).to_numpy(dtype=float)
    return numbers if there.all() else np.hstack([numbers, ~there[:, None]])


def coarse_sectors(sectors: np.ndarray) -> np.ndarray:
    """(N, SIDE * SIDE) share of each cell of a grid that lies inside the scan sector, from (N, S, S) bool."""
    return np.stack([_coarse(sector).ravel() for sector in sectors])


def _coarse(sector: np.ndarray) -> np.ndarray:
    rows = [part.mean(axis=0) for part in np.array_split(sector.astype(float), SIDE, axis=0)]
    return np.stack([part.mean(axis=1) for part in np.array_split(np.stack(rows), SIDE, axis=1)], axis=1)


def grey_histograms(images: np.ndarray, sectors: np.ndarray) -> np.ndarray:
    """(N, BINS) square roots of the shares of grey values inside the sectors; images (N, S, S) uint8."""
    counts = [np.bincount(image[sector] // (256 // BINS), minlength=BINS) for image, sector in zip(images, sectors)]
    return np.sqrt(np.stack(counts) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1))
