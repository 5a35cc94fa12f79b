"""Conversion of a sector in pixels to its beams and back: order, values, masks, batches; the published one beside."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.geometry import CurvedGeometry, Placement, SectorInPixels, to_beams
from ultrafm.geometry.published import published_to_rectangle, published_to_sector
from ultrafm.geometry.sectors import (
    fitting_sector,
    rectangle_map,
    rectangle_to_sector,
    sector_map,
    sector_to_rectangle,
)

HEIGHT, WIDTH = 480, 640
SECTORS = {
    "convex": SectorInPixels(320.0, -60.0, 110.0, 520.0, -34.0, 34.0),
    "leaning": SectorInPixels(250.0, -30.0, 60.0, 480.0, -20.0, 38.0),
    "phased": SectorInPixels(320.0, 4.0, 6.0, 470.0, -42.0, 42.0),
    "endocavity": SectorInPixels(320.0, 120.0, 40.0, 340.0, -68.0, 68.0),
}


def smooth(samples: int = 300, lines: int = 220) -> np.ndarray:
    depth, line = np.linspace(0, 1, samples)[:, None], np.linspace(0, 1, lines)[None, :]
    return (120 + 60 * np.sin(5 * depth + 1) * np.cos(4 * line) + 30 * depth).astype(np.float32)


@pytest.mark.parametrize("name", SECTORS)
def test_depth_stays_down(name):
    depth = np.repeat(np.arange(200, dtype=np.float32)[:, None], 150, axis=1)
    sector = SECTORS[name]
    picture = rectangle_to_sector(depth, sector, HEIGHT, WIDTH)
    inside = sector.inside(np.arange(WIDTH), np.arange(HEIGHT))
    middle = round(sector.apex_column)
    column = picture[inside[:, middle], middle]
    assert column[0] < 2
    assert column[-1] > 190
    assert (np.diff(column) > 0).all()
    assert picture[~inside].max() == 0


@pytest.mark.parametrize("name", SECTORS)
def test_left_stays_left(name):
    line = np.repeat(np.arange(151, dtype=np.float32)[None, :], 200, axis=0)
    sector = SECTORS[name]
    picture = rectangle_to_sector(line, sector, HEIGHT, WIDTH)
    row = picture[HEIGHT // 2][sector.inside(np.arange(WIDTH), np.arange(HEIGHT))[HEIGHT // 2]]
    assert (np.diff(row) > 0).all()
    assert row[0] < 5
    assert row[-1] > 145
    np.testing.assert_allclose(sector_to_rectangle(picture, sector, 200, 151)[100, 5:-5], line[100, 5:-5], atol=0.6)


@pytest.mark.parametrize("name", SECTORS)
def test_rectangle_to_sector_to_rectangle_returns(name):
    rectangle = smooth()
    picture = rectangle_to_sector(rectangle, SECTORS[name], HEIGHT, WIDTH)
    back = sector_to_rectangle(picture, SECTORS[name], *rectangle.shape)
    depth, line = (rectangle_map(SECTORS[name], *rectangle.shape)[axis] for axis in (1, 0))
    whole = (depth > 3) & (depth < HEIGHT - 4) & (line > 3) & (line < WIDTH - 4)
    whole[:30], whole[-4:], whole[:, :12], whole[:, -12:] = False, False, False, False  # black borders are near there
    difference = np.abs(back - rectangle)[whole]
    assert np.median(difference) < 0.05
    assert difference.max() < 1.5


def test_sector_to_rectangle_to_sector_returns():
    sector = SECTORS["convex"]
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    picture = (120 + 60 * np.sin(rows / 40) * np.cos(columns / 50)).astype(np.float32)
    again = rectangle_to_sector(sector_to_rectangle(picture, sector, 480, 640), sector, HEIGHT, WIDTH)
    inside = sector.inside(np.arange(WIDTH), np.arange(HEIGHT))
    inside[-2:], inside[:, :2], inside[:, -2:] = False, False, False
    assert np.abs(again - picture)[inside].max() < 0.5


@pytest.mark.parametrize("name", SECTORS)
def test_masks_come_back_as_masks(name):
    mask = np.zeros((300, 220), np.uint8)
    mask[80:180, 60:150], mask[200:260, 30:80] = 1, 3
    picture = rectangle_to_sector(mask, SECTORS[name], HEIGHT, WIDTH, is_mask=True)
    back = sector_to_rectangle(picture, SECTORS[name], 300, 220, is_mask=True)
    assert set(np.unique(picture)) == {0, 1, 3}
    assert set(np.unique(back)) == {0, 1, 3}
    for value in (1, 3):
        assert ((back == value) & (mask == value)).sum() / ((back == value) | (mask == value)).sum() > 0.95


def test_a_batch_equals_its_pictures_one_by_one():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 120, 160), dtype=np.uint8)
    sector = fitting_sector(120, 160, 70, 0.2)
    beams = sector_to_rectangle(pictures, sector, 90, 80)
    again = rectangle_to_sector(beams, sector, 120, 160)
    assert (beams.shape, again.shape, beams.dtype) == ((3, 90, 80), (3, 120, 160), np.uint8)
    for number, picture in enumerate(pictures):
        np.testing.assert_array_equal(beams[number], sector_to_rectangle(picture, sector, 90, 80))
        np.testing.assert_array_equal(again[number], rectangle_to_sector(beams[number], sector, 120, 160))
    assert sector_to_rectangle(pictures[:0], sector, 90, 80).shape == (0, 90, 80)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (np.uint8, np.uint8),
        (np.float32, np.float32),
        (np.float64, np.float32),
        (np.uint16, np.float32),
        (bool, np.uint8),
    ],
)
def test_types(kind, expected):
    assert sector_to_rectangle(np.ones((50, 60), kind), SECTORS["convex"], 20, 20).dtype == expected


def test_values_by_hand():
    """A picture that counts its rows: the beam straight down shows row = apex + radius."""
    rows = np.repeat(np.arange(400, dtype=np.float32)[:, None], 401, axis=1)
    sector = SectorInPixels(200.0, -50.0, 100.0, 400.0, -30.0, 30.0)
    beams = sector_to_rectangle(rows, sector, 301, 61)  # one sample for a pixel, one beam for a degree
    assert beams[0, 30] == pytest.approx(50, abs=1e-3)
    assert beams[200, 30] == pytest.approx(250, abs=1e-3)
    assert beams[200, 0] == pytest.approx(300 * math.cos(math.radians(30)) - 50, abs=1e-2)
    assert beams[200, 40] == pytest.approx(300 * math.cos(math.radians(10)) - 50, abs=1e-2)


def test_agrees_with_the_conversion_in_millimetres():
    picture = np.random.default_rng(1).random((200, 240)).astype(np.float32)
    shape, place = CurvedGeometry(50, 32, 120), Placement(1.0, 120.0, 10.0)
    sector = SectorInPixels(120.0, 10.0 - 50, 50.0, 170.0, -32.0, 32.0)
    ours, other = sector_to_rectangle(picture, sector, 90, 70), to_beams(picture, shape, 70, 90, placement=place)
    columns, rows = rectangle_map(sector, 90, 70)
    whole = (columns >= 1) & (columns <= 238) & (rows >= 1) & (rows <= 198)
    np.testing.assert_allclose(ours[whole], other[whole], atol=2e-3)


def test_what_lies_outside_the_picture_is_zero():
    beams = sector_to_rectangle(np.full((100, 100), 200, np.uint8), SectorInPixels(50, -20, 10, 300, -30, 30), 60, 60)
    assert beams[0].max() == 0
    assert beams[-1].max() == 0
    assert beams[15, 30] == 200


def test_maps_are_kept_and_cannot_be_spoilt():
    first = rectangle_map(SECTORS["convex"], 40, 50)
    assert rectangle_map(SectorInPixels(320.0, -60.0, 110.0, 520.0, -34.0, 34.0), 40, 50) is first
    for place in (*first, *sector_map(SECTORS["convex"], 40, 50, 30, 20)):
        with pytest.raises(ValueError, match="read-only"):
            place[0, 0] = 1


@pytest.mark.parametrize(("height", "width"), [(128, 128), (64, 200), (300, 90)])
@pytest.mark.parametrize(("opening", "inner"), [(20, 0.5), (70, 0.0), (120, 0.3), (170, 0.1)])
def test_a_fitting_sector_touches_the_border_and_stays_inside(height, width, opening, inner):
    sector = fitting_sector(height, width, opening, inner)
    columns, rows = sector.to_pixels(np.linspace(0, 1, 101)[:, None], np.linspace(0, 1, 101)[None, :])
    assert columns.min() >= -1e-6 and columns.max() <= width - 1 + 1e-6
    assert rows.min() >= -1e-6 and rows.max() <= height - 1 + 1e-6
    gaps = (columns.min(), rows.min(), width - 1 - columns.max(), height - 1 - rows.max())
    assert min(gaps) == pytest.approx(0, abs=1e-6)


def test_wrong_arguments_are_refused():
    for shape in ((5,), (1, 5), (2, 3, 4, 5)):
        with pytest.raises(UltraFMError, match="H and W"):
            sector_to_rectangle(np.zeros(shape), SECTORS["convex"], 20, 20)
    with pytest.raises(UltraFMError, match="2 x 2"):
        rectangle_to_sector(np.zeros((5, 5)), SECTORS["convex"], 1, 20)
    for opening, inner in ((0, 0.5), (180, 0.5), (60, 1.0), (60, -0.1)):
        with pytest.raises(UltraFMError, match="fitting_sector"):
            fitting_sector(100, 100, opening, inner)


def test_the_published_conversion_turns_depth_up_and_mirrors():
    depth = np.repeat(np.linspace(40, 240, 200).astype(np.uint8)[:, None], 200, axis=1)
    column = published_to_sector(depth)[:, 100]
    seen = column[column > 0]
    assert seen[2] > 220, "the inner arc, above, shows the deepest tissue"
    assert seen[-3] < 60, "the outer arc, below, shows the skin"
    line = np.repeat(np.linspace(40, 240, 200).astype(np.uint8)[None, :], 200, axis=0)
    row = published_to_sector(line)[120]
    assert row[row > 0][2] > 180 > 100 > row[row > 0][-3]
    assert published_to_sector(depth).shape == depth.shape


def test_the_published_conversions_are_not_inverse():
    rectangle = smooth(200, 200).astype(np.uint8)
    back = published_to_rectangle(published_to_sector(rectangle))
    assert np.abs(back.astype(float) - rectangle).mean() > 20
