from __future__ import annotations

from pathlib import Path

import made_tasks
import numpy as np
import pandas as pd
import pytest
import torch

from ultrafm.downstream import figures
from ultrafm.downstream.evaluate import PREDICTION_COLUMNS, SCORE_COLUMNS, evaluate_diagnosis, evaluate_segmentation
from ultrafm.downstream.methods.drawing import dice
from ultrafm.downstream.methods.features import pixel_features
from ultrafm.downstream.records import diagnosis_records, records_table, segmentation_records
from ultrafm.downstream.tasks import CROSS_VALIDATION, TaskData, describe_tasks
from ultrafm.errors import UltraFMError
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.weights import save_encoder
from ultrafm.reporting.records import check_record, merge_records

ENCODERS = ("random", "one_site", "pooled", "federated")


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    for seed, name in enumerate(ENCODERS):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = MaskedAutoencoder(made_tasks.SIDE, 8, width=24, depth=2, heads=2, decoder_width=8, decoder_depth=1)
        save_encoder(model, folder / name, GreyScale(0.3, 0.2), {})
    return {name: folder / name for name in ENCODERS}


def renamed(data: TaskData, name: str, **changes: object) -> TaskData:
    task = data.task.model_copy(update={"name": name})
    return type(data)(**{**vars(data), "task": task, **changes})


@pytest.fixture(scope="module")
def tasks() -> dict[str, TaskData]:
    generator = np.random.default_rng(0)
    fixed = made_tasks.made_diagnosis(generator, brightness=12)
    crossed = made_tasks.made_diagnosis(generator, CROSS_VALIDATION, brightness=12)
    crossed = renamed(crossed, "crossed", table=crossed.table.assign(site="site_02_b"))
    return {"fixed": renamed(fixed, "fixed"), "crossed": crossed, "odd": renamed(fixed, "odd", skipped="too few")}


@pytest.fixture(scope="module")
def predictions(tasks, encoders) -> pd.DataFrame:
    return evaluate_diagnosis(tasks, encoders, seed=1, epochs=1, precision="fp32")


def test_predictions_are_out_of_sample_once_each_and_skipped_tasks_are_absent(predictions, tasks):
    assert predictions.columns.tolist() == PREDICTION_COLUMNS
    assert set(predictions["task"]) == {"fixed", "crossed"}
    assert not predictions.duplicated(["task", "method", "encoder", "image_id"]).any()
    assert predictions["score"].between(0, 1).all() and predictions["difficulty"].eq(0.5).all()
    for name, design, fold in (("fixed", "test", "test"), ("crossed", "evaluation", "cross-validation")):
        rows, table = predictions[predictions["task"] == name], tasks[name].table
        wanted = set(table.loc[table["fold"] == design, "image_id"])
        assert set(rows["fold"]) == {fold}
        for _, found in rows.groupby(["method", "encoder"]):
            assert set(found["image_id"]) == wanted
    truth = dict(zip(tasks["fixed"].table["image_id"], tasks["fixed"].truth))
    rows = predictions[predictions["task"] == "fixed"]
    assert [truth[name] for name in rows["image_id"]] == rows["truth"].tolist()


def test_encoders_and_methods_differ(predictions):
    means = predictions.groupby(["method", "encoder"])["score"].mean()
    assert len(means) == 9 and means.nunique() == 9  # four encoders twice, and the probe on pixels


def test_records_of_diagnosis(predictions, tasks):
    described = describe_tasks(tasks)
    records = diagnosis_records(predictions, described, np.random.default_rng(0), 100)
    merge_records([records])  # ids are unique
    for row in records:
        check_record(row)
    # 2 metrics x (2 tasks + macro average) x (4 encoders + 3 differences, with the probe on pixels 5 + 4)
    assert len(records) == 2 * 3 * (7 + 9)
    by_id = {row["id"]: row for row in records}
    macro = by_id["diagnosis/macro_average/linear_probe-federated/-/auroc/test-and-cross-validation/-"]
    single = [row for row in records if row["method"] == "linear_probe/federated" and row["metric"] == "auroc"]
    values = {row["task"]: row["estimate"] for row in single if row["comparator"] is None}
    assert macro["estimate"] == pytest.approx((values["fixed"] + values["crossed"]) / 2)
    assert macro["images"] == "simulated" and macro["n"] == 12 + 48 and macro["n_patients"] == 6 + 24
    found = {row["comparator"] for row in single if row["task"] == "fixed"}
    assert found == {None, "linear_probe/random", "linear_probe/one_site", "linear_probe/pooled", "linear_probe/pixels"}
    again = diagnosis_records(predictions, described, np.random.default_rng(0), 100)
    assert again == records


