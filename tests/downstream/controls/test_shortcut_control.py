"""The shortcut control: it finds a planted clue outside tissue, and none in noise; it is paired with the model."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_tasks import made_diagnosis

from ultrafm.downstream import controls
from ultrafm.downstream.auc import placements
from ultrafm.downstream.controls import figures, shortcuts
from ultrafm.downstream.controls.shortcuts import (
    control_records,
    control_table,
    shortcut_predictions,
    warning,
)
from ultrafm.downstream.controls.without_tissue import (
    EVERYTHING,
    FRAME,
    GROUPS,
    coarse_sectors,
    features_without_tissue,
    grey_histograms,
    numbers_of,
)
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, turns
from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import Task


def predictions_of(data, scores):
    """Scores (N,) of a model for the images that the task predicts, as the study's table has them."""
    parts = [
        data.table.iloc[turn.predict][["image_id", "site", "patient"]].assign(
            fold=turn.fold, truth=data.truth[turn.predict], score=scores[turn.predict]
        )
        for turn in turns(data)
    ]
    words = {"task": data.task.name, "method": "linear_probe", "encoder": "federated", "answer": data.answers[0]}
    return pd.concat(parts, ignore_index=True).assign(**words)


def made(design=FIXED_FOLDS, patients=96):
    data = made_diagnosis(np.random.default_rng(0), design, patients)
    generator = np.random.default_rng(1)
    noise = generator.normal(size=(len(data.truth), 3))
    clue = np.hstack([noise, (data.truth + 0.2 * generator.normal(size=len(data.truth)))[:, None]])
    return data, {"noise": noise, "clue": clue}, generator


@pytest.mark.parametrize("design", [FIXED_FOLDS, CROSS_VALIDATION])
def test_a_clue_is_found_and_noise_is_not(design):
    data, features, generator = made(design)
    model = predictions_of(data, data.truth + 0.3 * generator.normal(size=len(data.truth)))
    table = control_table(model, shortcut_predictions(data, features)).set_index("group")
    assert table.loc["clue", "control_low"] > 0.9 and "clue alone ranks clearly better" in table.loc["clue", "warning"]
    assert "not clearly better than clue" in table.loc["clue", "warning"]
    assert table.loc["noise", "control_low"] < 0.5 < table.loc["noise", "control_high"]
    assert table.loc["noise", "margin_low"] > 0 and table.loc["noise", "warning"] == ""
    assert table.loc["noise", "margin"] == pytest.approx(table.loc["noise", "model"] - table.loc["noise", "control"])


def test_no_patient_is_fitted_and_predicted_and_test_truth_is_not_read():
    data, features, _ = made()
    seen = shortcut_predictions(data, features)
    test = data.table["fold"] == "test"
    assert set(seen["image_id"]) == set(data.table.loc[test, "image_id"])
    assert not set(seen["patient"]) & set(data.table.loc[~test, "patient"])
    truth = np.where(test, 1 - data.truth, data.truth)
    turn = turns(data)[0]
    scores = shortcuts.control_scores(features["clue"], data.truth, turn)
    assert (scores == shortcuts.control_scores(features["clue"], truth, turn)).all()


def test_a_clue_is_found_by_boosting_where_no_line_tells_it():
    data, _, generator = made(patients=240)
    place = generator.uniform(1.0, 2.0, len(data.truth)) * data.truth + generator.uniform(0, 0.9, len(data.truth))
    around = (place * generator.choice([-1, 1], len(data.truth)))[:, None]  # far from zero on either side
    table = control_table(predictions_of(data, data.truth * 1.0), shortcut_predictions(data, {"ring": around}))
    assert table["control_low"].iloc[0] > 0.8


def test_one_class_in_training_teaches_nothing():
    data, features, _ = made()
    assert set(shortcuts.control_scores(features["clue"], np.zeros_like(data.truth), turns(data)[0])) == {0.5}


def test_other_images_than_the_controls_are_an_error():
    data, features, _ = made()
    model = predictions_of(data, data.truth * 1.0)
    with pytest.raises(UltraFMError, match="same images"):
        control_table(model.iloc[1:], shortcut_predictions(data, features))


@pytest.mark.parametrize(
    ("control_low", "model_low", "margin_low", "said"),
    [
        (0.45, 0.8, 0.1, ""),
        (0.55, 0.8, 0.1, "ranks clearly better than chance."),
        (0.45, 0.8, -0.1, "the model is not clearly better"),
        (0.45, 0.45, -0.1, ""),  # neither is above chance: nothing to explain
        (None, 0.8, 0.1, "has no interval"),
    ],
)
def test_warnings_say_what_is_the_case(control_low, model_low, margin_low, said):
    found = warning({"group": "size", "control_low": control_low, "model_low": model_low, "margin_low": margin_low})
    assert said in found and (found == "") == (said == "")


def test_records_figures_and_tables():
    data, features, _ = made()
    table = control_table(predictions_of(data, data.truth * 0.3), shortcut_predictions(data, features))
    records = control_records(table, {data.task.name: data}, "federated")
    assert [row["comparator"] for row in records] == [None, "shortcut/noise", None, "shortcut/clue"]
    assert records[0]["estimate"] == table["control"].iloc[0] and records[0]["fold"] == "test"
    all_groups = table.replace({"group": {"noise": FRAME, "clue": EVERYTHING}})
    drawn = figures.shortcut_figure(all_groups, "simulated").alt
    assert all(f"bright square {name}" in drawn for name in ("the model", FRAME, EVERYTHING))
    assert "clue" in figures.shortcut_style(table).to_html()


