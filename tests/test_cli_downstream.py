"""`ultrafm evaluate` and `ultrafm predict`, as a user calls them, on one small curated site."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import small_site
from PIL import Image
from safetensors.numpy import load, save

from ultrafm.cli import main
from ultrafm.files import read_json


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A folder with archive, manifests, curated, encoder, and what `evaluate` wrote to out."""
    folder = tmp_path_factory.mktemp("small")
    manifests = small_site.write_site(folder)
    small_site.curate_site(folder, manifests)
    small_site.write_encoder(folder / "encoder", images="real")
    assert main(command(folder, "mass,lesion,finding", folder / "out")) == 0
    return folder


def command(folder, tasks, out):
    sites = ["--curated", str(folder / "curated"), "--manifests", str(folder / "manifests")]
    return ["evaluate", str(folder / "encoder"), "--task", tasks, *sites, "--out", str(out), "--bootstrap", "50"]


def predict(folder, images, task, out, *more):
    return main(["predict", str(folder / "out" / "model"), str(images), "--task", task, "--out", str(out), *more])


def test_evaluate_writes_records_predictions_table_and_figures(evaluated):
    out = evaluated / "out"
    found = read_json(out / "records.json")["records"]
    methods = {(one["task"], one["metric"], one["method"], one["comparator"]) for one in found}
    assert ("mass", "auroc", "linear_probe/encoder", None) in methods
    assert ("mass", "auroc", "linear_probe/encoder", "linear_probe/untrained") in methods
    assert ("lesion", "dice", "linear_head/untrained", None) in methods
    assert ("finding", "auroc", "linear_probe/pixels", None) in methods
    assert ("finding", "sensitivity", "linear_probe/encoder", None) not in methods  # classes that exclude each other
    assert {one["images"] for one in found} == {"real"}
    predictions = pd.read_parquet(out / "predictions.parquet")
    assert set(predictions["task"]) == {"mass", "finding"} and predictions["score"].between(0, 1).all()
    table = pd.read_csv(out / "metrics.csv")
    assert len(table) == len(found) and (out / "metric_auroc.png").is_file()


def test_a_second_run_goes_on_and_says_the_same(evaluated, monkeypatch, capsys):
    before = (evaluated / "out" / "records.json").read_bytes()
    monkeypatch.setattr("ultrafm.downstream.own.evaluating._asked", lambda *_: pytest.fail("asked again"))
    assert main(command(evaluated, "mass,lesion,finding", evaluated / "out")) == 0
    assert (evaluated / "out" / "records.json").read_bytes() == before
    said = capsys.readouterr().out
    assert "mass, linear probe, AUROC (real images, test" in said and "encoder − untrained" in said


@pytest.mark.parametrize("task", ["mass", "finding"])
def test_the_source_of_a_curated_picture_gets_the_score_of_the_table(evaluated, tmp_path, task):
    table = pd.read_parquet(evaluated / "out" / "predictions.parquet")
    table = table[(table["encoder"] == "encoder") & (table["task"] == task)]
    names = pd.read_csv(evaluated / "curated" / small_site.SITE / "house" / "files.csv")
    wanted = table.merge(names[["image_id", "file"]], on="image_id")
    assert len(wanted) >= 6 and wanted["file"].nunique() >= 6
    folder = tmp_path / "sources"
    folder.mkdir()
    for name in wanted["file"].unique():
        shutil.copy(evaluated / "archive" / name, folder / name)
    assert predict(evaluated, folder, task, tmp_path / "out") == 0
    found = pd.read_csv(tmp_path / "out" / "predictions.csv")
    both = wanted.merge(found, on=["file", "answer"], suffixes=("", "_now"))
    assert len(both) == len(wanted)
    assert np.abs(both["score"] - both["score_now"]).max() < 2e-6


def test_the_call_is_the_score_at_the_threshold_of_the_validation_fold(evaluated, tmp_path):
    assert predict(evaluated, evaluated / "archive" / "p05.png", "mass", tmp_path) == 0
    [row] = pd.read_csv(tmp_path / "predictions.csv").to_dict("records")
    facts = read_json(evaluated / "out" / "model" / "heads" / "mass" / "head.json")
    assert row["threshold"] == pytest.approx(facts["thresholds"]["breast cancer"], abs=1e-6)
    assert row["call"] == int(row["score"] >= facts["thresholds"]["breast cancer"])
    temperature, intercept = facts["recalibration"]["breast cancer"]
    logit = np.log(row["score"] / (1 - row["score"]))
    assert row["probability"] == pytest.approx(1 / (1 + np.exp(-intercept - logit / temperature)), abs=1e-4)
    assert facts["chosen_on"] == "the validation fold" and facts["licences"][0]["licence"] == "CC-BY-4.0"
    assert row["crop"] == "20 20 140 120" and row["original_width"] == 160


