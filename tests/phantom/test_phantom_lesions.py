"""Benign and malignant overlap as difficulty says, and differ in nothing that they should not differ in."""

import numpy as np
import pytest
from phantom_makers import BOTH, make_device, make_manifest, make_source
from scipy import stats

from ultrafm.phantom.grid import View, geometry_of, grid_of
from ultrafm.phantom.lesions import LESION_LABELS, TRAITS, draw_lesion, draw_outline, paint_lesion, trait_distribution
from ultrafm.phantom.patients import draw_label, draw_patient, take_photo
from ultrafm.phantom.tissue import blank_tissue


def many(label, difficulty, count=300):
    return [draw_lesion(label, difficulty, (0, 0.5), 0.3, np.random.default_rng(seed)) for seed in range(count)]


def test_at_difficulty_one_both_kinds_follow_the_same_law():
    assert trait_distribution("benign", 1.0) == trait_distribution("malignant", 1.0)
    benign, malignant = (draw_lesion(label, 1.0, (0, 0.5), 0.3, np.random.default_rng(4)) for label in LESION_LABELS)
    for name in ("aspect", "echo_db", "posterior_db", "margin", "stiffness", "washout"):
        assert getattr(benign, name) == getattr(malignant, name)
    np.testing.assert_array_equal(benign.outline, malignant.outline)


@pytest.mark.parametrize("trait", TRAITS)
def test_traits_come_closer_as_difficulty_grows(trait):
    gaps = [
        abs(trait_distribution("malignant", difficulty)[trait][0] - trait_distribution("benign", difficulty)[trait][0])
        for difficulty in (0, 0.5, 1)
    ]
    assert gaps[0] > gaps[1] > gaps[2] == pytest.approx(0)
    assert gaps[1] == pytest.approx(gaps[0] / 2)


def test_easy_lesions_differ_but_even_they_overlap():
    benign, malignant = many("benign", 0.0), many("malignant", 0.0)
    for name, taller in (
        ("aspect", 1),
        ("echo_db", -1),
        ("posterior_db", -1),
        ("heterogeneity_db", 1),
        ("stiffness", 1),
    ):
        values = [[getattr(lesion, name) for lesion in kind] for kind in (benign, malignant)]
        area = stats.mannwhitneyu(values[1], values[0]).statistic / len(benign) ** 2
        assert 0.55 < (area if taller > 0 else 1 - area) < 0.995, name


def test_outlines_keep_their_area():
    angles = np.linspace(0, 2 * np.pi, 257)
    for seed in range(20):
        outline = draw_outline(0.15, 0.4, np.random.default_rng(seed))
        assert np.trapezoid(outline**2, angles) / 2 == pytest.approx(np.pi, rel=0.01)
        assert outline[0] == pytest.approx(outline[-1], abs=1e-4)
        assert outline.min() > 0


def test_size_in_the_picture_does_not_tell_the_kind():
    grid = grid_of(geometry_of(make_device()))
    areas = {}
    for label in LESION_LABELS:
        areas[label] = []
        for lesion in many(label, 0.0, 40):
            tissue = blank_tissue(grid)
            paint_lesion(tissue, grid, lesion, 10, View(), np.random.default_rng(0))
            areas[label].append(tissue.lesion.mean())
    assert np.mean(areas["malignant"]) == pytest.approx(np.mean(areas["benign"]), rel=0.02)


def test_all_but_the_lesion_is_the_same_whatever_the_label():
    organs, modalities = ("breast", "thyroid"), ("B-mode", "harmonic B-mode", "power Doppler")
    for number in range(1, 30):
        people = [
            draw_patient(make_manifest(source, organs, modalities), source, 3, number)
            for source in (make_source({"benign": 1.0}), make_source({"malignant": 1.0}), make_source({"normal": 1.0}))
        ]
        for name in ("organ", "difficulty", "place", "diameter", "modalities", "views", "pose"):
            assert len({getattr(person, name) for person in people}) == 1, name


def test_labels_keep_their_shares_in_any_first_patients():
    source = make_source({"normal": 0.2, "benign": 0.5, "malignant": 0.3})
    labels = [draw_label(source, "breast", 7, "site_01_test", number) for number in range(1, 201)]
    for first in (40, 100, 200):
        for name, share in source.findings.items():
            assert labels[:first].count(name) == pytest.approx(share * first, abs=3)


def test_lesions_are_large_enough_to_see_in_small_pictures():
    source = make_source(BOTH)
    manifest = make_manifest(source)
    for number in range(1, 9):
        patient = draw_patient(manifest, source, 0, number)
        photo = take_photo(manifest, source, 0, patient, 0)
        diameter = 2 * np.sqrt(photo.mask.sum() / np.pi) / 256  # the scan is 256 pixels wide
        assert 0.14 < diameter < 0.42
        columns = np.flatnonzero(photo.mask.any(0))
        assert columns[0] > 34 and columns[-1] < 285  # wholly inside the scan
