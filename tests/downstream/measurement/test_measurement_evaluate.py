"""Measuring whole tasks: who is fitted on whom, in which unit it is told; records, tables and figures."""

from __future__ import annotations

from dataclasses import replace

import cv2
import made_tasks
import numpy as np
import pandas as pd
import pytest
import torch

from ultrafm.downstream.measurement import agreement, evaluate, figures, originals
from ultrafm.downstream.measurement.scenes import accuracy_records, accuracy_table, drawn_muscle
from ultrafm.downstream.tasks import CROSS_VALIDATION, TaskData, describe_tasks, turns
from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import Task
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.weights import save_encoder
from ultrafm.reporting.figures import figure_png
from ultrafm.reporting.records import check_record, merge_records

FULL, SIDE, PATIENTS = 256, 64, 12


@pytest.fixture(scope="module")
def pictures() -> tuple[list[np.ndarray], np.ndarray]:
    """Two drawn muscles of each patient and their thickness in pixels."""
    generator = np.random.default_rng(5)
    thickness = np.repeat(generator.uniform(90, 130, size=PATIENTS), 2) + generator.uniform(-3, 3, size=2 * PATIENTS)
    drawn = [drawn_muscle((FULL, FULL), value, 20, -3, generator) for value in thickness]
    return drawn, thickness


