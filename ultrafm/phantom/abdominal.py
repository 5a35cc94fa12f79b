"""Organs of the belly, as a convex probe shows them. Each is the simplest picture with its landmarks."""

from __future__ import annotations

import math

import numpy as np

from ultrafm.phantom.grid import Grid
from ultrafm.phantom.tissue import Tissue, bone, fill, fluid, oval, reflect, soft, texture, tube, vessel, wavy


def belly_wall(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> float:
    """Skin, fat and muscle that follow the probe's face; returns the depth where the organs begin."""
    thickness = generator.uniform(0.08, 0.15)
    layers = np.sin(grid.depth * generator.uniform(150, 220) + 2 * texture(grid, generator, 0.5, 0.1))
    fill(tissue, soft(grid.depth - thickness, 0.01), -2 + 5 * layers, 0.6)
    for share in (0.3, 0.65, 1.0):
        reflect(tissue, grid.depth - thickness * share, 0.004, generator.uniform(2, 6))
    return thickness


def bowel_gas(tissue: Tissue, grid: Grid, generator: np.random.Generator, x: float, y: float) -> None:
    """A bright cap with a dirty shadow behind."""
    distance, _facing = oval(grid, x, y, generator.uniform(0.06, 0.12), generator.uniform(0.025, 0.05))
    fill(tissue, soft(distance - 1, 0.4), 9.0, 2.0, stiffness=1.0, perfusion=0.0)


def diaphragm(tissue: Tissue, grid: Grid, generator: np.random.Generator, side: float) -> None:
    """The bright curved line below the liver, and the liver's haze mirrored behind it."""
    radius = generator.uniform(0.62, 0.8)
    distance = np.hypot(grid.x - side * generator.uniform(0.0, 0.12), grid.y - generator.uniform(0.16, 0.26)) - radius
    part = soft(0.02 - side * grid.x, 0.3) * soft(0.62 - grid.y, 0.1)
    reflect(tissue, distance, 0.011, 9 * part)
    fill(tissue, soft(-distance, 0.01) * part, -9.0)


def draw_liver(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """Even parenchyma, bright-walled portal and plain hepatic veins, the diaphragm, often part of the gallbladder."""
    side = generator.choice([-1.0, 1.0])
    tissue.echo_db += generator.normal(0.5, 1.5) + 0.9 * texture(grid, generator, 0.08, 0.05)
    tissue.attenuation[:] = generator.uniform(0.44, 0.62)
    tissue.perfusion[:] = 0.9
    for _vein in range(generator.integers(2, 5)):
        start = (generator.uniform(-0.35, 0.35), generator.uniform(0.3, 0.75))
        slope, length = generator.normal(0, 0.6), generator.uniform(0.08, 0.2)
        ends = (start[0] - length, start[0] + length)
        wall = generator.choice([0.3, 4.0])
        tube(
            tissue, grid, start, slope, generator.normal(0, 0.6), generator.uniform(0.009, 0.02), 0.2 * side, wall, ends
        )
    for _vein in range(generator.integers(2, 6)):
        vessel(
            tissue,
            grid,
            generator.uniform(-0.45, 0.45),
            generator.uniform(0.25, 0.8),
            generator.uniform(0.008, 0.018),
            -0.2,
            2.0,
        )
    if generator.random() < 0.4:
        vessel(tissue, grid, -side * 0.42, generator.uniform(0.4, 0.6), 0.09, 0.0, 5.0, 1.4, generator.normal(0, 0.6))
    diaphragm(tissue, grid, generator, side)
    belly_wall(tissue, grid, generator)


def draw_gallbladder(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """A dark pear in the liver with a bright wall and a bright tail; stones with shadows in some."""
    tissue.echo_db += generator.normal(0.5, 1.2) + 0.9 * texture(grid, generator, 0.08, 0.05)
    x, y, turn = generator.uniform(-0.1, 0.1), generator.uniform(0.42, 0.54), generator.normal(0.4, 0.3)
    long, short = generator.uniform(0.2, 0.28), generator.uniform(0.09, 0.13)
    distance, facing = oval(grid, x, y, long, short, turn)
    along = (grid.x - x) * math.cos(turn) + (grid.y - y) * math.sin(turn)
    distance = distance * (1 + 0.3 * np.clip(along / long, -1, 1))  # narrower at one end
    fluid(tissue, soft(distance - 1, 0.06))
    reflect(tissue, (distance - 1.07) * short, generator.uniform(0.006, 0.012), 2 + 5 * facing)
    for _stone in range(generator.choice([0, 0, 1, 2])):
        place = x + generator.uniform(-0.5, 0.5) * long
        low = y + math.tan(turn) * (place - x) + short * 0.6
        stone, _facing = oval(grid, place, low, 0.03, 0.022)
        bone(tissue, soft(stone - 1, 0.2))
    bowel_gas(tissue, grid, generator, generator.uniform(0.25, 0.45), generator.uniform(0.6, 0.8))
    vessel(tissue, grid, generator.uniform(-0.4, -0.25), generator.uniform(0.3, 0.7), 0.022, 0.2, 4.0, 1.8, 0.5)
    belly_wall(tissue, grid, generator)


def draw_pancreas(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """A bright band arched over the splenic vein, the great vessels, the spine with its shadow, liver in front."""
    wall = belly_wall(tissue, grid, generator)
    level, bend = generator.uniform(0.42, 0.48), generator.uniform(0.35, 0.7)
    middle = level + bend * np.square(grid.x) + generator.normal(0, 0.1) * grid.x
    behind = soft(middle - grid.y, 0.05)
    fill(tissue, behind * soft(wall - grid.depth, 0.01), 3 + 3 * texture(grid, generator, 0.12, 0.06))
    thickness = generator.uniform(0.055, 0.08)
    lobes = texture(grid, generator, 0.05, 0.03)
    within = soft(np.abs(grid.y - middle) - thickness, 0.02) * soft(np.abs(grid.x) - 0.45, 0.1)
    fill(tissue, within, generator.normal(6, 1) + 2.2 * lobes, stiffness=2.5, perfusion=0.9)
    tube(tissue, grid, (0.0, level + thickness + 0.035), generator.normal(0, 0.05), bend, 0.024, 0.2, 3.0, (-0.1, 0.4))
    vessel(tissue, grid, generator.uniform(-0.03, 0.03), level + 0.17, 0.02, 0.5, 6.0)
    vessel(tissue, grid, generator.uniform(0.03, 0.08), level + 0.3, 0.055, 0.8, 4.0)
    vessel(tissue, grid, generator.uniform(-0.16, -0.1), level + 0.29, 0.055, -0.2, 2.0, 1.4)
    spine, _facing = oval(grid, 0.0, 0.99, 0.17, 0.12)
    bone(tissue, soft(spine - 1, 0.1))
    bowel_gas(
        tissue, grid, generator, generator.choice([-1, 1]) * generator.uniform(0.3, 0.4), generator.uniform(0.25, 0.35)
    )


def draw_kidney(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """A bean lengthwise: darker cortex, dark pyramids in a row, a bright sinus; liver or spleen in front."""
    tissue.echo_db += generator.normal(0, 1.2) + 1.5 * texture(grid, generator, 0.1, 0.06)
    x, y, turn = generator.uniform(-0.05, 0.05), generator.uniform(0.48, 0.56), generator.normal(0.1, 0.2)
    long, short = generator.uniform(0.33, 0.4), generator.uniform(0.16, 0.2)
    cortex, facing = oval(grid, x, y, long, short, turn)
    fill(tissue, soft(cortex - 1.12, 0.1), 6.0)  # fat around the kidney
    fill(tissue, soft(cortex - 1, 0.03), generator.normal(-4.5, 1), stiffness=3.0, perfusion=1.0)
    reflect(tissue, (cortex - 1.02) * short, 0.007, 5 * facing)
    cosine, sine = math.cos(turn), math.sin(turn)
    for angle in np.linspace(0, 2 * math.pi, generator.integers(8, 11), endpoint=False):
        along, across = 0.68 * long * math.cos(angle), 0.68 * short * math.sin(angle)
        pyramid, _facing = oval(
            grid, x + cosine * along - sine * across, y + sine * along + cosine * across, 0.035, 0.03
        )
        fill(tissue, soft(pyramid - 1, 0.5), -12.0)
    sinus, _facing = oval(grid, x, y, long * 0.62, short * 0.36, turn)
    rough = texture(grid, generator, 0.07, 0.03)
    fill(tissue, soft(sinus + 0.14 * rough - 1, 0.25), 8 + 2 * rough)
    vessel(tissue, grid, x + 0.05, y, 0.014, 0.35, 1.0, 6.0, turn)
    for place in generator.uniform(-0.6, 0.6, 3):
        vessel(
            tissue, grid, x + cosine * place * long, y + 0.3 * short * generator.choice([-1, 1]), 0.012, 0.25, 0.5, 1.6
        )
    belly_wall(tissue, grid, generator)


def draw_appendix(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """A blind tube with a layered wall on the psoas muscle, bowel loops with gas beside it, an artery below."""
    tissue.echo_db += -1 + 3.5 * texture(grid, generator, 0.16, 0.06)
    start = (generator.uniform(-0.05, 0.05), generator.uniform(0.4, 0.5))
    slope, bend = generator.normal(0, 0.3), generator.normal(0, 0.8)
    right = grid.x - start[0]
    middle = start[1] + slope * right + bend * np.square(right)
    blind = np.maximum(np.abs(right) - generator.uniform(0.2, 0.28), 0)
    distance = np.hypot(grid.y - middle, blind)
    radius = generator.uniform(0.045, 0.06)
    fill(tissue, soft(distance - radius - 0.03, 0.02), 6.0)
    for share, level in ((1.0, -10.0), (0.66, 5.0), (0.4, -14.0)):
        fill(tissue, soft(distance - radius * share, 0.008), level, stiffness=3.0, perfusion=0.9)
    reflect(tissue, distance - radius * 1.05, 0.005, 2.5)
    for _loop in range(generator.integers(1, 3)):
        place = generator.choice([-1, 1]) * generator.uniform(0.3, 0.5)
        bowel_gas(tissue, grid, generator, place, generator.uniform(0.3, 0.5))
    psoas = wavy(grid, generator, generator.uniform(0.72, 0.78), 0.02)
    fill(tissue, soft(psoas - grid.y, 0.02), -9 + 3 * np.maximum(texture(grid, generator, 0.3, 0.02, 0.2), -1))
    vessel(tissue, grid, generator.uniform(-0.3, 0.3), 0.7, 0.035, 0.5, 3.0, 1.5)
    belly_wall(tissue, grid, generator)


def draw_colorectum(tissue: Tissue, grid: Grid, generator: np.random.Generator) -> None:
    """The wall around the probe in five layers, alternately bright and dark, fat and vessels outside it."""
    tissue.echo_db += 2 + 3.5 * texture(grid, generator, 0.12, 0.06)
    distance = grid.depth + 0.035 * texture(grid, generator, 0.5, 0.5)
    inner = generator.uniform(0.13, 0.18)
    total = generator.uniform(0.13, 0.2)
    fluid(tissue, soft(distance - inner, 0.008))
    for share, level in ((0.0, 6.0), (0.16, -10.0), (0.36, 8.0), (0.56, -13.0), (0.92, 6.0)):
        layer = soft(inner + share * total - distance, 0.012) * soft(distance - inner - total * 1.06, 0.02)
        fill(tissue, layer, level, stiffness=3.0, perfusion=0.8)
    for _vessel in range(generator.integers(3, 7)):
        place = generator.uniform(-0.7, 0.7)
        vessel(tissue, grid, place, generator.uniform(0.55, 0.75), generator.uniform(0.012, 0.03), 0.2, 2.0)
    if generator.random() < 0.6:
        gland, facing = oval(grid, generator.choice([-1, 1]) * generator.uniform(0.1, 0.3), 0.8, 0.25, 0.13)
        fill(tissue, soft(gland - 1, 0.1), -3.0)
        reflect(tissue, (gland - 1.02) * 0.15, 0.006, 3 * facing)
    reflect(tissue, grid.depth - 0.05, 0.006, 5.0)
