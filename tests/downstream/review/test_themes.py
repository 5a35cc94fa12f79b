from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from ultrafm.downstream.review.figures import draw_dice_by, draw_themes
from ultrafm.downstream.review.intervals import mean_interval
from ultrafm.downstream.review.properties import lesion_numbers
from ultrafm.downstream.review.themes import dice_by, failure_themes, theme_sentences


def made(seed=0, patients=60, each=2, effect=0.0):
    """Errors, truth, patients and properties; `effect`: of the contrast on the error, inside both classes."""
    generator = np.random.default_rng(seed)
    names = np.repeat([f"s/p{number}" for number in range(patients)], each)
    truth = np.repeat(np.arange(patients) % 2, each)
    contrast = np.repeat(generator.normal(size=patients), each) + 0.3 * generator.normal(size=len(names)) + 3 * truth
    inside = contrast - 3 * truth
    errors = (generator.normal(size=len(names)) + effect * inside > 0.7).astype(float)
    blur = np.repeat(generator.normal(size=patients), each)
    site = np.where(np.repeat(generator.permutation(patients) % 3, each) == 0, "site_01_a", "site_02_b")
    return errors, truth, names, pd.DataFrame({"contrast": contrast, "blur": blur, "site": site})


def test_a_planted_theme_is_found_and_named_and_nothing_else_is():
    themes = failure_themes(*made(effect=-1.0))
    first = themes.iloc[0]
    assert first["property"] == "contrast of the scan" and first["difference"] < -0.4 and first["holm_p"] < 0.01
    assert first["ci_low"] < first["difference"] < first["ci_high"] < 0
    assert (themes.iloc[1:]["holm_p"] > 0.05).all()
    [sentence] = theme_sentences(themes, "wrong calls")
    assert sentence.startswith("Wrong calls: less contrast of the scan (−") and "of 60 patients" in sentence
    assert "contrast of the scan *" in draw_themes(themes, "themes").alt


def test_what_differs_between_classes_is_no_theme():
    errors, truth, names, properties = made(seed=3)
    errors = np.where(truth == 1, np.random.default_rng(1).uniform(size=len(truth)) < 0.6, errors * 0)
    errors[truth == 0] = np.random.default_rng(2).uniform(size=(truth == 0).sum()) < 0.1
    row = failure_themes(errors, truth, names, properties).set_index("property").loc["contrast of the scan"]
    assert abs(row["difference"]) < 0.4 and row["p"] > 0.05  # in all, wrong pictures have far more contrast
    assert properties["contrast"][errors == 1].mean() - properties["contrast"][errors == 0].mean() > 0.8


def test_difference_of_one_class_and_one_image_a_patient_is_that_of_the_means():
    generator = np.random.default_rng(4)
    errors, values = np.repeat([0.0, 1.0], 10), generator.normal(size=20)
    names = np.array([f"p{number}" for number in range(20)])
    row = failure_themes(errors, np.zeros(20), names, pd.DataFrame({"blur": values})).iloc[0]
    assert row["difference"] == pytest.approx((values[10:].mean() - values[:10].mean()) / values.std())


def test_of_two_words_one_is_looked_at_and_of_three_all():
    errors, truth, names, properties = made()
    two = failure_themes(errors, truth, names, properties[["site"]])
    assert two["property"].tolist() == ["site_02_b"]
    three = properties.assign(site=np.resize(["a", "b", "c"], len(names)))
    assert set(failure_themes(errors, truth, names, three[["site"]])["property"]) == {"a", "b", "c"}
    rare = properties.assign(site=["a"] * 4 + ["b"] * (len(names) - 4 - 20) + ["c"] * 20)
    assert set(failure_themes(errors, truth, names, rare[["site"]])["property"]) == {"b", "c"}


@pytest.mark.parametrize("case", ["no error", "one patient", "constant", "unknown"])
def test_where_nothing_can_be_said_nothing_is(case):
    errors, truth, names, properties = made()
    properties = properties[["contrast"]].copy()
    if case == "no error":
        errors = errors * 0
    elif case == "one patient":
        names = np.full(len(names), "s/p0")
    elif case == "constant":
        properties["contrast"] = 1.0
    else:
        properties["contrast"] = np.nan
    themes = failure_themes(errors, truth, names, properties)
    assert themes.loc[0, ["difference", "ci_low", "p", "holm_p"]].isna().all()
    assert "Too few patients" in theme_sentences(themes, "wrong calls")[0]
    assert "too few patients" in draw_themes(themes, "themes").alt


def test_a_number_as_error_is_taken_too():
    _errors, truth, names, properties = made(seed=5)
    badness = (
        0.3
        + 0.05 * properties["contrast"].to_numpy()
        - 0.15 * truth
        + np.random.default_rng(0).normal(0, 0.02, len(truth))
    )
    first = failure_themes(
        badness, truth * 0, names, properties.assign(contrast=properties["contrast"] - 3 * truth)
    ).iloc[0]
    assert first["property"] == "contrast of the scan" and first["difference"] > 0.5 and first["holm_p"] < 0.001


@pytest.mark.slow
def test_without_a_theme_hardly_any_is_found():
    found = [(failure_themes(*made(seed=seed))["holm_p"].astype(float) < 0.05).any() for seed in range(100)]
    error = np.sqrt(0.05 * 0.95 / 100)
    assert np.mean(found) < 0.05 + 3 * error


def test_mean_interval_is_that_of_a_t_test_for_one_image_a_patient():
    values = np.random.default_rng(0).normal(size=12)
    found = mean_interval(values, np.arange(12))
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.low == pytest.approx(low) and found.high == pytest.approx(high)
    twice = mean_interval(np.repeat(values, 3), np.repeat(np.arange(12), 3))
    assert twice.low == pytest.approx(low) and twice.n == 36 and twice.patients == 12
    assert mean_interval([np.nan], ["a"]).estimate is None
    assert mean_interval([1.0, np.nan, 2.0], ["a", "b", "c"]).estimate == 1.5


def test_dice_is_told_by_thirds_of_the_size():
    size, dice = np.arange(30.0), np.repeat([0.2, 0.5, 0.9], 10)
    size[29], dice[29] = np.nan, 0.0
    parts = dice_by(dice, np.arange(30), size)
    assert parts["n"].tolist() == [10, 9, 10] or parts["n"].sum() == 29
    assert parts["estimate"].iloc[0] == pytest.approx(0.2) and parts["estimate"].iloc[-1] == pytest.approx(
        0.9, abs=0.05
    )
    assert "size 0.00 to" in draw_dice_by({"size": parts}, "Dice").alt
    assert dice_by(dice, np.arange(30), np.full(30, np.nan)).empty
    assert len(dice_by(dice, np.arange(30), np.ones(30))) == 1
    assert "no outlined" in draw_dice_by({"size": dice_by(dice, np.arange(30), np.full(30, np.nan))}, "Dice").alt


def test_size_and_contrast_of_a_lesion_by_hand():
    image, sector = np.full((20, 20), 100, dtype=np.uint8), np.ones((20, 20), dtype=bool)
    mask = np.zeros((20, 20), dtype=np.uint8)
    mask[5:10, 5:10] = 1
    image[5:10, 5:10] = 49
    sector[:, 15:] = False
    assert lesion_numbers(image, sector, mask) == pytest.approx((25 / 300, 51 / 255))
    assert np.isnan(lesion_numbers(image, sector, mask * 0)).all()
    size, contrast = lesion_numbers(image, mask > 0, mask)
    assert size == 1 and np.isnan(contrast)
