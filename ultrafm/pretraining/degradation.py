"""Degradations of a batch of pictures, for a masked autoencoder that sees the degraded picture and restores the clean.

Pictures are (B, 1, S, S) floats, log-compressed grey 0 to 1, and 0 outside the scan sector; S is the side in pixels.
A setting is one number for all pictures or (B,), one for each. `line` and `depth` are maps, (B, 1, S, S) or one for
all, of where a pixel lies among the beams (0 first, 1 last) and along its beam (0 at the probe, 1 deepest); without
them beams are columns and depth is rows. No function changes its arguments; every result lies between 0 and 1.

Generators are on the CPU wherever the pictures are, so that the numbers drawn do not depend on the device. Lengths and
angles of motion are best there too: they set the size of a kernel, and no graphics card is then waited for.

The published code blurs (motion over 24 pixels at 45 degrees; Gaussian, deviation 1.1) and adds salt and pepper
(density 0.1) to pictures of 224 pixels. Here lengths are shares of the side, settings are drawn from ranges, and four
kinds that belong to ultrasound come on top.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.fft import next_fast_len
from torch.nn import functional

# What each kind imitates, in the order of application, which is that of a scan: tissue, receiver, picture.
KINDS = {
    "shadow": "acoustic shadow: a band of beams is dark behind a reflector",
    "speckle": "grain: each pixel is multiplied by noise of mean 1",
    "depth_gain": "time-gain compensation set wrong: brightness drifts with depth",
    "gain": "gain set too high or too low",
    "motion_blur": "motion blur: the probe or the patient moves during a frame",
    "gaussian_blur": "Gaussian blur: a wider beam, or a picture that was enlarged",
    "salt_and_pepper": "salt and pepper: single pixels are lost to black or white",
}

PUBLISHED_SIDE = 224  # pixels; the published lengths are meant for pictures of this side

# Between which numbers `degrade` draws the settings of each kind, evenly.
RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "shadow": {
        "centre": (0.1, 0.9),  # share of the beams
        "width": (0.1, 0.3),  # share of the beams
        "strength": (0.5, 0.9),  # share of the grey taken away
        "start": (0.1, 0.6),  # share of the depth
    },
    "speckle": {"strength": (0.05, 0.25)},  # relative standard deviation
    "depth_gain": {"tilt": (8.0, 24.0)},  # dB from the probe to the deepest pixel, either sign
    "gain": {"decibels": (4.0, 12.0)},  # dB, either sign
    "motion_blur": {
        "length": (8 / PUBLISHED_SIDE, 24 / PUBLISHED_SIDE),  # share of the side; published: the longest
        "angle": (0.0, 180.0),  # degrees; published: 45
    },
    # share of the side; published: the smallest, which is a third of a pixel and invisible in a picture of 64
    "gaussian_blur": {"deviation": (1.1 / PUBLISHED_SIDE, 3.3 / PUBLISHED_SIDE)},
    "salt_and_pepper": {"density": (0.02, 0.1)},  # share of the pixels; published: the highest
}

EITHER_SIGN = ("tilt", "decibels")  # settings whose range is of their size; their sign is drawn too

# The strongest settings of each kind within RANGES, for a gallery; what only says where is set to show it well.
STRONGEST: dict[str, dict[str, float]] = {
    "shadow": {"centre": 0.5, "width": 0.3, "strength": 0.9, "start": 0.3},
    "speckle": {"strength": 0.25},
    "depth_gain": {"tilt": 24.0},
    "gain": {"decibels": 12.0},
    "motion_blur": {"length": 24 / PUBLISHED_SIDE, "angle": 45.0},
    "gaussian_blur": {"deviation": 3.3 / PUBLISHED_SIDE},
    "salt_and_pepper": {"density": 0.1},
}

KIND_CHANCE = 0.25  # of each kind on a degraded picture: about two kinds, as the three of the published code
SHADOW_EDGE = 0.5  # share of a shadow's half width over which it fades in from either side
SHADOW_ONSET = 0.05  # share of the depth over which a shadow fades in behind its reflector

Setting = torch.Tensor | float


def _per_picture(setting: Setting, pictures: torch.Tensor) -> torch.Tensor:
    """A setting as (B,), on the device it came from."""
    return torch.as_tensor(setting, dtype=pictures.dtype).reshape(-1).expand(len(pictures))


def _over_pixels(setting: Setting, pictures: torch.Tensor) -> torch.Tensor:
    """A setting as (B, 1, 1, 1) or (1, 1, 1, 1), ready to be combined with pictures."""
    return torch.as_tensor(setting, dtype=pictures.dtype).reshape(-1, 1, 1, 1).to(pictures.device)


def row_share(pictures: torch.Tensor) -> torch.Tensor:
    """(1, 1, S, 1): 0 in the first row to 1 in the last; the depth of a pixel when nothing better is known."""
    return torch.linspace(0, 1, pictures.shape[-2], dtype=pictures.dtype, device=pictures.device)[None, None, :, None]


def column_share(pictures: torch.Tensor) -> torch.Tensor:
    """(1, 1, 1, S): 0 in the first column to 1 in the last; the beam of a pixel when nothing better is known."""
    return torch.linspace(0, 1, pictures.shape[-1], dtype=pictures.dtype, device=pictures.device)[None, None, None, :]


def motion_kernels(length: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Weights of lines through the middle pixel: (B, K, K) with sum 1, K odd and wide enough for the longest line.

    `length` (B,) in pixels; 1 or less is no blur. `angle` (B,) in degrees, 0 along the rows, anticlockwise as seen. A
    line has one step for each column, or for each row where it is steeper than 45 degrees; a step that falls between
    two pixels is shared by both, and the two end pixels have the weight of their part of the line.
    """
    radians = torch.deg2rad(angle)[:, None, None]
    right, down = torch.cos(radians), -torch.sin(radians)
    flat = right.abs() >= down.abs()
    reach = length[:, None, None] * torch.maximum(right.abs(), down.abs())
    slope = torch.where(flat, down / right, right / down)
    half = max(math.ceil((reach.max().item() - 1) / 2), 0)
    steps = torch.arange(-half, half + 1, dtype=length.dtype, device=length.device)
    along, across = steps[None, None, :], steps[None, :, None]
    on_line = (reach / 2 + 0.5 - along.abs()).clamp(0, 1)
    weights = on_line * (1 - (across - along * slope).abs()).clamp(min=0)
    weights = torch.where(flat, weights, weights.transpose(1, 2))
    return weights / weights.sum(dim=(1, 2), keepdim=True)


