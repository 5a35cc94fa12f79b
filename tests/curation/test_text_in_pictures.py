"""Letters and calipers are found and made black wherever they lie, and tissue is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from made_letters import Character, as_jpeg, draw_words, tissue
from PIL import Image, ImageDraw

from ultrafm.curation.identity.text import Mark, black_out, find_text, place_marks
from ultrafm.curation.reading.media import read_frames
from ultrafm.curation.sector import find_scan_area

MARKED = yaml.safe_load((Path(__file__).parent / "burnt_in_boxes.yaml").read_text())


def blackened(picture: np.ndarray) -> np.ndarray:
    """Which pixels are made black, bool (H, W)."""
    return black_out(np.full_like(picture, 255), find_text(picture)) == 0


def share_covered(characters: list[Character], black: np.ndarray) -> float:
    """Share of the characters whose every inked pixel is black."""
    covered = [black[c.box[1] : c.box[3], c.box[0] : c.box[2]][c.ink].all() for c in characters]
    return float(np.mean(covered))


def lettered(seed: int) -> tuple[np.ndarray, list[Character]]:
    """Tissue in a fan or a frame with words of 9 to 28 pixels and grey 180 to 255, half of them saved as JPEG."""
    generator = np.random.default_rng([seed, 7])
    scan = tissue(seed, 300, 400, generator.choice([0.7, 1.0, 1.5]), sector=seed % 2 == 0)
    picture, characters = draw_words(scan, seed, int(generator.integers(9, 29)), int(generator.integers(180, 256)), 4)
    return (as_jpeg(picture, int(generator.integers(75, 93))) if seed % 4 < 2 else picture), characters


def test_every_pixel_of_nearly_all_characters_is_made_black():
    covered, characters, black, far = 0.0, 0, 0.0, 0
    for seed in range(5000, 5024):
        picture, drawn = lettered(seed)
        made_black = blackened(picture)
        covered += share_covered(drawn, made_black) * len(drawn)
        characters += len(drawn)
        black += made_black.mean() / 24
        far += sum(not _touches(mark, drawn) for mark in find_text(picture))
    assert covered / characters >= 0.98
    assert black < 0.08, "words fill about 3 % of these pictures"
    assert far <= 1, "marks that hold no character, in 24 pictures"


def _touches(mark: Mark, characters: list[Character]) -> bool:
    left, top, right, bottom = mark.box
    boxes = [character.box for character in characters]
    return any(left < box[2] and box[0] < right and top < box[3] and box[1] < bottom for box in boxes)


@pytest.mark.parametrize("grain", [0.7, 1.0, 1.5, 2.5])
def test_speckle_cysts_and_bright_spots_are_no_text(grain):
    pictures = [tissue(seed, 300, 400, grain, sector=seed % 2 == 0) for seed in range(6000, 6020)]
    false = sum(len(find_text(picture)) + len(find_text(as_jpeg(picture, 80))) for picture in pictures)
    assert false <= 0.05 * 40


def test_no_shape_of_a_letter_is_left_between_the_letters_of_a_word():
    picture, characters = draw_words(tissue(1), 3, 14, 235, 1, ("GENERAL HOSPITAL",))
    boxes = np.array([character.box for character in characters])
    left, top = boxes[:, :2].min(axis=0)
    right, bottom = boxes[:, 2:].max(axis=0)
    found = black_out(picture, find_text(picture))
    assert (found[top:bottom, left:right] == 0).all()


def test_yellow_letters_are_found_in_a_grey_picture():
    grey, characters = draw_words(tissue(2), 4, 12, 200, 2)
    colour = np.stack([grey, grey, grey], axis=2)
    for character in characters:
        left, top, right, bottom = character.box
        colour[top:bottom, left:right][character.ink] = (255, 230, 40)
    black = black_out(np.full_like(grey, 255), find_text(grey, colour)) == 0
    assert share_covered(characters, black) == 1


def with_calipers(picture: np.ndarray, places: list[tuple[int, int]], arm: int) -> np.ndarray:
    drawn = Image.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    for x, y in places:
        pen.line([(x - arm, y), (x + arm, y)], 235)
        pen.line([(x, y - arm), (x, y + arm)], 235)
    return np.asarray(drawn)


@pytest.mark.parametrize("arm", [3, 5, 8])
def test_calipers_are_found_and_named(arm):
    places = [(100, 80), (240, 200), (300, 120)]
    found = 0
    for seed in range(8):
        marks = find_text(with_calipers(tissue(seed), places, arm))
        calipers = [mark.box for mark in marks if mark.kind == "caliper"]
        found += sum(any(b[0] <= x < b[2] and b[1] <= y < b[3] for b in calipers) for x, y in places)
        assert len(calipers) <= len(places)
    assert found >= 0.9 * 8 * len(places)


def test_oblique_crosses_are_calipers_too():
    drawn = Image.new("L", (120, 90))
    ImageDraw.Draw(drawn).line([(40, 40), (50, 50)], 255)
    ImageDraw.Draw(drawn).line([(40, 50), (50, 40)], 255)
    assert [mark.kind for mark in find_text(np.asarray(drawn)) if mark.kind == "caliper"] == ["caliper"]


def test_marks_are_placed_by_the_scan_area():
    inside = np.zeros((40, 60), dtype=bool)
    inside[10:30, 20:50] = True
    boxes = [(0, 0, 10, 10), (18, 12, 25, 20), (22, 12, 30, 20), (20, 10, 50, 30), (19, 10, 20, 30)]
    marks = [Mark(box, "text") for box in boxes]
    assert place_marks(marks, inside) == ["outside", "touching", "inside", "inside", "outside"]


def test_black_out_grows_boxes_by_its_margin_and_keeps_the_rest():
    picture = np.full((20, 30), 9, dtype=np.uint8)
    made = black_out(picture, [Mark((0, 5, 4, 8), "text"), Mark((28, 18, 30, 20), "text")], margin=2)
    expected = picture.copy()
    expected[3:10, 0:6] = 0
    expected[16:20, 26:30] = 0
    assert (made == expected).all() and (picture == 9).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (7, 9), (2, 2)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_tiny_and_even_pictures_hold_no_text(shape, value):
    even = np.full(shape, value, dtype=np.uint8)
    assert find_text(even) == []
    assert find_text(even, np.stack([even] * 3, axis=2)) == []


def test_noise_of_any_kind_does_not_fail_and_stays_inside():
    generator = np.random.default_rng(0)
    for height, width in ((5, 300), (300, 5), (90, 130)):
        picture = generator.integers(0, 256, (height, width), dtype=np.uint8)
        for mark in find_text(picture):
            left, top, right, bottom = mark.box
            assert 0 <= left < right <= width and 0 <= top < bottom <= height


def marked_files(real_data: Path) -> Iterator[tuple[str, Path, list[dict]]]:
    for pattern, boxes in MARKED.items():
        for path in sorted(real_data.glob(pattern)):
            yield pattern, path, boxes


def test_marked_text_of_real_pictures_is_black(real_data):
    left_over = []
    for pattern, path, boxes in marked_files(real_data):
        decoded = read_frames(path, [0])[0]
        area = find_scan_area(decoded.grey)
        left, top, right, bottom = area.box
        scan = np.zeros_like(decoded.grey)
        scan[top:bottom, left:right] = np.where(
            area.inside_at(area.width, area.height), decoded.grey[top:bottom, left:right], 0
        )
        clean = black_out(scan, find_text(decoded.grey, decoded.rgb))
        for marked in boxes:
            left, top, right, bottom = marked["box"]
            if clean[top:bottom, left:right].any():
                left_over.append((pattern, path.name, marked["holds"]))
    assert left_over == []


@pytest.mark.slow
def test_no_text_is_found_in_real_pictures_without_any(real_data):
    folders = ("nerve_usgra/images", "liver_sweep", "lung_pocus/frames")
    pictures = [path for folder in folders for path in sorted((real_data / folder).iterdir()) if path.suffix != ".json"]
    marked = [path.name for path in pictures if find_text(np.asarray(Image.open(path).convert("L")))]
    assert len(pictures) > 800
    assert len(marked) <= 5
