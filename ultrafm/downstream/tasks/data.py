"""The images of one task with their answers, and the names of patients, clips and units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ultrafm.downstream.tasks.answers import answer_names, answer_truth
from ultrafm.manifests.schema import Task

FOLDS = ("train", "validation", "test", "evaluation")
FIXED_FOLDS, CROSS_VALIDATION, NO_DESIGN = "fixed folds", "cross-validation", "none"
# shrink: pixels of the original picture in one pixel of the image, along a line.
COLUMNS = (
    "image_id", "site", "patient", "clip", "organ", "scan_mode", "device", "fold", "group", "difficulty", "simulated",
    "pixel_mm", "shrink",
)  # fmt: skip


@dataclass(frozen=True)
class TaskData:
    """The images of one task.

    images: (N, S, S) uint8; sectors: (N, S, S) bool, True inside the scan sector.
    truth: one disease (N,) 0 or 1; classes and severity (N,) number of the class; several classes (N, K) 0 or 1;
    segmentation (N, S, S) 0 background, c the c-th structure; measurement (N,) float in the task's unit.
    table: N rows with the columns of COLUMNS; what a store does not tell is missing there.
    left_out: why an image of the task's sites is not here -> how many.
    skipped: why the task cannot be evaluated, or None.
    observers: measurements of a table (N rows, a column an observer, NaN where one did not measure), else None.
    masks: (N, S, S) numbered structures that a measurement is taken from, else None.
    """

    task: Task
    design: str
    images: np.ndarray
    sectors: np.ndarray
    truth: np.ndarray
    table: pd.DataFrame
    left_out: dict[str, int]
    skipped: str | None
    observers: pd.DataFrame | None = None
    masks: np.ndarray | None = None

    @property
    def kind(self) -> str:
        """ "diagnosis", "severity", "plane", "segmentation" or "measurement"."""
        return self.task.kind

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of what is asked; see `answer_names`."""
        return answer_names(self.task)

    @property
    def answer_truth(self) -> np.ndarray:
        """(N, A) 0 or 1: is each answer true of each image? Of tasks whose answer is a class only."""
        return answer_truth(self.task, self.truth)

    @property
    def exclusive(self) -> bool:
        """Does exactly one of several answers hold for each image?"""
        return self.task.kind != "severity" and bool(self.task.classes) and not self.task.several

    @property
    def relation(self) -> dict[str, bool]:
        """How the answers hang together, as classifiers are told."""
        return {"exclusive": self.exclusive, "ordered": self.task.kind == "severity"}

    @property
    def patients(self) -> np.ndarray:
        """(N,) "site/patient" of each image: the unit that is never split and over which intervals are made."""
        return patient_names(self.table)

    @property
    def simulated(self) -> bool:
        """True when any image is simulated."""
        return bool(self.table["simulated"].any())

    @property
    def unit_scale(self) -> np.ndarray:
        """(N,) of a measurement: its value in the task's unit over its value in the image, in pixels of the image.

        Lengths shrink with the picture, so a model is fitted on `truth / unit_scale` and its answer multiplied by
        `unit_scale`. 1 for angles, and for millimetres where the size of a pixel is not known of every image.
        """
        scale = unit_scale(self.table, self.task.measured_in)
        return scale if np.isfinite(scale).all() else np.ones(len(self.table))


def shrinks(table: pd.DataFrame, side: int) -> np.ndarray:
    """(N,) pixels of the original picture in one curated pixel, along a line: the crop's longer side became `side`."""
    left, top, right, bottom = np.array(table["crop"].tolist(), dtype=float).reshape(-1, 4).T
    return np.maximum(right - left, bottom - top) / side


def unit_scale(table: pd.DataFrame, unit: str | None) -> np.ndarray:
    """(N,) a pixel of the image in `unit`: "mm" or "pixels" of the original; NaN where not known, 1 for degrees."""
    column = {"pixels": "shrink", "mm": "pixel_mm"}.get(unit or "")
    return table[column].to_numpy(dtype=float) if column else np.ones(len(table))


def divided_unit(table: pd.DataFrame, task: Task, truth: np.ndarray) -> str | None:
    """Why a task is skipped because a clip or patient, its unit, has images with different answers; else None.

    table: rows of the store; truth: as in TaskData, of classes.
    """
    if task.unit == "image":
        return None
    units, answers = unit_names(table, task.unit), pd.factorize(pd.Series([*map(repr, truth.tolist())]))[0]
    counts = pd.Series(answers).groupby(units).nunique()
    divided = sorted(counts[counts > 1].index)
    if not divided:
        return None
    labels = sorted(set(table[task.classes_of][units == divided[0]]))
    several = f" ({len(divided)} such {task.unit}s)" if len(divided) > 1 else ""
    return (
        f"the {task.unit} {divided[0]} holds images of {' and '.join(map(repr, labels))}{several}; all images of a "
        f"{task.unit} need one answer: correct the labels, or ask by unit: image"
    )


def patient_names(table: pd.DataFrame) -> np.ndarray:
    """(N,) "site/patient" of each row, so that two sites never share a patient by accident."""
    return (table["site"].astype(str) + "/" + table["patient"].astype(str)).to_numpy(dtype=object)


def unit_names(table: pd.DataFrame, unit: str) -> np.ndarray:
    """(N,) name of each row's image, clip ("site/clip"; an image of no clip stands for itself) or patient."""
    if unit == "patient":
        return patient_names(table)
    images = table["image_id"].to_numpy(dtype=object)
    if unit == "image":
        return images
    clips = table["clip"].fillna("").astype(str)
    return np.where(clips != "", table["site"].astype(str) + "/" + clips, images).astype(object)
