"""Pictures from what an attack found: visible patches as they are, hidden ones fitted in by their texture."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import patch_statistics, unpatchify

PULL = 0.1  # of a hidden patch's mean and contrast towards those of the visible patches around it


@dataclass(frozen=True)
class Masks:
    """What the attacker knows of how B pictures were shown: see `views.View`."""

    keep: torch.Tensor
    wanted: torch.Tensor
    scored: torch.Tensor


def assemble(visible: torch.Tensor, textures: torch.Tensor, masks: Masks, grey_scale: GreyScale) -> torch.Tensor:
    """Pictures (B, 1, S, S), grey values 0 to 1, of normalised visible (B, K, P * P) and hidden patches' textures.

    Mean and contrast of a hidden patch, which no gradient tells, are chosen so that greys go on over its borders.
    Hidden patches that were not scored lie outside the scan, and are black.
    """
    patches = torch.stack(
        [_whole(*each, grey_scale) for each in zip(visible, textures, masks.keep, masks.wanted, masks.scored)]
    )
    pictures = unpatchify(patches, round(visible.shape[-1] ** 0.5)) * grey_scale.deviation + grey_scale.mean
    return pictures.nan_to_num(0.5).clamp(0, 1)


def _whole(
    visible: torch.Tensor, textures: torch.Tensor, keep: torch.Tensor, wanted: torch.Tensor, scored: torch.Tensor,
    grey_scale: GreyScale,
) -> torch.Tensor:  # fmt: skip
    """All patches (T, P * P) of one picture. Each is slope x texture + level; of known ones the slope is zero."""
    count = len(keep) + len(wanted)
    free, texture = wanted[scored], visible.new_zeros(count, visible.shape[1])
    fixed = visible.new_full((count, visible.shape[1]), -grey_scale.mean / grey_scale.deviation)
    fixed[keep], texture[free] = visible, textures[scored]
    fixed[free] = 0.0
    if not len(free):
        return fixed
    near_level, near_slope = _around(visible, keep, free, round(count**0.5))
    rows, known = _borders(texture, fixed, free)
    pull = PULL * visible.shape[1] ** 0.5 * torch.eye(2 * len(free))
    system, aim = torch.cat([rows, pull]), torch.cat([known, pull @ torch.cat([near_level, near_slope])])
    level, slope = torch.linalg.lstsq(system, aim[:, None]).solution[:, 0].split(len(free))
    fixed[free] = level[:, None] + slope.clamp(min=0)[:, None] * texture[free]
    return fixed


def _around(
    visible: torch.Tensor, keep: torch.Tensor, free: torch.Tensor, side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of the visible patches, weighted by nearness to each free place."""
    mean, deviation = (one[:, 0] for one in patch_statistics(visible))
    places = [torch.stack([one // side, one % side], -1).float() for one in (free, keep)]
    near = torch.cdist(*places).pow(-2)
    near = near / near.sum(dim=1, keepdim=True)
    return near @ mean, near @ deviation


def _borders(texture: torch.Tensor, fixed: torch.Tensor, free: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Equations that greys go on over the borders of free patches: (E, 2F) of their levels and slopes, and (E,)."""
    count, pixels = texture.shape
    side, patch = round(count**0.5), round(pixels**0.5)
    number = torch.full((count,), -1)
    number[free] = torch.arange(len(free))
    tiles, known, rows, aims = texture.unflatten(1, (patch, patch)), fixed.unflatten(1, (patch, patch)), [], []
    for one in range(count):
        for step, here, there in ((1, (slice(None), -1), (slice(None), 0)), (side, -1, 0)):
            other = one + step
            if other >= count or (step == 1 and other % side == 0) or max(number[one], number[other]) < 0:
                continue
            row, aim = texture.new_zeros(patch, 2, len(free)), texture.new_zeros(patch)
            for place, edge, sign in ((one, here, 1.0), (other, there, -1.0)):
                if number[place] >= 0:
                    row[:, 0, number[place]] = sign
                    row[:, 1, number[place]] = sign * tiles[place][edge]
                else:
                    aim -= sign * known[place][edge]
            rows.append(row.flatten(1))
            aims.append(aim)
    return torch.cat(rows), torch.cat(aims)
