"""Curated stores that hold made-up rows, in place of those on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import made_tasks
import numpy as np
import pandas as pd
import pytest

from ultrafm import curation


@dataclass
class Pictures:
    images: np.ndarray
    sectors: np.ndarray
    table: pd.DataFrame


def made_rows(patients: int, each: int, design: str, **settings: float) -> pd.DataFrame:
    """Rows of a store, of which no two are alike; pictures were cut to 16 x 8 pixels."""
    table = made_tasks.made_table(patients, each, design, **settings).drop(columns="shrink")
    numbers = range(len(table))
    return table.assign(
        label="benign", structures='{"lesion": []}', measured=None, crop=[[0, 0, 16, 8]] * len(table),
        sha256=[f"pixels {number}" for number in numbers], source_hash=[f"file {number}" for number in numbers],
        perceptual_hash=[f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in numbers],
    )  # fmt: skip


def at_site(table: pd.DataFrame, site: str) -> pd.DataFrame:
    """The same number of rows at another site, with pictures and files of their own."""
    own = {name: site + table[name].astype(str) for name in ("image_id", "sha256", "source_hash")}
    other = [f"{int(text, 16) ^ 0xF0F0F0F0F0F0F0F0:016x}" for text in table["perceptual_hash"]]
    return table.assign(site=site, perceptual_hash=other, **own)


def store(
    monkeypatch: pytest.MonkeyPatch,
    table: pd.DataFrame,
    masks: Mapping[str, np.ndarray] | None = None,
    without_mask: Sequence[int] = (),
    images: np.ndarray | None = None,
) -> None:
    """Let the curated store hold these rows; image i is filled with the grey value i, unless `images` are given.

    masks: structure -> (N, 4, 4) 0 or 1. without_mask: rows whose picture has no mask.
    """
    if images is None:
        images = np.arange(len(table), dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), dtype=np.uint8)
    pictures = Pictures(images, np.ones(images.shape, dtype=bool), table)
    known = ~np.isin(np.arange(len(table)), list(without_mask))

    def load_masks(curated, sites, folds, structure):
        found = (masks or {}).get(structure)
        nothing = np.zeros(images.shape, dtype=np.uint8)
        return (nothing, np.zeros(len(table), dtype=bool)) if found is None else (found, known)

    monkeypatch.setattr(curation, "load_pictures", lambda curated, sites, folds: pictures)
    monkeypatch.setattr(curation, "load_masks", load_masks)