def test_few_patients_have_numbers_and_no_intervals():
    data, features, _ = made()
    model = predictions_of(data, data.truth * 0.3)
    few = model["patient"].isin([*model.loc[model["truth"] == 1, "patient"].unique()[:2],
                                 *model.loc[model["truth"] == 0, "patient"].unique()[:2]])  # fmt: skip
    controls = shortcut_predictions(data, features)
    controls = controls[controls["image_id"].isin(model.loc[few, "image_id"])]
    table = control_table(model[few], controls)
    assert set(table["patients"]) == {4} and table["control_low"].isna().all() and table["margin_high"].isna().all()
    assert table["warning"].str.contains("has no interval").all()
    [first, *_] = control_records(table, {data.task.name: data}, "federated")
    assert first["ci_low"] is None and first["ci_method"] is None and first["estimate"] == table["control"].iloc[0]


def test_a_control_that_never_varies_has_no_interval_and_the_margin_over_it_has():
    data, _, _ = made()
    controls = shortcut_predictions(data, {"device": np.zeros((len(data.truth), 1))})
    model = predictions_of(data, np.random.default_rng(0).normal(size=len(data.truth)))
    table = control_table(model, controls)
    assert (
        table["control"].tolist() == [0.5] and table["control_low"].isna().all() and table["margin_low"].notna().all()
    )
    control, margin = control_records(table, {data.task.name: data}, "federated")
    assert control["ci_method"] is None and margin["ci_method"] == "clustered DeLong over patients"


def test_words_lists_and_gaps_become_numbers():
    table = pd.DataFrame({"word": ["a", "b", None], "number": [1.0, np.nan, 3.0], "list": [[1, 2], None, [3, 4, 5]]})
    assert numbers_of(table[["word"]]).tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]]
    assert numbers_of(table[["number"]]).tolist() == [[1, 0], [0, 1], [3, 0]]
    assert numbers_of(table[["list"]]).tolist() == [[1, 2, 0, 0], [0, 0, 0, 1], [3, 4, 5, 0]]
    assert numbers_of(pd.DataFrame(index=range(2))).shape == (2, 0)


def test_the_histogram_reads_the_sector_only():
    image = np.full((16, 16), 250, np.uint8)
    image[:8] = 3
    sector = np.zeros((16, 16), bool)
    sector[4:12] = True  # half of it 3, half 250
    found = grey_histograms(image[None], sector[None])[0]
    assert found[0] ** 2 == pytest.approx(0.5) and found[-1] ** 2 == pytest.approx(0.5)
    assert grey_histograms(image[None], np.zeros((1, 16, 16), bool)).sum() == 0
    assert coarse_sectors(sector[None])[0].reshape(8, 8)[:, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_features_come_from_the_store_in_the_order_of_the_task(tmp_path):
    data, _, _ = made()
    columns = {"original_width": range(len(data.table)), "calipers": 0, "pixel_mm": np.nan}
    stored = data.table[["image_id", "site"]].assign(**columns)
    for name in {column for names in GROUPS.values() for column in names} - set(stored):
        stored[name] = 1.0
    stored["crop"], stored["sector_geometry"] = [[0, 0, 9, 9]] * len(stored), None
    (tmp_path / "site_01_a").mkdir()
    stored.iloc[::-1].to_parquet(tmp_path / "site_01_a" / "images.parquet", index=False)
    found = features_without_tissue(tmp_path, data)
    assert found["size"][:, 0].tolist() == list(range(len(data.table)))
    assert set(found) == {*GROUPS, FRAME, EVERYTHING}
    assert found[EVERYTHING].shape[1] == sum(found[group].shape[1] for group in GROUPS)
    assert found[FRAME].shape[1] == found[EVERYTHING].shape[1] - found["grey histogram"].shape[1] - 5
    stored.iloc[1:].to_parquet(tmp_path / "site_01_a" / "images.parquet", index=False)
    with pytest.raises(UltraFMError, match="no image site_01_a/000"):
        features_without_tissue(tmp_path, data)


def test_several_answers_are_each_asked_and_averaged():
    data, _, generator = made(patients=96)
    classes = {"benign": ("benign",), "malignant": ("malignant",), "normal": ("normal",)}
    task = Task(name="finding", kind="diagnosis", organ="breast", classes=classes)
    truth = np.repeat(generator.permutation(96) % 3, 2)
    data = replace(data, task=task, truth=truth)
    clue = data.answer_truth[:, [0]] + 0.1 * generator.normal(size=(len(truth), 1))
    seen = shortcut_predictions(data, {"clue": clue})
    assert seen.groupby("answer", sort=False)["truth"].sum().to_dict() == dict(
        zip(data.answers, data.answer_truth[turns(data)[0].predict].sum(axis=0))
    )
    model = seen.assign(method="linear_probe", encoder="federated", score=seen["truth"] * 1.0)
    row = control_table(model, seen).iloc[0]
    single = [placements(own["score"], own["truth"]).aucs[0] for _answer, own in seen.groupby("answer")]
    assert row["control"] == pytest.approx(np.mean(single)) and row["model"] == 1


def test_a_study_without_such_a_task_has_empty_tables_and_figures_that_say_so(tmp_path):
    data = made()[0]
    table = controls.check_shortcuts(tmp_path, {}, predictions_of(data, data.truth))
    assert table.empty and control_records(table, {}, "federated") == []
    assert "nothing to show" in controls.shortcut_figure(table, "real").alt
    told = controls.site_table({}, {}, np.random.default_rng(0))
    assert told.empty and controls.site_records(told, "linear_probe/federated") == []
    tables = (controls.shortcut_style(table), controls.site_style(told))
    for style in (*tables, controls.permutation_style(controls.permutation_table({}))):
        assert "<td" not in style.to_html() and "<th" in style.to_html()
