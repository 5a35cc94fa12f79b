"""Features: what a frozen encoder says of each image, and of each patch."""

from __future__ import annotations

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn import functional


def as_input(encoder: VisionTransformer, pictures: torch.Tensor) -> torch.Tensor:
    """Grey values 0 to 1, (B, 1, S, S), as the encoder wants them: (B, colours, E, E).

    Resized to its E pixels, and normalised with the mean and deviation that travel with it; an encoder of coloured
    pictures sees the same grey in every colour.
    """
    pictures, mean, deviation = resized(encoder, pictures), *(encoder.pretrained_cfg[key] for key in ("mean", "std"))
    if encoder.patch_embed.proj.weight.shape[1] == 1:
        return (pictures - mean[0]) / deviation[0]
    mean, deviation = (torch.tensor(numbers)[None, :, None, None] for numbers in (mean, deviation))
    return (pictures - mean) / deviation


def resized(encoder: VisionTransformer, pictures: torch.Tensor) -> torch.Tensor:
    """(B, C, S, S) pictures or shares at the encoder's picture size E, (B, C, E, E); untouched where S is E already."""
    side = encoder.patch_embed.img_size[0]
    if pictures.shape[-1] == side:
        return pictures
    return functional.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)


def coverage(sectors: torch.Tensor, patch: int) -> torch.Tensor:
    """(B, 1, S, S) sector shares 0 to 1 -> (B, T) weights of the patches, adding up to 1.

    A patch counts by the share of it inside the scan sector; an image without a sector counts all patches alike.
    """
    inside = functional.avg_pool2d(sectors, patch).flatten(1)
    inside = torch.where(inside.sum(dim=1, keepdim=True) > 0, inside, torch.ones_like(inside))
    return inside / inside.sum(dim=1, keepdim=True)


def pool_tokens(tokens: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(B, prefix + T, D) tokens and (B, T) weights -> (B, 2 D): the class token beside the scan sector's mean patch."""
    mean = torch.einsum("bt,btd->bd", weights.to(tokens.dtype), tokens[:, -weights.shape[1] :])
    return torch.cat([tokens[:, 0], mean], dim=1)


def picture_features(encoder: VisionTransformer, pictures: torch.Tensor, sectors: torch.Tensor) -> torch.Tensor:
    """(B, 2 D) features of pictures (B, 1, S, S), grey 0 to 1, with their sectors of the same shape."""
    tokens = encoder.forward_features(as_input(encoder, pictures))
    return pool_tokens(tokens.float(), sector_shares(encoder, sectors))


def sector_shares(encoder: VisionTransformer, sectors: torch.Tensor) -> torch.Tensor:
    """(B, T) weights of the encoder's patches, adding up to 1, from sectors (B, 1, S, S); see `coverage`."""
    return coverage(resized(encoder, sectors), encoder.patch_embed.patch_size[0])


def picture_tokens(encoder: VisionTransformer, pictures: torch.Tensor) -> torch.Tensor:
    """(B, 1 + T, D) last tokens of pictures (B, 1, S, S): the class token and the patches, without registers."""
    tokens = encoder.forward_features(as_input(encoder, pictures)).float()
    return torch.cat([tokens[:, :1], tokens[:, encoder.num_prefix_tokens :]], dim=1)


def patch_features(encoder: VisionTransformer, pictures: torch.Tensor) -> torch.Tensor:
    """(B, T, 2 D) features of patches: the middle block's tokens, which know where, beside the last block's."""
    depth = len(encoder.blocks)
    blocks = encoder.forward_intermediates(
        as_input(encoder, pictures), indices=[depth // 2 - 1, depth - 1], norm=True, output_fmt="NLC",
        intermediates_only=True,
    )  # fmt: skip
    return torch.cat(blocks, dim=-1).float()


def as_pictures(images: np.ndarray) -> torch.Tensor:
    """(N, S, S) uint8 images as (N, 1, S, S) floats, grey values 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(images)).float().div(255)[:, None]


def as_shares(regions: np.ndarray) -> torch.Tensor:
    """(N, S, S) boolean sectors or 0/1 masks as (N, 1, S, S) floats, 0 or 1."""
    return torch.from_numpy(np.ascontiguousarray(regions)).float()[:, None]


def pixel_features(images: np.ndarray, grid: int = 16) -> np.ndarray:
    """(N, grid * grid) float32 mean grey values, 0 to 1, of the cells of a grid over (N, S, S) uint8 images.

    What no network has touched: a control that tells how far the plain look of the images goes.
    """
    return functional.adaptive_avg_pool2d(as_pictures(images), grid).flatten(1).numpy()


@torch.inference_mode()
def extract_features(
    encoder: VisionTransformer, images: np.ndarray, sectors: np.ndarray, batch: int = 64
) -> np.ndarray:
    """(N, 2 D) float32 features of (N, S, S) uint8 images; `sectors` (N, S, S) is True inside the scan sector.

    In fp32 and in evaluation mode: the same images, batch and threads always give the same features.
    """
    encoder.eval()
    parts = [
        picture_features(encoder, as_pictures(images[start : start + batch]), as_shares(sectors[start : start + batch]))
        for start in range(0, len(images), batch)
    ]
    return torch.cat(parts).numpy() if parts else np.zeros((0, 2 * encoder.embed_dim), dtype=np.float32)


@torch.inference_mode()
def extract_tokens(encoder: VisionTransformer, images: np.ndarray, batch: int = 64) -> np.ndarray:
    """(N, 1 + T, D) float32 last tokens of (N, S, S) uint8 images: the class token, then the patches row by row."""
    encoder.eval()
    starts = range(0, len(images), batch)
    parts = [picture_tokens(encoder, as_pictures(images[start : start + batch])) for start in starts]
    return torch.cat(parts).numpy()


@torch.inference_mode()
def token_shares(encoder: VisionTransformer, sectors: np.ndarray) -> np.ndarray:
    """(N, 1 + T) float32: 1 for the class token, then each patch's weight by the scan sector (N, S, S)."""
    shares = sector_shares(encoder, as_shares(sectors))
    return torch.cat([torch.ones(len(shares), 1), shares], dim=1).numpy()


@torch.inference_mode()
def extract_patch_features(encoder: VisionTransformer, images: np.ndarray, batch: int = 64) -> np.ndarray:
    """(N, T, 2 D) float32 features of the patches, row by row, of (N, S, S) uint8 images."""
    encoder.eval()
    parts = [
        patch_features(encoder, as_pictures(images[start : start + batch])) for start in range(0, len(images), batch)
    ]
    return torch.cat(parts).numpy()
