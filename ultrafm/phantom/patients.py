"""Simulated patients: what they have, and the pictures that are taken of them.

A patient depends on the seed, the site and its number only, so it looks the same however many others are simulated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image

from ultrafm.geometry import CurvedGeometry, Geometry, fit
from ultrafm.manifests.schema import Device, PhantomSource, SiteManifest
from ultrafm.phantom.acoustics import gaussian_scatterers
from ultrafm.phantom.anatomy import ORGANS, SWEEP, draw_body, organ_of, sensible_modalities
from ultrafm.phantom.diseases import SICK
from ultrafm.phantom.grid import Grid, View, geometry_of, grid_of, moved, sampling_of
from ultrafm.phantom.lesions import DIFFICULTY, LESION_LABELS, Lesion, draw_lesion, paint_decoy, paint_lesion
from ultrafm.phantom.modalities import MODALITIES, Shown, geometry_for, scan_height, scene_of
from ultrafm.phantom.observer import separation_for
from ultrafm.phantom.overlays import draw_overlays, frame_of, hidden, laid_over, to_image
from ultrafm.phantom.tissue import Tissue
from ultrafm.phantom.tone import REFERENCES, curve_of, draw_curve, scan_area, with_curve
from ultrafm.seeds import spawn

SHORTCUT_GAIN_DB = 6.0
# Modalities whose grey values are evened out. In the others colour, contrast agent or a strip over time is what tells.
TONED = ("B-mode", "harmonic B-mode", SWEEP, "endoscopic")
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Patient:
    """One simulated patient.

    `label` is the truth, `stated` what the archive's table says, which is another where its labels err. `place` and
    `diameter` are those of the lesion, or of a harmless patch in a patient without one; `pose` is how the organ lies in
    this body. `number` counts patients as they are drawn, `code` is what the archive calls them.
    """

    number: int
    code: int
    organ: str
    label: str
    stated: str
    difficulty: float
    place: tuple[float, float]
    diameter: float
    lesion: Lesion | None
    modalities: tuple[str, ...]
    pose: View
    views: tuple[View, ...]

    @property
    def name(self) -> str:
        return f"P{self.code:04d}"


@dataclass(frozen=True)
class Photo:
    """One finished picture: image as exported, mask (height, width) bool, and what it shows."""

    image: Image.Image
    mask: np.ndarray
    modality: str
    clip: str


def draw_label(source: PhantomSource, organ: str, seed: int, site: str, number: int) -> str:
    """A patient's label. Shares of labels are kept by any first so many patients (multiples of the golden ratio)."""
    start = spawn(seed, "phantom labels", site).random()
    position = (start + number * _GOLDEN) % 1
    findings = source.findings_in(organ)
    names = sorted(findings)
    reached = np.cumsum([findings[name] for name in names])
    return names[min(int(np.searchsorted(reached, position, side="right")), len(names) - 1)]


@lru_cache(maxsize=64)
def _codes(seed: int, site: str, patients: int) -> np.ndarray:
    """What the archive calls its patients: labels follow the order in which they are drawn, so names must not."""
    return spawn(seed, "phantom codes", site).permutation(patients) + 1


def draw_stated(source: PhantomSource, organ: str, label: str, seed: int, site: str, number: int) -> str:
    """What the archive says of a patient: the truth or, by the source's `label_noise`, another of the findings."""
    generator = spawn(seed, "phantom label noise", site, number)
    others = sorted(name for name, share in source.findings_in(organ).items() if share > 0 and name != label)
    if not others or generator.random() >= source.label_noise:
        return label
    return str(generator.choice(others))


def _scan_width(geometry: Geometry) -> float:
    """Width of the scan, in shares of its depth, but not wider than an eye takes in at once."""
    left, _top, right, _bottom = geometry.bounds_mm()
    return min((right - left) / geometry.depth_mm, 1.3)


def _draw_place(organ: str, geometry: Geometry, diameter: float, generator: np.random.Generator) -> tuple[float, float]:
    """Where a lesion lies: by organ and size, never by label; wholly inside the scan where it fits."""
    across, down = ORGANS[organ].lesion_x, ORGANS[organ].lesion_y
    y = generator.uniform(*down)
    if isinstance(geometry, CurvedGeometry):
        half = (geometry.radius_mm / geometry.depth_mm + y) * math.sin(
            math.radians(min(geometry.half_angle_degrees, 70))
        )
    else:
        half = geometry.width_mm / geometry.depth_mm / 2
    room = max(half - 0.55 * diameter, 0.02)
    x = float(np.clip(generator.uniform(*across) * half, -room, room))
    return x, y


