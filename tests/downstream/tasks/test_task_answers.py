"""Answers: what each kind of task asks, as numbers and as columns of 0 and 1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.downstream.tasks import answer_names, answer_truth, class_truth
from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import Task

LABELS = ["normal", "benign", None, "malignant", "valve disease", "benign"]
CLASSES = {"normal": ("normal",), "benign": ("benign",), "malignant": ("malignant",)}


def asked(kind: str = "diagnosis", **fields: object) -> Task:
    return Task(name="made", kind=kind, organ="breast", **fields)


def test_one_disease_is_one_answer():
    task = asked(disease="breast cancer", positive=("malignant",), negative=("benign", "normal"))
    truth, answered = class_truth(LABELS, task)
    assert truth.tolist() == [0, 0, 0, 1, 0, 0] and answered.tolist() == [True, True, False, True, False, True]
    assert answer_names(task) == ("breast cancer",)
    assert answer_truth(task, truth[answered]).tolist() == [[0], [0], [1], [0]]


def test_classes_are_one_hot_in_the_order_of_the_manifest():
    task = asked(classes=CLASSES)
    truth, answered = class_truth(LABELS, task)
    assert truth[answered].tolist() == [0, 1, 2, 1] and answered.tolist() == [True, True, False, True, False, True]
    assert answer_names(task) == ("normal", "benign", "malignant")
    assert answer_truth(task, truth[answered]).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]]


def test_several_classes_hold_for_every_class_that_lists_the_label_and_for_none():
    task = asked(several=True, classes={"lesion": ("benign", "malignant"), "cancer": ("malignant",)})
    truth, answered = class_truth(LABELS, task)
    assert truth.tolist() == [[0, 0], [1, 0], [0, 0], [1, 1], [0, 0], [1, 0]]
    assert answered.tolist() == [True, True, False, True, True, True]  # a label of no class answers: none of them
    assert answer_truth(task, truth).tolist() == truth.tolist()


def test_grades_are_asked_as_at_least():
    task = asked("severity", classes=CLASSES)
    assert answer_names(task) == ("at least benign", "at least malignant")
    assert answer_truth(task, np.array([0, 1, 2])).tolist() == [[0, 0], [1, 0], [1, 1]]


@given(st.lists(st.integers(0, 4), max_size=30))
def test_grades_can_be_read_back_from_their_answers(grades):
    task = asked("severity", classes={f"grade {number}": (str(number),) for number in range(5)})
    answers = answer_truth(task, np.array(grades, dtype=int))
    assert answers.shape == (len(grades), 4) and answers.sum(axis=1).tolist() == grades
    assert (np.diff(answers, axis=1) <= 0).all()


def test_outlines_and_measurements_name_what_they_are_about_and_have_no_classes():
    outlines = asked("segmentation", structures=("nerve", "vessel"))
    measure = asked("measurement", quantity="muscle thickness", measured_in="pixels")
    assert answer_names(outlines) == ("nerve", "vessel") and answer_names(measure) == ("muscle thickness",)
    for task in (outlines, measure):
        with pytest.raises(UltraFMError, match=f"the kind {task.kind}; expected one of diagnosis, severity, plane"):
            answer_truth(task, np.zeros(3))
