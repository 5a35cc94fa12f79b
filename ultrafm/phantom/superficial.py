"""Organs close under the skin, as a linear probe shows them. Each is the simplest picture with its landmarks."""

from __future__ import annotations

import numpy as np

from ultrafm.phantom.grid import Grid
from ultrafm.phantom.lesions import paint_cyst
from ultrafm.phantom.tissue import Tissue, bone, fill, oval, reflect, soft, texture, tube, vessel, wavy


def skin_and_fat(tissue: Tissue, grid: Grid, generator: np.random.Generator, thickness: float) -> np.ndarray:
    """Bright skin and darker fat with septa down to about `thickness`; returns the depth of the fat's lower face."""
    skin = generator.uniform(0.025, 0.045)
    floor = wavy(grid, generator, thickness, 0.15 * thickness)
    septa = np.maximum(texture(grid, generator, 0.22, 0.022, generator.normal(0, 0.12)) - 0.5, 0)
    fill(tissue, soft(grid.depth - floor, 0.01), -9 + 7 * septa, 0.6, stiffness=1.0, perfusion=0.15)
    fill(tissue, soft(grid.depth - skin, 0.008), 6.0, 0.8, stiffness=2.0)
    reflect(tissue, grid.depth - skin, 0.004, 4.0)
    reflect(tissue, grid.depth - floor, 0.004, 3.0)
    return floor


def muscle(
    tissue: Tissue, grid: Grid, generator: np.random.Generator, top: np.ndarray, bottom: np.ndarray, turn: float
) -> None:
    """Fibres: dark with thin bright stripes at an angle, between two bright sheaths."""
    within = soft(top - grid.depth, 0.01) * soft(grid.depth - bottom, 0.01)
    stripes = texture(grid, generator, 0.35, 0.014, turn)
    fill(tissue, within, -4 + 4.5 * np.maximum(stripes, -1), 0.7, stiffness=3.0, perfusion=0.4)
    tissue.mirror += within * np.maximum(stripes - 1.0, 0) * 3.5
    for face in (top, bottom):
        reflect(tissue, grid.depth - face, 0.006, 4.0)


