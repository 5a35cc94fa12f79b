from __future__ import annotations

import made_stores
import made_tasks
import numpy as np
import pandas as pd
import pytest
from made_stores import store

from ultrafm.downstream import tasks as downstream_tasks
from ultrafm.downstream.tasks import (
    CROSS_VALIDATION,
    FIXED_FOLDS,
    NO_DESIGN,
    count_tasks,
    describe_tasks,
    select_task,
    select_tasks,
    turns,
)
from ultrafm.errors import UltraFMError
from ultrafm.manifests import TaskAtSites


def labelled(design: str = FIXED_FOLDS, **settings: float) -> pd.DataFrame:
    """Rows of 16 patients, benign and malignant in turn."""
    table = made_stores.made_rows(16, 2, design, **settings)
    return table.assign(label=np.where(np.arange(32) // 2 % 2, "malignant", "benign"))


ASKED = TaskAtSites(made_tasks.DIAGNOSIS, ("site_01_a",))


def test_other_labels_and_organs_are_left_out_and_counted(monkeypatch):
    table = labelled()
    table.loc[[0, 1, 2], "label"] = ["unknown", None, "benign"]
    table.loc[[3, 4], "organ"] = "thyroid"
    store(monkeypatch, table)
    data = select_task("nowhere", ASKED)
    assert data.left_out == {"another organ": 2, "label neither positive nor negative": 2}
    assert data.images[:, 0, 0].tolist() == [2, *range(5, 32)]
    assert data.truth.tolist() == [int(label == "malignant") for label in table["label"][data.images[:, 0, 0]]]
    assert data.skipped is None and data.design == FIXED_FOLDS


def test_images_without_the_structure_are_left_out_and_counted(monkeypatch):
    masks = np.ones((32, 4, 4), dtype=np.uint8)
    masks[0] = 0
    store(monkeypatch, labelled(), {"lesion": masks}, without_mask=[1])
    data = select_task("nowhere", TaskAtSites(made_tasks.SEGMENTATION, ("site_01_a",)))
    assert data.left_out == {"lesion not outlined or not in the image": 2}
    assert data.truth.shape == (30, 4, 4) and data.truth.all()


def test_one_class_in_a_fold_is_skipped_with_a_reason(monkeypatch):
    table = labelled()
    table.loc[table["fold"] == "test", "label"] = "benign"
    store(monkeypatch, table)
    data = select_tasks("nowhere", {"bright_square": ASKED}, "diagnosis")["bright_square"]
    assert data.skipped == "fold 'test' holds 0 positive patients; at least 2 needed"
    with pytest.raises(UltraFMError, match="0 positive patients"):
        turns(data)
    assert describe_tasks({"bright_square": data})["bright_square"]["skipped"] == data.skipped
    assert count_tasks({"bright_square": data})["skipped"].tolist() == [data.skipped]


def test_two_images_of_one_patient_do_not_pass_for_two_patients(monkeypatch):
    table = labelled()
    one = (table["fold"] == "test") & (table["label"] == "malignant")
    table.loc[one, "patient"] = table.loc[one, "patient"].iloc[0]
    store(monkeypatch, table)
    assert select_task("nowhere", ASKED).skipped == "fold 'test' holds 1 positive patients; at least 2 needed"


def test_a_site_that_only_pretrains_is_skipped_with_a_reason(monkeypatch):
    store(monkeypatch, labelled().assign(fold="train"))
    data = select_task("nowhere", ASKED)
    assert data.design == NO_DESIGN
    assert data.skipped == "no image to evaluate (32 images: site only pre-trains)"


def test_a_pretraining_site_beside_an_evaluating_one_lends_no_images(monkeypatch):
    second = made_stores.at_site(labelled(), "site_02_b").assign(fold="train")
    store(monkeypatch, pd.concat([labelled(), second], ignore_index=True))
    data = select_task("nowhere", TaskAtSites(made_tasks.DIAGNOSIS, ("site_01_a", "site_02_b")))
    assert set(data.table["site"]) == {"site_01_a"} and data.left_out == {"site only pre-trains": 32}


def test_mixed_designs_are_skipped_with_a_reason(monkeypatch):
    second = made_stores.at_site(labelled(CROSS_VALIDATION), "site_02_b")
    store(monkeypatch, pd.concat([labelled(), second], ignore_index=True))
    data = select_task("nowhere", TaskAtSites(made_tasks.DIAGNOSIS, ("site_01_a", "site_02_b")))
    assert "mix fixed folds and cross-validation" in data.skipped


def test_one_group_cannot_be_cross_validated(monkeypatch):
    store(monkeypatch, labelled(CROSS_VALIDATION).assign(group=1))
    assert "one group" in select_task("nowhere", ASKED).skipped


def test_fixed_folds_make_one_turn_of_three_disjoint_parts():
    data = made_tasks.made_diagnosis(np.random.default_rng(0))
    (turn,) = turns(data)
    fold = data.table["fold"]
    ((fit, held),) = turn.selection
    assert (
        set(fold[turn.train]) == {"train"} and set(fold[held]) == {"validation"} and set(fold[turn.predict]) == {"test"}
    )
    assert fit.tolist() == turn.train.tolist() and turn.fold == "test"


@pytest.mark.parametrize("train_share", [0.0, 0.25])
def test_cross_validation_predicts_each_evaluation_image_once_and_never_from_its_own_group(train_share):
    data = made_tasks.made_diagnosis(np.random.default_rng(0), CROSS_VALIDATION, train_share=train_share)
    made = turns(data)
    evaluation = np.flatnonzero(data.table["fold"] == "evaluation")
    assert sorted(np.concatenate([turn.predict for turn in made]).tolist()) == evaluation.tolist()
    for turn in made:
        own = set(data.patients[turn.predict])
        assert turn.fold == "cross-validation"
        assert not own & set(data.patients[turn.train])
        assert len(turn.train) + len(turn.predict) == len(data.table)
        for fit, held in turn.selection:
            assert not set(data.patients[fit]) & set(data.patients[held])
            assert not own & (set(data.patients[fit]) | set(data.patients[held]))
            assert set(fit) | set(held) == set(turn.train)


def test_patients_of_two_sites_with_one_name_stay_two():
    table = pd.DataFrame({"site": ["a", "b"], "patient": ["7", "7"]})
    assert downstream_tasks.patient_names(table).tolist() == ["a/7", "b/7"]
