"""Networks of coloured pictures made into networks of grey ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ultrafm.errors import UltraFMError
from ultrafm.pretraining.grey import GreyScale


@dataclass(frozen=True)
class Colours:
    """Mean and deviation of each colour (0 to 1) that a network's pictures were normalised with."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def as_grey(self) -> GreyScale:
        """The one mean and deviation that stand for all colours: their averages."""
        return GreyScale(sum(self.mean) / len(self.mean), sum(self.deviation) / len(self.deviation))


IMAGENET = Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # what nearly all published ViTs were trained with


def choose_colours(channels: int, known: Colours | None) -> Colours:
    """The normalisation of a network with 1 or 3 `channels`, as known, else ImageNet's.

    A network of grey pictures gets the average of three colours. Raises UltraFMError when their number does not fit.
    """
    colours = known or IMAGENET
    if channels == 1 and len(colours.mean) == len(colours.deviation) == 3:
        grey = colours.as_grey()
        colours = Colours((grey.mean,), (grey.deviation,))
    if (len(colours.mean), len(colours.deviation)) != (channels, channels):
        found = f"{len(colours.mean)} means and {len(colours.deviation)} deviations"
        mend = "give as many numbers to --colour-mean and --colour-deviation"
        raise UltraFMError("normalisation of the colours", found, f"{channels} of each, as the network has", mend)
    check_scale("--colour-mean and --colour-deviation", colours)
    return colours


def choose_grey(colours: Colours, mean: float | None, deviation: float | None) -> GreyScale:
    """The grey normalisation as asked for, else the average of the colours'. Raises UltraFMError if it cannot be."""
    usual = colours.as_grey()
    grey = GreyScale(usual.mean if mean is None else mean, usual.deviation if deviation is None else deviation)
    check_scale("--grey-mean and --grey-deviation", Colours((grey.mean,), (grey.deviation,)))
    return grey


def check_scale(where: str, colours: Colours) -> None:
    """Raise UltraFMError for a normalisation that is not finite or divides by nothing."""
    numbers = (*colours.mean, *colours.deviation)
    if not all(math.isfinite(number) for number in numbers) or min(colours.deviation) <= 0:
        found = f"means {colours.mean} and deviations {colours.deviation}"
        raise UltraFMError(where, found, "finite numbers, deviations above zero", "give grey values between 0 and 1")


def grey_patch_embedding(
    weight: torch.Tensor, bias: torch.Tensor, colours: Colours, grey: GreyScale
) -> tuple[torch.Tensor, torch.Tensor]:
    """The kernel (D, 1, P, P) and bias (D,) that do to a grey picture what (D, C, P, P) did to it repeated C times.

    Exact: with g the grey value, the network of colours saw (g - m_c) / s_c; the new one sees z = (g - mu) / sigma, so
    (g - m_c) / s_c = z sigma / s_c + (mu - m_c) / s_c. The first factor goes into the kernel, the second into the bias.
    """
    mean, deviation = (torch.tensor(numbers, dtype=torch.float64) for numbers in (colours.mean, colours.deviation))
    kernel = weight.double()
    shift = kernel.sum(dim=(2, 3)) @ ((grey.mean - mean) / deviation)
    scaled = kernel * (grey.deviation / deviation)[:, None, None]
    return scaled.sum(dim=1, keepdim=True).float(), (bias.double() + shift).float()


def grey_pixels(rows: torch.Tensor, colours: int) -> torch.Tensor:
    """Rows that predict P * P pixels of several colours, colour by colour within a pixel -> P * P rows, their means.

    Only approximately the same network: its target was normalised over all colours of a patch together.
    """
    return rows.reshape(-1, colours, *rows.shape[1:]).double().mean(dim=1).float()


def with_layer_scale(
    weight: torch.Tensor, bias: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A linear layer (D, N) with its outputs multiplied by `scale` (D,), as DINOv2 does after each branch; exact."""
    return (weight.double() * scale.double()[:, None]).float(), (bias.double() * scale.double()).float()
