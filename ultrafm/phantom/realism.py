"""How like real pictures simulated ones are: speckle, spectrum and grey values of scans, in one set of measures.

All is measured on the scan alone, at one height, so that pictures of any size compare. Lengths are in thousandths of
the scan's height.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
import pandas as pd

HEIGHT = 256  # rows at which scans are measured
PATCH, STEP, PATCHES = 24, 12, 12  # side and spacing of the squares that are looked at; how many even ones count
DARKEST, BRIGHTEST = 20, 220  # mean grey of a square in which speckle can be seen
LOW, HIGH = 0.04, 0.35  # cycles a pixel between which the spectrum's slope is taken
MEASURES = {
    "speckle SNR": "mean / deviation of grey in even squares",
    "speckle height": "thousandths of the scan's height, half maximum of the autocovariance along the beam",
    "speckle width": "the same across the beams",
    "spectrum slope": "power of the frequency to which spectral power falls",
    "mean grey": "grey values, 0 to 255",
    "contrast": "standard deviation of grey values",
    "dark share": "share of the scan below grey value 10",
    "entropy": "bits, of the grey histogram",
    "roughness": "local deviation of grey over squares of 5 pixels, mean",
}


def measure_scan(grey: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """The measures of one scan: grey (H, W) uint8, cropped to the scan area, and `inside` (H, W) bool.

    NaN for what cannot be measured, as speckle where no square of tissue is even.
    """
    scale = HEIGHT / len(grey)
    size = (max(PATCH, round(grey.shape[1] * scale)), HEIGHT)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(grey, size, interpolation=way).astype(np.float32)
    seen = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    if not seen.any():
        return dict.fromkeys(MEASURES, np.nan)
    values = small[seen]
    shares = np.bincount(np.clip(values, 0, 255).astype(np.uint8), minlength=256) / values.size
    shares = shares[shares > 0]
    squares = even_squares(small, seen)
    height, width = speckle_size(squares)
    return {
        "speckle SNR": float(np.median([square.mean() / square.std() for square in squares])) if squares else np.nan,
        "speckle height": height * 1000 / HEIGHT, "speckle width": width * 1000 / HEIGHT,
        "spectrum slope": spectrum_slope(small, seen), "mean grey": float(values.mean()),
        "contrast": float(values.std()), "dark share": float((values < 10).mean()),
        "entropy": float(-(shares * np.log2(shares)).sum()), "roughness": _roughness(small, seen),
    }  # fmt: skip


def even_squares(small: np.ndarray, seen: np.ndarray) -> list[np.ndarray]:
    """The most even squares of tissue wholly inside the scan: those whose coarse grey values vary least."""
    found = []
    for row, column in _corners(small.shape):
        part = np.s_[row : row + PATCH, column : column + PATCH]
        square = small[part]
        if seen[part].all() and DARKEST < square.mean() < BRIGHTEST and square.std() > 0:
            coarse = cv2.resize(square, (4, 4), interpolation=cv2.INTER_AREA)
            found.append((float(coarse.std() / square.mean()), row, column))
    chosen = sorted(found)[:PATCHES]
    return [small[row : row + PATCH, column : column + PATCH] for _unevenness, row, column in chosen]


def _corners(shape: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for row in range(0, shape[0] - PATCH + 1, STEP):
        for column in range(0, shape[1] - PATCH + 1, STEP):
            yield row, column


def speckle_size(squares: Sequence[np.ndarray]) -> tuple[float, float]:
    """Full width at half maximum of the mean autocovariance, in pixels down and across; NaN without squares.

    Grains wider than a quarter of a square come out too small, in real and simulated scans alike.
    """
    if not squares:
        return np.nan, np.nan
    total = np.zeros((2 * PATCH, 2 * PATCH))
    for square in squares:
        spectrum = np.fft.fft2(square - square.mean(), (2 * PATCH, 2 * PATCH))
        covariance = np.fft.ifft2(np.abs(spectrum) ** 2).real
        total += covariance / covariance[0, 0]
    fewer = PATCH / (PATCH - np.arange(PATCH))  # the further apart, the fewer pairs of pixels a square has
    return _half_width(total[:PATCH, 0] * fewer), _half_width(total[0, :PATCH] * fewer)


def _half_width(profile: np.ndarray) -> float:
    """Twice the distance at which a profile first falls to half of its start, by linear interpolation."""
    profile = profile / profile[0]
    below = np.flatnonzero(profile < 0.5)
    if not below.size:
        return float(2 * len(profile))
    after = int(below[0])
    before = profile[after - 1]
    return float(2 * (after - 1 + (before - 0.5) / (before - profile[after])))


def spectrum_slope(small: np.ndarray, seen: np.ndarray) -> float:
    """The exponent with which spectral power falls with frequency, over all directions; NaN for an even picture."""
    values = np.where(seen, small - small[seen].mean(), 0)
    window = np.outer(np.hanning(values.shape[0]), np.hanning(values.shape[1]))
    power = np.abs(np.fft.fft2(values * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(values.shape[0])[:, None], np.fft.fftfreq(values.shape[1])[None, :])
    edges = np.geomspace(LOW, HIGH, 12)
    rings = [power[(frequency >= low) & (frequency < high)].mean() for low, high in itertools.pairwise(edges)]
    if min(rings) <= 0:
        return np.nan
    return float(np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(rings), 1)[0])


def _roughness(small: np.ndarray, seen: np.ndarray) -> float:
    mean, square = (cv2.blur(plane, (5, 5)) for plane in (small, small * small))
    return float(np.sqrt(np.maximum(square - mean * mean, 0))[seen].mean())


def compare(real: Sequence[Mapping[str, float]], simulated: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """For each measure the medians of both sets, and how well it alone tells them apart.

    Columns: measure, real, simulated, apart, scans (of both, that have the measure). `apart` is the AUROC of telling
    simulated from real by that measure in either direction: 0.5 not at all, 1 always.
    """
    rows = []
    for name in MEASURES:
        one, other = (np.array([found[name] for found in group]) for group in (real, simulated))
        one, other = one[np.isfinite(one)], other[np.isfinite(other)]
        if one.size and other.size:
            higher = (other[:, None] > one[None, :]).mean() + 0.5 * (other[:, None] == one[None, :]).mean()
            rows.append((name, np.median(one), np.median(other), max(higher, 1 - higher), one.size + other.size))
    return pd.DataFrame(rows, columns=["measure", "real", "simulated", "apart", "scans"])
