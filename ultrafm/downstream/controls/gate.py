"""A gate for the distance to the ideal observer: made features whose AUROC is known.

A planted effect must be detected with its true size, and a planted null must not be: does the interval hold the truth
as often as it says? The features go the whole way of the design, labelled patients, probe and intervals.

Made patients have one feature, of unit variance, whose mean is `strength` higher in positive ones, so that its AUROC is
Phi(strength / sqrt 2). Strengths of a seed's encoders vary by `SEED_SPREAD` around those that are planted; half of the
variance of a feature is the same for all seeds and encoders, as hard patients are hard for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr
from scipy.stats import beta

from ultrafm.downstream.designs.distance import (
    ENCODERS,
    SeedScores,
    SeedValues,
    gain,
    seed_values,
    share_closed,
)
from ultrafm.downstream.designs.few_labels import labelled_turn, probe_few_labels
from ultrafm.downstream.tasks import Turn
from ultrafm.progress import progress
from ultrafm.reporting.records import record
from ultrafm.seeds import spawn

STRENGTHS = {"random": 1.2, "pooled": 2.0, "federated": 2.0}  # pooled and federated alike: the planted null
SEED_SPREAD = 0.15
BEST = 0.99
PATIENTS = (200, 80)  # of the train and of the test fold, half of them positive
IMAGES = 2  # of each patient
DRAWS = 1
COMMON = 0.5
Probing = Callable[[np.ndarray, np.ndarray, Turn], np.ndarray]


def planted_auroc(encoder: str) -> float:
    """Mean AUROC of an encoder over all seeds and patients: that of a normal feature with a normal strength."""
    return float(ndtr(STRENGTHS[encoder] / np.sqrt(2 + SEED_SPREAD**2)))


def planted_share() -> float:
    """The share of the distance that "federated" truly closes."""
    start = planted_auroc("random")
    return (planted_auroc("federated") - start) / (BEST - start)


def made_scores(seeds: int, share: float, seed: int, repetition: int, probe: Probing = probe_few_labels) -> SeedScores:
    """Test scores (S, E, R, K) of a made study of `seeds` pre-training seeds, probed with `share` of the labels.

    probe: makes scores of features, truth and turn, as `probe_few_labels`.
    """
    generator = spawn(seed, "gate", round=repetition)
    count = sum(PATIENTS)
    fold = np.repeat(np.where(np.arange(count) < PATIENTS[0], "train", "test"), IMAGES)
    truth = np.repeat(np.arange(count) % 2, IMAGES)
    patients = np.repeat([f"made/{number:03d}" for number in range(count)], IMAGES)
    hardness = _noise(generator, count)
    scores = []
    for _seed in range(seeds):
        turns = [labelled_turn(truth, patients, fold, share, generator) for _draw in range(DRAWS)]
        for encoder in ENCODERS:
            strength = generator.normal(STRENGTHS[encoder], SEED_SPREAD)
            noise = np.sqrt(COMMON) * hardness + np.sqrt(1 - COMMON) * _noise(generator, count)
            features = (strength * truth + noise)[:, None]
            scores.append([probe(features, truth, turn) for turn in turns])
    test = fold == "test"
    shaped = np.array(scores).reshape(seeds, len(ENCODERS), DRAWS, -1)
    return SeedScores("made", shaped, truth[test], patients[test], BEST)


def _noise(generator: np.random.Generator, count: int) -> np.ndarray:
    """(count * IMAGES,) standard normal numbers; half of the variance is the patient's."""
    own = np.repeat(generator.normal(size=count), IMAGES)
    return np.sqrt(0.5) * own + np.sqrt(0.5) * generator.normal(size=count * IMAGES)


def run_gate(seeds: int, share: float, repetitions: int, seed: int, probe: Probing = probe_few_labels) -> pd.DataFrame:
    """The gate, `repetitions` made studies: columns planted, truth, mean, covered, covered_low, covered_high, detected.

    mean: of the estimates. covered: the share of 95 % intervals that hold the truth, with its exact 95 % interval
    (Clopper and Pearson). detected: the share of intervals that exclude zero.
    """
    numbers = range(repetitions)
    made = [
        seed_values([made_scores(seeds, share, seed, number, probe)])
        for number in progress(numbers, total=repetitions, title="gate", unit="study")
    ]
    return gate_table(made)


def gate_table(made: Sequence[SeedValues]) -> pd.DataFrame:
    """The gate's table from the made studies."""
    asked = {
        "effect: share closed, federated": (planted_share(), [share_closed(one, "federated") for one in made]),
        "effect: federated − random": (
            planted_auroc("federated") - planted_auroc("random"), [gain(one, "federated", "random") for one in made],
        ),
        "null: pooled − federated": (0.0, [gain(one, "pooled", "federated") for one in made]),
    }  # fmt: skip
    rows = []
    for name, (truth, found) in asked.items():
        low, high = (np.array([getattr(one, end) for one in found], float) for end in ("ci_low", "ci_high"))
        held = int(((low <= truth) & (truth <= high)).sum())
        rows.append(
            {"planted": name, "truth": truth, "mean": float(np.mean([one.estimate for one in found]))}
            | {"covered": held / len(found)}
            | dict(zip(("covered_low", "covered_high"), exact_limits(held, len(found))))
            | {"detected": float(((low > 0) | (high < 0)).mean()), "studies": len(found)}
        )
    return pd.DataFrame(rows)


def gate_records(gate: pd.DataFrame) -> list[dict[str, Any]]:
    """How often the intervals of the gate held the planted truth, as records."""
    return [
        record(
            section="distance", task="gate", method=row.planted, metric="interval_coverage", estimate=row.covered,
            ci_low=row.covered_low, ci_high=row.covered_high, ci_method="Clopper-Pearson over made studies",
            n=int(row.studies), images="simulated",
        )
        for row in gate.itertuples()
    ]  # fmt: skip


def exact_limits(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion (Clopper and Pearson 1934)."""
    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(beta.ppf(0.975, hits + 1, trials - hits))
    return low, high
