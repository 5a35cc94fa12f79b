"""Lesions: how benign and malignant ones look, how much they overlap, and how they are drawn.

The traits are those of the lexicons with which radiologists describe masses (ACR BI-RADS 2013 for the breast, TI-RADS
2017 for the thyroid; `lexicon` gives their words): shape, orientation, margin, echo, shadow, calcification, vessels. Of
calcifications and vessels only the place depends on the kind.

A latent `difficulty` from 0 to 1 belongs to each lesion. It moves both kinds towards the same appearance: at 1 a
benign and a malignant lesion are drawn from the same distribution. Size, place and number of a lesion never depend on
its kind, and what the picture as a whole would tell by its brightness is taken from it (see `tone`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ultrafm.phantom.grid import STILL, Grid, View
from ultrafm.phantom.tissue import SOFT_TISSUE_ATTENUATION, Tissue, fill, fluid, oval, reflect, soft, texture

LESION_LABELS = ("benign", "malignant")
_ANGLES = np.linspace(0, 2 * math.pi, 257)

DIFFICULTY = (1.0, 3.0)  # parameters of the beta distribution that difficulties are drawn from
# Mean at appearance 0 (benign) and 1 (malignant), and the deviation around the mean that both share.
TRAITS: dict[str, tuple[float, float, float]] = {
    "log_aspect": (math.log(0.66), math.log(1.0), 0.20),
    "log_irregularity": (math.log(0.04), math.log(0.13), 0.45),
    "log_spiculation": (math.log(0.03), math.log(0.22), 0.50),
    "echo_db": (-9.0, -13.0, 2.5),
    "heterogeneity_db": (0.8, 5.0, 1.4),
    "posterior_db": (5.0, -8.0, 4.0),
    "log_margin": (math.log(0.06), math.log(0.16), 0.35),
    "halo_db": (0.0, 3.0, 1.5),
    "capsule": (2.2, 0.4, 0.7),
    "calcification_place": (0.85, 0.35, 0.15),
    "vessel_place": (1.0, 0.4, 0.15),
    "log_stiffness": (math.log(3.0), math.log(8.0), 0.45),
    "washout": (0.15, 0.65, 0.2),
}
CALCIFIED, CALCIFICATIONS = 0.4, (3, 10)  # share of lesions with calcifications; how many these have
VESSELS = 2.5  # on average


@dataclass(frozen=True)
class Lesion:
    """One lesion. Lengths are shares of the scan's depth.

    `outline` holds the radius at 257 angles, 1 on average. `aspect` is height over width; `posterior_db` the gain (or
    loss) behind the middle; `washout` how much contrast agent it lacks.
    `calcifications` and `vessels`: (n, 2) places in the lesion, where 1 is its outline.
    """

    label: str
    difficulty: float
    x: float
    y: float
    diameter: float
    aspect: float
    turn: float
    outline: np.ndarray
    echo_db: float
    heterogeneity_db: float
    posterior_db: float
    margin: float
    halo_db: float
    capsule: float
    stiffness: float
    washout: float
    calcifications: np.ndarray
    vessels: np.ndarray


def appearance(label: str, difficulty: float) -> float:
    """Where a lesion stands between typically benign (0) and malignant (1); at difficulty 1 both stand at 0.5."""
    return 1 - difficulty / 2 if label == "malignant" else difficulty / 2


def trait_distribution(label: str, difficulty: float, separation: float = 1.0) -> dict[str, tuple[float, float]]:
    """Mean and deviation of every trait of a lesion; `separation` widens or narrows what lies between the means."""
    place = appearance(label, difficulty)
    if separation != 1:
        place = 0.5 + separation * (place - 0.5)
    return {name: (low + place * (high - low), spread) for name, (low, high, spread) in TRAITS.items()}


def draw_outline(irregularity: float, spiculation: float, generator: np.random.Generator) -> np.ndarray:
    """A closed outline around radius 1: a few lobes, and spicules; the area is that of the unit circle."""
    waves = np.arange(2, 8)
    sizes = generator.normal(0, irregularity, waves.size) / np.sqrt(waves / 2)
    phases = generator.uniform(0, 2 * math.pi, waves.size)
    outline = 1 + (sizes[:, None] * np.cos(waves[:, None] * _ANGLES + phases[:, None])).sum(0)
    for angle in generator.uniform(0, 2 * math.pi, 9):
        away = np.angle(np.exp(1j * (_ANGLES - angle)))
        outline += spiculation * generator.uniform(0.3, 1) * np.exp(-0.5 * np.square(away / 0.11))
    outline = np.maximum(outline, 0.4)
    return (outline / math.sqrt(np.square(outline[:-1]).mean())).astype(np.float32)


def draw_traits(
    label: str, difficulty: float, generator: np.random.Generator, separation: float = 1.0
) -> dict[str, float]:
    """The traits of one lesion of a kind."""
    return {name: generator.normal(*law) for name, law in trait_distribution(label, difficulty, separation).items()}


def draw_lesion(
    label: str, difficulty: float, place: tuple[float, float], diameter: float, generator: np.random.Generator,
    separation: float = 1.0,
) -> Lesion:  # fmt: skip
    """A lesion of a kind, at a place (x, y) and of a size (diameter of the circle of equal area)."""
    trait = draw_traits(label, difficulty, generator, separation)
    faint = 1 - 0.4 * difficulty
    spots = generator.integers(*CALCIFICATIONS) if generator.random() < CALCIFIED else 0
    return Lesion(
        label, difficulty, *place, diameter,
        aspect=math.exp(trait["log_aspect"]), turn=generator.normal(0, 0.18),
        outline=draw_outline(math.exp(trait["log_irregularity"]), math.exp(trait["log_spiculation"]), generator),
        echo_db=min(trait["echo_db"] * faint, -3.5), heterogeneity_db=max(trait["heterogeneity_db"], 0.3),
        posterior_db=trait["posterior_db"], margin=math.exp(trait["log_margin"]), halo_db=max(trait["halo_db"], 0.0),
        capsule=max(trait["capsule"], 0.0) * faint, stiffness=math.exp(trait["log_stiffness"]),
        washout=float(np.clip(trait["washout"], 0, 1)),
        calcifications=_places(trait["calcification_place"], spots, generator),
        vessels=_places(trait["vessel_place"], generator.poisson(VESSELS), generator),
    )  # fmt: skip


def _places(distance: float, count: int, generator: np.random.Generator) -> np.ndarray:
    """(count, 2) places around a distance from the middle, at angles drawn by chance."""
    angles = generator.uniform(0, 2 * math.pi, count)
    away = np.clip(distance + generator.normal(0, 0.08, count), 0.05, 1.1)
    return np.stack([away * np.cos(angles), away * np.sin(angles)], axis=1)


def distance_to_lesion(grid: Grid, lesion: Lesion, view: View = STILL) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the lesion's middle, 1 on its outline in this slice, and how squarely the beams meet it."""
    radius = lesion.diameter / 2 * _shrunk(view)
    stretch = math.sqrt(lesion.aspect)
    distance, facing = oval(grid, lesion.x, lesion.y, radius / stretch, radius * stretch, lesion.turn)
    cosine, sine = math.cos(lesion.turn), math.sin(lesion.turn)
    right, down = grid.x - lesion.x, grid.y - lesion.y
    angle = np.arctan2((cosine * down - sine * right) / stretch, (cosine * right + sine * down) * stretch)
    steps = np.mod(angle, np.float32(2 * math.pi)) * np.float32(256 / (2 * math.pi))
    lower = np.minimum(steps.astype(np.int32), 255)
    share = steps - lower
    outline = lesion.outline
    return distance / (outline[lower] * (1 - share) + outline[lower + 1] * share), facing


