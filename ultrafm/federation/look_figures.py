"""Figures to look at before believing: masks, reconstructions by mask ratio, patch tokens, attention, augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ultrafm.federation.arms import Workplace, load_model
from ultrafm.federation.figures import choose_examples
from ultrafm.pretraining.augmentation import augment
from ultrafm.pretraining.degradation import degradation_examples
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.look import class_attention, hidden_by, patch_colours
from ultrafm.pretraining.masking import POLICIES
from ultrafm.pretraining.recipe import CONVERSIONS, Recipe
from ultrafm.pretraining.reconstruct import reconstruct
from ultrafm.pretraining.scans import Scans, as_batch
from ultrafm.pretraining.views import picture_places, training_view
from ultrafm.reporting.figures import PALETTE, picture_grid
from ultrafm.seeds import spawn_torch

EXAMPLES = 4  # rows of each figure
HIDDEN = 0.6  # how much of a hidden pixel is the colour that says so
HEAT = colormaps["inferno"]  # colours of attention, from black at 0 to pale yellow at 1


def examples_of_both_shapes(place: Workplace, sites: Sequence[str]) -> tuple[Scans, list[str]]:
    """EXAMPLES pictures of different sites and their names, a sector and a rectangle among them where there are."""
    scans, names = choose_examples(place, sites, EXAMPLES)
    if scans.curved.any() and not scans.curved.all():
        return scans, names
    scans, names = choose_examples(place, sites, len(sites))
    other = np.flatnonzero(scans.curved != scans.curved[0])[:1]
    chosen = [*range(len(scans))[: EXAMPLES - len(other)], *other]
    return scans.rows(np.array(chosen)), [names[row] for row in chosen]


def masks_figure(place: Workplace, sites: Sequence[str], ratio: float, images: str) -> Figure:
    """What every masking policy hides of example pictures: hidden patches are tinted blue.

    `ratio`, 0 to 1, is the share of the whole picture, but for "sector", where it is that of the scan. A title tells
    which share of the scan's pixels is hidden. `images`: real or simulated.
    """
    scans, names = examples_of_both_shapes(place, sites)
    hidden = {
        name: hidden_by(scans, name, ratio, place.recipe.patch_size, spawn_torch(place.seed, "example masks"))
        for name in POLICIES
    }
    pictures, titles = [], []
    for row, name in enumerate(names):
        grey, inside = scans.images[row] / 255, scans.sectors[row]
        pictures += [grey, *(tinted(grey, hidden[policy][row]) for policy in POLICIES)]
        titles += [name, *(f"{policy}: {hidden[policy][row][inside].mean():.0%}" for policy in POLICIES)]
    title = f"Hidden patches (blue) at mask ratio {ratio:g}; per cent: hidden part of the scan ({images} images)"
    return picture_grid(pictures, titles, title, 1 + len(POLICIES), 1.6)


def tinted(grey: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """A grey picture (S, S), 0 to 1, in colour (S, S, 3), with the pixels that are `hidden` (S, S) bool tinted."""
    share = HIDDEN * hidden[..., None]
    return (1 - share) * grey[..., None] + share * np.array(to_rgb(PALETTE[0]))


def ratios_figure(
    place: Workplace, sites: Sequence[str], grey_scale: GreyScale, arm: str, ratios: Sequence[float], images: str
) -> Figure:
    """What one arm's model makes of example pictures of which less and less is visible, uniformly masked.

    Mean and deviation of every hidden patch are taken from the original: the model predicts texture, not level.
    """
    scans, names = examples_of_both_shapes(place, sites)
    model = load_model(place, arm)
    made = {
        ratio: reconstruct(model, scans, grey_scale, ratio, spawn_torch(place.seed, "example masks"))
        for ratio in ratios
    }
    pictures, titles = [], []
    for row, name in enumerate(names):
        pictures.append(scans.images[row] / 255)
        titles.append(name)
        for ratio, one in made.items():
            pictures += [one.visible[row], one.completed[row]]
            titles += [f"{ratio:.0%} hidden", "completed"]
    title = f"Reconstruction by mask ratio, {arm.replace('_', ' ')} model ({images} images)"
    return picture_grid(pictures, titles, title, 1 + 2 * len(made), 1.5)


def features_figure(
    place: Workplace, sites: Sequence[str], grey_scale: GreyScale, arms: Sequence[str], images: str
) -> Figure:
    """What the arms' encoders make of whole pictures: colours of their patch tokens, attention of their class token.

    See `patch_colours` and `class_attention`: every encoder has colours of its own; pale yellow is the most attended
    patch, and all of a picture that is attended to evenly.
    """
    scans, names = examples_of_both_shapes(place, sites)
    encoders = {arm.replace("_", " "): load_model(place, arm).encoder for arm in arms}
    colours = {arm: patch_colours(encoder, scans, grey_scale) for arm, encoder in encoders.items()}
    attention = {arm: class_attention(encoder, scans, grey_scale) for arm, encoder in encoders.items()}
    pictures, titles = [], []
    for row, name in enumerate(names):
        pictures.append(scans.images[row] / 255)
        titles.append(name)
        for arm in encoders:
            pictures += [colours[arm][row], HEAT(attention[arm][row])[..., :3]]
            titles += [f"{arm}: tokens", "attention"]
    title = f"Patch tokens as colours, and attention of the class token ({images} images)"
    return picture_grid(pictures, titles, title, 1 + 2 * len(encoders), 1.35)


def views_figure(place: Workplace, sites: Sequence[str], recipe: Recipe, images: str, looks: int = 2) -> Figure:
    """What training makes of example pictures by a recipe: per random look the clean target and what is shown.

    The target is cropped, perhaps mirrored and converted, its gain changed; what is shown may be degraded besides.
    """
    scans, names = examples_of_both_shapes(place, sites)
    generator = spawn_torch(place.seed, "example views")
    batch = as_batch(scans, np.arange(len(scans)))
    views = [training_view(batch, recipe, generator) for _look in range(looks)]
    pictures, titles = [], []
    for row, name in enumerate(names):
        pictures.append(scans.images[row] / 255)
        titles.append(name)
        for number, view in enumerate(views, start=1):
            pictures += [view.clean[row, 0].numpy(), view.shown[row, 0].numpy()]
            titles += [f"target {number}", f"shown {number}"]
    title = f"Augmentation: conversion {recipe.scan_conversion}, {recipe.degraded_share:.0%} degraded ({images} images)"
    return picture_grid(pictures, titles, title, 1 + 2 * looks, 1.7)


def conversions_figure(place: Workplace, sites: Sequence[str], images: str) -> Figure:
    """Example pictures in the other scan mode, uncropped: converted correctly, and as the published code does.

    What the augmentation mirrors is mirrored in all three pictures of a row.
    """
    scans, names = examples_of_both_shapes(place, sites)
    batch = as_batch(scans, np.arange(len(scans)))
    made = {
        name: augment(
            batch.pictures, batch.inside, batch.frames, 1.0, name, 1.0, spawn_torch(place.seed, "example conversions")
        )[0][:, 0].numpy()
        for name in CONVERSIONS
    }
    pictures = [made[name][row] for row in range(len(names)) for name in CONVERSIONS]
    titles = [title for name in names for title in (name, "correct", "published")]
    return picture_grid(
        pictures, titles, f"Scan-mode conversion, some rows mirrored ({images} images)", len(CONVERSIONS), 1.9
    )


def degradations_figure(place: Workplace, sites: Sequence[str], images: str) -> Figure:
    """Each kind of degradation alone and at its strongest, for example pictures."""
    scans, names = examples_of_both_shapes(place, sites)
    batch = as_batch(scans, np.arange(len(scans)))
    line, depth = picture_places(batch.frames, scans.images.shape[-1])
    generator = spawn_torch(place.seed, "example degradations")
    pictures, titles = [], []
    for row, name in enumerate(names):
        maps = (one[row : row + 1] for one in (line, depth))
        made = degradation_examples(batch.pictures[row, 0], batch.inside[row, 0], generator, *maps)
        pictures += [scans.images[row] / 255, *(one.numpy() for one in made.values())]
        titles += [name, *(kind.replace("_", " ") for kind in made)]
    columns = len(pictures) // len(names)
    return picture_grid(pictures, titles, f"Each degradation at its strongest ({images} images)", columns, 1.5)
