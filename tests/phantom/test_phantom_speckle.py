"""Speckle comes from interference: its statistics and its grain are those that theory asks for."""

import math
from dataclasses import replace

import numpy as np
import pytest
from phantom_makers import make_device
from scipy import stats

from ultrafm.phantom.acoustics import Beam, axial_width_mm, beam_of, compress, echoes, lateral_width_mm, path_gain_db
from ultrafm.phantom.grid import SAMPLES, geometry_of, grid_of, line_spacing_mm
from ultrafm.phantom.tissue import blank_tissue, bone, fluid, oval, soft

QUIET = {"clutter_db": -80.0}


def homogeneous_envelope(seed, device=None, beam=None):
    device = device or make_device()
    geometry = geometry_of(device)
    grid = grid_of(geometry)
    beam = beam or replace(beam_of(device), **QUIET)
    return np.abs(echoes(blank_tissue(grid), grid, geometry, beam, 0.0, np.random.default_rng(seed)))


def grain(envelope, axis):
    """Lag at which the autocorrelation of the intensity falls to a half, in samples."""
    power = np.moveaxis(envelope**2 - (envelope**2).mean(), axis, 0)
    curve = np.array([(power[: len(power) - lag] * power[lag:]).mean() for lag in range(25)])
    curve /= curve[0]
    below = int(np.argmax(curve < 0.5))
    return below - 1 + (curve[below - 1] - 0.5) / (curve[below - 1] - curve[below])


def test_envelope_of_homogeneous_tissue_is_rayleigh():
    parts = [homogeneous_envelope(seed)[60:300, 8:-8] for seed in range(4)]
    ratios = [part.mean() / part.std() for part in parts]
    # each part holds some 10,000 independent grains, so its ratio is good to about 0.02
    assert np.mean(ratios) == pytest.approx(math.sqrt(math.pi / (4 - math.pi)), abs=0.03)
    apart = np.concatenate([part[::12, ::16].ravel() for part in parts])
    scale = math.sqrt(np.mean(apart**2) / 2)
    assert stats.kstest(apart, stats.rayleigh(scale=scale).cdf).pvalue > 0.01


def test_mean_intensity_does_not_depend_on_the_beam():
    for beam in (Beam(5, 0.4, 10, **QUIET), Beam(12, 0.9, 30, width=2.0, **QUIET)):
        power = np.mean([np.mean(homogeneous_envelope(seed, beam=beam)[60:300] ** 2) for seed in range(3)])
        assert power == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("axis", [0, 1])
def test_speckle_is_finer_at_a_higher_frequency(axis):
    coarse, fine = (
        grain(homogeneous_envelope(3, beam=Beam(mhz, 0.6, 20, **QUIET))[100:220], axis) for mhz in (3.0, 6.0)
    )
    assert coarse / fine == pytest.approx(2, rel=0.35)


@pytest.mark.parametrize("scan_mode", ["linear", "convex"])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_speckle_is_as_large_as_the_formulas_say_at_three_depths(scan_mode, share):
    """Blurred scatterers: the covariance of intensity is at a half where half the blur's full width is reached."""
    device = make_device(scan_mode, frequency_mhz={"linear": 3.0, "convex": 2.0}[scan_mode], bandwidth=0.3)
    geometry = geometry_of(device)
    beam = replace(beam_of(device), **QUIET)
    middle = int(share * SAMPLES)
    near = [homogeneous_envelope(seed, device, beam)[middle - 24 : middle + 24] for seed in range(24)]
    depth_mm = share * device.depth_mm
    across = np.mean([grain(part, 1) for part in near]) * line_spacing_mm(geometry, np.array([depth_mm]))[0]
    along = np.mean([grain(part, 0) for part in near]) * device.depth_mm / (SAMPLES - 1)
    assert 2 * across == pytest.approx(lateral_width_mm(beam, np.array([depth_mm]))[0], rel=0.1)
    assert 2 * along == pytest.approx(axial_width_mm(beam), rel=0.1)


def test_speckle_is_finest_at_the_focus():
    envelope = homogeneous_envelope(5, beam=Beam(6, 0.6, 10, **QUIET))  # focus at a quarter of the depth
    assert grain(envelope[240:], 1) > 1.4 * grain(envelope[60:100], 1)


def test_widths_are_those_of_the_formulas():
    beam = Beam(5, 0.5, 20)
    assert axial_width_mm(beam) == pytest.approx(0.88 / 2.5 * 1.54 / 2)
    assert lateral_width_mm(beam, np.array([20.0]))[0] == pytest.approx(2.2 * 1.54 / 5)


def test_soft_tissue_is_compensated_and_the_rest_is_not():
    device = make_device("convex")
    grid = grid_of(geometry_of(device))
    tissue = blank_tissue(grid)
    assert np.abs(path_gain_db(tissue, grid, 3.5, 0.0)).max() < 0.01
    assert path_gain_db(tissue, grid, 3.5, 6.0)[-1].mean() == pytest.approx(6, abs=0.01)
    tissue.attenuation[:] = 0.7  # 2 ways x 15 cm x 3.5 MHz x 0.2 dB/cm/MHz
    assert path_gain_db(tissue, grid, 3.5, 0.0)[-1].mean() == pytest.approx(-21, abs=0.2)


@pytest.mark.parametrize(("stroke", "sign"), [(fluid, 1), (bone, -1)])
def test_fluid_leaves_a_bright_tail_and_bone_a_shadow(stroke, sign):
    device = make_device("convex")
    geometry = geometry_of(device)
    grid = grid_of(geometry)
    tissue = blank_tissue(grid)
    distance, _facing = oval(grid, 0.0, 0.4, 0.1, 0.1)
    stroke(tissue, soft(distance - 1, 0.1))
    envelope = np.abs(echoes(tissue, grid, geometry, beam_of(device), 0.0, np.random.default_rng(1)))
    behind, beside = envelope[200:260, 60:68], envelope[200:260, 10:18]
    assert sign * 20 * np.log10(behind.mean() / beside.mean()) > 4


def test_compression_maps_range_and_gain():
    amplitude = 10 ** (np.array([30.0, 0.0, -30.0, -50.0]) / 20)
    np.testing.assert_allclose(compress(amplitude, 60, 0), [1, 0.5**1.5, 0, 0], atol=1e-6)
    assert compress(amplitude, 60, 10)[1] > compress(amplitude, 60, 0)[1] > compress(amplitude, 45, 0)[1]