@pytest.fixture(scope="module")
def data(pictures) -> TaskData:
    drawn, thickness = pictures
    task = Task(
        name="thickness", kind="measurement", organ="skeletal muscle", quantity="muscle thickness", measured_in="pixels"
    )
    images = np.array([cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in drawn])
    noise = np.random.default_rng(6).normal(0, 2, size=(len(drawn), 3))
    observers = pd.DataFrame(thickness[:, None] + noise, columns=[f"observer {number}" for number in (1, 2, 3)])
    table = made_tasks.made_table(PATIENTS, 2, CROSS_VALIDATION)
    return TaskData(
        task, CROSS_VALIDATION, images, np.ones(images.shape, dtype=bool), observers.mean(axis=1).to_numpy(), table,
        {}, None, observers,
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    for seed, name in enumerate(("random", "federated")):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = MaskedAutoencoder(SIDE, 8, width=24, depth=2, heads=2, decoder_width=8, decoder_depth=1)
        save_encoder(model, folder / name, GreyScale(0.3, 0.2), {})
    return {name: folder / name for name in ("random", "federated")}


@pytest.fixture(scope="module")
def known() -> dict:
    """What lines were found, so that the tests look at each picture once."""
    return {}


@pytest.fixture(scope="module")
def table(data, encoders, pictures, known) -> pd.DataFrame:
    return evaluate.measure_task(data, encoders, pictures[0], known)


@pytest.fixture(scope="module")
def records(data, table):
    return agreement.agreement_records(table, describe_tasks({"thickness": data}), np.random.default_rng(0), 200)


def test_every_image_is_measured_once_by_every_method(table, data):
    methods = table.groupby(["method", "encoder"], sort=False)["image_id"].apply(list)
    assert list(methods.index) == [
        ("ridge", "random"), ("ridge", "federated"), ("ridge", "pixels"), ("training_mean", "nothing"),
        ("lines", "original"), ("lines", "curated"),
    ]  # fmt: skip
    assert all(found == sorted(data.table["image_id"]) for found in methods)
    assert set(evaluate.COLUMNS) | {"observer 1", "observer 2", "observer 3"} == set(table.columns)
    assert set(table["fold"]) == {"cross-validation"} and set(table["unit"]) == {"pixels"}


def test_lines_are_told_in_pixels_of_the_original(table, pictures):
    lines = table[table["method"] == "lines"].pivot(index="image_id", columns="encoder", values="prediction")
    assert np.abs(lines["original"].to_numpy() - pictures[1]).max() < 5
    assert np.nanmedian(np.abs(lines["curated"].to_numpy() - pictures[1])) < 8


def test_training_mean_is_that_of_the_other_patients(table, data):
    means = table[table["method"] == "training_mean"].set_index("image_id")["prediction"]
    for turn in turns(data):
        assert not set(data.patients[turn.train]) & set(data.patients[turn.predict])
        told = means.loc[data.table["image_id"].iloc[turn.predict]]
        assert told.to_numpy() == pytest.approx(data.truth[turn.train].mean())


def test_without_originals_only_curated_pictures_are_measured(data, pictures, table, known):
    some = [None, *pictures[0][1:]]
    found = evaluate.measure_task(data, {}, some, known)
    assert set(found.loc[found["method"] == "lines", "encoder"]) == {"curated"}


def test_millimetres_that_are_not_known_are_a_reason(data, pictures, table, known):
    millimetres = data.task.model_copy(update={"measured_in": "mm"})
    told = evaluate.measure_task(replace(data, task=millimetres), {}, pictures[0], known)
    scaled = told[told["encoder"] == "original"]["prediction"].to_numpy()
    assert scaled == pytest.approx(pictures[1] * 0.5 / 4, abs=5 * 0.5 / 4)  # 0.5 mm a curated pixel, 4 originals in it
    unknown = replace(data, task=millimetres, table=data.table.assign(pixel_mm=np.nan))
    lines = evaluate.measure_task(unknown, {}, pictures[0], known).query("method == 'lines'")
    assert lines["prediction"].isna().all() and set(lines["reason"]) == {"size of a pixel not known"}


def test_other_quantities_have_no_lines(data):
    other = data.task.model_copy(update={"quantity": "cyst volume"})
    found = evaluate.measure_task(replace(data, task=other), {})
    assert set(found["method"]) == {"ridge", "training_mean"}


def test_tasks_of_another_kind_and_skipped_ones(data, encoders, tmp_path):
    diagnosis = made_tasks.made_diagnosis(np.random.default_rng(0))
    with pytest.raises(UltraFMError, match="a measurement task"):
        evaluate.measure_task(diagnosis, encoders)
    skipped = {"thickness": replace(data, skipped="too few people")}
    empty = evaluate.measure_tasks(skipped, encoders, tmp_path, {})
    assert empty.empty and agreement.agreement_records(empty, {}, np.random.default_rng(0)) == []
    assert agreement.pairs(empty) == [] and evaluate.reasons_table(empty).empty
    assert agreement.what_is_missing(skipped) == "thickness is not evaluated: too few people."
    assert "No site of this study has a measurement task" in agreement.what_is_missing({})


def test_records_hold_hand_computed_numbers(records, table):
    assert all(check_record(row) is None for row in records) and merge_records([records])
    found = {(row["method"], row["metric"]): row for row in records if row["comparator"] is None}
    rows = table[(table["method"] == "lines") & (table["encoder"] == "original")]
    error = rows["prediction"] - rows["truth"]
    assert found["lines/original", "bias"]["estimate"] == pytest.approx(error.mean())
    assert found["lines/original", "mean_absolute_error"]["estimate"] == pytest.approx(error.abs().mean())
    assert found["lines/original", "share_measured"]["estimate"] == 1
    others = rows[["observer 1", "observer 3"]].mean(axis=1)
    second = found["observer/2", "bias"]
    assert second["estimate"] == pytest.approx((rows["observer 2"] - others).mean())
    assert second["readers"] == "simulated" and second["unit"] == "pixels" and second["n_patients"] == PATIENTS
    for name in ("bias", "limit_lower", "limit_upper", "mean_absolute_error", "intraclass_correlation"):
        row = found["ridge/federated", name]
        assert row["ci_low"] < row["estimate"] < row["ci_high"]


def test_differences_are_paired_on_what_both_measured(records, data, table):
    differences = {row["comparator"]: row for row in records if row["comparator"]}
    assert set(differences) == {
        "ridge/random", "ridge/pixels", "training_mean/nothing", "lines/original", "lines/curated",
    }  # fmt: skip
    few = table.copy()
    few.loc[few.index[few["encoder"] == "original"][:4], "prediction"] = np.nan
    found = agreement.agreement_records(few, describe_tasks({"thickness": data}), np.random.default_rng(0), 50)
    assert {row["comparator"]: row["n"] for row in found if row["comparator"]}["lines/original"] == 2 * PATIENTS - 4
    shares = [row for row in found if row["method"] == "lines/original" and row["metric"] == "share_measured"]
    assert shares[0]["estimate"] == pytest.approx(1 - 4 / (2 * PATIENTS))


@pytest.mark.parametrize("patients", [1, 3])
def test_few_patients_have_numbers_and_no_intervals(table, data, patients):
    few = table[table["patient"].isin(sorted(set(table["patient"]))[:patients])]
    found = agreement.agreement_records(few, describe_tasks({"thickness": data}), np.random.default_rng(0), 50)
    intervals = [row for row in found if row["metric"] != "share_measured"]
    assert all(row["ci_low"] is None and "not defined" in row["ci_method"] for row in intervals)
    bias = [row["estimate"] for row in found if row["metric"] == "bias"]
    limits = [row["estimate"] for row in found if row["metric"] == "limit_upper"]
    assert len(bias) == 9 and (None in bias) == (patients == 1) and len(limits) == (0 if patients == 1 else 9)


def test_nothing_measured_is_no_number(table, data):
    blind = table.assign(prediction=table["prediction"].where(table["method"] != "lines"))
    found = agreement.agreement_records(blind, describe_tasks({"thickness": data}), np.random.default_rng(0), 50)
    lines = [row for row in found if row["method"] == "lines/original"]
    assert [(row["metric"], row["estimate"]) for row in lines] == [("share_measured", 0)]


def test_tables_and_figures(records, table, data, pictures):
    shown = agreement.agreement_table(records)
    assert len(shown) == 9 and {"bias", "limit lower", "limit upper", "mean absolute error"} <= set(shown.columns)
    found = figures.shown_pairs(agreement.pairs(table), "thickness")
    assert [pair.method for pair in found][:2] == ["ridge/federated", "ridge/pixels"] and len(found) == 8
    drawn = figures.draw_agreement(found, "thickness")
    assert "thickness lines/original: bias" in drawn.alt and len(figure_png(drawn)) > 10_000
    assert "lines, original" in figures.draw_errors(records, "thickness", differences=True).alt
    examples = figures.draw_examples(data, table, pictures[0])
    assert "nearest" in examples.alt and "deep aponeurosis" in examples.alt
    assert "angle of progression" in figures.draw_scenes(np.random.default_rng(0)).alt
    with pytest.raises(UltraFMError, match="nothing measured"):
        figures.draw_agreement([], "nothing")
    with pytest.raises(UltraFMError, match="one title"):
        figures.draw_lines(pictures[0][:1], [{}], [], "none")


def test_reasons_are_counted(table):
    odd = table.copy()
    rows = odd.index[odd["encoder"] == "curated"][:3]
    odd.loc[rows, ["prediction", "reason"]] = [np.nan, "no bright band"]
    told = evaluate.reasons_table(odd).set_index("of").loc["curated"]
    assert told["images"] == 2 * PATIENTS and "no bright band (3)" in told["why not"]


def test_accuracy_records_are_simulated():
    made = accuracy_records(accuracy_table((48,), np.random.default_rng(0), draws=2))
    assert len(merge_records([made])["records"]) == 5 and {row["images"] for row in made} == {"simulated"}


@pytest.fixture
def store(tmp_path):
    """A curated site of two pictures, as far as the way back to the files goes."""
    site, files = tmp_path / "curated" / "site_01_a", tmp_path / "files"
    (site / "house").mkdir(parents=True)
    files.mkdir()
    picture = np.arange(60 * 80).reshape(60, 80).astype(np.uint8)
    cv2.imwrite(str(files / "one.png"), picture)
    lines = ["image_id,file,frame,row", "site_01_a/000,one.png,0,2", "site_01_a/001,gone.png,0,3"]
    (site / "house" / "files.csv").write_text("\n".join(lines))
    cells = {"crop": [[5, 10, 75, 50]] * 2, "original_width": 80, "original_height": 60}
    names = ["site_01_a/000", "site_01_a/001"]
    pd.DataFrame({"image_id": names, **cells}).to_parquet(site / "images.parquet")
    table = pd.DataFrame({"image_id": [*names, "site_02_b/000"], "site": ["site_01_a", "site_01_a", "site_02_b"]})
    return tmp_path / "curated", table, {"site_01_a": files}, picture


def test_the_way_back_to_the_original(store):
    curated, table, folders, picture = store
    found = originals.scan_area_pictures(curated, table.iloc[[0, 2]], folders)
    assert (found[0] == picture[10:50, 5:75]).all() and found[1] is None


def test_an_original_that_is_gone_or_another_is_an_error(store):
    curated, table, folders, picture = store
    with pytest.raises(UltraFMError, match=r"site_01_a, file gone.png"):
        originals.scan_area_pictures(curated, table, folders)
    cv2.imwrite(str(folders["site_01_a"] / "gone.png"), picture[:, :70])
    with pytest.raises(UltraFMError, match="80 x 60, as when it was curated"):
        originals.scan_area_pictures(curated, table, folders)


def test_curated_pictures_are_cut_to_their_sector():
    image = np.arange(64).reshape(8, 8).astype(np.uint8)
    sector = np.zeros((8, 8), dtype=bool)
    sector[2:5, 1:7] = True
    cut, whole = originals.curated_areas(np.stack([image, image]), np.stack([sector, np.zeros_like(sector)]))
    assert (cut == image[2:5, 1:7]).all() and (whole == image).all()
