"""Saliency: how much each patch of a picture speaks for the call, of a frozen encoder with a linear head.

Two maps. Occlusion (Zeiler and Fergus 2014): by how much the support of the call falls when a patch is covered.
Gradient times input (Shrikumar et al. 2017; here (picture - cover) times the gradient, summed over a patch): the same
to first order, from one pass backwards. For a score that is linear in the pixels the two are equal.
A map is a claim about the model and not about disease, and nobody should believe it before it is tested:
`review.faithfulness`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn import functional

from ultrafm.downstream.methods.features import as_pictures, as_shares, picture_features

Features = Callable[[torch.Tensor], torch.Tensor]  # pictures (B, 1, S, S), grey 0 to 1 -> (B, F)
BATCH = 128


@dataclass(frozen=True)
class Asked:
    """One picture that a map is wanted of, and the head that it is wanted for.

    picture: (1, 1, S, S) grey 0 to 1. cover: the same shape, what patches are covered with. features: of pictures of
    the same scan sector. direction (F,) and bias: the support of a call is features @ direction + bias.
    patch: side of a patch in pixels. inside: (G, G) bool, patches that reach into the scan sector; the others are never
    covered, and their saliency is 0.
    """

    picture: torch.Tensor
    cover: torch.Tensor
    features: Features
    direction: torch.Tensor
    bias: float
    patch: int
    inside: np.ndarray


def ask(
    encoder: VisionTransformer, weights: np.ndarray, bias: float, image: np.ndarray, sector: np.ndarray, positive: bool
) -> Asked:
    """What is needed for the map of one picture: the logit of a linear head, towards the call that was made.

    weights: (F,) of the raw features of `methods.features.picture_features`. image: (S, S) uint8; sector: (S, S) bool.
    positive: the call; for a negative one the support is minus the logit, so that a map always shows what speaks for
    the call. Patches are covered with the mean grey inside the sector.
    """
    picture, inside = as_pictures(image[None]), as_shares(sector[None])

    def features(pictures: torch.Tensor) -> torch.Tensor:
        return picture_features(encoder, pictures, inside.expand(len(pictures), -1, -1, -1))

    side = 1.0 if positive else -1.0
    direction = torch.from_numpy(side * np.asarray(weights, dtype=np.float32))
    patch = patch_side(picture.shape[-1], encoder.patch_embed.grid_size[0])
    seen = inside if inside.any() else torch.ones_like(inside)
    cover = torch.full_like(picture, float((picture * seen).sum() / seen.sum()))
    grid = functional.max_pool2d(seen, patch)[0, 0].numpy() > 0
    return Asked(picture, cover, features, direction, side * bias, patch, grid)


def patch_side(side: int, grid: int) -> int:
    """Side of the patches that cover pictures of `side` pixels: whole ones, at most `grid` along a line."""
    return next(patch for patch in range(1, side + 1) if side % patch == 0 and side // patch <= grid)


def occlusion(asked: Asked) -> np.ndarray:
    """(G, G) by how much the support falls when one patch alone is covered."""
    return occlusions(asked, asked.direction[None])[0]


def occlusions(asked: Asked, directions: torch.Tensor) -> np.ndarray:
    """(H, G, G) the same for several heads (H, F) on the same features."""
    places = torch.from_numpy(np.flatnonzero(asked.inside))
    covered = torch.zeros(len(places), asked.inside.size)
    covered[torch.arange(len(places)), places] = 1
    falls = torch.zeros(len(directions), asked.inside.size, dtype=torch.float64)
    differences = features_of(asked, asked.picture) - features_of(asked, mix(asked, covered))
    falls[:, places] = directions.double() @ differences.T
    return falls.reshape(len(directions), *asked.inside.shape).numpy()


def gradient_times_input(asked: Asked) -> np.ndarray:
    """(G, G) (picture - cover) times the gradient of the support, summed over each patch."""
    picture = asked.picture.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad((asked.features(picture) @ asked.direction).sum(), picture)
    pixels = (gradient * (asked.picture - asked.cover)).detach()
    sums = functional.avg_pool2d(pixels, asked.patch)[0, 0].double().numpy() * asked.patch**2
    return np.where(asked.inside, sums, 0.0)


def mix(asked: Asked, covered: torch.Tensor, cover: torch.Tensor | None = None) -> torch.Tensor:
    """(B, G * G) patches, 1 where covered -> the pictures (B, 1, S, S) with those patches covered."""
    grid = covered.reshape(len(covered), 1, *asked.inside.shape)
    shares = functional.interpolate(grid, scale_factor=float(asked.patch), mode="nearest")
    return torch.where(shares > 0.5, asked.cover if cover is None else cover, asked.picture)


@torch.inference_mode()
def features_of(asked: Asked, pictures: torch.Tensor) -> torch.Tensor:
    """(B, F) features of pictures in double precision, a few at a time."""
    return torch.cat([asked.features(part) for part in pictures.split(BATCH)]).double()


def support_of(asked: Asked, pictures: torch.Tensor) -> np.ndarray:
    """(B,) support of the call by pictures."""
    return (features_of(asked, pictures) @ asked.direction.double()).numpy() + asked.bias


def map_over_pixels(saliency: np.ndarray, side: int) -> np.ndarray:
    """(G, G) saliency of patches as (side, side), each patch one colour."""
    factor = side // len(saliency)
    return np.kron(saliency, np.ones((factor, factor)))
