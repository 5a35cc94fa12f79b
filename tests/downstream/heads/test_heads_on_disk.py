from __future__ import annotations

import json
from dataclasses import replace

import made_tasks
import numpy as np
import pytest
import small_site
import torch
from PIL import Image

from ultrafm.curation.fitting import fit, unfit
from ultrafm.downstream.evaluate import evaluate_diagnosis
from ultrafm.downstream.heads.answers import asking
from ultrafm.downstream.heads.artifact import Facts, Head, load_head, save_head
from ultrafm.downstream.heads.fitting import fit_kept_head, kept_turn
from ultrafm.downstream.heads.listing import list_images
from ultrafm.downstream.heads.new_pictures import NewPicture
from ultrafm.downstream.heads.overlays import colour_words, outline_overlay, saliency_overlay, with_words
from ultrafm.downstream.methods.patch_head import PatchHead
from ultrafm.downstream.tasks import CROSS_VALIDATION, turns
from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import Task


def head(answers=("a", "b"), exclusive=False, ordered=False, thresholds=None, **changes):
    generator = np.random.default_rng(0)
    facts = {
        "task": "t", "kind": "diagnosis", "method": "linear_probe", "organs": ("breast",), "answers": answers,
        "exclusive": exclusive, "ordered": ordered, "thresholds": thresholds or dict.fromkeys(answers, 0.5),
        "recalibration": dict.fromkeys(answers, (2.0, -1.0)), "chosen_on": "the validation fold", "encoder": "e" * 64,
        "image_size": 32, "images": "real", "pictures": 9, "patients": 5, "sites": ("site_01_a",),
        "licences": ({"site": "site_01_a", "licence": "CC-BY-4.0", "conditions": ["attribution"]},),
    } | changes  # fmt: skip
    numbers = {"mean": generator.normal(size=4), "deviation": generator.uniform(1, 2, size=4)}
    numbers |= {"weights": generator.normal(size=(len(answers), 4)), "intercepts": generator.normal(size=len(answers))}
    return Head(Facts(**facts), numbers)


def test_a_head_comes_back_as_it_was_saved(tmp_path):
    save_head(tmp_path / "head", head())
    found = load_head(tmp_path / "head", "e" * 64)
    assert found.facts == head().facts
    assert all(np.array_equal(found.numbers[name], values) for name, values in head().numbers.items())
    features = np.random.default_rng(1).normal(size=(7, 4))
    assert np.array_equal(found.scores(features), head().scores(features))


def test_raw_weights_give_the_logit_of_the_score():
    made, features = head(), np.random.default_rng(1).normal(size=(7, 4))
    for number in range(2):
        weights, bias = made.raw_weights(number)
        scores = made.scores(features)[:, number]
        assert np.allclose(features @ weights + bias, np.log(scores / (1 - scores)))


def test_calls_follow_thresholds_grades_skip_none_and_one_class_is_called():
    scores = np.array([[0.6, 0.7], [0.2, 0.9], [0.5, 0.1]])
    assert head().calls(scores).tolist() == [[1, 1], [0, 1], [1, 0]]
    assert head(thresholds={"a": 0.55, "b": 0.95}).calls(scores).tolist() == [[1, 0], [0, 0], [0, 0]]
    assert head(ordered=True).calls(scores).tolist() == [[1, 1], [0, 0], [1, 0]]
    assert head(exclusive=True, thresholds={}).calls(scores).tolist() == [[0, 1], [0, 1], [1, 0]]


