"""Heart, lung, brain, pelvis and the unborn child. Each is the simplest picture with its landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from ultrafm.phantom.abdominal import belly_wall
from ultrafm.phantom.grid import Grid
from ultrafm.phantom.tissue import Tissue, bone, fill, fluid, oval, reflect, soft, texture, tube, vessel


def draw_heart(tissue: Tissue, grid: Grid, generator: np.random.Generator, narrow_valve: bool = False) -> None:
    """Four chambers from the apex: two ventricles above, two atria below, septum and valves between.

    A narrow valve has thick leaflets that hardly open, with chalk on them and a fast jet through what is left.
    Elsewhere the chalk of old age lies in the ring that the leaflets hang from.
    """
    tissue.echo_db += -5 + 4 * texture(grid, generator, 0.2, 0.09)
    tilt, size = generator.normal(0, 0.12), generator.uniform(0.92, 1.08)
    heart, facing = oval(grid, 0.0, 0.54, 0.40 * size, 0.44 * size, tilt)
    fill(tissue, soft(heart - 1, 0.05), 1.0, stiffness=3.0, perfusion=0.6)
    reflect(tissue, (heart - 1.03) * 0.4, 0.007, 0.8 + 4 * facing)
    valve = generator.uniform(0.57, 0.63)
    chambers = (
        (0.15, 0.40, 0.115, 0.20, 0.4),
        (-0.15, 0.42, 0.10, 0.165, 0.35),
        (0.16, 0.76, 0.13, 0.115, -0.3),
        (-0.16, 0.75, 0.12, 0.11, -0.3),
    )
    for x, y, width, height, speed in chambers:
        spread = generator.uniform(0.9, 1.12)
        chamber, around = oval(
            grid, x * size, y, width * size * spread, height * size, tilt + generator.normal(0, 0.06)
        )
        rough = 0.06 * texture(grid, generator, 0.06, 0.06)
        fluid(tissue, soft(chamber + rough - 1, 0.1), speed, perfusion=1.0)
        reflect(tissue, (chamber - 1.05) * width, 0.007, 2.5 * around)
    for x in (0.15 * size, -0.15 * size):
        opened = generator.uniform(0, 1)
        opening = 0.05 + 0.2 * opened if narrow_valve else 0.25 + 0.55 * opened
        for side in (-1.0, 1.0):
            from_hinge = side * (grid.x - x) + 0.13
            leaflet = grid.y - valve + opening * from_hinge - 0.04
            thickness = 0.013 if narrow_valve else 0.006
            reflect(tissue, leaflet, thickness, 6 * soft(np.abs(from_hinge - 0.05) - 0.055, 0.02))
            at = 0.09 if narrow_valve else 0.0
            chalk, _facing = oval(grid, x + side * (at - 0.13), valve + 0.04 - opening * at, 0.018, 0.014)
            fill(tissue, soft(chalk - 1, 0.3), 12.0, 3.0)
        if narrow_valve:
            jet, _facing = oval(grid, x, valve - 0.12, 0.025, 0.12)
            fill(tissue, soft(jet - 1, 0.5), flow=1.1)
    fill(tissue, soft(grid.depth - 0.05, 0.02), 8.0, 0.6)


@dataclass(frozen=True)
class Pleura:
    """What is seen at and below the pleura. b_lines: on average; width: of one, in shares of the probe; a_lines:
    strength, 1 in a healthy lung; rough: how uneven the line is; consolidations: on average, of the given size."""

    b_lines: float = 1.2
    width: tuple[float, float] = (0.012, 0.03)
    a_lines: float = 1.0
    rough: float = 0.0
    consolidations: float = 0.0
    size: tuple[float, float] = (0.0, 0.0)


HEALTHY_LUNG = Pleura()


def draw_lung(tissue: Tissue, grid: Grid, generator: np.random.Generator, state: Pleura = HEALTHY_LUNG) -> None:
    """Chest wall, ribs with shadows, the bright pleural line, its echoes at equal distances (A-lines), B-lines.

    Below the pleura of a healthy lung nothing is tissue: what is drawn there stands for reverberation, not for
    scatterers. Where air has left (consolidation), lung looks like liver, with bright points of air in it.
    """
    air = generator.spawn(1)[0]  # so that the body is the same with another disease
    wall = generator.uniform(0.2, 0.28)
    stripes = texture(grid, generator, 0.4, 0.02, generator.normal(0, 0.05))
    tissue.echo_db += 4 * stripes - 1
    uneven = state.rough * texture(grid, generator, 0.05, 2.0)
    pleura = wall + 0.03 * np.square(grid.x / 0.4) + generator.normal(0, 0.03) * grid.x + uneven
    below = soft(pleura - grid.depth, 0.01)
    haze = texture(grid, generator, 0.12, 0.3)
    fill(tissue, below, -5 - 16 * (grid.depth - wall) + 2 * haze, perfusion=0.05, stiffness=0.5)
    reflect(tissue, grid.depth - pleura, 0.008, 16.0 * np.clip(1 - 12 * np.abs(uneven), 0.3, 1))
    a_lines = generator.uniform(0.2, 1.0) * state.a_lines
    for number in (2, 3, 4):
        reflect(tissue, grid.depth - number * pleura, 0.009, a_lines * 7 / number**1.3)
    rays = np.zeros_like(tissue.echo_db)
    for _line in range(air.poisson(state.b_lines)):
        place, width = air.uniform(0.2, 0.8), air.uniform(*state.width)
        ray = np.exp(-0.5 * np.square((grid.line - place) / width)) * below
        rays = np.maximum(rays, ray * air.uniform(8, 15))  # lines that meet are no brighter than one
    tissue.echo_db += rays
    for _patch in range(air.poisson(state.consolidations)):
        _consolidate(tissue, grid, air, pleura, state.size)
    for place in (generator.uniform(0.08, 0.26), generator.uniform(0.74, 0.92)):
        rib = np.hypot((grid.line - place) / 0.085, (grid.depth - wall * 0.72) / 0.035)
        bone(tissue, soft(rib - 1, 0.2))
    fill(tissue, soft(grid.depth - 0.03, 0.01), 6.0)


def _consolidate(
    tissue: Tissue, grid: Grid, generator: np.random.Generator, pleura: np.ndarray, size: tuple[float, float]
) -> None:
    """A part of lung without air below the pleura, its lower edge shredded; points of air in larger ones."""
    place, reach = generator.uniform(0.3, 0.7), generator.uniform(*size)
    width = 0.06 + 0.5 * reach
    profile = np.maximum(1 - np.square((grid.line - place) / width), 0)
    edge = pleura + reach * profile * (1 + 0.25 * texture(grid, generator, 0.05, 0.05))
    solid = soft(grid.depth - edge, 0.02) * soft(pleura + 0.01 - grid.depth, 0.01)
    air = np.maximum(texture(grid, generator, 0.05, 0.025) - 1.2, 0)
    fill(tissue, solid, -4 + (14 if reach > 0.1 else 0) * air)


LUNG_DISEASES = {
    "COVID-19": partial(draw_lung, state=Pleura(5.0, (0.02, 0.06), 0.2, 0.012, 1.2, (0.02, 0.05))),
    "viral pneumonia": partial(draw_lung, state=Pleura(4.0, (0.012, 0.03), 0.4, 0.004, 0.5, (0.02, 0.04))),
    "bacterial pneumonia": partial(draw_lung, state=Pleura(1.5, (0.012, 0.03), 0.6, 0.004, 1.6, (0.12, 0.3))),
}


def draw_brain(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """Folded surface with bright furrows, the bright falx in the middle, two dark ventricles, the plexus within."""
    fold = texture(grid, generator, 0.16, 0.13)
    tissue.echo_db += -3 + 1.2 * texture(grid, generator, 0.2, 0.1)
    depth_in = np.abs(np.hypot(grid.x, grid.y - 0.52))
    furrow = np.exp(-0.5 * np.square(fold / 0.13)) * soft(0.27 - depth_in, 0.1)
    tissue.echo_db += 9 * furrow
    lean = generator.normal(0, 0.08)
    falx = grid.x - lean * (grid.y - 0.5) - 0.012 * np.sin(9 * grid.y)
    reflect(tissue, falx, 0.004, 3 * soft(np.abs(grid.y - 0.5) - 0.42, 0.1))
    for side in (-1.0, 1.0):
        x, turn = side * generator.uniform(0.1, 0.14), side * generator.uniform(0.5, 0.9)
        ventricle, facing = oval(grid, x, 0.46, generator.uniform(0.1, 0.14), generator.uniform(0.028, 0.05), turn)
        fluid(tissue, soft(ventricle - 1, 0.15))
        reflect(tissue, (ventricle - 1.05) * 0.05, 0.006, 4 * facing)
        plexus, _facing = oval(grid, x * 1.3, 0.52, 0.05, 0.022, turn)
        fill(tissue, soft(plexus - 1, 0.4), 9.0)
    for _artery in range(4):
        vessel(
            tissue,
            grid,
            generator.uniform(-0.35, 0.35),
            generator.uniform(0.25, 0.85),
            0.012,
            generator.choice([-0.4, 0.4]),
            0.5,
            2.0,
        )
    skull = np.hypot(grid.x, grid.y - 0.5)
    reflect(tissue, skull - generator.uniform(0.46, 0.5), 0.010, 7 * soft(0.7 - grid.y, 0.1))
    fill(tissue, soft(grid.depth - 0.04, 0.01), 5.0)


def draw_fetus(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """The head across: a bright skull, the midline echo, dark ventricles; fluid, limbs and the placenta around it."""
    tissue.echo_db += -1 + 1.5 * texture(grid, generator, 0.1, 0.06)
    cavity, _facing = oval(grid, 0.0, 0.56, 0.52, 0.40)
    fluid(tissue, soft(cavity + 0.05 * texture(grid, generator, 0.2, 0.2) - 1, 0.05))
    placenta, _facing = oval(grid, generator.uniform(-0.3, 0.3), 0.19, 0.36, 0.085)
    fill(tissue, soft(placenta - 1, 0.15), 3.0, perfusion=1.0)
    x, y, turn = generator.uniform(-0.08, 0.08), generator.uniform(0.52, 0.6), generator.normal(0, 0.35)
    long, short = generator.uniform(0.27, 0.32), generator.uniform(0.2, 0.24)
    head, facing = oval(grid, x, y, long, short, turn)
    fill(tissue, soft(head - 1, 0.03), -8 + 2.5 * texture(grid, generator, 0.08, 0.06), 0.55, perfusion=0.5)
    reflect(tissue, (head - 1.02) * short, 0.009, 3 + 8 * facing)
    cosine, sine = math.cos(turn), math.sin(turn)
    across = cosine * (grid.y - y) - sine * (grid.x - x)
    along = cosine * (grid.x - x) + sine * (grid.y - y)
    reflect(tissue, across, 0.006, 5 * soft(np.abs(along) - long * 0.8, 0.05))
    for side in (-1.0, 1.0):
        middle = (
            x + 0.3 * long * cosine - side * 0.4 * short * sine,
            y + 0.3 * long * sine + side * 0.4 * short * cosine,
        )
        ventricle, _around = oval(grid, *middle, long * 0.28, short * 0.13, turn)
        fluid(tissue, soft(ventricle - 1, 0.2))
    for _limb in range(2):
        limb, _around = oval(
            grid,
            generator.choice([-1, 1]) * generator.uniform(0.36, 0.44),
            generator.uniform(0.55, 0.75),
            0.06,
            0.045,
            generator.uniform(-1, 1),
        )
        fill(tissue, soft(limb - 1, 0.15), 0.0)
    vessel(tissue, grid, generator.uniform(-0.4, -0.3), generator.uniform(0.35, 0.45), 0.018, 0.3, 2.0)
    belly_wall(tissue, grid, generator)


def draw_prostate(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """From the rectum: the brighter outer zone near the probe, the mixed inner gland, the capsule, the bladder."""
    tissue.echo_db += 1 + 3 * texture(grid, generator, 0.14, 0.06)
    x, y = generator.uniform(-0.05, 0.05), generator.uniform(0.42, 0.48)
    width, height = generator.uniform(0.38, 0.46), generator.uniform(0.23, 0.28)
    gland, facing = oval(grid, x, y, width, height)
    fill(
        tissue,
        soft(gland - 1, 0.04),
        generator.normal(0.5, 1) + 1.0 * texture(grid, generator, 0.05, 0.03),
        stiffness=3.0,
        perfusion=0.8,
    )
    reflect(tissue, (gland - 1.03) * height, 0.007, 4 * facing)
    inner, around = oval(grid, x, y + 0.06, width * 0.62, height * 0.62)
    nodes = texture(grid, generator, 0.1, 0.08)
    fill(tissue, soft(inner - 1, 0.08), -5 + 2.5 * nodes, stiffness=4.0)
    reflect(tissue, (inner - 1.02) * height, 0.006, 2 * around)
    vessel(tissue, grid, x, y + 0.05, 0.015, 0.0, 3.0)
    bladder, facing = oval(grid, x + generator.normal(0, 0.1), 0.86, 0.42, generator.uniform(0.1, 0.16))
    fluid(tissue, soft(bladder - 1, 0.05))
    reflect(tissue, (bladder - 1.04) * 0.13, 0.008, 4 * facing)
    for side in (-1.0, 1.0):
        vessel(tissue, grid, x + side * (width + 0.05), y - 0.05, 0.022, 0.25, 2.0)
        vessel(
            tissue,
            grid,
            x + side * width * generator.uniform(0.4, 0.8),
            y - generator.uniform(0, 0.1),
            0.010,
            0.15,
            0.3,
            2.0,
        )
    reflect(tissue, grid.depth - generator.uniform(0.07, 0.1), 0.007, 4.0)


def draw_ovary(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """An oval with dark follicles of several sizes at its rim, the iliac vessels behind it, bowel around."""
    tissue.echo_db += 1 + 3.5 * texture(grid, generator, 0.14, 0.07)
    x, y, turn = generator.uniform(-0.1, 0.1), generator.uniform(0.42, 0.5), generator.normal(0, 0.3)
    width, height = generator.uniform(0.3, 0.36), generator.uniform(0.19, 0.24)
    ovary, facing = oval(grid, x, y, width, height, turn)
    fill(tissue, soft(ovary - 1, 0.06), -3.5 + 1.5 * texture(grid, generator, 0.06, 0.04), stiffness=3.0, perfusion=0.7)
    reflect(tissue, (ovary - 1.03) * height, 0.006, 3 * facing)
    angles = np.linspace(0, 2 * math.pi, generator.integers(6, 10), endpoint=False) + generator.uniform(0, 1)
    for angle in angles:
        away = generator.uniform(0.6, 0.75)
        along, across = away * width * math.cos(angle), away * height * math.sin(angle)
        middle = (
            x + math.cos(turn) * along - math.sin(turn) * across,
            y + math.sin(turn) * along + math.cos(turn) * across,
        )
        vessel(tissue, grid, *middle, generator.uniform(0.016, 0.045), 0.0, 2.0, 1.1)
    tube(tissue, grid, (0.0, generator.uniform(0.78, 0.86)), generator.normal(0, 0.15), 0.1, 0.04, 0.35, 4.0)
    vessel(tissue, grid, x + generator.uniform(-0.1, 0.1), y + 0.02, 0.012, 0.15, 0.5, 2.0)
    reflect(tissue, grid.depth - generator.uniform(0.06, 0.1), 0.007, 4.0)


def draw_cervix(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """Lengthwise: a cylinder with its canal as a bright line in a dark strip, the bladder, the child's head beyond."""
    tissue.echo_db += 2 + 3 * texture(grid, generator, 0.14, 0.06)
    slope, level = generator.normal(0.12, 0.1), generator.uniform(0.5, 0.58)
    middle = level + slope * grid.x + generator.normal(0, 0.15) * np.square(grid.x)
    length = generator.uniform(0.3, 0.38)
    wall = generator.uniform(0.13, 0.16)
    across, beyond = np.abs(grid.y - middle), np.maximum(np.abs(grid.x) - length, 0)
    distance = np.hypot(across, beyond)
    fill(
        tissue,
        soft(distance - wall, 0.03),
        -3 + 1.5 * texture(grid, generator, 0.1, 0.04),
        stiffness=3.0,
        perfusion=0.7,
    )
    reflect(tissue, distance - wall, 0.006, 3.0)
    fill(tissue, soft(distance - 0.035, 0.02), -11.0)
    reflect(tissue, grid.y - middle, 0.006, 5 * soft(np.abs(grid.x) - length, 0.04))
    bladder, facing = oval(grid, generator.uniform(-0.4, -0.28), generator.uniform(0.26, 0.3), 0.2, 0.075, 0.2)
    fluid(tissue, soft(bladder - 1, 0.08))
    reflect(tissue, (bladder - 1.05) * 0.08, 0.007, 4 * facing)
    side = generator.choice([-1.0, 1.0])
    head, facing = oval(grid, side * 0.62, 0.72, 0.26, 0.24)
    fluid(tissue, soft(head - 1.25, 0.1))
    fill(tissue, soft(head - 1, 0.03), -8.0)
    reflect(tissue, (head - 1.02) * 0.25, 0.008, 3 + 6 * facing)
    for _vessel in range(3):
        vessel(tissue, grid, generator.uniform(-0.3, 0.3), generator.uniform(0.72, 0.85), 0.016, 0.2, 1.5, 1.5)
    belly_wall(tissue, grid, generator)