def test_of_classes_that_exclude_each_other_exactly_one_is_called(evaluated, tmp_path):
    assert predict(evaluated, evaluated / "archive", "finding", tmp_path) == 0
    found = pd.read_csv(tmp_path / "predictions.csv")
    sums = found.groupby("file")[["score", "call"]].sum()
    assert len(sums) == 72 and (sums["call"] == 1).all()  # 36 pictures and 36 masks lie in the archive
    assert np.abs(sums["score"] - 1).max() < 1e-5


def test_an_outline_lies_over_the_crop_at_its_own_resolution(evaluated, tmp_path):
    assert predict(evaluated, evaluated / "archive" / "p05.png", "lesion", tmp_path) == 0
    [row] = pd.read_csv(tmp_path / "predictions.csv").to_dict("records")
    assert row["call"] == 1 and 0.02 < row["area_share"] < 0.5
    shown = np.asarray(Image.open(tmp_path / "overlays" / "p05.png.outline.png"))
    assert shown.shape[1] == 360 and shown.shape[0] > 300  # the crop of 120 x 100 three times, and words below
    crop = shown[:300]
    assert ((crop[..., 0] > 200) & (crop[..., 2] < 60)).sum() > 50
    original = np.asarray(Image.open(evaluated / "archive" / "p05.png"))[20:120, 20:140]
    grey = crop[1::3, 1::3]
    untouched = (grey[..., 0] == grey[..., 1]) & (grey[..., 1] == grey[..., 2])
    assert untouched.mean() > 0.8 and np.array_equal(grey[..., 0][untouched], original[untouched])


def test_what_is_burnt_in_outside_the_scan_area_is_in_no_overlay(evaluated, tmp_path):
    picture = np.asarray(Image.open(evaluated / "archive" / "p05.png")).copy()
    picture[4:10, 4:60:2] = 255  # a patient's name, as far as a network can tell
    Image.fromarray(picture).save(tmp_path / "named.png")
    for task, more in (("lesion", ()), ("mass", ("--saliency",))):
        assert predict(evaluated, tmp_path / "named.png", task, tmp_path / task, *more) == 0
        [path] = (tmp_path / task / "overlays").iterdir()
        assert Image.open(path).width == 360  # the width of the scan area alone
    scores = pd.read_csv(tmp_path / "mass" / "predictions.csv")
    assert predict(evaluated, evaluated / "archive" / "p05.png", "mass", tmp_path / "plain") == 0
    assert scores["score"].tolist() == pd.read_csv(tmp_path / "plain" / "predictions.csv")["score"].tolist()


