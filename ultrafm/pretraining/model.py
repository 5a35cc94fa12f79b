"""The masked autoencoder: timm's Vision Transformer as encoder, timm blocks as decoder.

Shape letters used below: B pictures, T patches, K visible patches, W patches wanted from the decoder, D encoder width,
S picture side in pixels, P patch side in pixels. Method: He et al. 2022 (arXiv 2111.06377), sections 3 and A.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn
from torch.nn import functional

ABSENT = -1  # an index that stands for no patch, where pictures of a batch keep different numbers of them


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


def take(rows: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """The `chosen` (B, K) rows of each picture, from (B, T, N) or from (T, N) that all share: (B, K, N).

    ABSENT gives row 0, which whoever asks has to leave out.
    """
    chosen = chosen.clamp(min=0)
    if rows.ndim == 2:
        return rows[chosen]
    return rows.gather(1, chosen[:, :, None].expand(-1, -1, rows.shape[-1]))


def patch_statistics(patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each patch's pixels, (B, T, 1) each; the deviation is never zero."""
    return patches.mean(dim=-1, keepdim=True), (patches.var(dim=-1, keepdim=True) + 1e-4).sqrt()


@dataclass(frozen=True)
class Acquisition:
    """How the pictures of a batch were made, as far as it is known.

    scan_mode: (B,) whole numbers from 1 in the order of SCAN_MODES, 0 for unknown. pixel_mm: (B,) side of a pixel in
    millimetres, 0 for unknown.
    """

    scan_mode: torch.Tensor
    pixel_mm: torch.Tensor


SCAN_MODES = ("linear", "convex", "phased sector", "endocavity")
USUAL_PIXEL_MM = 0.5


