"""The 10 modalities, each in its simplest honest form; every docstring says what is simplified.

A renderer takes a scene, the size of the picture and a generator, and returns the picture with the lesion's mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ultrafm.geometry import CurvedGeometry, Geometry, fit, to_picture
from ultrafm.manifests.schema import Device
from ultrafm.phantom.acoustics import Beam, beam_of, compress, echoes, gaussian_scatterers, reduce_speckle
from ultrafm.phantom.grid import Grid, geometry_of
from ultrafm.phantom.tissue import Tissue, fill, oval, soft, texture

COMPOSITE = ("spectral Doppler", "M-mode")
SCAN_SHARE = 0.6  # of a composite picture's height; the strip takes the rest


@dataclass(frozen=True)
class Scene:
    """A body under a probe, ready to be imaged. Gains in decibels; `scatterers` only where slices share tissue."""

    tissue: Tissue
    grid: Grid
    geometry: Geometry
    beam: Beam
    gain_db: float
    depth_gain_error_db: float
    dynamic_range_db: float
    scatterers: np.ndarray | None = None


@dataclass(frozen=True)
class Shown:
    """A picture, (height, width) or (height, width, 3) from 0 to 1, and its lesion's mask, (height, width) bool."""

    picture: np.ndarray
    mask: np.ndarray


Renderer = Callable[[Scene, int, int, np.random.Generator], Shown]


def geometry_for(device: Device, modality: str) -> Geometry:
    """The device's own geometry; an endoscope brings a small probe that looks to nearly all sides."""
    if modality == "endoscopic":
        return CurvedGeometry(4.0, 120.0, min(device.depth_mm, 50.0))
    return geometry_of(device)


def scan_height(modality: str, height: int) -> int:
    """Rows of a picture that the scan takes; in composite modalities a strip lies below it."""
    return round(height * SCAN_SHARE) if modality in COMPOSITE else height


def _grey_beams(scene: Scene, generator: np.random.Generator) -> np.ndarray:
    field = echoes(
        scene.tissue, scene.grid, scene.geometry, scene.beam, scene.depth_gain_error_db, generator, scene.scatterers
    )
    shown = reduce_speckle(np.abs(field), scene.beam, scene.geometry, scene.grid.cm_per_sample)
    return compress(shown, scene.dynamic_range_db, scene.gain_db)


def _show(beams: np.ndarray, scene: Scene, height: int, width: int) -> Shown:
    picture, _inside = to_picture(beams, scene.geometry, height, width)
    if not scene.tissue.lesion.any():
        return Shown(picture, np.zeros((height, width), bool))
    mask, _inside = to_picture(scene.tissue.lesion, scene.geometry, height, width)
    return Shown(picture, mask > 0.5)


def render_b_mode(scene: Scene, height: int, width: int, generator: np.random.Generator) -> Shown:
    """Grey picture of the envelope. Simplified: one transmit focus, compounding as smoothing, no edge enhancement."""
    return _show(_grey_beams(scene, generator), scene, height, width)


def render_harmonic(scene: Scene, height: int, width: int, generator: np.random.Generator) -> Shown:
    """Second harmonic. Simplified: no nonlinear propagation; its effects are put in: a beam 0.7 times as wide, little
    haze near the skin, and 4 dB less at full depth."""
    beam = replace(scene.beam, width=0.7 * scene.beam.width, clutter_db=-24.0)
    return render_b_mode(
        replace(scene, beam=beam, depth_gain_error_db=scene.depth_gain_error_db - 4), height, width, generator
    )


def _box(grid: Grid, generator: np.random.Generator) -> np.ndarray:
    """The region in which colour is shown: a box around the middle of the scan."""
    line, depth = generator.uniform(0.45, 0.55), generator.uniform(0.46, 0.56)
    half_line, half_depth = generator.uniform(0.24, 0.32), generator.uniform(0.2, 0.27)
    return (np.abs(grid.line - line) < half_line) & (np.abs(grid.depth - depth) < half_depth)


