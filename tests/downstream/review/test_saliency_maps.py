from __future__ import annotations

from dataclasses import replace

import made_tasks
import numpy as np
import pytest
import torch

from ultrafm.downstream.heads.artifact import Facts, Head
from ultrafm.downstream.methods.features import extract_features
from ultrafm.downstream.review import faithfulness, reviewing
from ultrafm.downstream.review.saliency import (
    Asked,
    ask,
    gradient_times_input,
    map_over_pixels,
    occlusion,
    patch_side,
    support_of,
)
from ultrafm.seeds import spawn

SIDE, PATCH = 32, 8


def linear(weights, picture=None, inside=None):
    """A picture and a score that is linear in its pixels: the sum of weights (S, S) times grey."""
    picture = torch.from_numpy(
        np.random.default_rng(1).uniform(size=(1, 1, SIDE, SIDE)) if picture is None else picture
    )
    inside = np.ones((4, 4), dtype=bool) if inside is None else inside
    return Asked(
        picture.float(), torch.full((1, 1, SIDE, SIDE), 0.25), lambda pictures: pictures.flatten(1),
        torch.from_numpy(np.asarray(weights, dtype=np.float32).ravel()), 0.5, PATCH, inside,
    )  # fmt: skip


def blocks(values):
    return map_over_pixels(np.asarray(values, dtype=float), SIDE)


def test_both_maps_are_the_patch_sums_of_a_linear_score():
    weights = np.random.default_rng(0).normal(size=(SIDE, SIDE))
    asked = linear(weights)
    picture = asked.picture[0, 0].numpy().astype(float)
    expected = (weights * (picture - 0.25)).reshape(4, PATCH, 4, PATCH).sum(axis=(1, 3))
    assert np.allclose(occlusion(asked), expected, atol=1e-4)
    assert np.allclose(gradient_times_input(asked), expected, atol=1e-4)


def test_patches_outside_the_sector_have_no_saliency():
    inside = np.zeros((4, 4), dtype=bool)
    inside[1:3, 1:3] = True
    asked = linear(np.ones((SIDE, SIDE)), inside=inside)
    for found in (occlusion(asked), gradient_times_input(asked)):
        assert (found[~inside] == 0).all() and (found[inside] != 0).all()


def test_a_negative_call_turns_the_map_of_a_network_round():
    data = made_tasks.made_diagnosis(np.random.default_rng(0))
    encoder = made_tasks.tiny_encoder()
    weights = np.random.default_rng(2).normal(size=48)
    yes, no = (ask(encoder, weights, 0.3, data.images[0], data.sectors[0], wanted) for wanted in (True, False))
    assert np.allclose(occlusion(yes), -occlusion(no), atol=1e-5)
    features = extract_features(encoder, data.images[:1], data.sectors[:1])
    assert support_of(yes, yes.picture)[0] == pytest.approx(float(features[0] @ weights + 0.3), abs=1e-4)


@pytest.mark.parametrize(("side", "grid", "patch"), [(64, 8, 8), (32, 4, 8), (64, 14, 8), (224, 14, 16), (30, 4, 10)])
def test_patches_are_whole_and_at_most_as_many_as_the_network_has(side, grid, patch):
    assert patch_side(side, grid) == patch


def test_curves_begin_and_end_where_they_must_and_fall_by_the_patches_in_order():
    values = np.arange(16.0).reshape(4, 4) - 4
    asked = linear(blocks(values), picture=np.ones((1, 1, SIDE, SIDE)))
    order = faithfulness.salient_order(occlusion(asked), asked.inside)
    assert order.tolist() == list(range(15, -1, -1))
    (deletion,), (insertion,) = faithfulness.covering_curves(asked, [order])
    whole = support_of(asked, asked.picture)[0]
    covered = support_of(asked, faithfulness.blurred(asked))[0]
    assert deletion[0] == pytest.approx(whole, abs=1e-3) and deletion[-1] == pytest.approx(covered, abs=1e-3)
    assert insertion[0] == pytest.approx(covered, abs=1e-3) and insertion[-1] == pytest.approx(whole, abs=1e-3)


def test_a_true_map_beats_random_orders_and_a_wrong_one_loses():
    gains = {"true": [], "wrong": [], "random": []}
    for seed in range(12):
        generator = np.random.default_rng(seed)
        picture = blocks(generator.uniform(size=(4, 4)))[None, None]
        asked = replace(
            linear(blocks(generator.normal(size=(4, 4))), picture), cover=torch.full((1, 1, SIDE, SIDE), 0.5)
        )
        true = occlusion(asked)
        maps = {"true": true, "wrong": -true, "random": generator.normal(size=(4, 4))}
        curves = faithfulness.order_curves(asked, maps, generator)
        for name in maps:
            gains[name].append(faithfulness.gains([curves[name]]).iloc[0])
    patients = np.arange(12)
    found = {
        (name, kind): faithfulness.verdict([one[kind] for one in rows], patients, faithfulness.against_random)[
            "verdict"
        ]
        for name, rows in gains.items()
        for kind in ("deletion", "insertion")
    }
    assert found["true", "deletion"] == found["true", "insertion"] == "better than random"
    assert found["wrong", "deletion"] == found["wrong", "insertion"] == "worse than random"
    assert found["random", "deletion"] == found["random", "insertion"] == "no better than random"


