"""From tissue to echoes: random scatterers, interference, attenuation and noise.

Model: at each sample stand many scatterers much smaller than a wavelength, so their sum is a circular complex
Gaussian number (fully developed speckle; Wagner et al., IEEE Trans. Sonics Ultrasonics 1983, 30:156). It is weighted
by the tissue's scattering, convolved with the pulse (Gaussian, demodulated) in depth and with the beam's profile
across, and the envelope is its magnitude: Rayleigh distributed in homogeneous tissue, mean / standard deviation =
sqrt(pi / (4 - pi)) = 1.91.

Simplified: two-dimensional; no refraction, no phase aberration, no multiple echoes but those drawn on purpose;
attenuation weakens echoes but does not lower their frequency.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from ultrafm.geometry import Geometry
from ultrafm.manifests.schema import Device
from ultrafm.phantom.grid import Grid, line_spacing_mm
from ultrafm.phantom.tissue import SOFT_TISSUE_ATTENUATION, Tissue

SPEED_MM_PER_US = 1.54
FOCAL_NUMBER = 2.2
DEEPEST_LOSS_DB = 38.0
SIDE_LOBE_DB, SIDE_LOBE_WIDTHS = -32.0, 1.6  # first side lobe, both ways: level, and distance in widths of the beam
LEAST_SMOOTHING = 0.5  # of the envelope that is shown, in samples
_ZONES = 6
_SIGMA_PER_WIDTH = 1 / (2 * math.sqrt(2 * math.log(2)))


@dataclass(frozen=True)
class Beam:
    """Pulse and focus: MHz, share of the frequency, mm; `width` scales the beam; `clutter_db`: haze at the skin."""

    frequency_mhz: float
    bandwidth: float
    focus_mm: float
    width: float = 1.0
    clutter_db: float = -8.0


def beam_of(device: Device) -> Beam:
    """The beam of a device in its ordinary mode."""
    return Beam(device.frequency_mhz, device.bandwidth, device.focus_mm)


def axial_width_mm(beam: Beam) -> float:
    """Full width at half maximum of the envelope of the pulse-echo response along the beam, in millimetres.

    A Gaussian spectrum with a -6 dB two-way width B has an envelope with half-maximum width 0.88 / B in time; half of
    that times the speed of sound is depth.
    """
    return 0.88 / (beam.frequency_mhz * beam.bandwidth) * SPEED_MM_PER_US / 2


def lateral_width_mm(beam: Beam, depth_mm: np.ndarray) -> np.ndarray:
    """Half-maximum width of the beam at each depth, in millimetres.

    At the focus wavelength x focal number; away from it the width of a Gaussian beam, kept from growing without bound
    by receive focusing that follows the echo.
    """
    wavelength = SPEED_MM_PER_US / beam.frequency_mhz
    waist = wavelength * FOCAL_NUMBER * beam.width
    reach = 7 * wavelength * FOCAL_NUMBER**2
    away = np.minimum(np.abs(depth_mm - beam.focus_mm) / reach, 2.5)
    return waist * np.sqrt(1 + np.square(away))


def _kernel(sigma: float) -> np.ndarray:
    """A Gaussian of unit energy, so that blurring leaves the mean intensity of speckle as it is."""
    sigma = max(sigma, 0.35)
    steps = np.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1)
    values = np.exp(-0.5 * np.square(steps / sigma))
    return (values / math.sqrt(np.square(values).sum())).astype(np.float32)


@lru_cache(maxsize=64)
def _lateral_kernels(beam: Beam, geometry: Geometry, lines: int) -> tuple[np.ndarray, ...]:
    depths = np.linspace(0, geometry.depth_mm, _ZONES)
    spacing = np.maximum(line_spacing_mm(geometry, depths, lines), 1e-3)
    sigmas = lateral_width_mm(beam, depths) / spacing * _SIGMA_PER_WIDTH
    return tuple(_kernel(min(float(sigma), 6.0)) for sigma in sigmas)


@lru_cache(maxsize=64)
def _side_lobe_lines(beam: Beam, geometry: Geometry, lines: int) -> tuple[int, ...]:
    """In the middle of each zone, how many lines beside the beam its first side lobe looks."""
    depths = (np.arange(_ZONES - 1) + 0.5) / (_ZONES - 1) * geometry.depth_mm
    aside = SIDE_LOBE_WIDTHS * lateral_width_mm(beam, depths) / line_spacing_mm(geometry, depths, lines)
    return tuple(int(number) for number in np.clip(np.rint(aside), 1, lines - 1))


def _with_side_lobes(part: np.ndarray, aside: int) -> np.ndarray:
    """Echoes with those of lines `aside` on both sides, weakened: strong reflectors show faintly beside their place."""
    level = np.float32(10 ** (SIDE_LOBE_DB / 20))
    both = part.copy()
    both[:, aside:] += level * part[:, :-aside]
    both[:, :-aside] += level * part[:, aside:]
    return both


def blur_across(field: np.ndarray, beam: Beam, geometry: Geometry) -> np.ndarray:
    """Blur along the lines with a beam whose width changes with depth: between two depths, a blend of two blurs.

    Beside the main lobe stands the first side lobe on each side: after a rectangular aperture both ways -26 dB, 1.6
    widths away (Szabo, Diagnostic Ultrasound Imaging, 2014, chapter 6), a little less with apodization.
    """
    kernels = _lateral_kernels(beam, geometry, field.shape[1])
    edges = np.linspace(0, len(field), _ZONES).astype(int)
    blurred = np.empty_like(field)
    lobes = _side_lobe_lines(beam, geometry, field.shape[1])
    for upper, lower, start, stop, aside in zip(kernels, kernels[1:], edges, edges[1:], lobes):
        part = _with_side_lobes(field[start:stop], aside)
        share = np.linspace(0, 1, stop - start, dtype=np.float32)[:, None]
        above = ndimage.correlate1d(part, upper, axis=1, mode="reflect")
        below = ndimage.correlate1d(part, lower, axis=1, mode="reflect")
        blurred[start:stop] = above * (1 - share) + below * share
    return blurred


def blur_along(field: np.ndarray, beam: Beam, cm_per_sample: float) -> np.ndarray:
    """Blur along the beams with the pulse."""
    sigma = axial_width_mm(beam) / (10 * cm_per_sample) * _SIGMA_PER_WIDTH
    return ndimage.correlate1d(field, _kernel(sigma), axis=0, mode="reflect")


def reduce_speckle(amplitude: np.ndarray, beam: Beam, geometry: Geometry, cm_per_sample: float) -> np.ndarray:
    """The envelope as scanners show it: averaged over neighbours as far apart as a grain of speckle is wide.

    Stands for compounding over angles and frequencies and for the smoothing that every scanner adds; measured on real
    pictures, grains are 1.3 to 1.9 times as large as one look at one frequency makes them (see realism).
    """
    along = axial_width_mm(beam) / (10 * cm_per_sample) * _SIGMA_PER_WIDTH
    middle = np.array([geometry.depth_mm / 2])
    spacing = line_spacing_mm(geometry, middle, amplitude.shape[1])
    across = float((lateral_width_mm(beam, middle) / spacing)[0]) * _SIGMA_PER_WIDTH
    sigma = (math.hypot(along, LEAST_SMOOTHING), math.hypot(across, LEAST_SMOOTHING))
    return ndimage.gaussian_filter(amplitude, sigma, mode="nearest", truncate=2.5)


def gaussian_scatterers(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Circular complex Gaussian scatterers with mean intensity 1."""
    parts = generator.standard_normal((*shape, 2), dtype=np.float32) * np.float32(math.sqrt(0.5))
    return parts.view(np.complex64)[..., 0]