def _draw_modalities(
    organ: str, offered: tuple[str, ...], count: int, generator: np.random.Generator
) -> tuple[str, ...]:
    """One modality per picture; a 3-D sweep takes all pictures of its patient."""
    suiting = sensible_modalities(organ, offered)
    first = str(generator.choice(suiting))
    if first == SWEEP:
        return (SWEEP,) * count
    others = [name for name in suiting if name != SWEEP]
    return (first, *(str(name) for name in generator.choice(others, count - 1)))


def _limited(generator: np.random.Generator, deviation: float) -> float:
    """A normal number around 0 that stays within two deviations."""
    return float(np.clip(generator.normal(0, deviation), -2 * deviation, 2 * deviation))


def _draw_view(generator: np.random.Generator) -> View:
    """How the probe is held for one picture."""
    shift_x, shift_y, zoom, turn = (_limited(generator, deviation) for deviation in (0.04, 0.02, 0.06, 0.05))
    return View(shift_x, shift_y, math.exp(zoom), turn)


def _draw_views(modalities: tuple[str, ...], generator: np.random.Generator) -> tuple[View, ...]:
    """One view per picture: each anew, or step by step in a sweep."""
    if modalities[0] != SWEEP:
        return tuple(_draw_view(generator) for _modality in modalities)
    steps = np.linspace(-0.6, 0.6, len(modalities)) if len(modalities) > 1 else np.zeros(1)
    drift = generator.normal(0, 0.03, 2)
    return tuple(View(float(drift[0] * step), float(drift[1] * step), slice=float(step)) for step in steps)


def _draw_pose(generator: np.random.Generator) -> View:
    """How an organ lies: bodies differ in size, side and tilt."""
    shift_x, shift_y, zoom, turn = (_limited(generator, deviation) for deviation in (0.05, 0.025, 0.1, 0.12))
    return View(shift_x, shift_y, math.exp(zoom), turn, mirrored=bool(generator.random() < 0.5))


def draw_patient(manifest: SiteManifest, source: PhantomSource, seed: int, number: int) -> Patient:
    """Patient `number` (from 1) of a site. Label, organ, place, size, difficulty and views are drawn independently.

    Raises UltraFMError when the phantom cannot draw an organ of the manifest, or lesions of its `best_auroc`.
    """
    generator = spawn(seed, "phantom", manifest.site, number)
    organ = str(generator.choice(manifest.organs))
    label = draw_label(source, organ, seed, manifest.site, number)
    organ_of(organ, f"{manifest.site}, organs")
    geometry = geometry_of(source.device)
    diameter = generator.uniform(0.22, 0.38) * _scan_width(geometry)
    place = _draw_place(organ, geometry, diameter, generator)
    difficulty = float(generator.beta(*DIFFICULTY))
    modalities = _draw_modalities(organ, manifest.modalities, source.images_per_patient, generator)
    pose, views = _draw_pose(generator), _draw_views(modalities, generator)
    separation = 1.0 if source.best_auroc is None else separation_for(source.best_auroc)
    has_lesion = label in LESION_LABELS
    lesion = draw_lesion(label, difficulty, place, diameter, generator, separation) if has_lesion else None
    stated = draw_stated(source, organ, label, seed, manifest.site, number)
    code = int(_codes(seed, manifest.site, max(number, source.patients))[number - 1])
    return Patient(number, code, organ, label, stated, difficulty, place, diameter, lesion, modalities, pose, views)


def _image_tissue(
    patient: Patient, geometry: Geometry, view: View, device: Device, body: np.random.Generator
) -> tuple[Grid, Tissue]:
    """Grid and tissue of one view; the same state of `body` gives the same body."""
    grid = grid_of(geometry, view, *sampling_of(device))
    tissue = draw_body(patient.organ, moved(grid, patient.pose), body, patient.label)
    if patient.lesion is not None:
        paint_lesion(tissue, grid, patient.lesion, device.frequency_mhz, view, body)
    else:
        paint_decoy(tissue, grid, patient.place, patient.diameter, patient.difficulty)
    return grid, tissue