def draw_breast(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """Fat lobules, glandular tissue with streaks, a fatty layer, the chest muscle, and now and then a rib or a cyst."""
    streaks = texture(grid, generator, 0.25, 0.035, generator.normal(0, 0.1))
    islands = texture(grid, generator, 0.30, 0.16)
    fibres = texture(grid, generator, 0.10, 0.018, generator.normal(0, 0.2))
    tissue.echo_db += generator.normal(1, 1.5) + 3.5 * streaks + 3.0 * islands + 1.8 * fibres
    tissue.mirror += np.maximum(streaks + 0.6 * fibres - 1.0, 0) * 2.5
    fat = skin_and_fat(tissue, grid, generator, generator.uniform(0.12, 0.26))
    for _lobule in range(generator.poisson(2.5)):
        distance, facing = oval(
            grid, generator.uniform(-0.6, 0.6), generator.uniform(0.2, 0.62), generator.uniform(0.06, 0.14),
            generator.uniform(0.03, 0.07), generator.normal(0, 0.15),
        )  # fmt: skip
        fill(tissue, soft(distance - 1, 0.3), generator.uniform(-9, -5), stiffness=1.0)
        reflect(tissue, (distance - 1.05) * 0.05, 0.006, 1.5 * facing)
    chest = wavy(grid, generator, generator.uniform(0.72, 0.82), 0.02)
    fill(tissue, soft(chest - 0.07 - grid.depth, 0.03) * soft(grid.depth - chest, 0.01), -8.0, stiffness=1.0)
    muscle(tissue, grid, generator, np.maximum(chest, fat + 0.1), chest + 0.16, generator.normal(0, 0.08))
    if generator.random() < 0.35:
        distance, _facing = oval(grid, generator.uniform(-0.4, 0.4), 1.02, 0.16, 0.08)
        bone(tissue, soft(distance - 1, 0.1))
    if generator.random() < 0.2:
        paint_cyst(
            tissue, grid, generator.uniform(-0.4, 0.4), generator.uniform(0.3, 0.6), generator.uniform(0.02, 0.04)
        )


def draw_thyroid(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """One lobe under the strap muscles, the windpipe with its shadow on one side, the carotid artery on the other."""
    side = generator.choice([-1.0, 1.0])
    skin_and_fat(tissue, grid, generator, generator.uniform(0.07, 0.13))
    top = wavy(grid, generator, generator.uniform(0.13, 0.18), 0.012)
    muscle(tissue, grid, generator, top, top + 0.08, generator.normal(0, 0.05))
    deep = texture(grid, generator, 0.2, 0.02)
    fill(tissue, soft(0.72 - grid.depth, 0.05), -6 + 3 * deep)
    lobe, facing = oval(
        grid, 0.02 * side, generator.uniform(0.44, 0.5), generator.uniform(0.4, 0.5), generator.uniform(0.19, 0.25)
    )
    grain = texture(grid, generator, 0.06, 0.04)
    fill(tissue, soft(lobe - 1, 0.05), generator.normal(3.5, 1.2) + 1.2 * grain, stiffness=2.0, perfusion=0.9)
    reflect(tissue, (lobe - 1.02) * 0.2, 0.006, 2.5 * facing)
    vessel(
        tissue,
        grid,
        side * generator.uniform(0.42, 0.5),
        generator.uniform(0.46, 0.56),
        generator.uniform(0.07, 0.1),
        0.4,
        4,
    )
    pipe, _facing = oval(grid, -side * generator.uniform(0.55, 0.66), generator.uniform(0.4, 0.5), 0.2, 0.24)
    bone(tissue, soft(pipe - 1, 0.08))
    for _vessel in range(4):
        speed = generator.choice([-0.15, 0.15])
        vessel(tissue, grid, generator.uniform(-0.3, 0.3), generator.uniform(0.32, 0.6), 0.010, speed, 0.5)


def draw_carotid(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """The artery lengthwise: two bright double walls around a dark lumen, muscle above; a vein in front of it."""
    skin_and_fat(tissue, grid, generator, generator.uniform(0.08, 0.14))
    top = wavy(grid, generator, generator.uniform(0.14, 0.2), 0.015)
    muscle(tissue, grid, generator, top, top + 0.12, generator.normal(0, 0.06))
    fill(tissue, soft(top + 0.12 - grid.depth, 0.03), -3 + 3 * texture(grid, generator, 0.18, 0.025))
    slope, bend, level = generator.normal(0, 0.1), generator.normal(0, 0.1), generator.uniform(0.48, 0.58)
    radius = generator.uniform(0.07, 0.1)
    tube(tissue, grid, (0.0, level), slope, bend, radius, 0.42, 7.0)
    tube(tissue, grid, (0.0, level - radius - 0.1), slope + generator.normal(0, 0.04), bend, 0.035, -0.15, 2.0)
    middle = level + slope * grid.x + bend * np.square(grid.x)
    reflect(tissue, np.abs(grid.y - middle) - radius + 0.012, 0.003, 2.0)


def draw_muscle(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """Two pennate muscles with fibres between their sheaths, and bone at the bottom now and then."""
    fat = skin_and_fat(tissue, grid, generator, generator.uniform(0.1, 0.22))
    middle = wavy(grid, generator, generator.uniform(0.5, 0.66), 0.02) + generator.normal(0, 0.08) * grid.x[-1:, :]
    turn = generator.choice([-1.0, 1.0]) * generator.uniform(0.15, 0.42)
    muscle(tissue, grid, generator, fat + 0.01, middle, turn)
    muscle(tissue, grid, generator, middle + 0.015, np.full_like(middle, 1.05), -turn * generator.uniform(0.2, 0.8))
    vessel(tissue, grid, generator.uniform(-0.4, 0.4), float(middle.mean()) - 0.05, 0.018, 0.2, 2.0)
    if generator.random() < 0.4:
        face = wavy(grid, generator, generator.uniform(0.86, 0.93), 0.015)
        bone(tissue, soft(face - grid.depth, 0.01))


def draw_nerve(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """A nerve across: a bright honeycomb with dark fascicles, an artery and a vein beside it, muscles around."""
    fat = skin_and_fat(tissue, grid, generator, generator.uniform(0.1, 0.2))
    middle = wavy(grid, generator, generator.uniform(0.34, 0.44), 0.03)
    muscle(tissue, grid, generator, fat + 0.01, middle, generator.normal(0, 0.15))
    muscle(tissue, grid, generator, middle + 0.22, np.full_like(middle, 1.02), generator.normal(0, 0.25))
    between = soft(middle - grid.depth, 0.02) * soft(grid.depth - middle - 0.22, 0.02)
    fill(tissue, between, 1 + 3 * texture(grid, generator, 0.15, 0.03))
    x, y = generator.uniform(-0.2, 0.05), float(middle.mean()) + generator.uniform(0.08, 0.13)
    width, height = generator.uniform(0.09, 0.13), generator.uniform(0.05, 0.075)
    distance, facing = oval(grid, x, y, width, height)
    cells = np.sin(grid.x * 130) * np.sin((grid.y - y) * 130)
    fill(tissue, soft(distance - 1, 0.1), 6 - 16 * np.maximum(cells, 0), stiffness=4.0)
    reflect(tissue, (distance - 1.03) * height, 0.007, 3 * facing)
    beside = x + width + generator.uniform(0.08, 0.12)
    vessel(tissue, grid, beside, y + generator.normal(0, 0.02), 0.055, 0.35, 4.0)
    vessel(tissue, grid, beside + generator.uniform(0.13, 0.17), y + generator.normal(0, 0.02), 0.055, -0.15, 1.0, 1.4)


def draw_lymph_node(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """An oval node with a dark cortex and a bright hilum in fat between muscles, and a vessel next to it."""
    fat = skin_and_fat(tissue, grid, generator, generator.uniform(0.1, 0.18))
    muscle(tissue, grid, generator, fat + 0.01, fat + generator.uniform(0.1, 0.14), generator.normal(0, 0.08))
    fill(
        tissue,
        soft(fat + 0.14 - grid.depth, 0.03),
        -1 + 4 * texture(grid, generator, 0.2, 0.03, generator.normal(0, 0.2)),
    )
    for _node in range(generator.integers(1, 4)):
        x, y, turn = generator.uniform(-0.45, 0.45), generator.uniform(0.38, 0.7), generator.normal(0, 0.25)
        long, short = generator.uniform(0.1, 0.2), generator.uniform(0.055, 0.085)
        cortex, facing = oval(grid, x, y, long, short, turn)
        fill(tissue, soft(cortex - 1, 0.12), generator.uniform(-13, -9), stiffness=3.0, perfusion=0.7)
        reflect(tissue, (cortex - 1.04) * short, 0.006, 2.5 * facing)
        hilum, _facing = oval(grid, x, y + 0.01, long * 0.6, short * 0.38, turn)
        fill(tissue, soft(hilum - 1, 0.4), 3.0)
        vessel(tissue, grid, x, y, 0.011, 0.15, 0.0, 2.5, turn)
    vessel(
        tissue,
        grid,
        generator.uniform(-0.5, 0.5),
        generator.uniform(0.72, 0.82),
        generator.uniform(0.05, 0.08),
        0.4,
        4.0,
    )
