"""Made tasks over several sites with features of known worth, for the tests of this folder."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from ultrafm.downstream.designs.asking import Look
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, TaskData
from ultrafm.geometry.frames import ScanFrames, frames_of
from ultrafm.manifests.schema import Task

SIDE = 16
BINARY = Task(name="mass", kind="diagnosis", organ="breast", disease="cancer", positive=("bad",), negative=("good",))
CLASSES = Task(name="finding", kind="diagnosis", organ="breast", classes={"none": ["n"], "cyst": ["c"], "solid": ["s"]})
LABELS = Task(
    name="findings", kind="diagnosis", organ="breast", several=True,
    classes={"mass": ["m", "m+c"], "calcification": ["c", "m+c"]},
)  # fmt: skip


def made_task(
    task: Task = BINARY, sites: int = 1, patients: int = 48, design: str = FIXED_FOLDS, each: int = 2, classes: int = 2
) -> TaskData:
    """`patients` a site with `each` images; classes, folds and groups are dealt in turn, so that all are balanced."""
    number = np.tile(np.repeat(np.arange(patients), each), sites)
    site = np.repeat([f"site_{one:02d}_x" for one in range(1, sites + 1)], patients * each)
    turn = number // classes
    fold = np.array(["train", "test", "train", "validation", "train", "test"])[turn % 6]
    group = np.full(len(number), -1)
    if design == CROSS_VALIDATION:
        fold, group = np.full(len(number), "evaluation"), turn % 3
    table = pd.DataFrame(
        {
            "image_id": [f"{one}/{row:04d}" for row, one in enumerate(site)], "site": site,
            "patient": [f"p{one:03d}" for one in number], "clip": None, "organ": "breast", "scan_mode": "linear",
            "device": "made up", "fold": fold, "group": group, "difficulty": 0.5, "simulated": True, "pixel_mm": 0.5,
            "shrink": 4.0,
        }
    )  # fmt: skip
    truth = number % classes
    if task.several:
        truth = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[truth]
    images = np.random.default_rng(0).integers(0, 256, (len(number), SIDE, SIDE)).astype(np.uint8)
    return TaskData(task, design, images, np.ones(images.shape, bool), truth, table, {}, None)


def seen_by(data: TaskData, strength: float, encoder: str = "federated", seed: int = 0, size: int = 12) -> Look:
    """Features of noise, in which each answer adds `strength` to a column of its own; 0 is a null."""
    answers = data.answer_truth
    features = np.random.default_rng(seed).normal(size=(len(answers), size))
    features[:, : answers.shape[1]] += strength * answers
    return Look(data, encoder, features.astype(np.float32))


def whole_frames(data: TaskData) -> ScanFrames:
    """Every picture a rectangle that fills its frame."""
    curved, numbers = frames_of(data.sectors, [None] * len(data.sectors))
    return ScanFrames(torch.from_numpy(curved), torch.from_numpy(numbers))


def described(*tasks: TaskData) -> dict[str, dict[str, str]]:
    """What summaries need to know of tasks."""
    return {data.task.name: {"images": "simulated"} for data in tasks}