def test_one_bad_file_does_not_stop_the_rest(evaluated, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(evaluated / "archive" / "p00.png", folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:400])
    (folder / "c.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64)
    Image.fromarray(np.zeros((50, 50), dtype=np.uint8)).save(folder / "d.png")
    assert predict(evaluated, folder, "mass", tmp_path / "out") == 0
    found = pd.read_csv(tmp_path / "out" / "predictions.csv").set_index("file")
    assert list(found.index) == ["a.png", "b.png", "c.dcm", "d.png"]
    assert found["score"].notna().to_dict() == {"a.png": True, "b.png": False, "c.dcm": False, "d.png": True}
    assert "damaged" in found.loc["b.png", "failure"] and "blank" in found.loc["d.png", "quality_flags"]
    said = capsys.readouterr().out
    assert "2 could not be read" in said and "Research use only" in said
    assert "1 files show no border of the scan" in said


def test_predict_goes_on_where_it_stopped_and_sees_changed_files(evaluated, tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        shutil.copy(evaluated / "archive" / f"p{number:02d}.png", folder)
    assert predict(evaluated, folder, "mass", tmp_path / "out") == 0
    whole = (tmp_path / "out" / "predictions.csv").read_bytes()
    diary = tmp_path / "out" / "progress.jsonl"
    lines = diary.read_text().splitlines()
    diary.write_text("\n".join(lines[:3]) + "\n" + lines[3][:40])  # two files, and a third that was cut short
    asked = []
    from ultrafm.downstream.heads import predicting

    plain = predicting.prepare_images

    def noted(files, *rest):
        asked.extend(one.name for one in files)
        return plain(files, *rest)

    monkeypatch.setattr(predicting, "prepare_images", noted)
    assert predict(evaluated, folder, "mass", tmp_path / "out") == 0
    assert asked == ["p02.png", "p03.png"] and (tmp_path / "out" / "predictions.csv").read_bytes() == whole
    shutil.copy(evaluated / "archive" / "p05.png", folder / "p01.png")
    asked.clear()
    assert predict(evaluated, folder, "mass", tmp_path / "out") == 0
    assert asked == ["p01.png"] and (tmp_path / "out" / "predictions.csv").read_bytes() != whole


def test_a_head_that_was_fitted_anew_reads_all_files_again_and_no_overlay_is_a_picture(evaluated, tmp_path):
    model = shutil.copytree(evaluated / "out" / "model", tmp_path / "model")
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(evaluated / "archive" / "p05.png", folder)
    asked = ["predict", str(model), str(folder), "--task", "lesion", "--out", str(folder)]
    assert main(asked) == 0 and main(asked) == 0
    first = pd.read_csv(folder / "predictions.csv")
    assert first["file"].tolist() == ["p05.png"]  # and not overlays/p05.png.outline.png
    path = model / "heads" / "lesion" / "head.safetensors"
    numbers = load(path.read_bytes())
    path.write_bytes(save(numbers | {"linear.bias": numbers["linear.bias"] - 20}))
    assert main(asked) == 0
    again = pd.read_csv(folder / "predictions.csv")
    assert again["score"][0] < 0.01 < first["score"][0] and again["call"].tolist() == [0]


def test_a_head_of_another_encoder_is_refused(evaluated, tmp_path, capsys):
    other = small_site.write_encoder(tmp_path / "other", seed=1)
    head = evaluated / "out" / "model" / "heads" / "mass"
    images = str(evaluated / "archive" / "p00.png")
    told = ["--task", "mass", "--head", str(head), "--out", str(tmp_path / "x")]
    assert main(["predict", str(other), images, *told]) == 1
    assert "fitted on this encoder" in capsys.readouterr().err
    assert main(["predict", str(other), images, *told[:2], "--out", str(tmp_path / "x")]) == 1
    assert "ultrafm evaluate" in capsys.readouterr().err and not (tmp_path / "x").exists()
    assert main(["predict", str(evaluated / "out" / "model"), images, *told[:2], "--frames", "0", *told[4:]]) == 1
    assert "at least 1" in capsys.readouterr().err


def test_a_head_that_was_trained_on_simulated_images_says_so_everywhere(evaluated, tmp_path, capsys):
    model = shutil.copytree(evaluated / "out" / "model", tmp_path / "model")
    path = model / "heads" / "mass" / "head.json"
    path.write_text(json.dumps(read_json(path) | {"images": "simulated"}))
    asked = [str(evaluated / "archive" / "p00.png"), "--task", "mass", "--out", str(tmp_path / "out")]
    assert main(["predict", str(model), *asked]) == 0
    assert "trained on simulated images" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "out" / "predictions.csv")["head_trained_on"].tolist() == ["simulated images"]
    assert any("simulated" in line for line in read_json(tmp_path / "out" / "about.json")["warnings"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--task": "mas"}, "did you mean 'mass'"),
        ({"--methods": "linear_prob"}, "did you mean 'linear_probe'"),
        ({"weights": "nowhere"}, "an encoder"),
        ({"--curated": None}, "expected one of them"),
        ({"--manifests": None}, "no --manifests"),
        ({"--curated": "nowhere"}, "is not among"),
        ({"--study": "nowhere", "--curated": None}, "no study.json"),
        ({"--task": ","}, "no task is named"),
        ({"--bootstrap": "0"}, "at least 1"),
        ({"--epochs": "-1"}, "at least 0"),
        ({"--methods": "fine_tuning", "--epochs": "0"}, "none of the methods is for its kind with --epochs 0"),
    ],
)
def test_what_evaluate_cannot_do_is_told(evaluated, tmp_path, capsys, change, words):
    asked = {"weights": str(evaluated / "encoder"), "--task": "mass", "--curated": str(evaluated / "curated"),
             "--manifests": str(evaluated / "manifests"), "--out": str(tmp_path / "out")} | change  # fmt: skip
    weights = asked.pop("weights")
    assert main(["evaluate", weights, *[word for pair in asked.items() if pair[1] for word in pair]]) == 1
    assert words in capsys.readouterr().err


def test_weights_of_another_size_are_evaluated_all_the_same(evaluated, tmp_path, capsys):
    small_site.write_encoder(tmp_path / "larger", side=48)
    asked = command(evaluated, "mass", tmp_path / "out")
    asked[1] = str(tmp_path / "larger")
    assert main(asked) == 0 and "larger" in capsys.readouterr().out
    assert predict_other(tmp_path, evaluated) == 0


def predict_other(folder, evaluated):
    images = str(evaluated / "archive" / "p00.png")
    return main(["predict", str(folder / "out" / "model"), images, "--task", "mass", "--out", str(folder / "p")])


def test_a_study_gives_its_sites_and_encoders(evaluated, tmp_path, capsys):
    study = tmp_path / "study"
    (study / "10_curate").mkdir(parents=True)
    shutil.copytree(evaluated / "curated", study / "10_curate" / "sites")
    encoders = study / "20_pretrain" / "encoders"
    for number, name in enumerate(("random", "federated")):
        small_site.write_encoder(encoders / name, seed=number + 5)
    (study / "study.json").write_text(json.dumps({"manifests": str(evaluated / "manifests")}))
    told = ["--task", "mass", "--study", str(study), "--out", str(tmp_path / "out"), "--bootstrap", "20"]
    assert main(["evaluate", str(encoders / "federated"), *told]) == 0
    said = capsys.readouterr().out
    assert "federated − random" in said and "untrained" not in said
    (study / "study.json").write_text(json.dumps({"manifests": "elsewhere"}))
    assert main(["evaluate", str(encoders / "federated"), *told]) == 1
    assert "--manifests FOLDER" in capsys.readouterr().err
