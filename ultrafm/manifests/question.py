"""A task: one question asked of a site's images, of one of five kinds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ultrafm.errors import nearest
from ultrafm.manifests.parts import Name, Strict

Unit = Literal["mm", "pixels", "degrees"]
CLASSIFYING = ("diagnosis", "severity", "plane")  # kinds whose answer is a class
# Measures of each kind; the first one is its usual one.
METRICS = {
    **dict.fromkeys(CLASSIFYING, ("auroc", "auprc", "balanced_accuracy", "f1", "brier")),
    "segmentation": ("dice", "iou", "hd95", "surface_dice"),
    "measurement": ("mean_absolute_error", "bias"),
}


@dataclass(frozen=True)
class FromMasks:
    """A measurement that outlines give: of how many structures, and in which units."""

    structures: int
    units: tuple[Unit, ...]


LENGTH = ("mm", "pixels")
# By name; what they do is told in ultrafm.downstream.measurement. Two structures: symphysis and head; superficial and
# deep aponeurosis.
FROM_MASKS = {
    "angle_of_progression": FromMasks(2, ("degrees",)),
    "biparietal_diameter": FromMasks(1, LENGTH),
    "head_circumference": FromMasks(1, LENGTH),
    "longest_diameter": FromMasks(1, LENGTH),
    "muscle_thickness": FromMasks(2, LENGTH),
    "occipitofrontal_diameter": FromMasks(1, LENGTH),
    "perpendicular_diameter": FromMasks(1, LENGTH),
}
# Which fields belong to which kind, beyond name, kind, organ and metric.
FIELDS = {
    "diagnosis": ("disease", "positive", "negative", "classes", "classes_of", "several", "unit"),
    "severity": ("disease", "classes", "unit"),
    "plane": ("classes", "classes_of", "several", "unit"),
    "segmentation": ("structure", "structures"),
    "measurement": ("quantity", "measured_in", "from_masks", "structures"),
}
ALWAYS = ("name", "kind", "organ", "metric")


class Task(Strict):
    """A question asked of a site's images. Sites that name the same task must describe it in the same words.

    diagnosis: disease with positive and negative labels, or classes of which an image has one or, with `several`, any
    number. severity: classes in the order of severity. plane: which standard plane, or which organ, an image shows.
    segmentation: one structure or several. measurement: a number, told by a table or taken from masks.
    """

    name: Name
    kind: Literal["diagnosis", "severity", "plane", "segmentation", "measurement"]
    organ: str | None = Field(default=None, description="of its images; left out where the classes are organs")
    disease: str | None = Field(default=None, description="diagnosis: what a positive case has")
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    classes: dict[str, tuple[str, ...]] = Field(
        default={}, description="class -> its labels; severity: in the order of severity, the mildest first"
    )
    classes_of: Literal["label", "organ"] = Field(
        default="label", description="organ: the classes are made of organs, not of labels"
    )
    several: bool = Field(default=False, description="may an image have several classes, or none of them?")
    structure: str | None = Field(default=None, description="segmentation: key of mask_values, or 'lesion'")
    structures: tuple[str, ...] = Field(default=(), description="several structures, told apart; 1, 2, ... in truth")
    quantity: str | None = Field(default=None, description="measurement: what is measured")
    measured_in: Unit | None = Field(default=None, description="pixels: of the original picture")
    from_masks: str | None = Field(default=None, description="measurement taken from the outlines of structures")
    unit: Literal["image", "clip", "patient"] = Field(default="image", description="what one answer is about")
    metric: str | None = Field(default=None, description="headline measure; null: the usual one of the kind")

    @model_validator(mode="after")
    def _complete(self) -> Task:
        for problem in (_foreign(self), _LACKS[self.kind](self), _metric(self), _twice(self)):
            if problem:
                raise ValueError(problem)
        if (self.organ is None) != (self.classes_of == "organ"):
            raise ValueError("a task needs organ, unless its classes are organs (classes_of: organ)")
        return self

    @property
    def organs(self) -> tuple[str, ...]:
        """The organs that its images show."""
        return (self.organ,) if self.organ else tuple(dict.fromkeys(self.words))

    @property
    def words(self) -> tuple[str, ...]:
        """All labels (or, with classes_of: organ, organs) that answer it."""
        return (*self.positive, *self.negative, *(word for words in self.classes.values() for word in words))

    @property
    def outlined(self) -> tuple[str, ...]:
        """The structures that it is about, in the order of their numbers in truth: 1, 2, ..."""
        return (self.structure,) if self.structure else self.structures

    @property
    def is_binary(self) -> bool:
        """Is it a diagnosis of one disease, by positive and negative labels?"""
        return bool(self.positive)

    @property
    def headline(self) -> str:
        """The measure that the task is judged by: `metric`, or the usual one of its kind."""
        return self.metric or METRICS[self.kind][0]


def _foreign(task: Task) -> str | None:
    """A field that does not belong to a task of this kind."""
    for name, field in Task.model_fields.items():
        if name not in (*ALWAYS, *FIELDS[task.kind]) and getattr(task, name) != field.default:
            return f"a {task.kind} task has no {name}"
    return None


def _lacks_diagnosis(task: Task) -> str | None:
    if task.classes and (task.positive or task.negative):
        return "a diagnosis task has either positive and negative, or classes"
    if task.classes:
        return _lacks_classes(task)
    complete = task.positive and task.negative and task.disease and not task.several and task.classes_of == "label"
    return None if complete else "a diagnosis task needs positive, negative and disease, or classes"


def _lacks_classes(task: Task) -> str | None:
    if len(task.classes) < 2 or not all(task.classes.values()):
        return f"a {task.kind} task needs at least two classes, each with at least one word"
    if task.several and task.classes_of == "organ":
        return "an image shows one organ; several: true is for labels"
    shared = [word for word, count in Counter(task.words).items() if count > 1]
    if shared and not task.several:
        return f"{shared[0]!r} stands for several classes, which needs several: true"
    return None


def _lacks_segmentation(task: Task) -> str | None:
    whole = bool(task.structure) != (len(task.structures) > 1) and not (task.structure and task.structures)
    return None if whole else "a segmentation task needs structure, or at least two structures"


def _lacks_measurement(task: Task) -> str | None:
    if not (task.quantity and task.measured_in):
        return "a measurement task needs quantity and measured_in"
    if not task.from_masks:
        return "structures belong to from_masks" if task.structures else None
    if task.from_masks not in FROM_MASKS:
        return f"from_masks {task.from_masks!r}; one of {', '.join(FROM_MASKS)}{nearest(task.from_masks, FROM_MASKS)}"
    measure = FROM_MASKS[task.from_masks]
    if len(task.structures) != measure.structures:
        return f"{task.from_masks} is taken from {measure.structures} structures, not from {len(task.structures)}"
    fits = task.measured_in in measure.units
    return None if fits else f"{task.from_masks} is measured in {' or '.join(measure.units)}, not in {task.measured_in}"


def _metric(task: Task) -> str | None:
    known = METRICS[task.kind]
    wrong = task.metric is not None and task.metric not in known
    return f"metric {task.metric!r}; a {task.kind} task has one of {', '.join(known)}" if wrong else None


def _twice(task: Task) -> str | None:
    twice = [name for name, count in Counter(task.structures).items() if count > 1]
    return f"the structure {twice[0]!r} twice" if twice else None


_LACKS = {
    "diagnosis": _lacks_diagnosis,
    "severity": _lacks_classes,
    "plane": _lacks_classes,
    "segmentation": _lacks_segmentation,
    "measurement": _lacks_measurement,
}
