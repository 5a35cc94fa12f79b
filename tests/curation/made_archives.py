"""Small archives of synthetic pictures, written as a hospital would hand them over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from ultrafm.manifests.schema import FolderSource, SiteManifest

SITE = "site_01_test"


def speckle(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """A picture (height, width) uint8 of coarse bright noise that is never as dark as the background."""
    coarse = np.random.default_rng(seed).integers(40, 220, size=(height // 8 + 1, width // 8 + 1), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def framed(picture: np.ndarray, margin: int = 20) -> np.ndarray:
    """The picture inside a black border."""
    return np.pad(picture, margin)


def fan(seed: int, height: int = 300, width: int = 400, text: str = "") -> tuple[np.ndarray, np.ndarray]:
    """A convex scan on black, with text in the upper left corner; and where the scan is (bool)."""
    rows, columns = np.mgrid[:height, :width]
    across, down = columns - width / 2, rows + 60.0  # the arc's centre lies above the picture
    radius, angle = np.hypot(across, down), np.degrees(np.arctan2(across, down))
    inside = (radius > 90) & (radius < 320) & (np.abs(angle) < 34)
    picture = Image.fromarray(np.where(inside, speckle(seed, height, width), 0).astype(np.uint8))
    if text:
        ImageDraw.Draw(picture).text((6, 4), text, fill=255)
    return np.asarray(picture), inside


def save(folder: Path, name: str, picture: np.ndarray) -> str:
    """Write a picture as PNG; returns its name."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return name


def write_table(folder: Path, rows: list[dict]) -> None:
    """Write metadata.csv."""
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)


def made_source(**changes: object) -> FolderSource:
    """A source whose table has file, patient, label, mask and clip."""
    columns = {"file": "file", "patient": "patient", "label": "label", "mask": "mask", "clip": "clip"}
    origin = {"publisher": "Testing", "country": "not stated", "licence": "CC0-1.0", "citation": "none"}
    origin["deidentification"] = {"pseudonyms": "public", "sign_off": False}
    return FolderSource.model_validate({"kind": "folder", **origin, "columns": columns, **changes})


def made_manifest(source: FolderSource | None = None, **changes: object) -> SiteManifest:
    """A breast site with the labels good -> benign, bad -> malignant."""
    fields = {
        "schema_version": 1, "site": SITE, "title": "A site for tests", "organs": ["breast"], "modalities": ["B-mode"],
        "scan_modes": ["linear"], "probe": "linear", "label_map": {"good": "benign", "bad": "malignant"},
        "split": {"rule": "patients"}, "sources": {"local": source or made_source()},
    }  # fmt: skip
    return SiteManifest.model_validate({**fields, **changes})


def write_plain(folder: Path, patients: int = 6, each: int = 2) -> list[dict]:
    """Write an archive without faults: `patients` x `each` framed pictures; returns the rows of its table."""
    rows = []
    for number in range(patients * each):
        name = save(folder, f"pictures/Smith_{number:03d}.png", framed(speckle(number)))
        patient, label = f"Smith-{number // each}", ("good", "bad")[number // each % 2]
        rows.append({"file": name, "patient": patient, "label": label, "mask": "", "clip": ""})
    write_table(folder, rows)
    return rows
