"""Small tasks made of noise, squares and discs, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import timm
import torch

from ultrafm.downstream.tasks import FIXED_FOLDS, TaskData
from ultrafm.manifests.schema import Task
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.weights import save_encoder

DIAGNOSIS = Task(
    name="bright_square",
    kind="diagnosis",
    organ="breast",
    disease="square",
    positive=("malignant",),
    negative=("benign",),
)
SEGMENTATION = Task(name="disc", kind="segmentation", organ="breast", structure="lesion")
CLASSES = Task(
    name="squares", kind="diagnosis", organ="breast", classes={"none": ("n",), "left": ("l",), "right": ("r",)}
)
LABELS = Task(
    name="marks", kind="diagnosis", organ="breast", several=True,
    classes={"upper": ("u", "both"), "lower": ("d", "both")},
)  # fmt: skip
SEVERITY = Task(
    name="brightness", kind="severity", organ="breast", classes={"none": ("n",), "some": ("s",), "much": ("m",)}
)
STRUCTURES = Task(name="disc_and_square", kind="segmentation", organ="breast", structures=("disc", "square"))
MEASUREMENT = Task(name="width", kind="measurement", organ="breast", quantity="width", measured_in="pixels")
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


def made_classes(
    generator: np.random.Generator, task: Task, design: str = FIXED_FOLDS, patients: int = 24, brightness: int = 90
) -> TaskData:
    """CLASSES: no square, one at the left, one at the right. SEVERITY: a square, the brighter the worse.

    LABELS: a square above in every second patient, one below in every third.
    """
    rows, patient = made_table(patients, 2, design), np.arange(patients)
    third = (patient if design == FIXED_FOLDS else patient + patient // 6) % 3  # all three in every fold and group
    number, second = third.repeat(2), (patient % 2).repeat(2)
    images = generator.integers(0, 70, size=(len(rows), SIDE, SIDE))
    truth = np.stack([second, number == 0], axis=1).astype(int) if task.several else number
    if task.kind == "severity":
        images[:, 8:24, 8:24] += (brightness * number)[:, None, None]
    else:
        marked = truth if task.several else np.stack([number == 1, number == 2], axis=1)
        places = ([np.s_[4:12, 12:20], np.s_[20:28, 12:20]], [np.s_[8:24, 2:14], np.s_[8:24, 18:30]])
        for column, place in enumerate(places[0 if task.several else 1]):
            images[(slice(None), *place)] += brightness * marked[:, column, None, None]
    sectors = np.ones(images.shape, dtype=bool)
    return TaskData(task, design, images.clip(0, 255).astype(np.uint8), sectors, truth, rows, {}, None)


def made_measurement(generator: np.random.Generator, design: str = FIXED_FOLDS, patients: int = 24) -> TaskData:
    """A bright bar whose width, in pixels of an original four times as large, is asked."""
    rows = made_table(patients, 2, design)
    width = generator.integers(4, 25, size=len(rows))
    images = generator.integers(0, 60, size=(len(rows), SIDE, SIDE))
    images += 120 * (np.arange(SIDE) < width[:, None])[:, None, :]
    sectors = np.ones(images.shape, dtype=bool)
    return TaskData(MEASUREMENT, design, images.astype(np.uint8), sectors, 4.0 * width, rows, {}, None)


def made_structures(generator: np.random.Generator, design: str = FIXED_FOLDS, patients: int = 24) -> TaskData:
    """A bright disc (1) on one side and a middling square (2) on the other."""
    data = made_segmentation(generator, design, patients)
    rows, down, across = len(data.table), *np.mgrid[:SIDE, :SIDE]
    centre = generator.integers(9, SIDE - 9, size=(2, rows))
    disc = np.hypot(down - centre[0, :, None, None], across - 8) < 6
    square = (abs(down - centre[1, :, None, None]) < 6) & (abs(across - 24) < 6)
    images = generator.integers(0, 60, size=disc.shape) + 150 * disc + 70 * square
    truth = (disc + 2 * square).astype(np.uint8)
    return TaskData(STRUCTURES, design, images.astype(np.uint8), data.sectors, truth, data.table, {}, None)


def made_segmentation(generator: np.random.Generator, design: str = FIXED_FOLDS, patients: int = 24) -> TaskData:
    """A bright disc at a random place of each image."""
    rows = made_table(patients, 2, design)
    down, across = np.mgrid[:SIDE, :SIDE]
    centre = generator.integers(9, SIDE - 9, size=(len(rows), 2))
    inside = np.hypot(down - centre[:, :1, None], across - centre[:, 1:, None]) < 7
    images = generator.integers(0, 60, size=inside.shape) + 120 * inside
    sectors = np.ones(images.shape, dtype=bool)
    return TaskData(SEGMENTATION, design, images.astype(np.uint8), sectors, inside.astype(np.uint8), rows, {}, None)


def tiny_encoder(seed: int = 0, **changes: int) -> torch.nn.Module:
    """A small random Vision Transformer with a grey normalisation, as `load_encoder` gives it."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    settings = {"img_size": SIDE, "patch_size": 8, "in_chans": 1, "embed_dim": 24, "depth": 2, "num_heads": 2} | changes
    encoder = timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool="token", **settings)
    encoder.pretrained_cfg = {**encoder.pretrained_cfg, "mean": (0.3,), "std": (0.2,)}
    torch.random.set_rng_state(state)
    return encoder.eval()


def saved_encoder(folder: Path, seed: int = 0, **changes: int) -> Path:
    """The folder, with a tiny encoder in it as a study has one."""
    save_encoder(SimpleNamespace(encoder=tiny_encoder(seed, **changes)), folder, GreyScale(0.3, 0.2), {"arm": "random"})
    return folder
