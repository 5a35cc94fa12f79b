"""The masked autoencoder: timm's Vision Transformer as encoder, a few timm blocks as decoder.

Shape letters used below: B pictures, T patches, K visible patches, D encoder width, S picture side in pixels, P patch
side in pixels. Method: He et al. 2022 (arXiv 2111.06377), sections 3 and A.1.
"""

from __future__ import annotations

import numpy as np
import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn


def sine_positions(width: int, grid: int) -> torch.Tensor:
    """Fixed positions of a grid x grid arrangement of patches, row by row: (grid * grid, width).

    The first half of the width encodes the row, the second half the column, each as sines and cosines of falling
    frequency (Vaswani et al. 2017, section 3.5).
    """
    quarter = width // 4
    frequencies = 1.0 / 10000 ** (np.arange(quarter) / quarter)
    angles = np.outer(np.arange(grid), frequencies)
    line = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)  # (grid, width / 2)
    rows, columns = np.repeat(line, grid, axis=0), np.tile(line, (grid, 1))
    return torch.tensor(np.concatenate([rows, columns], axis=1), dtype=torch.float32)


def patchify(pictures: torch.Tensor, patch: int) -> torch.Tensor:
    """Cut (B, 1, S, S) pictures into (B, T, P * P) rows of pixels, patches row by row."""
    batch, _, side, _ = pictures.shape
    grid = side // patch
    tiles = pictures.reshape(batch, grid, patch, grid, patch).permute(0, 1, 3, 2, 4)
    return tiles.reshape(batch, grid * grid, patch * patch)


def unpatchify(patches: torch.Tensor, patch: int) -> torch.Tensor:
    """The inverse of `patchify`: (B, T, P * P) rows of pixels back to (B, 1, S, S) pictures."""
    batch, count, _ = patches.shape
    grid = round(count**0.5)
    tiles = patches.reshape(batch, grid, grid, patch, patch).permute(0, 1, 3, 2, 4)
    return tiles.reshape(batch, 1, grid * patch, grid * patch)


def patch_statistics(patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each patch's pixels, (B, T, 1) each; the deviation is never zero."""
    return patches.mean(dim=-1, keepdim=True), (patches.var(dim=-1, keepdim=True) + 1e-4).sqrt()


class MaskedAutoencoder(nn.Module):
    """Encodes the visible patches of a grey picture and predicts the hidden ones.

    `encoder` is a plain timm VisionTransformer without head (one grey channel, class token), so its weights load
    wherever timm's do.
    """

    def __init__(
        self,
        image_size: int = 64,
        patch_size: int = 8,
        width: int = 192,
        depth: int = 6,
        heads: int = 3,
        decoder_width: int = 96,
        decoder_depth: int = 2,
    ) -> None:
        super().__init__()
        if image_size % patch_size or width % (4 * heads) or decoder_width % 4:
            raise ValueError("image_size must be a multiple of patch_size, width of 4 x heads, decoder_width of 4")
        grid = image_size // patch_size
        self.patch_size = patch_size
        self.encoder = VisionTransformer(
            img_size=image_size, patch_size=patch_size, in_chans=1, num_classes=0,
            embed_dim=width, depth=depth, num_heads=heads, global_pool="token",
        )  # fmt: skip
        positions = torch.cat([torch.zeros(1, width), sine_positions(width, grid)])
        self.encoder.pos_embed = nn.Parameter(positions[None], requires_grad=False)
        self.to_decoder = nn.Linear(width, decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.decoder_positions = nn.Parameter(sine_positions(decoder_width, grid)[None], requires_grad=False)
        decoder_heads = max(decoder_width // 32, 1)
        self.decoder = nn.Sequential(
            *[Block(decoder_width, decoder_heads, qkv_bias=True) for _ in range(decoder_depth)]
        )
        self.decoder_norm = nn.LayerNorm(decoder_width)
        self.to_pixels = nn.Linear(decoder_width, patch_size * patch_size)

    def encode(self, pictures: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """Tokens of the class and of the visible patches: (B, 1, S, S), (B, K) -> (B, 1 + K, D)."""
        tokens = self.encoder.patch_embed(pictures) + self.encoder.pos_embed[:, 1:]  # (B, T, D)
        visible = tokens.gather(1, keep[:, :, None].expand(-1, -1, tokens.shape[-1]))  # (B, K, D)
        first = (self.encoder.cls_token + self.encoder.pos_embed[:, :1]).expand(len(pictures), -1, -1)
        return self.encoder.norm(self.encoder.blocks(torch.cat([first, visible], dim=1)))

    def decode(self, tokens: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """Predicted pixels of every patch, in units of the patch's own mean and deviation: (B, T, P * P)."""
        visible = self.to_decoder(tokens[:, 1:])  # (B, K, decoder width); the class token is not needed here
        positions = self.decoder_positions
        canvas = self.mask_token.to(visible.dtype).expand(len(tokens), positions.shape[1], -1)
        filled = canvas.scatter(1, keep[:, :, None].expand(-1, -1, visible.shape[-1]), visible)
        return self.to_pixels(self.decoder_norm(self.decoder(filled + positions)))

    def forward(self, pictures: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """`decode(encode(pictures))`."""
        return self.decode(self.encode(pictures, keep), keep)


def reconstruction_errors(predicted: torch.Tensor, pictures: torch.Tensor, patch: int) -> torch.Tensor:
    """Mean squared error of every patch (B, T), against pixels normalised per patch: 1.0 is guessing the mean.

    `predicted` (B, T, P * P), `pictures` (B, 1, S, S). (He et al. 2022, section 3, "reconstruction target".)
    """
    target = patchify(pictures, patch)
    mean, deviation = patch_statistics(target)
    return ((predicted.float() - (target - mean) / deviation) ** 2).mean(dim=-1)


def mean_where(errors: torch.Tensor, scored: torch.Tensor, dim: tuple[int, ...] = (0, 1)) -> torch.Tensor:
    """Mean over `dim` of errors (B, T) where `scored` (B, T) is True; zero where nothing is."""
    weight = scored.to(errors.dtype)
    return (errors * weight).sum(dim) / weight.sum(dim).clamp(min=1)


def reconstruction_loss(
    predicted: torch.Tensor, pictures: torch.Tensor, scored: torch.Tensor, patch: int
) -> torch.Tensor:
    """Mean of `reconstruction_errors` over the patches of the batch that are `scored` (B, T)."""
    return mean_where(reconstruction_errors(predicted, pictures, patch), scored)