def _shrunk(view: View) -> float:
    """Radius of a slice as a share of the largest."""
    return math.sqrt(max(1 - view.slice**2, 0.05))


def paint_lesion(
    tissue: Tissue, grid: Grid, lesion: Lesion, frequency_mhz: float, view: View, generator: np.random.Generator
) -> None:
    """Draw a lesion into the tissue, and set `tissue.lesion` to what lies within its outline."""
    distance, facing = distance_to_lesion(grid, lesion, view)
    inside = soft(distance - 1, 0.02 + 2 * lesion.margin)
    tissue.echo_db += lesion.halo_db * np.exp(-0.5 * np.square((distance - 1.12) / 0.1))
    grains = texture(grid, generator, lesion.diameter / 5, lesion.diameter / 7)
    thickness_cm = lesion.diameter * math.sqrt(lesion.aspect) * grid.cm_per_sample * (len(grid.depth) - 1)
    attenuation = SOFT_TISSUE_ATTENUATION - lesion.posterior_db / (2 * frequency_mhz * thickness_cm)
    fill(
        tissue, inside, lesion.echo_db + lesion.heterogeneity_db * grains, attenuation, 0.0, lesion.stiffness,
        perfusion=0.55 * (1 - lesion.washout),
    )  # fmt: skip
    tissue.mirror *= 1 - inside
    reflect(tissue, (distance - 1.04) * lesion.diameter / 2, 0.006, lesion.capsule * facing)
    _paint_spots(tissue, grid, lesion, view)
    tissue.lesion |= distance < 1