def _framed(shown: Shown, device: Device) -> Shown:
    """The scan inside the whole picture, with margins for overlays."""
    frame = frame_of(device)
    margins = ((frame.top, 0), (0, frame.width - frame.right))
    rest = ((0, 0),) * (shown.picture.ndim - 2)
    return Shown(np.pad(shown.picture, (*margins, *rest)), np.pad(shown.mask, margins))


def confounded(device: Device, label: str) -> Device:
    """The device as a confounded set uses it: calipers and more gain on the diseases of the joint task alone."""
    suspicious = label in SICK
    overlays = [name for name in device.overlays if name != "caliper"] + ["caliper"] * suspicious
    brighter = SHORTCUT_GAIN_DB * suspicious
    return device.model_copy(update={"overlays": tuple(overlays), "gain_db": device.gain_db + brighter})


@lru_cache(maxsize=64)
def reference_curves(site: str, device: Device, organ: str, modality: str, seed: int) -> tuple[np.ndarray, ...]:
    """Grey values of bodies with nothing wrong, as this device shows this organ; see tone."""
    geometry, frame = geometry_for(device, modality), frame_of(device)
    inside = scan_area(geometry, frame.scan_height, frame.scan_width)
    curves = []
    for number in range(REFERENCES):
        generator = spawn(seed, f"phantom tone, {organ}, {modality}", site, number)
        grid = moved(grid_of(geometry, _draw_view(generator), *sampling_of(device)), _draw_pose(generator))
        scene = scene_of(device, modality, draw_body(organ, grid, generator), grid, generator)
        shown = MODALITIES[modality](scene, frame.scan_height, frame.scan_width, generator)
        curves.append(curve_of(shown.picture, inside))
    return tuple(curves)


def take_photo(manifest: SiteManifest, source: PhantomSource, seed: int, patient: Patient, number: int) -> Photo:
    """Picture `number` (from 0) of a patient."""
    device = confounded(source.device, patient.label) if source.shortcut else source.device
    site, modality, frame = manifest.site, patient.modalities[number], frame_of(device)
    key = patient.number * 100 + number
    generator = spawn(seed, "phantom picture", site, key)
    shown = _scan(site, device, seed, patient, number, generator)
    geometry = geometry_for(device, modality)
    place = fit(geometry, scan_height(modality, frame.scan_height), frame.scan_width)
    ink = spawn(seed, "phantom overlay", site, key)
    writing = draw_overlays(device, shown.picture.ndim == 3, source.institution, patient.organ, place, ink)
    if modality in TONED:
        curves = reference_curves(site, device, patient.organ, modality, seed)
        whole_sweep = spawn(seed, "phantom curve", site, patient.number)  # a sweep has one setting
        curve = draw_curve(curves, whole_sweep if modality == SWEEP else generator)
        seen = scan_area(geometry, frame.scan_height, frame.scan_width) & ~hidden(writing, frame)
        shown = replace(shown, picture=with_curve(shown.picture, seen, curve, generator))
    shown = _framed(shown, device)
    image = laid_over(to_image(shown.picture, device.tint), writing)
    return Photo(image, shown.mask, modality, f"{patient.name}-sweep" if modality == SWEEP else "")


def _scan(site: str, device: Device, seed: int, patient: Patient, number: int, generator: np.random.Generator) -> Shown:
    """The scan's part of a picture, before anything is written over it."""
    modality, frame = patient.modalities[number], frame_of(device)
    body = spawn(seed, "phantom body", site, patient.number)
    grid, tissue = _image_tissue(patient, geometry_for(device, modality), patient.views[number], device, body)
    scatterers = None
    if modality == SWEEP:  # neighbouring slices are thicker than their distance: they share scatterers
        common = gaussian_scatterers(spawn(seed, "phantom sweep", site, patient.number), grid.x.shape)
        scatterers = 0.8 * common + 0.6 * gaussian_scatterers(generator, grid.x.shape)
    scene = scene_of(device, modality, tissue, grid, generator, scatterers)
    return MODALITIES[modality](scene, frame.scan_height, frame.scan_width, generator)


def photos_of(manifest: SiteManifest, source: PhantomSource, seed: int, patient: Patient) -> Iterator[Photo]:
    """All pictures of a patient, in order."""
    for number in range(len(patient.views)):
        yield take_photo(manifest, source, seed, patient, number)
