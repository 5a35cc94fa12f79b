"""Which patches the encoder sees: pure functions `(patches, ratio, generator) -> (keep, mask)`, one for each policy.

`keep` (B, K) holds the indices of the visible patches in rising order, ABSENT at the end where a picture keeps fewer
than others; `mask` (B, T) is True where a patch is hidden and may be scored. Masking at a high ratio is what makes
reconstruction a task worth learning (He et al., Masked Autoencoders Are Scalable Vision Learners, 2022, section 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ultrafm.errors import UltraFMError, one_of
from ultrafm.pretraining.model import ABSENT

BLOCK = 2.0  # side of a polar block, in patches


@dataclass(frozen=True)
class Patches:
    """The patches of a batch, all tensors on one device.

    pixels: (B, T, P * P) grey values. content: (B, T) True where at least half of a patch lies inside the scan sector.
    depth, line: (B, T) where its centre lies in the scan, 0 to 1 inside (0: skin, first line), beyond that outside.
    """

    pixels: torch.Tensor
    content: torch.Tensor
    depth: torch.Tensor
    line: torch.Tensor


Policy = Callable[[Patches, float, torch.Generator], tuple[torch.Tensor, torch.Tensor]]


def kept_count(patches: int, ratio: float) -> int:
    """How many of `patches` stay visible at this mask ratio.

    Raises UltraFMError when the ratio hides nothing or everything.
    """
    kept = round(patches * (1 - ratio)) if 0 < ratio < 1 else 0
    if not 0 < kept < patches:
        found = f"{ratio:g} of {patches} patches" if patches else f"{ratio:g}"
        mend = "0.75 hides three quarters"
        raise UltraFMError("mask ratio", found, "a share above 0 and below 1 that keeps and hides a patch", mend)
    return kept


def uniform(patches: Patches, ratio: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Every patch has the same chance of being hidden."""
    return keep_lowest(draw(patches, generator), ratio)


