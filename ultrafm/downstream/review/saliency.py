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

Support = Callable[[torch.Tensor], torch.Tensor]  # pictures (B, 1, S, S), grey 0 to 1 -> (B,)
BATCH = 128


@dataclass(frozen=True)
class Asked:
    """One picture that a map is wanted of.

    picture: (1, 1, S, S) grey 0 to 1. cover: the same shape, what patches are covered with. support: how much of a
    picture speaks for the call that was made. patch: side of a patch in pixels. inside: (G, G) bool, patches that
    reach into the scan sector; the others are never covered, and their saliency is 0.
    """

    picture: torch.Tensor
    cover: torch.Tensor
    support: Support
    patch: int
    inside: np.ndarray


def ask(
    encoder: VisionTransformer, weights: np.ndarray, bias: float, image: np.ndarray, sector: np.ndarray, positive: bool
) -> Asked:
    """What is needed for the map of one picture: the logit of a linear head, towards the call that was made.

    weights: (2 D,) of the raw features of `methods.features.picture_features`. image: (S, S) uint8; sector: (S, S)
    bool. positive: the call; for a negative one the support is minus the logit, so that a map always shows what speaks
    for the call. Patches are covered with the mean grey inside the sector.
    """
    picture, inside = as_pictures(image[None]), as_shares(sector[None])
    direction = torch.from_numpy(np.asarray(weights, dtype=np.float32)) * (1.0 if positive else -1.0)

    def support(pictures: torch.Tensor) -> torch.Tensor:
        features = picture_features(encoder, pictures, inside.expand(len(pictures), -1, -1, -1))
        return features @ direction + (bias if positive else -bias)

    patch = encoder.patch_embed.patch_size[0]
    seen = inside if inside.any() else torch.ones_like(inside)
    mean = (picture * seen).sum() / seen.sum()
    grid = functional.max_pool2d(seen, patch)[0, 0].numpy() > 0
    return Asked(picture, torch.full_like(picture, float(mean)), support, patch, grid)


@torch.inference_mode()
def occlusion(asked: Asked) -> np.ndarray:
    """(G, G) by how much the support falls when one patch alone is covered."""
    places = np.flatnonzero(asked.inside)
    covered = torch.zeros(len(places), asked.inside.size)
    covered[torch.arange(len(places)), torch.from_numpy(places)] = 1
    falls = np.zeros(asked.inside.size)
    falls[places] = support_of(asked, asked.picture)[0] - support_of(asked, mix(asked, covered))
    return falls.reshape(asked.inside.shape)


def gradient_times_input(asked: Asked) -> np.ndarray:
    """(G, G) (picture - cover) times the gradient of the support, summed over each patch."""
    picture = asked.picture.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(asked.support(picture).sum(), picture)
    pixels = (gradient * (asked.picture - asked.cover)).detach()
    sums = functional.avg_pool2d(pixels, asked.patch)[0, 0].double().numpy() * asked.patch**2
    return np.where(asked.inside, sums, 0.0)


def mix(asked: Asked, covered: torch.Tensor, cover: torch.Tensor | None = None) -> torch.Tensor:
    """(B, G * G) patches, 1 where covered -> the pictures (B, 1, S, S) with those patches covered."""
    grid = covered.reshape(len(covered), 1, *asked.inside.shape)
    shares = functional.interpolate(grid, scale_factor=float(asked.patch), mode="nearest")
    return torch.where(shares > 0.5, asked.cover if cover is None else cover, asked.picture)


@torch.inference_mode()
def support_of(asked: Asked, pictures: torch.Tensor) -> np.ndarray:
    """(B,) support of pictures, a few at a time."""
    return torch.cat([asked.support(part) for part in pictures.split(BATCH)]).double().numpy()


def map_over_pixels(saliency: np.ndarray, side: int) -> np.ndarray:
    """(G, G) saliency of patches as (side, side), each patch one colour."""
    factor = side // len(saliency)
    return np.kron(saliency, np.ones((factor, factor)))
