"""Each measure of quality by pictures whose value is known by hand, and each bound by a picture that breaks it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_letters import tissue
from PIL import Image, ImageDraw, ImageFont

from ultrafm.curation.quality import Measured, measure, require
from ultrafm.curation.reading.decode import read_picture
from ultrafm.curation.reasons import Unusable
from ultrafm.curation.sector import ScanArea, find_scan_area
from ultrafm.manifests.schema import Quality

FINE = Measured(300.0, 40.0, 6.5, 0.01, 0.1, 0.02, 0.3, 0)
AREA = ScanArea((0, 0, 200, 100), np.ones((1, 1), dtype=bool), "rectangle")


def everywhere(picture: np.ndarray) -> np.ndarray:
    return np.ones(picture.shape, dtype=bool)


def screenshot() -> np.ndarray:
    """A desktop of 600 x 800: a grey menu, a white window with text, a small scan in a corner."""
    page = Image.new("L", (800, 600), 205)
    pen = ImageDraw.Draw(page)
    pen.rectangle([0, 0, 799, 24], fill=120)
    pen.rectangle([30, 50, 560, 570], fill=250, outline=60)
    for row in range(70, 560, 22):
        pen.text((40, row), "Worklist   DOE JOHN   pending   1961-04-23   abdomen", 40, ImageFont.load_default(13))
    picture = np.array(page)
    picture[60:260, 580:790] = tissue(1, 200, 210)
    return picture


def test_halves_of_two_grey_values_measured_by_hand():
    picture = np.zeros((40, 60), dtype=np.uint8)
    picture[:, 30:] = 100
    found = measure(picture, everywhere(picture), 0.25, 3)
    # two columns of 60 differ by 100 from one neighbour: Laplacian +100 and -100 there, else 0
    assert found.blur == pytest.approx(2 / 60 * 100**2)
    assert found.contrast == 50 and found.entropy == 1
    assert found.saturated == 0.5 and found.blank == 0.5
    assert found.graphics == pytest.approx(
        29 / 60, abs=0.02
    )  # all but the column at the edge, which is a straight line
    assert (found.coloured_share, found.calipers) == (0.25, 3)


def test_only_what_is_inside_counts():
    picture = tissue(1)
    inside = np.zeros(picture.shape, dtype=bool)
    inside[100:150, 100:200] = True
    changed = np.where(inside, picture, 255).astype(np.uint8)
    kept = {"blur", "graphics"}  # these look one pixel beyond the edge
    first, second = measure(picture, inside), measure(changed, inside)
    assert all(
        getattr(first, name) == getattr(second, name) for name in Measured.__dataclass_fields__ if name not in kept
    )


def test_nothing_inside_is_blank():
    picture = tissue(1)
    assert measure(picture, np.zeros(picture.shape, dtype=bool)) == Measured(0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (2, 3), (1300, 40)])
def test_odd_shapes_do_not_fail(shape):
    picture = np.full(shape, 77, dtype=np.uint8)
    found = measure(picture, everywhere(picture))
    assert (found.blur, found.contrast, found.entropy, found.saturated, found.blank) == (0, 0, 0, 1, 0)


def test_black_picture_is_blank_and_not_saturated():
    picture = np.zeros((50, 50), dtype=np.uint8)
    found = measure(picture, everywhere(picture))
    assert found.blank == 1 and found.saturated == 0 and found.graphics == 0


def test_too_much_gain_is_saturated():
    picture = tissue(2, grain=1.5)
    bright = np.clip(picture.astype(int) * 4, 0, 255).astype(np.uint8)
    area = find_scan_area(picture)
    left, top, right, bottom = area.box
    inside = everywhere(picture)[top:bottom, left:right]
    assert measure(picture[top:bottom, left:right], inside).saturated < 0.05
    assert measure(bright[top:bottom, left:right], inside).saturated > 0.5


def test_a_screenshot_is_told_from_tissue():
    page = screenshot()
    assert measure(page, everywhere(page)).graphics > Quality().most_graphics
    for seed in range(4):
        picture = tissue(seed, grain=1.0 + seed)
        assert measure(picture, everywhere(picture)).graphics < 0.1


@pytest.mark.parametrize(
    ("kind", "poor", "least"),
    [
        ("blank", {"blank": 0.97}, {}),
        ("saturated", {"saturated": 0.6}, {}),
        ("like a screenshot", {"graphics": 0.7}, {}),
        ("too much colour", {"coloured_share": 0.3}, {"most_colour": 0.2}),
        ("too little contrast", {"contrast": 1.0}, {}),
        ("low information", {"entropy": 0.3}, {"least_information": 2.0}),
        ("calipers", {"calipers": 2}, {"calipers": "leave out"}),
    ],
)
def test_each_bound_has_a_kind_of_its_own(kind, poor, least):
    require(FINE, AREA, Quality())
    with pytest.raises(Unusable) as why:
        require(replace(FINE, **poor), AREA, Quality(**least))
    assert why.value.kind == kind
    assert why.value.found and why.value.expected


def test_small_area_is_told_first():
    small = ScanArea((0, 0, 20, 100), np.ones((1, 1), dtype=bool), "rectangle")
    with pytest.raises(Unusable, match="scan area too small: found 20 x 100 pixels; expected at least 48"):
        require(replace(FINE, blank=1.0), small, Quality())


def test_a_bound_that_is_just_met_is_met():
    exact = replace(FINE, blank=0.95, saturated=0.5, graphics=0.5, contrast=4.0, entropy=2.0, coloured_share=1.0)
    assert require(exact, AREA, Quality()) is None
    assert require(replace(FINE, calipers=9), AREA, Quality()) is None


def test_real_pictures_are_good_enough(real_data):
    paths = [path for path in sorted(real_data.rglob("*.jpg")) if "masks" not in path.parts][::12]
    for path in paths:
        grey = read_picture(path).grey
        area = find_scan_area(grey)
        left, top, right, bottom = area.box
        inside = area.inside_at(area.width, area.height)
        crop = (grey[top:bottom, left:right] * inside).astype(np.uint8)
        require(measure(crop, inside), AREA, Quality())
    assert len(paths) > 80