def test_the_area_is_that_of_the_trapezoids():
    assert faithfulness.area(np.array([1.0, 0.5, 0.0])) == 0.5
    assert faithfulness.area(np.array([0.0, 1.0, 0.0])) == 0.5


def test_pointing_weighs_patches_by_the_part_that_the_lesion_fills():
    asked = linear(np.ones((SIDE, SIDE)))
    lesion = np.zeros((SIDE, SIDE))
    lesion[:8, :4] = 1  # half of the first patch
    saliency = np.zeros((4, 4))
    saliency[0, 0], saliency[3, 3], saliency[2, 2] = 3, 1, -5
    inside, share = faithfulness.pointing(saliency, asked, lesion)
    assert inside == pytest.approx(0.5 * 3 / 4) and share == pytest.approx(0.5 / 16)


@pytest.mark.parametrize("lesion", [None, np.zeros((SIDE, SIDE))])
def test_without_a_lesion_or_saliency_nothing_points_anywhere(lesion):
    asked = linear(np.ones((SIDE, SIDE)))
    assert np.isnan(faithfulness.pointing(np.ones((4, 4)), asked, lesion)).all()
    assert np.isnan(faithfulness.pointing(-np.ones((4, 4)), asked, np.ones((SIDE, SIDE)))).all()


def test_likeness_is_a_rank_correlation_of_sizes():
    inside, one = np.ones((4, 4), dtype=bool), np.arange(16.0).reshape(4, 4)
    assert faithfulness.likeness(one, -2 * one, inside) == pytest.approx(1)
    assert faithfulness.likeness(one, 15 - one, inside) == pytest.approx(-1)
    assert np.isnan(faithfulness.likeness(one, np.ones((4, 4)), inside))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.2, "depends on what"), (0.6, 0.9, "does not depend"), (0.4, 0.6, "may hardly")],
)
def test_a_map_that_stays_the_same_under_a_randomised_head_is_said_to(low, high, words):
    assert words in faithfulness.against_itself(low, high)


def test_too_few_patients_give_no_verdict():
    found = faithfulness.verdict(np.ones(9), np.arange(9) // 3, faithfulness.against_random)
    assert found["verdict"] == "too few patients to say" and found["ci_low"] is None and found["n_patients"] == 3


def made_head(data, encoder):
    features = extract_features(encoder, data.images, data.sectors)
    weights = features[data.truth == 1].mean(axis=0) - features[data.truth == 0].mean(axis=0)
    weights /= np.linalg.norm(weights)
    middle = float((features @ weights).mean())
    facts = Facts(
        "bright_square", "diagnosis", "linear_probe", ("breast",), ("square",), False, False, {"square": 0.5},
        {"square": (1.0, 0.0)}, "the validation fold", "hash", SIDE, "simulated", 1, 1, (), (),
    )  # fmt: skip
    numbers = {
        "mean": np.zeros(48),
        "deviation": np.ones(48),
        "weights": weights[None],
        "intercepts": np.array([-middle]),
    }
    return Head(facts, numbers)


def test_a_bright_square_is_pointed_at_by_tested_maps_of_one_picture_a_patient():
    data = made_tasks.made_diagnosis(np.random.default_rng(0), patients=32, brightness=130)
    encoder = made_tasks.tiny_encoder()
    head = made_head(data, encoder)
    lesions = np.zeros(data.images.shape, dtype=np.uint8)
    lesions[:, 8:24, 8:24] = 1
    maps = reviewing.tested_maps(data, head, encoder, np.flatnonzero(data.truth == 1), spawn(0, "m"), lesions, most=12)
    assert len(maps.rows) == 12 == len(set(maps.patients)) and (data.truth[maps.rows] == 1).all()
    tests = maps.tests.set_index(["map", "test"])
    assert set(tests.index.get_level_values("map")) == {"occlusion", "gradient x input"}
    assert tests.loc[("occlusion", "deletion"), "verdict"] == "better than random"
    assert tests.loc[("occlusion", "insertion"), "ci_low"] > 0
    again = reviewing.tested_maps(data, head, encoder, np.flatnonzero(data.truth == 1), spawn(0, "m"), lesions, most=12)
    assert again.tests.equals(maps.tests)
    records = reviewing.saliency_records("review", maps.tests, "simulated", "linear_probe")
    assert len(records) == 8 and records[0]["metric"] == "saliency deletion"
    assert all("randomised head: " in line for line in reviewing.sentences_on_tests(maps.tests))