def _paint_spots(tissue: Tissue, grid: Grid, lesion: Lesion, view: View) -> None:
    """Calcifications as bright points, vessels as flow too small to be seen in grey."""
    stretch, radius = math.sqrt(lesion.aspect), lesion.diameter / 2 * _shrunk(view)
    for x, y in lesion.calcifications:
        near, right, down = _around(grid, lesion.x + x * radius / stretch, lesion.y + y * radius * stretch, 0.024)
        tissue.mirror[near] += 9 * np.exp((right * right + down * down) * np.float32(-0.5 / 0.006**2))
    for number, (x, y) in enumerate(lesion.vessels):
        near, right, down = _around(grid, lesion.x + x * radius / stretch, lesion.y + y * radius * stretch, 0.04)
        turned = (right + down, right - down) if number % 2 else (right - down, right + down)
        inside = np.square(turned[0] / 0.042) + np.square(turned[1] / 0.017) < 1  # 0.03 by 0.012, at 45 degrees
        tissue.flow[near] = np.where(inside, 0.25 * (-1) ** number, tissue.flow[near])


def _around(grid: Grid, x: float, y: float, reach: float) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """The part of the grid within `reach` of a place, as slices, and how far right and down of it its samples lie."""
    close = (np.abs(grid.x - x) < reach) & (np.abs(grid.y - y) < reach)
    rows, columns = np.flatnonzero(close.any(axis=1)), np.flatnonzero(close.any(axis=0))
    if not rows.size:
        near = (slice(0, 0), slice(0, 0))
    else:
        near = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return near, grid.x[near] - x, grid.y[near] - y


def paint_decoy(tissue: Tissue, grid: Grid, place: tuple[float, float], diameter: float, difficulty: float) -> None:
    """In a body without a lesion: a harmless patch without outline, darker the harder the case."""
    distance, _facing = oval(grid, *place, diameter * 0.6, diameter * 0.4)
    fill(tissue, soft(distance - 1, 0.8) * 0.8, tissue.echo_db - 5 * difficulty)


def paint_cyst(tissue: Tissue, grid: Grid, x: float, y: float, radius: float) -> None:
    """A simple cyst: dark, thin-walled, with enhancement behind."""
    distance, facing = oval(grid, x, y, radius * 1.15, radius)
    fluid(tissue, soft(distance - 1, 0.1))
    reflect(tissue, (distance - 1.05) * radius, 0.005, 3 * facing)
