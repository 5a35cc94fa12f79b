"""The bootstrap of whole patients: who is drawn, and what a measure is under each draw.

Strata keep what the design fixed: patients are drawn inside their site, and inside their class where a measure needs
both classes, so that no replicate lacks one (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
section 3.2). A stratum of few patients hardly varies, and one of a single patient not at all, so strata below SMALLEST
are joined (see `strata`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ultrafm.downstream.metrics.cases import Cases, Estimates, task_weights

SMALLEST = 5  # patients of a stratum; in smaller ones the variance would be a fifth or more too small
ELEMENTS = 2**22  # weights held in memory at a time
Measure = Callable[[Cases, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Resampling:
    """Bootstrap draws of patients: `patients` (P,) sorted names and `counts` (B, P), how often each was drawn."""

    patients: np.ndarray
    counts: np.ndarray

    def weights(self, patients: np.ndarray) -> np.ndarray:
        """(B, K) weight of each image, given the patient of each."""
        return self.counts[:, np.searchsorted(self.patients, patients)]

    def blocks(self, patients: np.ndarray) -> Iterator[np.ndarray]:
        """`weights` in blocks of replicates that fit the memory."""
        places = np.searchsorted(self.patients, patients)
        size = max(1, ELEMENTS // max(len(places), 1))
        for start in range(0, len(self.counts), size):
            yield self.counts[start : start + size, places]


def draw_patients(
    patients: Sequence[str], replicates: int, generator: np.random.Generator, classes: Sequence[str] | None = None
) -> Resampling:
    """Draw patients with replacement, as many as there are, `replicates` times; "site/patient" are drawn inside sites.

    patients: (K,) names, of images or of patients. classes: (K,) the class of each image, to draw also inside the
    classes of patients; a patient with images of several classes makes a class of its own kind. The same draws serve
    all encoders, methods and tasks, so that differences are paired and tasks that share patients vary together.
    """
    names = np.unique(np.asarray(patients, dtype=str))
    sites = np.array([name.rpartition("/")[0] for name in names])
    layers = sites if classes is None else strata(sites, _patient_classes(patients, classes))
    counts = np.zeros((replicates, len(names)), dtype=np.int64)
    for layer in np.unique(layers):
        inside = np.flatnonzero(layers == layer)
        counts[:, inside] = generator.multinomial(len(inside), np.full(len(inside), 1 / len(inside)), size=replicates)
    return Resampling(names, counts)


def strata(sites: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(P,) stratum of each patient, from site (P,) and class (P,).

    Site and class, where at least SMALLEST patients share both; the rest of a class are drawn together over sites, and
    where these are still too few they join the largest stratum of their class, so that classes keep their sizes. Fewer
    than SMALLEST patients with images of several classes ("0 and 1") count as patients of the last one. Several classes
    of fewer than SMALLEST patients each, such as rare combinations of findings, are drawn together.
    """
    few = np.array([" and " in one for one in classes]) & (_sizes(classes) < SMALLEST)
    classes = np.where(few, [one.split(" and ")[-1] for one in classes], classes)
    fine = np.array([f"{site}\x1f{one}" for site, one in zip(sites, classes)], dtype=object)
    layers = np.where(_sizes(fine) >= SMALLEST, fine, np.array([f"\x1f{one}" for one in classes], dtype=object))
    for one in np.unique(classes):
        inside = classes == one
        found, sizes = np.unique(layers[inside].astype(str), return_counts=True)
        if sizes.min() < SMALLEST and len(found) > 1:
            layers[inside & (layers == found[sizes.argmin()])] = found[sizes.argmax()]
    rare = _sizes(layers) < SMALLEST
    return np.where(rare, "\x1frare", layers).astype(str)


def bootstrapped(
    tasks: Sequence[Cases], draws: Resampling, measure: Measure, weights: np.ndarray | None = None
) -> Estimates:
    """Values (C,) and replicates (B, C) of `measure(cases, image weights (b, K)) -> (b, C)`, averaged over tasks.

    weights: (T,) how much each task counts, all alike when None.
    """
    shares = task_weights(tasks, weights)
    values = np.mean([w * measure(cases, np.ones((1, len(cases.patients))))[0] for w, cases in zip(shares, tasks)], 0)
    if any(len(set(cases.patients.tolist())) < 2 for cases in tasks):
        return Estimates(values, "none", reason="images of one patient only")
    replicates = np.mean([w * _under(cases, draws, measure) for w, cases in zip(shares, tasks)], axis=0)
    return Estimates(values, f"patient bootstrap, {len(draws.counts)} replicates", replicates=replicates)


def _under(cases: Cases, draws: Resampling, measure: Measure) -> np.ndarray:
    return np.concatenate([measure(cases, block) for block in draws.blocks(cases.patients)])


def _patient_classes(patients: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """(P,) the classes that occur among the images of each patient, in the order of the sorted names."""
    names, places = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    found: list[set[str]] = [set() for _ in names]
    for place, one in zip(places, classes):
        found[place].add(str(one))
    return np.array([" and ".join(sorted(one)) for one in found], dtype=object)


def _sizes(layers: np.ndarray) -> np.ndarray:
    """(P,) how many share each one's layer."""
    _, places, counts = np.unique(layers.astype(str), return_inverse=True, return_counts=True)
    return counts[places]
