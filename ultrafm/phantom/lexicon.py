"""What a radiologist would write of a lesion: its traits in the words of ACR BI-RADS (2013) and TI-RADS (2017).

Where the lexicons give no number, the bounds between two words lie where typically benign and malignant lesions part.
"""

from __future__ import annotations

import math

import numpy as np

from ultrafm.phantom.lesions import TRAITS, Lesion

SPICULATED, IRREGULAR = 0.022, 0.1  # deviations of the radius from 1: by spicules, and by lobes
ECHO = ((-14.0, "markedly hypoechoic"), (-6.0, "hypoechoic"), (math.inf, "isoechoic"))
SHADOW, ENHANCEMENT = -3.0, 3.0  # dB behind the lesion


def halfway(trait: str) -> float:
    """Between the means of a trait of benign and malignant lesions."""
    low, high, _spread = TRAITS[trait]
    return (low + high) / 2


def describe(lesion: Lesion) -> dict[str, str]:
    """Category -> word: shape, orientation, margin, echo, pattern, posterior, calcifications, vessels."""
    return {
        "shape": _shape(lesion),
        "orientation": "taller than wide" if lesion.aspect > 1 else "parallel",
        "margin": _margin(lesion),
        "echo": next(word for bound, word in ECHO if lesion.echo_db < bound),
        "pattern": "heterogeneous" if lesion.heterogeneity_db > halfway("heterogeneity_db") else "homogeneous",
        "posterior": _posterior(lesion.posterior_db),
        "calcifications": _where(lesion.calcifications, "none", "at the rim", "in the mass"),
        "vessels": _where(lesion.vessels, "absent", "in the rim", "internal"),
    }


def roughness(outline: np.ndarray) -> tuple[float, float]:
    """How far an outline strays from a circle: by lobes (up to 7 around), and by what is finer."""
    waves = np.abs(np.fft.rfft(outline[:-1] - outline[:-1].mean())) / (len(outline) - 1)
    power = 2 * np.square(waves)
    return float(math.sqrt(power[:8].sum())), float(math.sqrt(power[8:].sum()))


def _shape(lesion: Lesion) -> str:
    lobes, fine = roughness(lesion.outline)
    if lobes > IRREGULAR or fine > SPICULATED:
        return "irregular"
    return "round" if 0.85 < lesion.aspect < 1.18 else "oval"


def _margin(lesion: Lesion) -> str:
    _lobes, fine = roughness(lesion.outline)
    if fine > SPICULATED:
        return "spiculated"
    return "indistinct" if math.log(lesion.margin) > halfway("log_margin") else "circumscribed"


def _posterior(level_db: float) -> str:
    if level_db < SHADOW:
        return "shadowing"
    return "enhancement" if level_db > ENHANCEMENT else "no features"


def _where(places: np.ndarray, none: str, rim: str, inside: str) -> str:
    """Where most of the places (n, 2) lie."""
    if not len(places):
        return none
    return rim if np.median(np.hypot(*places.T)) > 0.65 else inside
