"""Grey values of a picture are those of bodies without a lesion; order and all else stay."""

import numpy as np
import pytest
from phantom_makers import make_device, make_manifest, make_source

from ultrafm.phantom.patients import draw_patient, take_photo
from ultrafm.phantom.tone import STEPS, curve_of, draw_curve, scan_area, with_curve


def test_values_are_those_of_the_curve_and_order_stays():
    generator = np.random.default_rng(0)
    picture = generator.random((80, 60), dtype=np.float32)
    inside = np.zeros(picture.shape, bool)
    inside[10:70, 5:55] = True
    curve = np.linspace(0.2, 0.6, STEPS) ** 2
    toned = with_curve(picture, inside, curve, generator)
    np.testing.assert_array_equal(toned[~inside], picture[~inside])
    np.testing.assert_allclose(curve_of(toned, inside), curve, atol=2e-3)
    before, after = picture[inside], toned[inside]
    order = np.argsort(before)
    assert (np.diff(after[order]) >= -2e-3).all()  # equal levels of 4096 are parted by chance


def test_a_black_half_takes_the_lower_half_of_the_curve_and_not_one_value():
    picture = np.zeros((40, 40), np.float32)
    picture[20:] = 0.9
    toned = with_curve(picture, np.ones_like(picture, bool), np.linspace(0, 1, STEPS), np.random.default_rng(0))
    assert toned[:20].max() <= 0.5 <= toned[20:].min()
    assert np.unique(toned[:20]).size > 500
    assert toned[:20].mean() == pytest.approx(0.25, abs=0.02)


def test_curves_lie_around_those_given():
    low, high = np.linspace(0.2, 0.4, STEPS), np.linspace(0.3, 0.5, STEPS)
    drawn = np.stack([draw_curve([low, high], np.random.default_rng(seed)) for seed in range(200)])
    assert (np.diff(drawn, axis=1) >= 0).all()
    assert low.mean() < drawn.mean() < high.mean() and drawn.mean(axis=1).std() > 0.01


@pytest.mark.parametrize("scan_mode", ["linear", "convex"])
def test_whatever_a_lesion_does_to_its_surroundings_grey_values_stay(scan_mode):
    device = make_device(scan_mode, picture_width=160, picture_height=128)
    inside = np.asarray(scan_area_of(device))
    shares = {}
    for label in ("normal", "benign", "malignant"):
        source = make_source({label: 1.0}, device, images=1)
        manifest = make_manifest(source, ("liver",))
        photo = take_photo(manifest, source, 0, draw_patient(manifest, source, 0, 1), 0)
        shares[label] = np.sort(np.asarray(photo.image.convert("L"))[inside])
    for label in ("benign", "malignant"):  # the same patient's curve is drawn from the same numbers
        assert np.abs(shares[label].astype(float) - shares["normal"]).mean() < 1.5


def scan_area_of(device):
    from ultrafm.phantom.grid import geometry_of

    return scan_area(geometry_of(device), device.picture_height, device.picture_width)
