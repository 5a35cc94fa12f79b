"""Small tasks made of noise, squares and discs, for the tests of this folder."""

from __future__ import annotations

import numpy as np
import pandas as pd
import timm
import torch

from ultrafm.downstream.tasks import FIXED_FOLDS, TaskData
from ultrafm.manifests.schema import Task

DIAGNOSIS = Task(
    name="bright_square",
    kind="diagnosis",
    organ="breast",
    disease="square",
    positive=("malignant",),
    negative=("benign",),
)
SEGMENTATION = Task(name="disc", kind="segmentation", organ="breast", structure="lesion")
SIDE = 32


def made_table(patients: int, each: int, design: str, groups: int = 3, train_share: float = 0.0) -> pd.DataFrame:
    """Rows of `patients` x `each` images; patients are dealt into folds and groups in turn."""
    patient = np.repeat(np.arange(patients), each)
    if design == FIXED_FOLDS:
        fold = np.array(["train", "train", "validation", "test"])[patient // 2 % 4]
        group = np.full(len(patient), -1)
    else:
        trains = patient < round(train_share * patients)
        fold = np.where(trains, "train", "evaluation")
        group = np.where(trains, -1, patient // 2 % groups)
    return pd.DataFrame(
        {
            "image_id": [f"site_01_a/{number:03d}" for number in range(len(patient))],
            "site": "site_01_a", "patient": [f"p{number:03d}" for number in patient],
            "clip": None, "organ": "breast", "scan_mode": "linear", "device": "made up",
            "fold": fold, "group": group, "difficulty": 0.5, "simulated": True, "pixel_mm": 0.5, "shrink": 4.0,
        }
    )  # fmt: skip


def made_diagnosis(
    generator: np.random.Generator, design: str = FIXED_FOLDS, patients: int = 24, brightness: int = 90, **table: float
) -> TaskData:
    """Patients are healthy and diseased in turn; diseased ones show a square brighter by `brightness`."""
    rows = made_table(patients, 2, design, **table)
    truth = np.repeat(np.arange(patients), 2) % 2
    images = generator.integers(0, 120, size=(len(rows), SIDE, SIDE))
    images[truth == 1, 8:24, 8:24] += brightness
    sectors = np.ones(images.shape, dtype=bool)
    return TaskData(DIAGNOSIS, design, images.astype(np.uint8), sectors, truth, rows, {}, None)


def made_segmentation(generator: np.random.Generator, design: str = FIXED_FOLDS, patients: int = 24) -> TaskData:
    """A bright disc at a random place of each image."""
    rows = made_table(patients, 2, design)
    down, across = np.mgrid[:SIDE, :SIDE]
    centre = generator.integers(9, SIDE - 9, size=(len(rows), 2))
    inside = np.hypot(down - centre[:, :1, None], across - centre[:, 1:, None]) < 7
    images = generator.integers(0, 60, size=inside.shape) + 120 * inside
    sectors = np.ones(images.shape, dtype=bool)
    return TaskData(SEGMENTATION, design, images.astype(np.uint8), sectors, inside.astype(np.uint8), rows, {}, None)


def tiny_encoder(seed: int = 0) -> torch.nn.Module:
    """A small random Vision Transformer with a grey normalisation, as `load_encoder` gives it."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    settings = {"img_size": SIDE, "patch_size": 8, "in_chans": 1, "embed_dim": 24, "depth": 2, "num_heads": 2}
    encoder = timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool="token", **settings)
    encoder.pretrained_cfg = {**encoder.pretrained_cfg, "mean": (0.3,), "std": (0.2,)}
    torch.random.set_rng_state(state)
    return encoder.eval()