def test_real_and_simulated_tasks_are_not_averaged_together(predictions, tasks):
    described = describe_tasks(tasks)
    described["fixed"]["images"] = "real"
    records = diagnosis_records(predictions, described, np.random.default_rng(0), 20)
    macro = [row for row in records if row["task"] == "macro_average"]
    assert {(row["images"], row["level"], row["fold"]) for row in macro} == {
        ("real", "real images", "test"),
        ("simulated", "simulated images", "cross-validation"),
    }


def test_an_encoder_that_misses_an_image_is_an_error(predictions, tasks):
    with pytest.raises(UltraFMError, match="some encoders did not answer"):
        diagnosis_records(predictions.iloc[1:], describe_tasks(tasks), np.random.default_rng(0), 20)


def test_records_table_and_figures(predictions, tasks):
    described = describe_tasks(tasks)
    records = diagnosis_records(predictions, described, np.random.default_rng(0), 50)
    values = records_table(records, "auroc", differences=False)
    assert len(values) == 3 * (4 + 5)
    assert set(values["encoder"]) == {"random", "one site", "pooled", "federated", "pixels"}
    assert set(records_table(records, "auroc", differences=True)["encoder"]) >= {"federated − random"}
    made = [
        figures.draw_intervals(values, "linear probe", "AUROC", "AUROC", 0.5),
        figures.draw_roc(predictions, described, "fine_tuning"),
        figures.draw_scored(tasks["fixed"], predictions, "linear_probe", "federated", np.random.default_rng(0), 4),
    ]
    assert "simulated" in made[0].alt and len(made[1].axes) == 2 and "score" in made[2].alt


def test_no_task_left_gives_empty_tables_and_figures_that_say_so(tasks, encoders):
    odd = {"odd": tasks["odd"]}
    predictions, segmented = evaluate_diagnosis(odd, encoders, 1), evaluate_segmentation(odd, encoders, 1)
    assert predictions.empty and predictions.columns.tolist() == PREDICTION_COLUMNS and segmented.scores.empty
    described = describe_tasks(odd)
    assert diagnosis_records(predictions, described, np.random.default_rng(0)) == []
    assert segmentation_records(segmented.scores, described, np.random.default_rng(0)) == []
    table = records_table([], "auroc", differences=False)
    for figure in (
        figures.draw_intervals(table, "linear probe", "AUROC", "AUROC", 0.5),
        figures.draw_roc(predictions, described, "linear_probe"),
        figures.draw_dice(segmented.scores, described, "linear_head"),
        figures.draw_outlines(tasks["odd"], segmented.scores, segmented.masks, "linear_head", "federated"),
    ):
        assert "nothing to show" in figure.alt


def test_segmentation_scores_belong_to_their_masks(encoders):
    data = made_tasks.made_segmentation(np.random.default_rng(0), CROSS_VALIDATION)
    two = {name: encoders[name] for name in ("random", "federated")}
    found = evaluate_segmentation({"disc": data}, two, seed=1, epochs=1, precision="fp32")
    assert found.scores.columns.tolist() == SCORE_COLUMNS and len(found.scores) == len(found.masks) == 2 * 2 * 48
    places = pd.Index(data.table["image_id"]).get_indexer(found.scores["image_id"])
    assert dice(found.masks, data.truth[places]) == pytest.approx(found.scores["dice"].to_numpy())
    records = segmentation_records(found.scores, describe_tasks({"disc": data}), np.random.default_rng(0), 100)
    merge_records([records])
    assert len(records) == 2 * 2 * 3 and {row["metric"] for row in records} == {"dice"}
    outlines = figures.draw_outlines(data, found.scores, found.masks, "fine_tuning", "federated", 2)
    assert "worst, Dice" in outlines.alt and "simulated" in outlines.alt
    assert figures.draw_dice(found.scores, describe_tasks({"disc": data}), "fine_tuning").axes


@pytest.mark.slow
def test_the_number_of_workers_does_not_change_the_result(tasks, encoders):
    one = evaluate_diagnosis(tasks, encoders, seed=1, epochs=1, workers=1)
    pd.testing.assert_frame_equal(one, evaluate_diagnosis(tasks, encoders, seed=1, epochs=1, workers=2))
    data = {"disc": made_tasks.made_segmentation(np.random.default_rng(0))}
    first, second = (evaluate_segmentation(data, encoders, 1, 1, workers) for workers in (1, 2))
    pd.testing.assert_frame_equal(first.scores, second.scores)
    assert (first.masks == second.masks).all()


def test_pixel_features_are_means_over_the_cells_of_a_grid():
    image = np.zeros((1, 32, 32), np.uint8)
    image[0, :2, 2:4] = 255
    image[0, 4, 4] = 51
    features = pixel_features(image).reshape(16, 16)
    assert features[0, 1] == 1 and features[2, 2] == pytest.approx(0.2 / 4) and features.sum() == pytest.approx(1.05)
