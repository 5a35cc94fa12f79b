"""A small site with pictures, masks and tasks, curated, and a small encoder: for tests of whole commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image

from ultrafm.curation import Places, Wish, curate_archive
from ultrafm.manifests import load_sites
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.weights import save_encoder
from ultrafm.study import REPOSITORY

SITE, SIDE = "site_01_small", 32
LABELS = ("normal", "benign", "malignant")
TASKS = [
    {"name": "mass", "kind": "diagnosis", "organ": "breast", "disease": "breast cancer",
     "positive": ["malignant"], "negative": ["normal", "benign"]},
    {"name": "lesion", "kind": "segmentation", "organ": "breast", "structure": "lesion"},
    {"name": "finding", "kind": "diagnosis", "organ": "breast",
     "classes": {name: [name] for name in LABELS}},
]  # fmt: skip


def write_site(folder: Path, patients: int = 36) -> Path:
    """Write an archive and its manifest; returns the folder of the manifest. The archive is folder/archive."""
    rows = []
    for number in range(patients):
        picture, mask = made_picture(number, number % 3)
        for name, pixels in ((f"p{number:02d}.png", picture), (f"m{number:02d}.png", mask)):
            (folder / "archive").mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / "archive" / name)
        rows.append(
            {"file": f"p{number:02d}.png", "patient": f"P{number}", "label": LABELS[number % 3],
             "mask": f"m{number:02d}.png"}
        )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "archive" / "metadata.csv", index=False)
    manifests = folder / "manifests"
    manifests.mkdir()
    shutil.copy(REPOSITORY / "data_manifests" / "vocabulary.yaml", manifests)
    (manifests / f"{SITE}.yaml").write_text(yaml.safe_dump(manifest(), sort_keys=False))
    return manifests


def made_picture(seed: int, grade: int) -> tuple[np.ndarray, np.ndarray]:
    """Speckle (140, 160) inside a black border with a disc, the brighter the higher the grade 0 to 2; and its mask."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(40, 120, size=(20, 20), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize((120, 100), Image.Resampling.BICUBIC)).astype(int)
    down, across = np.mgrid[:100, :120]
    disc = np.hypot(down - generator.integers(35, 65), across - generator.integers(40, 80)) < 22
    picture = np.clip(picture + disc * (20 + 50 * grade), 0, 255).astype(np.uint8)
    return np.pad(picture, 20), np.pad(disc.astype(np.uint8) * 255, 20)


def manifest() -> dict:
    """The manifest of the site as its YAML file says it."""
    source = {
        "kind": "folder", "publisher": "Testing", "country": "not stated", "licence": "CC-BY-4.0", "citation": "none",
        "deidentification": {"pseudonyms": "public", "sign_off": False},
        "columns": {"file": "file", "patient": "patient", "label": "label", "mask": "mask"},
    }  # fmt: skip
    return {
        "schema_version": 1, "site": SITE, "title": "A small site", "organs": ["breast"], "modalities": ["B-mode"],
        "scan_modes": ["linear"], "probe": "linear", "label_map": {name: name for name in LABELS},
        "split": {"rule": "patients", "train": 0.5, "validation": 0.25}, "tasks": TASKS,
        "sources": {"local": source},
    }  # fmt: skip


def curate_site(folder: Path, manifests: Path) -> Path:
    """Curate folder/archive; the folder of the curated site."""
    places = Places(folder / "curated", folder / "made", folder / "work", manifests, folder / "archive")
    [site] = load_sites(manifests)
    curate_archive(site, places, Wish("default", 0, SIDE))
    return folder / "curated"


def write_encoder(folder: Path, seed: int = 0, side: int = SIDE, **about: object) -> Path:
    """Write a small encoder with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MaskedAutoencoder(side, 8, 32, 2, 2, 16, 1)
    save_encoder(model, folder, GreyScale(0.3, 0.2), {"arm": "federated", "sites": [SITE], "seed": seed, **about})
    return folder