class AcquisitionTokens(nn.Module):
    """What scan mode and pixel spacing add to the two register tokens; nothing where they are unknown.

    All weights start at zero, so that a model begins as one without these tokens does. An exported encoder has the
    registers of the unknown, and needs no more than a picture.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scan_mode = nn.Embedding(1 + len(SCAN_MODES), width, padding_idx=0)
        self.spacing = nn.Linear(2, width, bias=False)
        nn.init.zeros_(self.scan_mode.weight)
        nn.init.zeros_(self.spacing.weight)

    def forward(self, acquisition: Acquisition) -> torch.Tensor:
        """(B, 2, D): what is added to the tokens of scan mode and spacing."""
        known = (acquisition.pixel_mm > 0).float()
        octaves = (acquisition.pixel_mm.clamp(min=1e-3) / USUAL_PIXEL_MM).log2() * known
        spacing = self.spacing(torch.stack([octaves, known], dim=1))
        return torch.stack([self.scan_mode(acquisition.scan_mode), spacing], dim=1)


class MaskedAutoencoder(nn.Module):
    """Encodes the visible patches of a grey picture and predicts hidden ones.

    `encoder` is a plain timm VisionTransformer without head (one grey channel, class token), so its weights load
    wherever timm's do. The class token passes through the decoder too, as in the paper, so that published decoders fit.
    `positions`: "sine" (fixed) or "learned", which starts there. `registers`: two more tokens, for scan mode and pixel
    spacing (`Acquisition`).
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
        decoder_heads: int = 0,
        positions: str = "sine",
        registers: bool = False,
    ) -> None:
        super().__init__()
        if image_size % patch_size or width % (4 * heads) or decoder_width % 4:
            raise ValueError("image_size must be a multiple of patch_size, width of 4 x heads, decoder_width of 4")
        if positions not in ("sine", "learned"):
            raise ValueError(f"positions {positions!r}: expected 'sine' or 'learned'")
        grid, learned = image_size // patch_size, positions == "learned"
        self.patch_size = patch_size
        self.encoder = VisionTransformer(
            img_size=image_size, patch_size=patch_size, in_chans=1, num_classes=0, embed_dim=width, depth=depth,
            num_heads=heads, global_pool="token", reg_tokens=2 if registers else 0,
        )  # fmt: skip
        prefix = torch.zeros(self.encoder.num_prefix_tokens, width)
        places = torch.cat([prefix, sine_positions(width, grid)])
        self.encoder.pos_embed = nn.Parameter(places[None], requires_grad=learned)
        self.acquisition = AcquisitionTokens(width) if registers else None
        self.to_decoder = nn.Linear(width, decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        places = torch.cat([torch.zeros(1, decoder_width), sine_positions(decoder_width, grid)])
        self.decoder_positions = nn.Parameter(places[None], requires_grad=learned)
        decoder_heads = decoder_heads or max(decoder_width // 32, 1)
        self.decoder = nn.Sequential(
            *[Block(decoder_width, decoder_heads, qkv_bias=True) for _ in range(decoder_depth)]
        )
        self.decoder_norm = nn.LayerNorm(decoder_width, eps=1e-6)
        self.to_pixels = nn.Linear(decoder_width, patch_size * patch_size)
        if registers:
            nn.init.normal_(self.encoder.reg_token, std=1e-6)

    def encode(
        self,
        pictures: torch.Tensor,
        keep: torch.Tensor,
        acquisition: Acquisition | None = None,
        absent: bool | None = None,
    ) -> torch.Tensor:
        """Tokens of the class, of the registers if there are any, and of the visible patches.

        (B, 1, S, S), (B, K) -> (B, prefix + K, D). Hidden patches are not even embedded. Places of `keep` that are
        ABSENT take no part: no token attends to theirs. `absent`: are there any? None looks, which vmap cannot.
        """
        encoder, prefix = self.encoder, self.encoder.num_prefix_tokens
        pixels = take(patchify(pictures, self.patch_size), keep)  # (B, K, P * P)
        kernel = encoder.patch_embed.proj
        visible = functional.linear(pixels, kernel.weight.flatten(1), kernel.bias)
        visible = visible + take(encoder.pos_embed[0, prefix:], keep)
        first = encoder.cls_token
        if encoder.reg_token is not None:
            first = torch.cat([first, encoder.reg_token], dim=1)
        first = (first + encoder.pos_embed[:, :prefix]).expand(len(pictures), -1, -1)
        if self.acquisition is not None and acquisition is not None:
            first = first + functional.pad(self.acquisition(acquisition), (0, 0, 1, 0))
        tokens, attended = torch.cat([first, visible.to(first.dtype)], dim=1), attention_mask(keep, prefix, absent)
        for block in encoder.blocks:
            tokens = block(tokens, attn_mask=attended)
        return encoder.norm(tokens)

    def decode(
        self, tokens: torch.Tensor, keep: torch.Tensor, wanted: torch.Tensor, absent: bool | None = None
    ) -> torch.Tensor:
        """Predicted pixels of the `wanted` (B, W) hidden patches, in units of their own deviation: (B, W, P * P).

        Places of `wanted` that are ABSENT take no part. A hidden patch that is not wanted is not decoded at all (Wang
        et al. 2023, VideoMAE V2, section 3.2); with all of them wanted, this is the paper's decoder.
        """
        places, prefix = self.decoder_positions[0], self.encoder.num_prefix_tokens
        known = self.to_decoder(torch.cat([tokens[:, :1], tokens[:, prefix:]], dim=1))  # registers stay behind
        visible = known[:, 1:] + take(places[1:], keep)
        unknown = self.mask_token + take(places[1:], wanted)
        tokens = torch.cat([known[:, :1] + places[:1], visible, unknown.to(visible.dtype)], dim=1)
        attended = attention_mask(torch.cat([keep, wanted], dim=1), 1, absent)
        for block in self.decoder:
            tokens = block(tokens, attn_mask=attended)
        return self.to_pixels(self.decoder_norm(tokens[:, -wanted.shape[1] :]))

    def forward(
        self,
        pictures: torch.Tensor,
        keep: torch.Tensor,
        wanted: torch.Tensor,
        acquisition: Acquisition | None = None,
        absent: bool | None = None,
    ) -> torch.Tensor:
        """`decode(encode(pictures))`."""
        return self.decode(self.encode(pictures, keep, acquisition, absent), keep, wanted, absent)


def attention_mask(chosen: torch.Tensor, before: int, absent: bool | None = None) -> torch.Tensor | None:
    """Which tokens may be attended to: (B, 1, 1, before + K) bool for (B, K) patches; None when none is ABSENT.

    `absent` says whether any is; None looks.

    A compiled model is only given pictures that keep equal numbers of patches: looking would end its graph.
    """
    if absent is False or torch.compiler.is_compiling():
        return None
    present = chosen >= 0
    if absent is None and present.all():
        return None
    return functional.pad(present, (before, 0), value=True)[:, None, None]


def reconstruction_errors(
    predicted: torch.Tensor, pictures: torch.Tensor, wanted: torch.Tensor, patch: int
) -> torch.Tensor:
    """Mean squared error of every wanted patch (B, W), against pixels normalised per patch: 1.0 is guessing the mean.

    `predicted` (B, W, P * P), `pictures` (B, 1, S, S). (He et al. 2022, section 3, "reconstruction target".)
    """
    target = take(patchify(pictures, patch), wanted)
    mean, deviation = patch_statistics(target)
    return ((predicted.float() - (target - mean) / deviation) ** 2).mean(dim=-1)


def mean_where(errors: torch.Tensor, scored: torch.Tensor, dim: tuple[int, ...] = (0, 1)) -> torch.Tensor:
    """Mean over `dim` of errors (B, W) where `scored` (B, W) is True; zero where nothing is."""
    weight = scored.to(errors.dtype)
    return (errors * weight).sum(dim) / weight.sum(dim).clamp(min=1)
