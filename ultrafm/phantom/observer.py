"""The ideal observer: how well benign and malignant lesions can be told apart at best, and how to set that.

It reads what the pictures are drawn from, the traits of a lesion and its difficulty, and forms their likelihood ratio
(Neyman and Pearson 1933; as a bound on any reader: Barrett and Myers, Foundations of Image Science, 2004, chapter 13).
No classifier of B-mode pictures can rank better, unless the set is confounded on purpose. What only flow, strain and
contrast pictures show (vessels, stiffness, washout) does not count, so these may be read a little better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import beta, mannwhitneyu

from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import PhantomSource
from ultrafm.phantom.lesions import DIFFICULTY, LESION_LABELS, TRAITS, draw_traits, trait_distribution

VISIBLE = tuple(name for name in TRAITS if name not in ("log_stiffness", "washout", "vessel_place"))
WIDEST = 1.0  # that of the usual lesions
STEPS = 400


def distance() -> float:
    """Mahalanobis distance between typically benign and typically malignant lesions, over the visible traits."""
    return math.sqrt(sum(((high - low) / spread) ** 2 for low, high, spread in (TRAITS[name] for name in VISIBLE)))


def ideal_score(traits: Mapping[str, float], difficulty: float, separation: float = 1.0) -> float:
    """Log likelihood ratio, malignant over benign, of a lesion with these `traits` (of any that are visible)."""
    laws = [trait_distribution(label, difficulty, separation) for label in ("malignant", "benign")]
    score = 0.0
    for name in VISIBLE:
        (malignant, spread), (benign, _spread) = (law[name] for law in laws)
        score += (malignant - benign) * (traits[name] - (malignant + benign) / 2) / spread**2
    return score


def best_auroc(separation: float) -> float:
    """AUROC of the ideal observer over lesions of all difficulties.

    At difficulty d the score is normal with variance D^2 and means +-D^2 / 2, where D = separation (1 - d) times
    `distance`. So a malignant lesion of difficulty d outranks a benign one of difficulty e with probability
    Phi(sqrt(D(d)^2 + D(e)^2) / 2), which is averaged over both difficulties.
    """
    shares = (np.arange(STEPS) + 0.5) / STEPS
    apart = separation * distance() * (1 - beta.ppf(shares, *DIFFICULTY))
    return float(ndtr(np.hypot(apart[:, None], apart[None, :]) / 2).mean())


def best_of_stated(auroc: float, sources: Sequence[PhantomSource], organ: str) -> float:
    """AUROC of the ideal observer when it is judged by the labels of the archives' tables, some of which are wrong.

    auroc: by the true labels. With shares a and b of truly malignant lesions among those called malignant and benign,
    a pair of them is in the right order with probability a (1 - b) auroc + (1 - a) b (1 - auroc), and else by chance.
    Raises UltraFMError where wrong labels mix in patients without a lesion, of whom nothing is known.
    """
    if not any(source.label_noise for source in sources):
        return auroc
    counts = np.zeros((2, 2))  # true benign and malignant by called benign and malignant
    for source in sources:
        shares, wrong = source.findings_in(organ), source.label_noise
        if {name for name, share in shares.items() if share > 0} - set(LESION_LABELS):
            raise UltraFMError(
                f"label_noise, {organ}", "patients without a lesion", "benign and malignant lesions only"
            )
        for true, name in enumerate(LESION_LABELS):
            counts[true, [true, 1 - true]] += source.patients * shares.get(name, 0) * np.array([1 - wrong, wrong])
    among_benign, among_malignant = counts[1] / counts.sum(axis=0)
    right, swapped = among_malignant * (1 - among_benign), (1 - among_malignant) * among_benign
    return float(right * auroc + swapped * (1 - auroc) + (1 - right - swapped) / 2)


def observed_auroc(separation: float, lesions: int, generator: np.random.Generator) -> float:
    """AUROC of the ideal observer on so many lesions drawn of each kind."""
    scores = []
    for label in LESION_LABELS:
        found = []
        for difficulty in generator.beta(*DIFFICULTY, lesions):
            traits = draw_traits(label, difficulty, generator, separation)
            found.append(ideal_score(traits, difficulty, separation))
        scores.append(found)
    benign, malignant = scores
    return float(mannwhitneyu(malignant, benign).statistic) / lesions**2


@lru_cache(maxsize=32)
def separation_for(auroc: float) -> float:
    """The separation of the traits' means that gives the ideal observer this AUROC. Raises UltraFMError."""
    if not 0.5 < auroc <= best_auroc(WIDEST):
        expected = f"above 0.5, at most {best_auroc(WIDEST):.4f}"
        raise UltraFMError("sources.phantom.best_auroc", f"{auroc:g}", expected, "leave it out for the usual lesions")
    return float(brentq(lambda separation: best_auroc(separation) - auroc, 0.0, WIDEST, xtol=1e-6))