def gaussian_weights(deviation: torch.Tensor, side: int) -> torch.Tensor:
    """How much of pixel j goes into pixel i of a row of `side` pixels: (B, side, side), symmetric, each row's sum 1.

    `deviation` (B,) in pixels. These are Lindeberg's Gaussians for sampled signals (Scale-space for discrete signals,
    IEEE PAMI 12(3), 1990), the solution of the heat equation on pixels, reflected at both ends: cosine waves of w
    radians a pixel shrink by exp(deviation^2 (cos w - 1)). Away from the ends the variance is the deviation squared
    whatever it is, where a sampled Gaussian narrower than a pixel has too little.
    """
    pixels = torch.arange(side, dtype=deviation.dtype, device=deviation.device)
    radians = pixels * (math.pi / side)
    waves = torch.cos(radians[:, None] * (pixels + 0.5)) * math.sqrt(2 / side)
    waves[0] *= math.sqrt(0.5)
    shrunk = torch.exp(deviation[:, None] ** 2 * (torch.cos(radians) - 1))
    return (waves.T * shrunk[:, None]) @ waves


def _average(planes: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Planes (B, N, S, S) under kernels (B, K, K) that look the same when turned by 180 degrees.

    Border pixels are repeated outwards. A product of Fourier transforms gives the sum over the kernel to within
    rounding, and is several times faster than a convolution with kernels of 25 pixels. Transforms of multiples of 8
    are the fast ones.
    """
    half, (height, width) = kernels.shape[-1] // 2, planes.shape[-2:]
    padded = functional.pad(planes, (half, half, half, half), mode="replicate")
    size = [8 * next_fast_len(math.ceil(length / 8), real=True) for length in padded.shape[-2:]]
    spectrum = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernels, s=size)[:, None]
    return torch.fft.irfft2(spectrum, s=size).narrow(2, 2 * half, height).narrow(3, 2 * half, width)


def _blur(
    average: Callable[[torch.Tensor], torch.Tensor], pictures: torch.Tensor, inside: torch.Tensor | None
) -> torch.Tensor:
    """`average`, which takes (B, N, S, S), of the pictures; with `inside`, among pixels of the sector only."""
    if inside is None:
        return average(pictures).clamp(0, 1)
    grey, weight = average(torch.cat([pictures, inside], dim=1)).split(1, dim=1)
    return (grey / weight.clamp(min=1e-6) * inside).clamp(0, 1)


def motion_blur(
    pictures: torch.Tensor, length: Setting, angle: Setting, inside: torch.Tensor | None = None
) -> torch.Tensor:
    """Average along a line of `length` pixels at `angle` degrees (see `motion_kernels`); borders are repeated outwards.

    With `inside` (B, 1, S, S), shares 0 to 1, only pixels of the sector are averaged and none outside is reached:
    tissue moves, the sector does not, and its rim stays as bright as it was.
    """
    kernels = motion_kernels(_per_picture(length, pictures), _per_picture(angle, pictures)).to(pictures)
    return _blur(lambda planes: _average(planes, kernels), pictures, inside)


def gaussian_blur(pictures: torch.Tensor, deviation: Setting, inside: torch.Tensor | None = None) -> torch.Tensor:
    """Blur by a Gaussian of `deviation` pixels (see `gaussian_weights`), reflected at the borders.

    `inside` as in `motion_blur`.
    """
    weights = gaussian_weights(_per_picture(deviation, pictures).to(pictures), pictures.shape[-1])[:, None]
    return _blur(lambda planes: weights @ planes @ weights, pictures, inside)


def speckle(pictures: torch.Tensor, strength: Setting, generator: torch.Generator) -> torch.Tensor:
    """Multiply by noise of mean 1 and standard deviation `strength`, alike over about one pixel.

    The noise is log-normal: never negative and skewed like the gamma distribution of an average of several looks at
    speckle, but mean and deviation stay exact when neighbours are made alike. Fully developed speckle is Rayleigh
    distributed (deviation 0.52 of the mean) in amplitude; log compression turns it into a sum whose deviation is 5.6 dB
    at any brightness. Every picture has that already. What is added here is the grain of a finished picture, and it
    multiplies the grey so that black (no echo, or outside the sector) stays black.
    """
    batch, _, height, width = pictures.shape
    noise = torch.randn(batch, 1, height + 2, width + 2, generator=generator).to(pictures)
    # sums of neighbours weighted 1 2 1 both ways: variance 36, correlation 2/3 at one pixel and 1/6 at two
    noise = noise[..., :-2] + 2 * noise[..., 1:-1] + noise[..., 2:]
    noise = (noise[..., :-2, :] + 2 * noise[..., 1:-1, :] + noise[..., 2:, :]) / 6
    variance = torch.log1p(_over_pixels(strength, pictures) ** 2)
    return (pictures * torch.exp(noise * variance.sqrt() - variance / 2)).clamp_(0, 1)


def salt_and_pepper(pictures: torch.Tensor, density: Setting, generator: torch.Generator) -> torch.Tensor:
    """Turn a random share `density` (0 to 1) of the pixels black or white, either with the same chance.

    Pixels outside the sector too: see `within_sector`.
    """
    chance = torch.rand(pictures.shape, generator=generator).to(pictures)
    half = _over_pixels(density, pictures) / 2
    kept = torch.where(chance < half, 0, pictures)
    return torch.where(chance >= 1 - half, 1, kept).clamp_(0, 1)


def gain(pictures: torch.Tensor, decibels: Setting, dynamic_range: float = 60.0) -> torch.Tensor:
    """Turn the gain up or down by `decibels`: grey, whose 0 to 1 spans `dynamic_range` dB, is shifted.

    Grey 0 holds no echo and stays; what a shift takes below 0 or above 1 is lost.
    """
    shifted = pictures + _over_pixels(decibels, pictures) / dynamic_range
    return torch.where(pictures > 0, shifted, 0).clamp(0, 1)


def depth_gain(
    pictures: torch.Tensor,
    decibels_top: Setting,
    decibels_bottom: Setting,
    depth: torch.Tensor | None = None,
    dynamic_range: float = 60.0,
) -> torch.Tensor:
    """Gain that goes from `decibels_top` at depth 0 to `decibels_bottom` at depth 1 linearly; otherwise as `gain`."""
    depth = row_share(pictures) if depth is None else depth
    top, bottom = _over_pixels(decibels_top, pictures), _over_pixels(decibels_bottom, pictures)
    shifted = pictures + torch.lerp(top, bottom, depth) / dynamic_range
    return torch.where(pictures > 0, shifted, 0).clamp(0, 1)


def shadow(
    pictures: torch.Tensor,
    centre: Setting,
    width: Setting,
    strength: Setting,
    line: torch.Tensor | None = None,
    depth: torch.Tensor | None = None,
    start: Setting = 0.0,
) -> torch.Tensor:
    """Take the share `strength` of the grey away from a band of beams deeper than `start`.

    `centre` and `width` (its full width, above 0) are shares of the beams, `start` is a share of the depth. The band
    is darkest in its middle half and fades to nothing on both sides; its onset is soft too.
    """
    line = column_share(pictures) if line is None else line
    depth = row_share(pictures) if depth is None else depth
    half = _over_pixels(width, pictures) / 2
    across = ((half - (line - _over_pixels(centre, pictures)).abs()) / (SHADOW_EDGE * half)).clamp(0, 1)
    across = across * across * (3 - 2 * across)
    behind = ((depth - _over_pixels(start, pictures)) / SHADOW_ONSET).clamp(0, 1)
    return (pictures * (1 - _over_pixels(strength, pictures) * across * behind)).clamp(0, 1)


def within_sector(pictures: torch.Tensor, degraded: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """`degraded` inside the sector and `pictures` outside; pixels on the rim are mixed by their share `inside`."""
    return torch.lerp(pictures, degraded, inside)


def apply_kind(
    kind: str,
    pictures: torch.Tensor,
    inside: torch.Tensor,
    settings: dict[str, Setting],
    line: torch.Tensor | None,
    depth: torch.Tensor | None,
    generator: torch.Generator,
) -> torch.Tensor:
    """One of KINDS done to all pictures; `settings` as named and measured in RANGES."""
    side = pictures.shape[-1]
    match kind:
        case "shadow":
            return shadow(pictures, **settings, line=line, depth=depth)
        case "speckle":
            return speckle(pictures, **settings, generator=generator)
        case "depth_gain":
            return depth_gain(pictures, settings["tilt"] / 2, -settings["tilt"] / 2, depth)
        case "gain":
            return gain(pictures, **settings)
        case "motion_blur":
            return motion_blur(pictures, settings["length"] * side, settings["angle"], inside)
        case "gaussian_blur":
            return gaussian_blur(pictures, settings["deviation"] * side, inside)
        case "salt_and_pepper":
            return salt_and_pepper(pictures, **settings, generator=generator)
    raise ValueError(f"degradation {kind!r}: expected one of {', '.join(KINDS)}")


def draw_kinds(batch: int, share: float, generator: torch.Generator) -> torch.Tensor:
    """Which of KINDS each picture undergoes: (B, kinds) bool on the CPU.

    A picture is degraded with probability `share`. Each kind then comes with probability KIND_CHANCE; where none
    comes, one that is drawn evenly does.
    """
    degraded = torch.rand(batch, 1, generator=generator) < share
    kinds = torch.rand(batch, len(KINDS), generator=generator) < KIND_CHANCE
    instead = torch.randint(len(KINDS), (batch, 1), generator=generator) == torch.arange(len(KINDS))
    return degraded & torch.where(kinds.any(dim=1, keepdim=True), kinds, instead)


def draw_settings(batch: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Settings of every kind for every picture, drawn from RANGES: {kind: (B, settings of the kind)} on the CPU."""
    sizes = [len(ranges) for ranges in RANGES.values()]
    low, high = torch.tensor([ends for ranges in RANGES.values() for ends in ranges.values()]).T
    signed = torch.tensor([name in EITHER_SIGN for ranges in RANGES.values() for name in ranges])
    drawn = torch.rand(batch, sum(sizes), generator=generator)
    drawn = torch.where(signed, 2 * drawn - 1, drawn)
    drawn = torch.where(drawn < 0, -1, 1) * (low + (high - low) * drawn.abs())
    return dict(zip(RANGES, drawn.split(sizes, dim=1)))


@torch.no_grad()
def degrade(
    pictures: torch.Tensor,
    inside: torch.Tensor,
    generator: torch.Generator,
    share: float = 0.5,
    line: torch.Tensor | None = None,
    depth: torch.Tensor | None = None,
) -> torch.Tensor:
    """Degrade about a share `share` (0 to 1) of the pictures, each in its own way (`draw_kinds`, `draw_settings`).

    `inside` (B, 1, S, S) is the share of each pixel inside the scan sector, 0 to 1; outside nothing changes. `line` and
    `depth` (B, 1, S, S) as at the top of this module. `generator` moves on by the same number of draws whatever the
    pictures and `share`.
    """
    kinds = draw_kinds(len(pictures), share, generator)
    settings = draw_settings(len(pictures), generator)
    noise = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
    degraded = pictures.clone()
    for number, kind in enumerate(KINDS):
        chosen = kinds[:, number].nonzero()[:, 0]
        if not len(chosen):
            continue
        rows = chosen.to(pictures.device)
        changed = apply_kind(
            kind, degraded.index_select(0, rows), inside.index_select(0, rows),
            dict(zip(RANGES[kind], settings[kind][chosen].unbind(dim=1))),
            None if line is None else line.index_select(0, rows),
            None if depth is None else depth.index_select(0, rows), noise,
        )  # fmt: skip
        degraded.index_copy_(0, rows, changed)
    return within_sector(pictures, degraded, inside)


def degradation_examples(
    picture: torch.Tensor,
    inside: torch.Tensor,
    generator: torch.Generator,
    line: torch.Tensor | None = None,
    depth: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Each of KINDS alone at its STRONGEST, for a gallery: {kind: (S, S)} of one `picture`; all maps are (S, S)."""
    pictures, sectors = picture[None, None], inside[None, None]
    examples = {}
    for kind in KINDS:
        degraded = apply_kind(kind, pictures, sectors, STRONGEST[kind], line, depth, generator)
        examples[kind] = within_sector(pictures, degraded, sectors)[0, 0]
    return examples
