"""From the predictions of the diagnosis step to the cases of a reader study."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ultrafm.errors import NothingToDo, UltraFMError
from ultrafm.readers.cases import study_cases


def predictions() -> pd.DataFrame:
    """Two tasks of one disease, a task with one class, two encoders."""
    generator, rows = np.random.default_rng(0), []
    for task, truths in (("a", (0, 1)), ("b", (0, 1)), ("c", (1, 1))):
        for encoder in ("federated", "random"):
            for number in range(24):
                truth = truths[number % 2]
                row = {"task": task, "method": "linear_probe", "encoder": encoder, "image_id": f"{task}{number}"}
                row |= {"site": "s", "patient": f"{task}p{number // 2 * 2 + truth}", "fold": "test", "truth": truth}
                rows.append(row | {"score": generator.normal() + truth, "difficulty": 0.5})
    return pd.DataFrame(rows)


TASKS = {
    "a": {"disease": "gout", "images": "real"},
    "b": {"disease": "gout", "images": "simulated"},
    "c": {"disease": "mumps", "images": "real"},
}


def test_cases_from_predictions() -> None:
    found = study_cases(predictions(), TASKS, "federated", "linear_probe")
    assert set(found.cases["disease"]) == {"gout (a)", "gout (b)"}
    assert len(found.dropped) == 1
    assert "mumps" in found.dropped[0]
    assert "0 healthy" in found.dropped[0]
    assert found.images == {"gout (a)": "real", "gout (b)": "simulated"}
    assert found.overall_images() == "simulated"


def test_tasks_of_several_answers_and_of_clips_are_not_rated_and_leave_the_others_their_names() -> None:
    tasks = {
        "a": {**TASKS["a"], "answers": ["gout"], "unit": "image"},
        "b": {**TASKS["b"], "answers": ["gout"], "unit": "clip"},
        "c": {**TASKS["c"], "answers": ["none", "mild", "grave"], "unit": "image"},
    }
    found = study_cases(predictions(), tasks, "federated", "linear_probe")
    assert set(found.cases["disease"]) == {"gout"} and found.images == {"gout": "real"}
    assert found.dropped == (
        "gout (b) is left out: it is about a whole clip, and readers rate images",
        "mumps (c) is left out: it has 3 answers, and readers give one rating",
    )


@pytest.mark.parametrize(
    ("encoder", "method", "tasks", "words"),
    [
        ("federatd", "linear_probe", TASKS, "did you mean 'federated'"),
        ("federated", "probe", TASKS, "linear_probe"),
        ("federated", "linear_probe", {"a": TASKS["a"]}, "task 'b'"),
    ],
)
def test_cases_that_cannot_be_had(encoder: str, method: str, tasks: dict, words: str) -> None:
    with pytest.raises(UltraFMError, match=words):
        study_cases(predictions(), tasks, encoder, method)


def test_no_task_left() -> None:
    rows = predictions()
    with pytest.raises(NothingToDo, match="each class needs two"):
        study_cases(rows[rows["task"] == "c"], TASKS, "federated", "linear_probe")
