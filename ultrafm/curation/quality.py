"""Quality of a picture inside its scan area: sharpness, contrast, richness; and the least that is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from ultrafm.curation.reasons import Unusable
from ultrafm.curation.sector import ScanArea
from ultrafm.manifests.schema import Quality

MEASURING_SIDE = 256  # pixels; pictures are reduced to it, so that numbers of different devices can be compared


@dataclass(frozen=True)
class Measured:
    """blur: variance of the Laplacian of grey values, low is blurred. contrast: their standard deviation.
    entropy: of their histogram, in bits (0 to 8)."""

    blur: float
    contrast: float
    entropy: float


def measure(crop: np.ndarray, area: ScanArea) -> Measured:
    """Quality of a cropped grey picture (H, W) uint8 inside its scan area.

    Variance of the Laplacian as a measure of focus: Pech-Pacheco et al. 2000.
    """
    factor = max(1, round(max(crop.shape) / MEASURING_SIDE))
    small = np.asarray(Image.fromarray(crop).reduce(factor))
    inside = area.inside_at(small.shape[1], small.shape[0])
    if not inside.any():
        return Measured(0.0, 0.0, 0.0)
    values = small[inside]
    edges = ndimage.laplace(small.astype(np.float32), mode="nearest")[inside]
    shares = np.bincount(values, minlength=256) / values.size
    shares = shares[shares > 0]
    entropy = -(shares * np.log2(shares)).sum()
    numbers = (edges.var(dtype=np.float64), values.std(dtype=np.float64), entropy)
    return Measured(*(round(float(number), 4) + 0.0 for number in numbers))


def require(measured: Measured, area: ScanArea, least: Quality) -> None:
    """Raise Unusable when the scan area is too small or too flat to be of use."""
    if min(area.width, area.height) < least.smallest_side:
        found = f"{area.width} x {area.height} pixels"
        raise Unusable("scan area too small", found, f"at least {least.smallest_side} pixels on each side")
    if measured.contrast < least.least_contrast:
        found = f"a standard deviation of {measured.contrast:.2f} grey values"
        raise Unusable("too little contrast", found, f"at least {least.least_contrast:g}")