def _with_small_vessels(scene: Scene, generator: np.random.Generator) -> np.ndarray:
    """Flow in m/s, with a few vessels too small to be seen in grey, so that no box is empty."""
    carrier = replace(scene.tissue, flow=scene.tissue.flow.copy())
    for _vessel in range(generator.integers(3, 8)):
        distance, _facing = oval(
            scene.grid, generator.uniform(-0.25, 0.25), generator.uniform(0.35, 0.65),
            generator.uniform(0.02, 0.05), generator.uniform(0.008, 0.016), generator.uniform(-1.5, 1.5),
        )  # fmt: skip
        fill(carrier, soft(distance - 1, 0.5), flow=generator.choice([-1, 1]) * generator.uniform(0.1, 0.3))
    return carrier.flow


def _blend(grey: np.ndarray, colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Grey picture with `colour` (height, width, 3) laid over it."""
    return grey[..., None] * (1 - weight[..., None]) + colour * weight[..., None]


def _outline_box(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Draw the border of the colour box."""
    border = box & ~ndimage.binary_erosion(box)
    picture[border] = (0.75, 0.75, 0.6)
    return picture


def _flow_picture(
    scene: Scene, height: int, width: int, generator: np.random.Generator
) -> tuple[Shown, np.ndarray, np.ndarray]:
    """Grey picture, flow (m/s, measured with noise) where it is shown, and the box."""
    shown = _show(_grey_beams(scene, generator), scene, height, width)
    flow = ndimage.uniform_filter(_with_small_vessels(scene, generator), (5, 3))
    flow = flow * (1 + np.float32(0.15) * generator.standard_normal(flow.shape, dtype=np.float32))
    noise = generator.random(flow.shape, dtype=np.float32) < 0.004
    flow[noise] = generator.choice([-0.2, 0.2])
    box = _box(scene.grid, generator)
    seen, _inside = to_picture(ndimage.uniform_filter(flow * box, 3), scene.geometry, height, width)
    framed, _inside = to_picture(box, scene.geometry, height, width, order=0)
    return shown, seen, framed > 0


def render_colour_doppler(scene: Scene, height: int, width: int, generator: np.random.Generator) -> Shown:
    """Velocity towards the probe red to yellow, away blue to cyan. Simplified: the true velocity with noise, no wall
    filter and no dependence on angle; above 0.6 m/s it wraps round as in real aliasing."""
    shown, flow, box = _flow_picture(scene, height, width, generator)
    weight = (np.abs(flow) > 0.05).astype(np.float32)
    wrapped = (flow + 0.6) % 1.2 - 0.6
    speed = np.clip(np.abs(wrapped) / 0.6, 0, 1).astype(np.float32)
    towards = np.stack([0.35 + 0.65 * np.sqrt(speed), speed, np.zeros_like(speed)], -1)
    away = np.stack([np.zeros_like(speed), speed, 0.35 + 0.65 * np.sqrt(speed)], -1)
    colour = np.where((wrapped > 0)[..., None], towards, away)
    return Shown(_outline_box(_blend(shown.picture, colour, weight), box), shown.mask)


def render_power_doppler(scene: Scene, height: int, width: int, generator: np.random.Generator) -> Shown:
    """Strength of flow in orange, without direction. Simplified: it grows with speed, not with blood volume."""
    shown, flow, box = _flow_picture(scene, height, width, generator)
    power = np.clip(np.abs(flow) / np.float32(0.35), 0, 1)
    weight = np.clip(power * 6 - 0.8, 0, 1).astype(np.float32)
    colour = np.stack([0.35 + 0.65 * np.sqrt(power), 0.75 * power, 0.25 * power**3], -1)
    return Shown(_outline_box(_blend(shown.picture, colour, weight), box), shown.mask)


def _pulse_wave(phase: np.ndarray, rest: float) -> np.ndarray:
    """Blood velocity over one heart beat (phase 0 to 1): a steep rise, a notch, a slow fall to the share `rest`."""
    systole = np.exp(-0.5 * np.square((phase - 0.16) / 0.06)) + 0.35 * np.exp(-0.5 * np.square((phase - 0.42) / 0.09))
    return rest + (1 - rest) * np.clip(systole, 0, 1) + 0.12 * (1 - phase) * rest


def _spectrogram(height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """Velocities over time in one sample volume, (height, width) from 0 to 1, zero velocity on a line."""
    beats, rest, peak = generator.uniform(2.5, 5), generator.uniform(0.08, 0.45), generator.uniform(0.5, 0.8)
    phase = (np.linspace(0, beats, width) + generator.random()) % 1
    wave = peak * _pulse_wave(phase, rest)
    level = 0.82 - np.arange(height)[:, None] / height
    below = level / np.maximum(wave, 0.02)[None, :]
    profile = np.where(below > 0, np.exp(6 * (np.minimum(below, 1) - 1)), 0) * soft(below - 1, 0.15)
    power = (profile + 0.004) * generator.exponential(1, (height, width))
    strip = np.clip((10 * np.log10(ndimage.gaussian_filter(power, (0.8, 0.6)) + 1e-6) + 32) / 34, 0, 1)
    strip[np.abs(level[:, 0]) < 0.6 / height] = 0.7
    return strip.astype(np.float32)


def _below(scan: Shown, strip: np.ndarray) -> Shown:
    """A scan with a strip under it."""
    gap = np.zeros((2, strip.shape[1]), np.float32)
    nothing = np.zeros((strip.shape[0] + 2, strip.shape[1]), bool)
    return Shown(np.concatenate([scan.picture, gap, strip]), np.concatenate([scan.mask, nothing]))


def _mark_line(scan: Shown, geometry: Geometry, line: float, gate: float | None) -> Shown:
    """Draw the beam that the strip shows as a dotted line, and its sample volume as two bars."""
    height, width = scan.picture.shape
    place = fit(geometry, height, width)
    depth = np.linspace(0, 1, height)
    x, y = geometry.to_mm(depth, np.full_like(depth, line))
    columns = np.clip(np.rint(x / place.mm_per_pixel + place.origin_column).astype(int), 4, width - 5)
    rows = np.clip(np.rint(y / place.mm_per_pixel + place.origin_row).astype(int), 0, height - 1)
    picture = scan.picture.copy()
    dots = np.arange(height) % 6 < 2
    picture[rows[dots], columns[dots]] = 0.9
    if gate is not None:
        for share in (gate - 0.02, gate + 0.02):
            at = int(share * (height - 1))
            picture[rows[at], columns[at] - 4 : columns[at] + 5] = 1.0
    return Shown(picture, scan.mask)


def render_spectral_doppler(scene: Scene, height: int, width: int, generator: np.random.Generator) -> Shown:
    """B-mode above, velocities over time in one sample volume below. Simplified: the waveform is drawn from a family of
    arterial curves, not computed from the flow in the scene."""
    upper = scan_height("spectral Doppler", height)
    scan = _show(_grey_beams(scene, generator), scene, upper, width)
    scan = _mark_line(scan, scene.geometry, generator.uniform(0.35, 0.65), generator.uniform(0.35, 0.7))
    return _below(scan, _spectrogram(height - upper - 2, width, generator))


def render_m_mode(scene: Scene, height: int, width: int, generator: np.random.Generator) -> Shown:
    """B-mode above, echoes along one beam over time below. Simplified: depths move up and down together, most in the
    middle, with the rhythm of a heart beat."""
    upper = scan_height("M-mode", height)
    beams = _grey_beams(scene, generator)
    line = generator.uniform(0.4, 0.6)
    scan = _mark_line(_show(beams, scene, upper, width), scene.geometry, line, None)
    samples, lines = beams.shape
    time = np.linspace(0, generator.uniform(2.5, 5), width)
    motion = _pulse_wave(time % 1, 0.1) * generator.uniform(0.01, 0.05)
    depth = np.linspace(0, 1, height - upper - 2)[:, None]
    rows = (depth + motion[None, :] * np.sin(math.pi * depth)) * (samples - 1)
    columns = np.broadcast_to(line * (lines - 1) + 0.6 * np.sin(5 * time)[None, :], rows.shape)
    strip = ndimage.map_coordinates(beams, np.stack([rows, columns]), order=1, mode="nearest")
    return _below(scan, np.clip(strip + generator.normal(0, 0.02, strip.shape), 0, 1).astype(np.float32))


def render_strain(scene: Scene, height: int, width: int, generator: np.random.Generator) -> Shown:
    """Colour from soft (red) to stiff (blue) over B-mode. Simplified: the true stiffness, smoothed and with errors; a
    scanner estimates it from two pictures under pressure."""
    shown = _show(_grey_beams(scene, generator), scene, height, width)
    errors = 0.35 * texture(scene.grid, generator, 0.12, 0.08)
    stiffness = ndimage.gaussian_filter(np.log2(np.maximum(scene.tissue.stiffness, 0.3)) + errors, (9, 5))
    box = _box(scene.grid, generator)
    value, _inside = to_picture(np.clip((stiffness + 0.5) / 4, 0, 1), scene.geometry, height, width)
    framed, _inside = to_picture(box, scene.geometry, height, width, order=0)
    rainbow = [np.clip(1.5 - np.abs(4 * (1 - value) - peak), 0, 1) for peak in (3, 2, 1)]
    picture = _blend(shown.picture, np.stack(rainbow, -1), np.float32(0.45) * (framed > 0))
    return Shown(_outline_box(picture, framed > 0), shown.mask)


def render_contrast(scene: Scene, height: int, width: int, generator: np.random.Generator) -> Shown:
    """Microbubbles bright, tissue nearly cancelled, in gold. Simplified: one moment after the agent's arrival; bubbles
    are sparse scatterers whose strength follows perfusion."""
    tissue = scene.tissue
    lively = tissue.perfusion * np.exp(0.25 * texture(scene.grid, generator, 0.1, 0.08))
    bubbles_db = 30 * np.log10(np.maximum(lively, 0.02)) + 6
    suppressed = replace(tissue, echo_db=np.maximum(tissue.echo_db - 26, bubbles_db), mirror=tissue.mirror * 0.12)
    shape = tissue.echo_db.shape
    sparse = gaussian_scatterers(generator, shape) * (generator.random(shape) < 0.5) * np.float32(1.4)
    quiet = replace(scene.beam, clutter_db=-26.0)
    shown = render_b_mode(replace(scene, tissue=suppressed, beam=quiet, scatterers=sparse), height, width, generator)
    return Shown(shown.picture[..., None] * np.array([1.0, 0.78, 0.38], np.float32), shown.mask)


MODALITIES: dict[str, Renderer] = {
    "B-mode": render_b_mode,
    "harmonic B-mode": render_harmonic,
    "colour Doppler": render_colour_doppler,
    "power Doppler": render_power_doppler,
    "spectral Doppler": render_spectral_doppler,
    "M-mode": render_m_mode,
    "strain elastography": render_strain,
    "contrast-enhanced": render_contrast,
    "3-D sweep": render_b_mode,  # neighbouring slices; see patients._draw_views
    "endoscopic": render_b_mode,  # another geometry; see geometry_for
}


def scene_of(
    device: Device, modality: str, tissue: Tissue, grid: Grid, generator: np.random.Generator,
    scatterers: np.ndarray | None = None,
) -> Scene:  # fmt: skip
    """A scene with the device's settings; the operator turns gain and depth compensation a little for each picture."""
    return Scene(
        tissue, grid, geometry_for(device, modality), beam_of(device), device.gain_db + generator.normal(0, 1.5),
        device.depth_gain_error_db + generator.normal(0, 2.0), device.dynamic_range_db, scatterers,
    )  # fmt: skip
