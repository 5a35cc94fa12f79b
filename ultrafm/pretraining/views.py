"""What the model is shown of a batch: cropped, converted, degraded, masked; and what it is to predict."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ultrafm.geometry.frames import ScanFrames
from ultrafm.pretraining.augmentation import augment, random_gain
from ultrafm.pretraining.degradation import degrade
from ultrafm.pretraining.masking import Patches, choose_wanted, policy_named, uniform, wanted_in_turn
from ultrafm.pretraining.model import SCAN_MODES, Acquisition, patchify
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import Batch

UNTOLD = 0.1


@dataclass(frozen=True)
class View:
    """One look at a batch. Letters as in model.py.

    shown: (B, 1, S, S) grey values 0 to 1 as the encoder gets them. clean: the same without degradation, the target.
    keep (B, K), wanted (B, W), scored (B, W): see masking.py.
    """

    shown: torch.Tensor
    clean: torch.Tensor
    keep: torch.Tensor
    wanted: torch.Tensor
    scored: torch.Tensor
    acquisition: Acquisition

    def part(self, rows: slice) -> View:
        """Some of its pictures."""
        made = Acquisition(self.acquisition.scan_mode[rows], self.acquisition.pixel_mm[rows])
        tensors = (self.shown, self.clean, self.keep, self.wanted, self.scored)
        return View(*(tensor[rows] for tensor in tensors), made)


def training_view(batch: Batch, recipe: Recipe, generator: torch.Generator) -> View:
    """A random look at a batch, as the recipe says."""
    pictures, inside, frames, zoom = augment(
        batch.pictures, batch.inside, batch.frames, recipe.smallest_crop, recipe.scan_conversion,
        recipe.conversion_share if recipe.scan_conversion != "none" else 0.0, generator,
    )  # fmt: skip
    clean = shown = random_gain(pictures, recipe.gain_spread, generator)
    patches = patches_of(clean, inside, frames, recipe.patch_size)
    keep, mask = policy_named(recipe.masking)(patches, recipe.mask_ratio, generator)
    wanted, scored = choose_wanted(mask, patches.content, recipe.decoded_share, generator)
    if recipe.degraded_share > 0:
        line, depth = picture_places(frames, clean.shape[-1])
        shown = degrade(clean, inside, generator, recipe.degraded_share, line, depth)
    made = acquisition_after(batch.acquisition, batch.frames.curved, frames.curved, zoom)
    if recipe.registers:
        made = forget_some(made, generator)
    return View(shown, clean, keep, wanted, scored, made)


def acquisition_after(
    made: Acquisition, was_curved: torch.Tensor, is_curved: torch.Tensor, zoom: torch.Tensor
) -> Acquisition:
    """What is known of pictures after scan conversion, which makes linear scans convex, and after zooming."""
    modes = torch.where(is_curved, 1 + SCAN_MODES.index("convex"), 1 + SCAN_MODES.index("linear"))
    return Acquisition(torch.where(is_curved == was_curved, made.scan_mode, modes), made.pixel_mm / zoom)


def forget_some(made: Acquisition, generator: torch.Generator) -> Acquisition:
    """The same, of a random UNTOLD share of the pictures unknown, so that models learn to do without it too."""
    told = (torch.rand(len(made.pixel_mm), generator=generator) >= UNTOLD).to(made.pixel_mm.device)
    return Acquisition(made.scan_mode * told, made.pixel_mm * told)


def plain_views(
    batch: Batch, patch: int, mask_ratio: float, decoded_share: float, generator: torch.Generator
) -> list[View]:
    """The batch as it is, uniformly masked, its hidden patches wanted a share at a time: losses are measured by it."""
    patches = patches_of(batch.pictures, batch.inside, batch.frames, patch)
    keep, mask = uniform(patches, mask_ratio, generator)
    parts = wanted_in_turn(mask, patches.content, decoded_share, generator)
    return [View(batch.pictures, batch.pictures, keep, *part, batch.acquisition) for part in parts]


def patches_of(pictures: torch.Tensor, inside: torch.Tensor, frames: ScanFrames, patch: int) -> Patches:
    """The patches of (B, 1, S, S) pictures, with what masking policies ask of them."""
    grid = pictures.shape[-1] // patch
    centres = torch.arange(grid, device=pictures.device) * patch + (patch - 1) / 2
    columns = centres[None, None, :].expand(len(pictures), grid, grid)
    depth, line = frames.to_unit(columns, columns.transpose(1, 2))
    return Patches(patchify(pictures, patch), with_content(inside, patch), depth.flatten(1), line.flatten(1))


def picture_places(frames: ScanFrames, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Line and depth of each pixel in the scan, (B, 1, S, S) each, cut to 0 to 1."""
    along = torch.arange(side, device=frames.numbers.device, dtype=torch.float32)
    columns = along[None, None, :].expand(len(frames.numbers), side, side)
    depth, line = frames.to_unit(columns, columns.transpose(1, 2))
    return line.clamp(0, 1)[:, None], depth.clamp(0, 1)[:, None]


def with_content(inside: torch.Tensor, patch: int) -> torch.Tensor:
    """(B, 1, S, S) sector shares -> (B, T) True for patches of which at least half lies inside the scan sector."""
    return functional.avg_pool2d(inside, patch).flatten(1) >= 0.5
