"""The angle of progression on drawn scenes whose angle is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from ultrafm.downstream.measurement.progression import angle_of_progression
from ultrafm.downstream.measurement.scenes import drawn_ellipse, drawn_labour
from ultrafm.errors import UltraFMError


@pytest.mark.parametrize("angle", [70, 90, 120, 150, 170])
@pytest.mark.parametrize("tilt", [-10, 0, 35])
def test_known_angle(angle, tilt):
    scene = drawn_labour(512, angle, tilt)
    assert angle_of_progression(scene.symphysis, scene.head).value == pytest.approx(angle, abs=1.0)


def test_hand_computed_right_angle():
    """Symphysis from (20, 50) to (60, 50); a head whose right edge lies at column 60: the tangent is plumb."""
    symphysis = drawn_ellipse((200, 200), (40, 50), (20, 6))
    head = drawn_ellipse((200, 200), (30, 130), (30, 30))
    found = angle_of_progression(symphysis, head)
    assert found.value == pytest.approx(90, abs=1.0) and found.unit == "degrees"
    assert found.drawn["symphysis"][1] == pytest.approx([60, 50], abs=1)
    assert found.drawn["tangent"][1] == pytest.approx([60, 130], abs=4)


def test_mirrored_picture_gives_the_same_angle():
    scene = drawn_labour(256, 125)
    mirrored = angle_of_progression(scene.symphysis[:, ::-1], scene.head[:, ::-1], "right")
    assert mirrored.value == pytest.approx(angle_of_progression(scene.symphysis, scene.head).value, abs=1e-3)


def test_scale_and_place_do_not_matter():
    scene = drawn_labour(128, 110)
    before = angle_of_progression(scene.symphysis, scene.head).value
    doubled = [np.kron(mask, np.ones((2, 2))) for mask in (scene.symphysis, scene.head)]
    moved = [np.roll(np.pad(mask, 20), (7, -3), axis=(0, 1)) for mask in (scene.symphysis, scene.head)]
    assert angle_of_progression(*doubled).value == pytest.approx(before, abs=0.7)
    assert angle_of_progression(*moved).value == pytest.approx(before, abs=1e-3)
    assert angle_of_progression(scene.symphysis, scene.head, spacing=0.2).value == pytest.approx(before, abs=1e-3)


def test_pixels_that_are_not_square():
    """Every second row left out: pixels twice as high as wide. Taken for square, the angle is another."""
    scene = drawn_labour(512, 135)
    flat = scene.symphysis[::2], scene.head[::2]
    assert angle_of_progression(*flat, spacing=(0.2, 0.1)).value == pytest.approx(135, abs=1.2)
    assert abs(angle_of_progression(*flat).value - 135) > 5


@pytest.mark.parametrize(
    ("symphysis", "head", "said"),
    [
        ("empty", "head", "symphysis: the mask is empty"),
        ("symphysis", "empty", "head: the mask is empty"),
        ("line", "head", "a line one pixel wide"),
        ("round", "head", "no long axis can be told"),
        ("upright", "head", "stands upright"),
        ("symphysis", "everywhere", "lies in or on the head"),
        ("symphysis", "bay", "lies in a bay of the head"),
    ],
)
def test_no_angle_but_a_reason(symphysis, head, said):
    shape = (160, 160)
    line = np.zeros(shape, dtype=np.uint8)
    line[40, 20:60] = 1
    ring = drawn_ellipse(shape, (60, 50), (45, 45)) & ~drawn_ellipse(shape, (60, 50), (33, 33))
    masks = {
        "empty": np.zeros(shape, dtype=np.uint8), "line": line, "round": drawn_ellipse(shape, (40, 50), (12, 11)),
        "symphysis": drawn_ellipse(shape, (40, 50), (20, 6)), "upright": drawn_ellipse(shape, (40, 50), (6, 20)),
        "head": drawn_ellipse(shape, (60, 110), (30, 30)), "everywhere": drawn_ellipse(shape, (60, 60), (40, 40)),
        "bay": ring * (np.arange(160) < 95),
    }  # fmt: skip
    masks["bay"][:, :45] = 0
    found = angle_of_progression(masks[symphysis], masks[head])
    assert found.value is None and said in found.reason and found.unit == "degrees"


def test_pieces_and_border_are_told_with_their_structure():
    scene = drawn_labour(200, 120)
    symphysis, head = scene.symphysis.copy(), scene.head.copy()
    symphysis[-3:, -3:] = 1
    low = np.roll(head, 200 - 1 - np.flatnonzero(head.any(axis=1)).max(), axis=0)
    found = angle_of_progression(symphysis, low)
    assert any(note.startswith("symphysis: 2 pieces") for note in found.notes)
    assert "head touches the border of the picture" in found.notes


def test_wrong_input_is_an_error():
    mask = drawn_ellipse((50, 50), (20, 20), (10, 4))
    with pytest.raises(UltraFMError, match="masks of the same picture"):
        angle_of_progression(mask, mask[:40])
    with pytest.raises(UltraFMError, match="'left' or 'right'"):
        angle_of_progression(mask, mask, "up")