def path_gain_db(tissue: Tissue, grid: Grid, frequency_mhz: float, depth_gain_error_db: float) -> np.ndarray:
    """What the way there and back does to an echo after the scanner's compensation for depth, in decibels.

    The compensation assumes soft tissue everywhere, so fluid leaves a bright tail and bone a shadow.
    """
    excess = np.cumsum(tissue.attenuation - SOFT_TISSUE_ATTENUATION, axis=0)
    excess = ndimage.uniform_filter1d(excess, 5, axis=1)  # a beam has a width: shadows have soft sides
    loss = 2 * frequency_mhz * grid.cm_per_sample * excess
    return np.clip(depth_gain_error_db * grid.depth - loss, -DEEPEST_LOSS_DB, 15)


def echoes(
    tissue: Tissue, grid: Grid, geometry: Geometry, beam: Beam, depth_gain_error_db: float,
    generator: np.random.Generator, scatterers: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Complex demodulated echoes, (samples, lines) complex64. Mean intensity 1 in ordinary tissue without attenuation.

    `scatterers` default to fresh ones from `generator`; given ones serve slices that share tissue.
    """
    if scatterers is None:
        scatterers = gaussian_scatterers(generator, grid.x.shape)
    path = path_gain_db(tissue, grid, beam.frequency_mhz, depth_gain_error_db)
    strength = decibels_to_amplitude(tissue.echo_db)
    rough_mirror = tissue.mirror * (np.float32(0.3) + np.float32(0.8) * scatterers)  # no interface is quite smooth
    field = (scatterers * strength + rough_mirror) * decibels_to_amplitude(path)
    field = blur_across(field.astype(np.complex64, copy=False), beam, geometry)
    noise_db = -50 + 16 * np.square(grid.depth)
    haze_db = beam.clutter_db - 150 * grid.depth
    background = decibels_to_amplitude(noise_db) + decibels_to_amplitude(haze_db)
    field += gaussian_scatterers(generator, grid.x.shape) * background
    return blur_along(field, beam, grid.cm_per_sample)


def decibels_to_amplitude(level_db: np.ndarray) -> np.ndarray:
    """Amplitude of a level in decibels, 0 dB is 1."""
    return np.exp(np.asarray(level_db, np.float32) * np.float32(math.log(10) / 20))


def compress(amplitude: np.ndarray, dynamic_range_db: float, gain_db: float) -> np.ndarray:
    """Log compression of an envelope to grey values from 0 to 1.

    White lies 30 dB above ordinary tissue, black the dynamic range below that; a curve darkens the middle as scanners'
    grey maps do.
    """
    level = 20 * np.log10(np.maximum(amplitude, 1e-6)) + gain_db
    grey = np.clip((level - 30) / dynamic_range_db + 1, 0, 1)
    return grey * np.sqrt(grey)
