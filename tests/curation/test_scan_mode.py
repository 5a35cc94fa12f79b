"""The scan mode is read from pixels alone: right, or unknown where no edge shows, and never wrong with confidence."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from made_archives import framed, speckle
from PIL import Image

from ultrafm.curation.reading.media import read_frames
from ultrafm.curation.sector import find_scan_area
from ultrafm.files import read_json
from ultrafm.geometry import SectorInPixels
from ultrafm.manifests import choose_source, load_sites
from ultrafm.phantom import write_archive

REPOSITORY = Path(__file__).resolve().parents[2]
MODES = {"linear": "linear", "convex": "convex", "sector": "phased sector"}
SURE = 0.5


def visible_edges() -> set[str]:
    """Real pictures in which a side or an arc of the scan can be seen over a fifth of the picture or more.

    Labelled on contact sheets by somebody who saw no answer of ours ("yes", "doubtful", "no"); only "yes" counts here.
    """
    with (Path(__file__).parent / "visible_edges.csv").open() as handle:
        return {row["file"] for row in csv.DictReader(handle) if row["visible"] == "yes"}


def answers(folder: Path, every: int) -> list[tuple[str, str, str, float]]:
    """File, true mode, mode found and confidence of every so many rows of the real pictures' table."""
    rows = list(csv.DictReader((folder / "metadata.csv").open()))
    found = []
    for row in rows[::every]:
        area = find_scan_area(read_frames(folder / row["file"], (0,))[0].grey)
        found.append((row["file"], MODES[row["scan_mode"]], area.scan_mode, area.confidence))
    return found


def judge(found: list[tuple[str, str, str, float]]) -> float:
    """Check that no answer is wrong with confidence; returns the share of right answers where an edge is visible."""
    sure_and_wrong = [row for row in found if row[2] not in (row[1], "unknown") and row[3] >= SURE]
    assert not sure_and_wrong
    seen = visible_edges()
    visible = [row for row in found if row[0] in seen]
    assert len(visible) > 0.6 * len(found)
    return float(np.mean([mode == truth for _file, truth, mode, _confidence in visible]))


def test_a_tenth_of_the_real_pictures(real_data):
    assert judge(answers(real_data, 10)) >= 0.95


@pytest.mark.slow
def test_all_real_pictures(real_data):
    assert judge(answers(real_data, 1)) >= 0.97


def test_the_labels_name_real_pictures(real_data):
    files = {row["file"] for row in csv.DictReader((real_data / "metadata.csv").open())}
    assert visible_edges() <= files and len(visible_edges()) > 800


def test_a_rectangle_with_edges_is_linear():
    area = find_scan_area(framed(speckle(0), 20))
    assert (area.scan_mode, area.confidence > SURE, area.geometry) == ("linear", True, None)


@pytest.mark.parametrize("picture", [speckle(1), np.zeros((60, 80), np.uint8)], ids=["no border", "black"])
def test_without_an_edge_it_is_unknown(picture):
    area = find_scan_area(picture)
    assert (area.kind, area.scan_mode, area.confidence) == ("whole", "unknown", 0.0)


def test_a_lower_edge_alone_tells_nothing():
    picture = speckle(2, 240, 320).copy()
    picture[200:] = 0
    area = find_scan_area(picture)
    assert area.scan_mode == "unknown"
    assert abs(area.box[3] - 200) <= 1


def test_an_irregular_shadow_at_the_side_tells_nothing():
    picture = speckle(3, 240, 320).copy()
    ends = 200 + 60 * np.sin(np.arange(240) / 17) + np.random.default_rng(0).normal(0, 8, 240)
    picture[np.arange(320)[None, :] > ends[:, None]] = 0
    assert find_scan_area(picture).scan_mode == "unknown"


def test_a_fan_cropped_to_its_middle_shows_only_its_corners():
    sector = SectorInPixels(200.0, -160.0, 190.0, 700.0, -33.0, 33.0)
    inside = sector.inside(np.arange(400), np.arange(360))
    area = find_scan_area(np.where(inside, speckle(4, 360, 400), 0).astype(np.uint8))
    assert area.scan_mode == "convex"
    assert area.geometry.right_angle == pytest.approx(33, abs=1)


def simulated(folder: Path) -> list[tuple[str, str, str, float]]:
    """Site, mode of its device, mode found, and overlap of the areas, for a few pictures of each of the 16 sites."""
    found = []
    for manifest in load_sites(REPOSITORY / "data_manifests"):
        source = choose_source(manifest, "phantom")[1]
        write_archive(manifest, source, folder / manifest.site, 0, 0.01)
        told = read_json(folder / manifest.site / "geometry.json")
        with (folder / manifest.site / "metadata.csv").open() as table:
            rows = [row for row in csv.DictReader(table) if row["modality"] not in told["not_for_modalities"]]
        for row in [row for row in rows if "export" not in row["file"]][:4]:
            grey = np.asarray(Image.open(folder / manifest.site / row["file"]).convert("L"))
            area = find_scan_area(grey)
            check_geometry(area.geometry, told)
            found.append((manifest.site, row["scan_mode"], area.scan_mode, overlap(area, true_area(told, grey.shape))))
    return found


def true_sector(told: dict) -> SectorInPixels:
    """The sector that an archive's geometry.json states."""
    column, row, scale = *told["origin_px_xy"], told["mm_per_pixel"]
    inner, outer = told["radius_mm"] / scale, (told["radius_mm"] + told["depth_mm"]) / scale
    return SectorInPixels(column, row - inner, inner, outer, -told["half_angle_degrees"], told["half_angle_degrees"])


def true_area(told: dict, shape: tuple[int, ...]) -> np.ndarray:
    """Where the scan lies in a picture, as geometry.json states."""
    columns, rows = np.arange(shape[1]), np.arange(shape[0])
    if told["type"] == "curved":
        return true_sector(told).inside(columns, rows)
    across = np.abs(columns - told["origin_px_xy"][0]) * told["mm_per_pixel"] <= told["width_mm"] / 2 + 1e-6
    down = (rows - told["origin_px_xy"][1]) * told["mm_per_pixel"]
    return across[None, :] & ((down >= -1e-6) & (down <= told["depth_mm"] + 1e-6))[:, None]


def check_geometry(found: SectorInPixels | None, told: dict) -> None:
    """Apex and radii within 2 %; a radius of a few pixels, as that of a phased array, within half a pixel."""
    if told["type"] != "curved":
        assert found is None
        return
    truth = true_sector(told)
    away = np.hypot(found.apex_column - truth.apex_column, found.apex_row - truth.apex_row)
    assert away / truth.outer_radius < 0.02
    assert found.inner_radius == pytest.approx(truth.inner_radius, rel=0.02, abs=0.5)
    assert found.outer_radius == pytest.approx(truth.outer_radius, rel=0.02)


def overlap(area, expected: np.ndarray) -> float:
    """Intersection over union of a scan area and the true one (bool)."""
    left, top, right, bottom = area.box
    mask = np.zeros(expected.shape, dtype=bool)
    mask[top:bottom, left:right] = area.inside_at(right - left, bottom - top)
    return (mask & expected).sum() / (mask | expected).sum()


def test_simulated_pictures_of_all_sites(tmp_path):
    found = simulated(tmp_path)
    assert len({site for site, *_rest in found}) >= 15
    expected = {"endocavity": "convex"}  # a wide fan with a short, visible arc
    assert [row for row in found if row[2] != expected.get(row[1], row[1])] == []
    overlaps = [row[3] for row in found]
    assert np.mean(overlaps) >= 0.98
    assert min(overlaps) >= 0.97
