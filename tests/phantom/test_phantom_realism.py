"""Measures of likeness, against pictures whose answer is known."""

import numpy as np
import pytest
from scipy import ndimage

from ultrafm.phantom.realism import HEIGHT, MEASURES, compare, measure_scan, speckle_size

GENERATOR = np.random.default_rng(0)


def grains(down: float, across: float, height: int = HEIGHT, width: int = 256) -> np.ndarray:
    """Grey noise with Gaussian autocovariance: blurred by deviations `down` and `across`, in pixels."""
    field = ndimage.gaussian_filter(GENERATOR.standard_normal((height, width)), (down, across), mode="wrap")
    return np.clip(120 + 30 * field / field.std(), 0, 255)


def whole(picture: np.ndarray) -> np.ndarray:
    return np.ones(picture.shape, bool)


@pytest.mark.parametrize(("down", "across"), [(1.0, 2.0), (1.5, 1.5), (1.0, 1.0)])
def test_grains_have_the_size_that_they_were_made_with(down, across):
    """Blurring white noise by s gives an autocovariance of deviation sqrt(2) s, half maximum 2.355 sqrt(2) s wide."""
    picture = grains(down, across)
    corners = [(row, column) for row in range(0, 240, 24) for column in range(0, 240, 24)]
    squares = [picture[row : row + 24, column : column + 24] for row, column in corners]
    height, width = speckle_size(squares)
    assert height == pytest.approx(2.355 * 2**0.5 * down, rel=0.12)
    assert width == pytest.approx(2.355 * 2**0.5 * across, rel=0.12)


def test_a_scan_measures_alike_at_another_size():
    picture = grains(3, 4, 512, 512).astype(np.uint8)
    large, small = measure_scan(picture, whole(picture)), measure_scan(picture[::2, ::2], whole(picture[::2, ::2]))
    for name in ("speckle height", "speckle width", "mean grey", "contrast"):
        assert large[name] == pytest.approx(small[name], rel=0.1), name


def test_values_by_hand():
    picture = np.full((HEIGHT, 200), 100, np.uint8)
    picture[:, :100] = 0
    inside = whole(picture)
    found = measure_scan(picture, inside)
    assert found["mean grey"] == 50 and found["contrast"] == 50 and found["dark share"] == 0.5
    assert found["entropy"] == pytest.approx(1.0)  # two values, equally often
    inside[:, :100] = False
    found = measure_scan(picture, inside)
    assert found["mean grey"] == 100 and found["dark share"] == 0 and found["entropy"] == 0


def test_what_cannot_be_measured_is_not_a_number():
    found = measure_scan(np.zeros((80, 90), np.uint8), np.ones((80, 90), bool))
    assert np.isnan(found["speckle SNR"]) and np.isnan(found["speckle height"]) and set(found) == set(MEASURES)


def test_a_narrow_spectrum_falls_faster():
    slopes = [measure_scan(one, whole(one))["spectrum slope"] for one in (grains(0.5, 0.5), grains(2, 2))]
    assert slopes[1] < slopes[0] < 0.5


def test_apart_is_one_half_for_the_same_set_and_one_for_sets_that_do_not_meet():
    low = [dict.fromkeys(MEASURES, float(value)) for value in range(5)]
    high = [dict.fromkeys(MEASURES, float(value)) for value in range(10, 15)]
    assert compare(low, low)["apart"].tolist() == [0.5] * len(MEASURES)
    assert compare(low, high)["apart"].tolist() == [1.0] * len(MEASURES) == compare(high, low)["apart"].tolist()
    assert compare(low, high)[["real", "simulated"]].iloc[0].tolist() == [2, 12]


def test_a_measure_that_one_set_lacks_is_left_out():
    known = [dict.fromkeys(MEASURES, 1.0)]
    missing = [{**known[0], "speckle SNR": np.nan}]
    assert "speckle SNR" not in compare(known, missing)["measure"].tolist()
    assert len(compare(known, missing)) == len(MEASURES) - 1