def test_probabilities_are_recalibrated_answer_by_answer():
    logits = np.array([[0.0, 2.0]])
    found = head().probabilities(1 / (1 + np.exp(-logits)))
    assert np.allclose(found, 1 / (1 + np.exp(-(logits / 2 - 1))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder": "f" * 64}, "fitted on this encoder"),
        ({"schema_version": 9}, "schema version 9"),
        ({"thresholds": {"a": 0.5}}, "thresholds of other answers"),
        ({"recalibration": {}}, "recalibration of other answers"),
        ({"colour": "red"}, "unknown fields colour"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(tmp_path, change, words):
    save_head(tmp_path / "head", head())
    path = tmp_path / "head" / "head.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UltraFMError, match=words):
        load_head(tmp_path / "head", "e" * 64)


@pytest.mark.parametrize(
    ("kind", "words"), [("diagnosis", "numbers of 3 answers, expected 2"), ("segmentation", "linear.weight")]
)
def test_numbers_of_another_task_are_refused(tmp_path, kind, words):
    told = {"recalibration": {}} if kind == "segmentation" else {}
    save_head(tmp_path / "head", Head(head(kind=kind, **told).facts, head(("a", "b", "c")).numbers))
    with pytest.raises(UltraFMError, match=words):
        load_head(tmp_path / "head", "e" * 64)


def test_missing_and_damaged_heads_are_told(tmp_path):
    with pytest.raises(UltraFMError, match=r"no head\.json"):
        load_head(tmp_path, "e" * 64)
    save_head(tmp_path / "head", head())
    (tmp_path / "head" / "head.safetensors").write_bytes(b"short")
    with pytest.raises(UltraFMError, match="cannot be read"):
        load_head(tmp_path / "head", "e" * 64)


def test_research_and_simulated_are_said():
    assert len(head().warnings) == 3 and "simulated" not in " ".join(head().warnings)
    assert "trained on simulated images" in head(images="simulated").warnings[-1]
    assert any("Name the publishers" in line for line in head().warnings)


def test_in_cross_validation_the_kept_model_sees_all_and_each_group_is_held_out_once():
    data = made_tasks.made_diagnosis(np.random.default_rng(0), CROSS_VALIDATION)
    turn = kept_turn(data)
    assert turn.train.tolist() == list(range(len(data.table))) and not len(turn.predict)
    held = np.concatenate([rows for _, rows in turn.selection])
    assert sorted(held) == turn.train.tolist() and len(turn.selection) == 3
    for fit_rows, rows in turn.selection:
        assert not set(data.patients[fit_rows]) & set(data.patients[rows])


def test_with_fixed_folds_threshold_and_weights_never_see_the_test_images(tmp_path, monkeypatch):
    monkeypatch.setattr("ultrafm.downstream.heads.fitting.licences", lambda *_: [])
    encoder = small_site.write_encoder(tmp_path / "encoder")
    data = made_tasks.made_diagnosis(np.random.default_rng(0))
    first = fit_kept_head(encoder, data, tmp_path)
    [turn] = turns(data)
    data.images[turn.predict] = 0
    data.truth[turn.predict] = 1 - data.truth[turn.predict]
    second = fit_kept_head(encoder, data, tmp_path)
    assert first.facts == second.facts and first.facts.patients == len(set(data.patients[turn.train]))
    assert np.array_equal(first.numbers["weights"], second.numbers["weights"])
    held = turn.selection[0][1]
    assert first.facts.thresholds["square"] in [
        pytest.approx(score, abs=1e-9) for score in first.scores(features_of(encoder, data))[held, 0]
    ]


def test_the_kept_head_of_grades_gives_the_scores_of_the_evaluation(tmp_path, monkeypatch):
    monkeypatch.setattr("ultrafm.downstream.heads.fitting.licences", lambda *_: [])
    task = Task(
        name="grade", kind="severity", organ="breast", disease="square",
        classes={"none": ("a",), "some": ("b",), "much": ("c",)},
    )  # fmt: skip
    data = made_tasks.made_diagnosis(np.random.default_rng(0), patients=48)
    grades = np.repeat(np.arange(48) // 8 % 3, 2)
    data = replace(
        data, task=task, truth=grades, images=(data.images // 2 + 40 * grades[:, None, None]).astype(np.uint8)
    )
    encoder = small_site.write_encoder(tmp_path / "encoder")
    head = fit_kept_head(encoder, data, tmp_path)
    assert head.facts.ordered and head.facts.answers == ("at least some", "at least much")
    found = evaluate_diagnosis({"grade": data}, {"own": encoder}, 0, 0).predictions
    wide = found[found["encoder"] == "own"].pivot(index="image_id", columns="answer", values="score")
    [turn] = turns(data)
    scores = head.scores(features_of(encoder, data))[turn.predict]
    names = data.table["image_id"].iloc[turn.predict]
    assert np.allclose(wide.loc[names, list(head.facts.answers)], scores, atol=1e-9)
    assert (np.diff(head.calls(scores), axis=1) <= 0).all()


def test_several_structures_are_called_and_measured_each_by_itself():
    encoder = made_tasks.tiny_encoder()
    outline = PatchHead(torch.zeros(48), torch.ones(48), 8, 2, 32)
    with torch.no_grad():
        outline.linear.weight.zero_()
        outline.linear.bias.copy_(torch.cat([torch.full((64,), 2.0), torch.full((64,), -2.0)]))
    numbers = {name: values.numpy() for name, values in outline.state_dict().items()}
    made = head(("nerve", "vessel"), kind="segmentation", recalibration={})
    sector = np.ones((32, 32), dtype=bool)
    facts = dict.fromkeys(("area", "confidence", "original_width", "original_height", "text_marks"), 1)
    picture = NewPicture("a.png", 0, 1, None, np.zeros((32, 32), dtype=np.uint8), sector, np.zeros((64, 64), np.uint8),
                         facts | {"crop": [0, 0, 64, 64], "pixel_mm": 0.5})  # fmt: skip
    found = asking(Head(made.facts, numbers), encoder)(picture)
    nerve, vessel = found.rows
    assert (nerve["answer"], nerve["call"], nerve["area_share"]) == ("nerve", 1, 1.0)
    assert nerve["area_mm2"] == 32 * 32 * 0.25 and nerve["score"] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    assert (vessel["call"], vessel["area_share"]) == (0, 0.0) and found.shares.shape == (2, 32, 32)


def features_of(encoder, data):
    from ultrafm.downstream.methods.cache import cached_features

    return cached_features(encoder, data.images, data.sectors)


def test_lists_pictures_of_folders_and_what_is_named(tmp_path):
    for name in ("b.png", "sub/a.JPG", "c.mp4", "notes.txt", ".hidden/d.png", "sub/e.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "IM0001").write_bytes(b"\0" * 128 + b"DICM")
    found = list_images([tmp_path])
    assert [one.name for one in found] == ["IM0001", "b.png", "c.mp4", "sub/a.JPG", "sub/e.dcm"]
    assert [one.name for one in list_images([tmp_path / "notes.txt"])] == ["notes.txt"]  # asked for by name
    assert len(list_images([tmp_path, tmp_path / "b.png"])) == 5
    other = tmp_path / "other"
    (other / "x").mkdir(parents=True)
    (other / "x" / "b.png").write_bytes(b"y")
    names = [one.name for one in list_images([tmp_path / "b.png", other / "x"])]
    assert names == [str(tmp_path / "b.png"), str(other / "x" / "b.png")]


@pytest.mark.parametrize(("place", "words"), [("nowhere", "no such file"), ("", "no picture")])
def test_nothing_to_predict_is_told(tmp_path, place, words):
    with pytest.raises(UltraFMError, match=words):
        list_images([tmp_path / place])


@pytest.mark.parametrize("shape", [(40, 64), (64, 40), (33, 50), (7, 64)])
def test_unfit_is_the_way_back_from_fit(shape):
    down, across = np.mgrid[: shape[0], : shape[1]]
    crop = np.round(20 + 200 * (down + across) / sum(shape)).astype(np.uint8)
    back = unfit(fit(crop, 64, Image.Resampling.BILINEAR), shape[1], shape[0])
    assert back.shape == shape and np.abs(back - crop).max() <= 8


def test_outlines_of_two_structures_have_two_colours_and_stay_at_their_places():
    shares = np.zeros((2, 64, 64))
    shares[0, 10:30, 8:24], shares[1, 34:60, 30:60] = 1, 1
    picture = outline_overlay(np.full((400, 400), 90, dtype=np.uint8), shares, np.array([0.5, 0.5]))
    assert picture.shape == (400, 400, 3)
    assert colour_words(["nerve", "vessel"]) == "nerve orange, vessel green"
    drawn = (picture != 90).any(axis=2)
    assert drawn[:200].any() and not drawn[:50].any() and not drawn[:, :44].any()
    first, second = picture[drawn & (np.arange(400) < 200)[:, None]], picture[drawn & (np.arange(400) > 200)[:, None]]
    assert first[:, 0].mean() > first[:, 1].mean() and second[:, 1].mean() > second[:, 0].mean()


def test_saliency_is_red_for_and_blue_against_and_words_stand_below():
    saliency = np.zeros((32, 32))
    saliency[:16], saliency[16:] = 1, -1
    picture = saliency_overlay(np.full((320, 320), 60, dtype=np.uint8), saliency)
    assert picture[10, 10, 0] > picture[10, 10, 2] and picture[310, 10, 2] > picture[310, 10, 0]
    words = with_words(picture, ["a line that is long enough to be broken " * 3, "short"])
    assert words.shape[1] == 320 and words.shape[0] > 320 + 4 * 18 and np.array_equal(words[:320], picture)
    assert saliency_overlay(np.zeros((50, 40), dtype=np.uint8), saliency * 0).shape == (400, 320, 3)
