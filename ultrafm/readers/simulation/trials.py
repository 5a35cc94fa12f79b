"""Many simulated trials at once: how often a test rejects, how often an interval holds the truth.

A trial is one draw of readers and cases. AUROCs and DeLong's covariance of all trials are computed together; each then
goes through the same functions as real data do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError
from ultrafm.readers.inference import Inference
from ultrafm.readers.one_treatment import ai_versus_readers
from ultrafm.readers.simulation.roe_metz import RoeMetz
from ultrafm.readers.two_treatments import compare_modalities
from ultrafm.seeds import spawn

PAIRS = 60_000_000  # comparisons of a diseased with a healthy case that are held at once


@dataclass(frozen=True)
class Trials:
    """What many trials of one design gave; `standard_error` is the Monte-Carlo error of `rejected`.

    rejected: share of p below alpha (the type-I error where the truth is zero, else the power). covered: share of
    intervals that hold the true difference.
    """

    readers: int
    cases: int
    auc: float
    true_difference: float
    trials: int
    rejected: float
    standard_error: float
    covered: float
    bias: float
    not_estimable: int


def run_trials(design: RoeMetz, trials: int, generator: np.random.Generator, alpha: float = 0.05) -> Trials:
    """Simulate and test: AI against readers where the design has an AI, else the first two modalities.

    Raises UltraFMError for a design with nothing to compare.
    """
    if design.ai_auc is None and len(design.aucs) != 2:
        raise UltraFMError("trials", f"{len(design.aucs)} modalities and no AI", "an AI, or two modalities")
    truth = design.aucs[0] - design.aucs[1] if design.ai_auc is None else design.ai_auc - design.aucs[0]
    found = list(_tests(design, trials, generator))
    known = [one for one in found if one.p_value is not None]
    rejected = float(np.mean([one.p_value < alpha for one in known]))
    return Trials(
        design.readers,
        design.cases,
        design.aucs[0],
        truth,
        trials,
        rejected,
        float(np.sqrt(rejected * (1 - rejected) / len(known))),
        float(np.mean([one.ci_low <= truth <= one.ci_high for one in known])),
        float(np.mean([one.estimate for one in found])) - truth,
        trials - len(known),
    )


def trials_table(designs: list[RoeMetz], trials: int, seed: int) -> pd.DataFrame:
    """One row for each design."""
    return pd.DataFrame(
        [asdict(run_trials(design, trials, spawn(seed, f"trials {number}"))) for number, design in enumerate(designs)]
    )


def pilot_components(design: RoeMetz, trials: int, generator: np.random.Generator) -> dict[str, float]:
    """Mean variance components over many trials: what a pilot study estimates without error."""
    parts = [_compared(design, aucs, spread)[1] for aucs, spread in estimates(design, trials, generator)]
    return pd.DataFrame([asdict(part) for part in parts]).mean().to_dict()


def estimates(
    design: RoeMetz, trials: int, generator: np.random.Generator
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """AUROCs (C,) and DeLong's covariance (C, C) of each trial."""
    m, n = design.diseased, design.cases - design.diseased
    curves = design.readers * len(design.aucs) + (design.ai_auc is not None)
    size = max(1, PAIRS // (m * n * curves))
    for start in range(0, trials, size):
        scores = design.scores(generator, min(size, trials - start))
        wins = scores[..., :m, None] > scores[..., None, m:]
        ill, well = wins.mean(axis=-1), wins.mean(axis=-2)
        aucs = ill.mean(axis=-1)
        ill, well = ill - aucs[..., None], well - aucs[..., None]
        spread = ill @ ill.swapaxes(1, 2) / (m * (m - 1)) + well @ well.swapaxes(1, 2) / (n * (n - 1))
        yield from zip(aucs, spread, strict=True)


def _tests(design: RoeMetz, trials: int, generator: np.random.Generator) -> Iterator[Inference]:
    """The random-reader test of each trial."""
    for aucs, spread in estimates(design, trials, generator):
        yield _compared(design, aucs, spread)[0]


def _compared(design: RoeMetz, aucs: NDArray[np.float64], spread: NDArray[np.float64]) -> tuple[Inference, object]:
    """The random-reader test of one trial and its variance components."""
    if design.ai_auc is not None:
        found = ai_versus_readers(aucs, spread)
        return found.random, found.components
    found = compare_modalities(aucs.reshape(2, design.readers), spread)
    return found.random.differences[0], found.variances
