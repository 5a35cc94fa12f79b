"""Frames of a batch agree with the sectors they hold, follow crops and mirror images, and come out of the store."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.geometry import SectorInPixels
from ultrafm.geometry.frames import ScanFrames, frames_of

SIZE = 128
SECTORS = [
    SectorInPixels(63.0, -20.0, 30.0, 140.0, -34.0, 34.0),
    SectorInPixels(40.0, -8.0, 15.0, 120.0, -20.0, 38.0),
    SectorInPixels(63.0, 4.0, 0.0, 118.0, -42.0, 42.0),
    SectorInPixels(63.0, 40.0, 12.0, 80.0, -130.0, 95.0),
]
RECTANGLES = [(0.0, 10.0, 127.0, 117.0), (20.0, 0.0, 90.0, 127.0)]


def made_frames() -> ScanFrames:
    """All sectors, then all rectangles."""
    numbers = [*map(astuple, SECTORS), *((*box, 0.0, 0.0) for box in RECTANGLES)]
    return ScanFrames(torch.arange(6) < 4, torch.tensor(numbers))


def grid(size: int = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    places = torch.arange(size, dtype=torch.float32)
    return places[None, None, :].expand(6, 1, size), places[None, :, None].expand(6, size, 1)


def test_agrees_with_the_sectors():
    columns, rows = grid()
    depth, line = made_frames().to_unit(columns, rows)
    assert depth.shape == line.shape == (6, SIZE, SIZE)
    for number, sector in enumerate(SECTORS):
        expected = sector.to_unit(columns[number].double().numpy(), rows[number].double().numpy())
        for found, told in zip((depth, line), expected):
            np.testing.assert_allclose(found[number], np.broadcast_to(told, (SIZE, SIZE)), atol=1e-4)
    shares = torch.rand(2, 6, 50, generator=torch.Generator().manual_seed(0))
    columns, rows = made_frames().to_pixels(*shares)
    for number, sector in enumerate(SECTORS):
        expected = sector.to_pixels(*shares[:, number].double().numpy())
        np.testing.assert_allclose(torch.stack([columns[number], rows[number]]), expected, atol=1e-4)


def test_a_rectangle_by_hand():
    frames = made_frames()[4:]
    depth, line = frames.to_unit(torch.tensor([[0.0, 127.0], [55.0, 90.0]]), torch.tensor([[10.0, 117.0], [0, 12.7]]))
    assert depth.tolist() == [[0, 1], [0, pytest.approx(0.1)]]
    assert line.tolist() == [[0, 1], [0.5, 1]]
    assert frames.depths().tolist() == [107, 127] and frames.widths().tolist() == [127, 70]


def test_sizes_of_a_sector():
    frames = made_frames()
    assert frames.depths()[0] == 110
    assert frames.widths()[0] == pytest.approx(np.radians(68) * 85)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_units_and_pixels_are_inverse(depth, line):
    given_depth, given_line = torch.full((6,), depth), torch.full((6,), line)
    found_depth, found_line = made_frames().to_unit(*made_frames().to_pixels(given_depth, given_line))
    np.testing.assert_allclose(found_depth, given_depth, atol=1e-4)
    has_an_angle = (torch.arange(6) != 2) | (given_depth > 1e-3)  # the third sector begins in its apex
    np.testing.assert_allclose(found_line[has_an_angle], given_line[has_an_angle], atol=1e-4)


def test_a_crop_and_a_mirror_image_are_those_of_the_sector():
    """The left upper quarter, twice as large, mirrored."""
    side, mirror = torch.full((6,), 0.5), torch.full((6,), -1.0)
    found = made_frames().zoomed(side, torch.full((6, 2), -0.5), mirror, SIZE)
    for number, sector in enumerate(SECTORS):
        expected = astuple(sector.scaled(2).mirrored(SIZE))
        np.testing.assert_allclose(found.numbers[number], expected, atol=1e-4)
    np.testing.assert_allclose(found.numbers[4], [127 - 254.5, 20.5, 126.5, 234.5, 0, 0], atol=1e-4)
    assert torch.equal(found.curved, made_frames().curved)


def test_a_shift_moves_right_and_down():
    whole, part = torch.ones(6), torch.full((6,), 0.75)
    shift = torch.tensor([0.25, -0.25]).expand(6, 2)
    found = made_frames().zoomed(part, shift, whole, SIZE)
    for number, sector in enumerate(SECTORS):
        expected = sector.moved(32, 0).scaled(4 / 3)
        np.testing.assert_allclose(found.numbers[number], astuple(expected), atol=1e-4)


def test_nothing_changes_without_a_crop():
    frames = made_frames()
    same = frames.zoomed(torch.ones(6), torch.zeros(6, 2), torch.ones(6), SIZE)
    np.testing.assert_allclose(same.numbers, frames.numbers, atol=1e-5)
    mirrored = frames.zoomed(torch.ones(6), torch.zeros(6, 2), -torch.ones(6), SIZE)
    assert mirrored.numbers[5].tolist() == [37, 0, 107, 127, 0, 0]


def test_some_of_a_batch():
    frames = made_frames()
    some = frames[torch.tensor([4, 0])]
    assert len(some) == 2 and some.curved.tolist() == [False, True]
    changed = frames.replaced(torch.tensor([0, 4]), some).to("cpu")
    assert changed.curved.tolist() == [False, True, True, True, True, False]
    assert torch.equal(changed.numbers[[0, 4]], frames.numbers[[4, 0]])
    assert torch.equal(changed.numbers[[1, 2, 3, 5]], frames.numbers[[1, 2, 3, 5]])
    empty = frames[:0]
    assert len(empty) == 0 and empty.to_unit(torch.zeros(0, 3), torch.zeros(0, 3))[0].shape == (0, 3)


def test_from_the_store():
    sectors = np.zeros((4, SIZE, SIZE), bool)
    sectors[0] = SECTORS[0].inside(np.arange(SIZE), np.arange(SIZE))
    sectors[1, 10:118], sectors[2, 7, 9] = True, True
    curved, numbers = frames_of(sectors, [np.array(astuple(SECTORS[0]), np.float32), None, None, None])
    assert curved.tolist() == [True, False, False, False]
    assert numbers.dtype == np.float32
    np.testing.assert_allclose(numbers[0], astuple(SECTORS[0]))
    assert numbers[1:].tolist() == [[0, 10, 127, 117, 0, 0], [9, 7, 9, 7, 0, 0], [0, 0, 127, 127, 0, 0]]
    depth, line = ScanFrames(torch.from_numpy(curved), torch.from_numpy(numbers))[2:3].to_unit(
        torch.tensor([[9.0, 10.0]]), torch.tensor([[7.0, 7.0]])
    )
    assert depth.tolist() == [[0, 0]] and line[0, 0] == 0 and line[0, 1] > 1, "a single pixel divides nothing by zero"
    none, nothing = frames_of(sectors[:0], [])
    assert none.shape == (0,) and nothing.shape == (0, 6)


def test_pictures_and_sectors_must_be_as_many():
    with pytest.raises(UltraFMError, match="4 pictures and 3 sectors"):
        frames_of(np.ones((4, 8, 8), bool), [None] * 3)
