"""Trials of inversion from pictures to figures and records."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.federation.leakage.small import GREY, SMALL, make_model, make_scans
from ultrafm.errors import UltraFMError
from ultrafm.federation.leakage.figures import game_figure, inversion_figure, privacy_figure, roc_figure
from ultrafm.federation.leakage.rates import attack_table
from ultrafm.federation.leakage.records import game_records, inversion_records, origin_records
from ultrafm.federation.leakage.trials import Victims, draw_views, inversion_summary, inversion_trials, random_update
from ultrafm.federation.leakage.updates import Case, length, read_case
from ultrafm.reporting.records import merge_records

VICTIMS = Victims(make_scans(30, 8), np.repeat(["a", "b", "c"], 10), GREY, SMALL)
CASES = [read_case("one picture: pictures 1"), read_case("sum of two: sites 2")]


@pytest.fixture(scope="module")
def trials():
    return inversion_trials(make_model(), VICTIMS, CASES, 2, 3, 0)


def test_every_picture_of_every_update_is_judged(trials):
    table, examples = trials
    assert table.groupby(["case", "repeat"]).size().tolist() == [1, 1, 2, 2]
    assert [one.case for one in examples] == ["one picture", "sum of two"]
    assert examples[0].original.shape == examples[0].recovered.shape == (32, 32)
    again, _examples = inversion_trials(make_model(), VICTIMS, CASES[:1], 2, 3, 0)
    same = table[table["case"] == "one picture"].drop(columns="seconds").reset_index(drop=True)
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), same)


def test_the_summary_says_what_the_update_adds_to_the_masks(trials):
    found = inversion_summary(trials[0]).set_index(["case", "metric"])
    part = trials[0][trials[0]["case"] == "sum of two"].groupby("repeat")[["ssim", "blind_ssim"]].mean()
    row = found.loc[("sum of two", "ssim")]
    assert row["estimate"] == pytest.approx(part["ssim"].mean())
    assert row["gain"] == pytest.approx((part["ssim"] - part["blind_ssim"]).mean())
    assert row["images"] == 4 and row["repeats"] == 2


def test_views_are_of_different_pictures_of_one_site_and_others_are_left_over():
    views, others = draw_views(VICTIMS, Case("x", pictures=3, steps=2), np.random.default_rng(0))
    shown = np.concatenate([view.clean[:, 0].numpy() for view in views])
    everything = np.concatenate([shown, others])
    assert len(views) == 2 and len(shown) == 6 and len(others) == 4
    assert len(np.unique(everything.reshape(10, -1), axis=0)) == 10
    with pytest.raises(UltraFMError, match="more than 12"):
        draw_views(VICTIMS, Case("x", pictures=12), np.random.default_rng(0))


def test_intervals_do_not_leave_what_is_possible():
    """Of two repeats, 0.9 and 1: Student's interval would reach 1.59."""
    columns = {name: [0.5, 0.5] for name in ("psnr", "ssim", "blind_psnr", "blind_ssim", "blind_picked_out")}
    columns |= {"baseline_psnr": [1.0, 1.0], "baseline_ssim": [0.1, 0.1], "picked_out": [0.9, 1.0]}
    table = pd.DataFrame({"case": ["x", "x"], "repeat": [0, 1], **columns})
    found = inversion_summary(table).set_index("metric")
    assert found.loc["picked_out", "high"] == 1.0 and 0.3 < found.loc["picked_out", "low"] < 0.4
    assert found.loc["ssim", ["estimate", "baseline", "gain"]].tolist() == [0.5, 0.1, 0.0]


def test_a_random_update_has_the_length_and_nothing_else():
    like = {"a": torch.arange(1000.0), "b": torch.ones(500)}
    made = random_update(like, torch.Generator().manual_seed(0))
    assert length(made) == pytest.approx(length(like), rel=1e-5)
    assert abs(float(torch.nn.functional.cosine_similarity(made["a"], like["a"], dim=0))) < 0.1


def test_figures_say_simulated_and_what_they_show(trials):
    generator = np.random.default_rng(0)
    members = np.arange(400) % 2 == 0
    scores = generator.standard_normal(400) + members
    found = attack_table(scores, members, np.arange(400), generator, resamples=20).assign(attack="x")
    against = pd.DataFrame(
        {"epsilon": [1.0, 8.0, np.inf], "attack": "x", "estimate": [0.5, 0.6, 0.9], "low": 0.4, "high": 0.95}
    )
    figures = [
        inversion_figure(trials[1], "simulated"), roc_figure({"x": (scores, members)}, "simulated"),
        privacy_figure(against, "simulated"), game_figure(found, "simulated"),
    ]  # fmt: skip
    assert all("(simulated images)" in figure.alt for figure in figures)
    assert figures[1].axes[0].get_xscale() == "log" and figures[2].axes[0].get_xticklabels()[-1].get_text() == "none"
    assert "x at 8: 0.600" in figures[2].alt


def test_records_of_all_attacks_have_ids_of_their_own(trials):
    generator = np.random.default_rng(0)
    members = np.arange(400) % 2 == 0
    game = attack_table(generator.standard_normal(400), members, np.arange(400), generator, resamples=20)
    game = pd.concat([game.assign(attack="x", protection=one) for one in ("none", "noise 1")])
    guessed = pd.DataFrame({"case": ["one"], "estimate": [0.4], "low": [0.3], "high": [0.5], "repeats": [3]})
    lists = [
        game_records(game, "simulated"), inversion_records(inversion_summary(trials[0]), "simulated"),
        origin_records(guessed, "accuracy", 0.1, "simulated"),
    ]  # fmt: skip
    merged = merge_records(lists)["records"]
    assert len(merged) == 6 + 2 * 3 * 4 + 2
    undefined = [one for one in merged if one["metric"] == "true_positive_rate_at_0.001"]
    assert {one["estimate"] for one in undefined} == {None}
