"""How much of the distance from random initialisation to the ideal observer pre-training closes, over several seeds.

AUROCs of a linear probe on tasks whose best reachable AUROC is known. Every pre-training seed is treated as a reader
is in a multi-reader study (Obuchowski and Rockette 1995; Hillis, Statistics in Medicine 2007, 26:596): a number's
variance is the spread between seeds, which holds another training and other labelled patients, and what all seeds
share because they are tested on the same patients (clustered DeLong). Intervals are Student's with Hillis' degrees of
freedom: how the number would vary with other seeds and other test patients of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.metrics import Cases, auroc
from ultrafm.errors import UltraFMError
from ultrafm.readers.inference import NO_SPREAD, Inference, infer
from ultrafm.readers.one_treatment import clipped, components, random_readers
from ultrafm.reporting.records import record

ENCODERS = ("random", "pooled", "federated")
MACRO_AVERAGE = "macro_average"
GAINS = (("federated", "random"), ("pooled", "random"), ("pooled", "federated"))
AUROC, SHARE = "auroc", "share_of_distance"
ONE_SEED = "one seed: patients only"


@dataclass(frozen=True)
class SeedScores:
    """Scores of the test images of one task: `scores` (S, E, R, K) by S seeds, E = 3 encoders and R draws of labels.

    Encoders are in the order of ENCODERS; truth (K,) 0/1; patients (K,) names; best: AUROC of the ideal observer.
    """

    task: str
    scores: np.ndarray
    truth: np.ndarray
    patients: np.ndarray
    best: float


@dataclass(frozen=True)
class SeedValues:
    """AUROC (S, E) of each seed and encoder, averaged over draws of labels (and tasks), and the ideal observer's.

    covariance: (S, E, S, E), due to the sampling of test patients.
    """

    values: np.ndarray
    covariance: np.ndarray
    best: float
    images: int
    patients: int


def seed_values(tasks: Sequence[SeedScores]) -> SeedValues:
    """AUROCs of one task, or averaged over several. Raises UltraFMError when they cannot be formed."""
    seeds, encoders, draws, _images = tasks[0].scores.shape
    cases = [Cases(one.scores.reshape(-1, one.scores.shape[-1]), one.truth, one.patients) for one in tasks]
    found = auroc(cases)
    if found.reason:
        raise UltraFMError(", ".join(one.task for one in tasks), found.reason, "test patients of both classes")
    spread = found.covariance.reshape(seeds, encoders, draws, seeds, encoders, draws).mean(axis=(2, 5))
    names = set().union(*(one.patients.tolist() for one in tasks))
    return SeedValues(
        found.values.reshape(seeds, encoders, draws).mean(axis=2), spread, float(np.mean([one.best for one in tasks])),
        sum(len(one.truth) for one in tasks), len(names),
    )  # fmt: skip


def contrast_over_seeds(found: SeedValues, weights: np.ndarray) -> Inference:
    """The mean over seeds of `weights` (E,) @ AUROCs, for other seeds and other test patients (see the module).

    With one seed, the interval is over patients alone, and `model` says so.
    """
    values = found.values @ weights
    covariance = np.einsum("e,setf,f->st", weights, found.covariance, weights)
    if len(values) < 2:
        return infer(ONE_SEED, float(values[0]), float(covariance[0, 0]), None)
    return random_readers(values, components(values, covariance))


def encoder_auroc(found: SeedValues, encoder: str) -> Inference:
    """AUROC of one encoder, its interval cut to 0..1."""
    return clipped(contrast_over_seeds(found, _unit(encoder)))


def gain(found: SeedValues, encoder: str, other: str) -> Inference:
    """AUROC of one encoder minus that of another."""
    return contrast_over_seeds(found, _unit(encoder) - _unit(other))


def share_closed(found: SeedValues, encoder: str) -> Inference:
    """The share of the distance from "random" to the ideal observer that an encoder closes; 1 is all of it.

    Ratio of means over seeds, (encoder - random) / (best - random), with the interval of its linear part (delta
    method). Without interval where random initialisation may be as good as the ideal observer.
    """
    start, means = _unit("random"), found.values.mean(axis=0)
    distance = found.best - float(start @ means)
    share = float((_unit(encoder) - start) @ means / distance) if distance > NO_SPREAD else float("nan")
    reached = contrast_over_seeds(found, start)
    if reached.ci_high is None or reached.ci_high >= found.best:
        why = "not defined: random initialisation may be as good as the ideal observer"
        return Inference(reached.model, share, None, None, None, None, None, None, reached.confidence, why)
    linear = contrast_over_seeds(found, (_unit(encoder) - (1 - share) * start) / distance)
    return infer(linear.model, share, (linear.standard_error or 0.0) ** 2, linear.df)


def distance_table(found: Mapping[str, SeedValues]) -> pd.DataFrame:
    """Every number of the design for each level ("10 % of labels"): columns level, number, estimate, low, high, how.

    The numbers: AUROC of each encoder, federated and pooled minus random, pooled minus federated, and the shares.
    """
    rows = []
    for level, values in found.items():
        asked = {f"AUROC, {name}": encoder_auroc(values, name) for name in ENCODERS}
        asked |= {f"{one} − {other}": gain(values, one, other) for one, other in GAINS}
        asked |= {f"share closed, {name}": share_closed(values, name) for name in ENCODERS[1:]}
        rows += [
            {"level": level, "number": name, "estimate": one.estimate, "low": one.ci_low, "high": one.ci_high}
            | {"how": how_found(one, len(values.values))}
            for name, one in asked.items()
        ]
    return pd.DataFrame(rows)


def how_found(one: Inference, seeds: int) -> str:
    """How the interval was made, in words."""
    if one.ci_low is None:
        return one.status
    if one.model == ONE_SEED:
        return "one seed, clustered DeLong over patients"
    return f"{seeds} seeds and test patients, Obuchowski-Rockette, Hillis' degrees of freedom"


def distance_records(found: SeedValues, task: str, level: str, images: str = "simulated") -> list[dict[str, Any]]:
    """The numbers of `distance_table` for one task and level, as records."""
    rows = [(AUROC, name, None, encoder_auroc(found, name)) for name in ENCODERS]
    rows += [(AUROC, one, other, gain(found, one, other)) for one, other in GAINS]
    rows += [(SHARE, name, None, share_closed(found, name)) for name in ENCODERS[1:]]
    return [
        record(
            section="distance", task=task, method=f"linear_probe/{name}", metric=metric, fold="test", level=level,
            comparator=f"linear_probe/{other}" if other else None, estimate=one.estimate, ci_low=one.ci_low,
            ci_high=one.ci_high, ci_method=how_found(one, len(found.values)), n=found.images,
            n_patients=found.patients, images=images,
        )
        for metric, name, other, one in rows
    ]  # fmt: skip


def by_seed_and_task(scored: Mapping[str, Sequence[SeedScores]], seeds: Sequence[int]) -> pd.DataFrame:
    """AUROC of every seed, task and encoder at every level: columns level, task, encoder, seed, auroc, best."""
    return pd.DataFrame(
        [
            {"level": level, "task": one.task, "encoder": name, "seed": seed, "auroc": value, "best": one.best}
            for level, scores in scored.items()
            for one in scores
            for seed, row in zip(seeds, seed_values([one]).values, strict=True)
            for name, value in zip(ENCODERS, row, strict=True)
        ]
    )


def _unit(encoder: str) -> np.ndarray:
    return np.eye(len(ENCODERS))[ENCODERS.index(encoder)]