def texture_guided(patches: Patches, ratio: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth patches tend to stay visible and textured ones to be hidden, as the paper intends.

    Patches to keep are drawn without replacement with weights max + min - texture. Sorting exponential draws divided by
    their weights is that draw in one step (Efraimidis & Spirakis 2006, Weighted random sampling with a reservoir).
    """
    return keep_lowest(weighted_order(patches, generator), ratio)


def published(patches: Patches, ratio: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """What the published code does instead, for the ablation: a patch is kept when of the low-numbered patches one was
    drawn at its rank.

    The list of patches in the order of drawing is sorted once more, which inverts it, so that a patch's own texture
    decides nothing (section 7.1 of the project's notes on the paper, where it was measured).
    """
    in_order = weighted_order(patches, generator).argsort(dim=1)  # the patch drawn first, second, ...
    return keep_lowest(in_order.float(), ratio)


def sector(patches: Patches, ratio: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Uniform among the patches of the scan sector; those outside are neither kept nor scored.

    The ratio is that of each picture's own content, so pictures keep different numbers of patches. A picture with fewer
    than two patches of content keeps one and has nothing to score.
    """
    kept_count(patches.content.shape[1], ratio)  # tells of an impossible ratio
    counts = patches.content.sum(dim=1)
    kept = (counts * (1 - ratio)).round().clamp(min=1).minimum((counts - 1).clamp(min=1)).long()
    order = (draw(patches, generator) + 2.0 * ~patches.content).argsort(dim=1)
    ranks = torch.arange(order.shape[1], device=order.device)[None]
    chosen = torch.zeros_like(patches.content).scatter(1, order, ranks < kept[:, None])
    places = torch.where(chosen, ranks, order.shape[1]).sort(dim=1).values[:, : int(kept.max())]
    return torch.where(places < order.shape[1], places, ABSENT), patches.content & ~chosen


def polar_blocks(patches: Patches, ratio: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole blocks are hidden, cut along scan lines and depth; so a hidden patch's neighbours tend to be hidden too.

    Blocks are about `BLOCK` patches wide and deep, however much of the scan is seen; where they begin is drawn for each
    picture. Patches outside the scan are hidden one by one.
    """
    batch, count = patches.content.shape
    side = round(count**0.5)
    start = torch.rand(2, batch, 1, generator=generator).to(patches.depth.device)
    row, column = (
        (place / (BLOCK * pitch(place, side, axis)) + shift).floor().long() % side
        for place, axis, shift in zip((patches.depth, patches.line), (1, 2), start)
    )
    of_blocks = torch.rand(batch, count, generator=generator).to(row.device)
    alone = draw(patches, generator)
    shared = of_blocks.gather(1, row * side + column) + 1e-3 * alone  # the small part orders patches of one block
    return keep_lowest(torch.where(patches.content, shared, alone), ratio)


def pitch(places: torch.Tensor, side: int, axis: int) -> torch.Tensor:
    """How far neighbouring patches lie apart in depth (axis 1) or line (axis 2) of the scan: (B, T) -> (B, 1)."""
    steps = places.unflatten(1, (side, side)).diff(dim=axis).abs().flatten(1)
    return steps.median(dim=1, keepdim=True).values.clamp(min=1e-3)


POLICIES: dict[str, Policy] = {
    "uniform": uniform, "texture": texture_guided, "sector": sector, "polar": polar_blocks, "published": published,
}  # fmt: skip


def policy_named(name: str) -> Policy:
    """The policy of this name; an unknown one is an error that says the nearest known one."""
    return POLICIES[one_of("masking", name, POLICIES)]


def draw(patches: Patches, generator: torch.Generator) -> torch.Tensor:
    """Uniform numbers of the patches, (B, T) in [0, 1), drawn on the processor so that every device gets the same."""
    return torch.rand(patches.content.shape, generator=generator).to(patches.content.device)


def keep_lowest(keys: torch.Tensor, ratio: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Keep the patches with the lowest (B, T) keys and hide the share `ratio` of all."""
    kept = keys.argsort(dim=1)[:, : kept_count(keys.shape[1], ratio)]
    mask = torch.ones(keys.shape, dtype=torch.bool, device=keys.device).scatter(1, kept, False)
    return kept.sort(dim=1).values, mask


def texture(pixels: torch.Tensor) -> torch.Tensor:
    """Mean absolute Laplacian inside each patch: (B, T, P * P) -> (B, T), in grey values a pixel squared."""
    side = round(pixels.shape[-1] ** 0.5)
    if side < 3:
        raise UltraFMError("masking by texture", f"patches of {side} pixels", "3 or more, to have an inside")
    tiles = pixels.float().unflatten(-1, (side, side))
    inner = tiles[..., 1:-1, 1:-1]
    around = tiles[..., :-2, 1:-1] + tiles[..., 2:, 1:-1] + tiles[..., 1:-1, :-2] + tiles[..., 1:-1, 2:]
    return (around - 4 * inner).abs().mean(dim=(-2, -1))


def weighted_order(patches: Patches, generator: torch.Generator) -> torch.Tensor:
    """Keys (B, T) that order patches as a weighted draw without replacement does; smooth patches tend to come first."""
    found = texture(patches.pixels)
    weights = found.amax(dim=1, keepdim=True) + found.amin(dim=1, keepdim=True) - found
    return -torch.log1p(-draw(patches, generator)) / weights.clamp(min=1e-6)


def choose_wanted(
    mask: torch.Tensor, content: torch.Tensor, share: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which hidden patches the decoder is to predict, and which of them are scored: (B, W) indices and (B, W) bool.

    A random `share` (0 to 1) of the hidden ones, those with content first; at 1 all of them. Where a picture has fewer
    hidden patches than others, the rest of its row is ABSENT.
    """
    return wanted_in_turn(mask, content, share, generator)[0]


def wanted_in_turn(
    mask: torch.Tensor, content: torch.Tensor, share: float, generator: torch.Generator
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """All hidden patches, dealt at random into parts of a `share` of them each, those with content first.

    A decoder that is trained on a share at a time is to be measured so too: more at once is new to it.
    """
    scored, count = mask & content, int(mask.sum(dim=1).max())
    keys = torch.zeros(mask.shape) if share >= 1 else torch.rand(mask.shape, generator=generator)
    order = (keys.to(mask.device) + 2.0 * ~scored + 4.0 * ~mask).argsort(dim=1, stable=True)[:, :count]
    return [_sorted_part(part, mask, scored) for part in order.split(max(round(share * count), 1), dim=1)]


def _sorted_part(part: torch.Tensor, mask: torch.Tensor, scored: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    places = torch.where(mask.gather(1, part), part, mask.shape[1]).sort(dim=1).values
    absent = places == mask.shape[1]
    return torch.where(absent, ABSENT, places), scored.gather(1, places.masked_fill(absent, 0)) & ~absent
