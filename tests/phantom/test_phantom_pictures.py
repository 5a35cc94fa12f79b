"""Every organ and modality gives a picture that is one, and views of one body are views of one body."""

import numpy as np
import pytest
from phantom_makers import BOTH, make_device, make_manifest, make_source
from scipy import ndimage

from ultrafm.errors import UltraFMError
from ultrafm.phantom.anatomy import ORGANS, draw_body, organ_of, sensible_modalities
from ultrafm.phantom.grid import View, geometry_of, grid_of
from ultrafm.phantom.modalities import MODALITIES
from ultrafm.phantom.overlays import draw_overlays, frame_of
from ultrafm.phantom.patients import draw_patient, take_photo

COLOURED = {"colour Doppler", "power Doppler", "strain elastography", "contrast-enhanced"}


def photo_of(organ="breast", modality="B-mode", scan_mode="linear", findings=None, number=1, image=0, **device):
    source = make_source(findings or BOTH, make_device(scan_mode, **device))
    manifest = make_manifest(source, (organ,), (modality,))
    patient = draw_patient(manifest, source, 5, number)
    return patient, take_photo(manifest, source, 5, patient, image)


def test_the_tables_name_19_organs_and_10_modalities():
    assert len(ORGANS) == 19 and len(MODALITIES) == 10
    assert {name for organ in ORGANS.values() for name in organ.modalities} <= set(MODALITIES)


@pytest.mark.parametrize("organ", ORGANS)
@pytest.mark.parametrize("scan_mode", ["linear", "convex"])
def test_every_organ_gives_a_picture_and_a_lesion(organ, scan_mode):
    _patient, photo = photo_of(organ, scan_mode=scan_mode)
    grey = np.asarray(photo.image)
    assert grey.shape == photo.mask.shape == (256, 320)
    scan = grey[grey > 0]
    assert 25 < scan.mean() < 150 and scan.std() > 15
    assert (scan == 255).mean() < 0.05
    assert photo.mask.sum() > 500


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("scan_mode", ["linear", "phased sector", "endocavity"])
def test_every_modality_gives_a_picture_with_the_mask_where_the_lesion_is(modality, scan_mode):
    _patient, photo = photo_of("liver", modality, scan_mode)
    picture = np.asarray(photo.image)
    assert picture.shape == ((256, 320, 3) if modality in COLOURED else (256, 320))
    assert picture.std() > 12 and photo.mask.any()
    hue = np.ptp(picture, axis=2).max() if picture.ndim == 3 else 0
    assert (hue > 60) == (modality in COLOURED)
    assert (photo.clip != "") == (modality == "3-D sweep")


def test_organs_differ_from_one_another():
    grid = grid_of(geometry_of(make_device("convex")))
    bodies = [draw_body(organ, grid, np.random.default_rng(1)).echo_db for organ in ORGANS]
    for index, body in enumerate(bodies):
        assert min(np.abs(body - other).mean() for other in bodies[:index] + bodies[index + 1 :]) > 2


def test_another_view_shows_the_same_body_moved():
    grid, shifted = (grid_of(geometry_of(make_device()), view) for view in (View(), View(shift_x=16 / 127)))
    here, there = (draw_body("liver", place, np.random.default_rng(1)).echo_db for place in (grid, shifted))
    below = slice(80, None)  # the belly wall follows the probe, not the body
    assert np.corrcoef(here[below, :-16].ravel(), there[below, 16:].ravel())[0, 1] > 0.95
    assert np.corrcoef(here[below].ravel(), there[below].ravel())[0, 1] < 0.8


def test_views_of_a_patient_are_not_copies():
    first, second = (np.asarray(photo_of(image=image)[1].image, float) for image in (0, 1))
    assert np.abs(first - second).mean() > 8


def test_slices_of_a_sweep_are_more_alike_than_views():
    def likeness(modality):
        one, two = (np.asarray(photo_of("breast", modality, image=image)[1].image, float) for image in (0, 1))
        return np.corrcoef(one[:, 40:-40].ravel(), two[:, 40:-40].ravel())[0, 1]

    assert likeness("3-D sweep") > likeness("B-mode")


def test_lesions_are_darker_than_the_tissue_around_them():
    ratios = []
    for number in range(1, 13):
        _patient, photo = photo_of("liver", scan_mode="convex", number=number)
        grey = np.asarray(photo.image, float)
        ring = ndimage.binary_dilation(photo.mask, iterations=14) & ~ndimage.binary_dilation(photo.mask, iterations=4)
        ratios.append(grey[photo.mask].mean() / grey[ring & (grey > 0)].mean())
    assert np.median(ratios) < 0.85
    assert np.mean(np.array(ratios) < 1) > 0.9


@pytest.mark.parametrize("scan_mode", ["linear", "convex", "phased sector", "endocavity"])
def test_nothing_written_on_the_picture_depends_on_the_label(scan_mode):
    overlays = {"overlays": ("text", "scale", "logo", "caliper")}
    for number in range(1, 6):
        photos = [photo_of("breast", "B-mode", scan_mode, {label: 1.0}, number, **overlays)[1] for label in
                  ("normal", "benign", "malignant")]  # fmt: skip
        frame = frame_of(make_device(scan_mode, **overlays))
        pictures = [np.asarray(photo.image) for photo in photos]
        for other in pictures[1:]:
            np.testing.assert_array_equal(pictures[0][: frame.top], other[: frame.top])
            np.testing.assert_array_equal(pictures[0][:, frame.right :], other[:, frame.right :])
        assert pictures[0][: frame.top].max() > 200 and pictures[0][:, frame.right :].max() > 200


def test_without_overlays_nothing_is_written():
    device = make_device()
    drawn = draw_overlays(device, False, "x", "breast", None, np.random.default_rng(0))
    assert np.asarray(drawn).max() == 0


def test_tint_colours_a_grey_picture():
    _patient, photo = photo_of(tint="sepia")
    red, _green, blue = np.asarray(photo.image, float).reshape(-1, 3).T
    assert red.mean() > 1.2 * blue.mean()


def test_modalities_are_those_that_suit_the_organ():
    offered = ("B-mode", "M-mode", "spectral Doppler")
    assert sensible_modalities("heart", offered) == offered
    assert sensible_modalities("breast", offered) == ("B-mode",)
    assert sensible_modalities("breast", ("M-mode",)) == ("M-mode",)


def test_an_unknown_organ_is_refused_with_a_hint():
    with pytest.raises(UltraFMError, match="did you mean 'thyroid'"):
        organ_of("thyriod", "site_01_test, organs")
