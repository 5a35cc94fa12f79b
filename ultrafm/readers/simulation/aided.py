"""Simulated sonographers who read twice: unaided, and after they have seen the AI's score.

In the aided reading reader j's suspicion of case k is

    x' = (1 - w) * (x, seen again) + w * advice_k,

where `advice` is the AI's score on the readers' scale (healthy cases: mean 0, variance 1) and w how much the reader
leans on it: `trust` of her level, plus `over_reliance` where the AI's call is wrong. A reader sees a case again with a
part of her own noise drawn anew, so that the two readings differ even without an AI. What comes out follows from these
parameters and says nothing of people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError
from ultrafm.readers.ratings import COLUMNS
from ultrafm.readers.simulation.sonographers import ReaderDesign, rated, sorted_cases, suspicions

UNAIDED, AIDED = "unaided", "aided"
OTHERS = 0.3


@dataclass(frozen=True)
class Aid:
    """How readers use the AI.

    trust: weight (0..1) of the AI's advice for each level (0.3 for a level that is not named). over_reliance: added
    where the AI's call, at its threshold, is wrong (negative: readers see through it). new_noise: share (0..1) of the
    reader's own variance that is drawn anew when she reads again. ai_threshold: a score of at least this is a call of
    disease; None takes the score midway between the means of the classes.
    """

    trust: Mapping[str, float] = field(default_factory=lambda: {"junior": 0.45, "mid-level": 0.35, "expert": 0.25})
    over_reliance: float = 0.15
    new_noise: float = 0.2
    ai_threshold: float | None = None

    def __post_init__(self) -> None:
        """Refuse weights that make no sense."""
        weights = [*self.trust.values(), OTHERS]
        if min(weights) < 0 or max(weights) > 1 or not -1 <= self.over_reliance <= 1 or not 0 <= self.new_noise <= 1:
            found = f"trust {dict(self.trust)}, over-reliance {self.over_reliance}, new noise {self.new_noise}"
            raise UltraFMError("aid", found, "trust and new noise from 0 to 1, over-reliance from -1 to 1")

    def table(self, design: ReaderDesign) -> pd.DataFrame:
        """The stated parameters of each level."""
        rows = [
            {
                "level": level.name, "trust in advice": self.trust.get(level.name, OTHERS),
                "more when it is wrong": self.over_reliance, "noise drawn anew": self.new_noise,
            }
            for level in design.levels
        ]  # fmt: skip
        return pd.DataFrame(rows)


def simulate_aided(cases: pd.DataFrame, design: ReaderDesign, aid: Aid, generator: np.random.Generator) -> pd.DataFrame:
    """Ratings of the same readers in two modalities, unaided and aided, in the ratings format.

    cases: as for `simulate_readers`, with the AI's `score` (higher is more suspicious). The unaided rows are those that
    `simulate_readers` makes of the same generator. Raises UltraFMError for cases without a score, and for a disease
    whose healthy scores do not vary.
    """
    if "score" not in cases:
        raise UltraFMError("cases to read", f"the columns {', '.join(cases.columns)}", "a column 'score' of the AI")
    ordered = sorted_cases(cases)
    advice, wrong = _advice(ordered, aid)
    read = list(suspicions(ordered, design, generator))
    own_variance = 1 - design.patient_share - design.case_share
    tables = [rated(ordered, suspicion, reader, UNAIDED) for reader, suspicion in read]
    for reader, suspicion in read:
        again = suspicion + np.sqrt(aid.new_noise * own_variance) * generator.standard_normal(len(ordered))
        weight = np.clip(aid.trust.get(reader["level"], OTHERS) + aid.over_reliance * wrong, 0, 1)
        tables.append(rated(ordered, (1 - weight) * again + weight * advice, reader, AIDED))
    return pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS)


def _advice(cases: pd.DataFrame, aid: Aid) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The AI's scores on the readers' scale, disease by disease, and where its call is wrong."""
    advice, wrong = np.empty(len(cases)), np.empty(len(cases), dtype=bool)
    for disease, rows in cases.groupby("disease").indices.items():
        scores = cases["score"].to_numpy(dtype=float)[rows]
        ill = cases["truth"].to_numpy()[rows] == 1
        spread = scores[~ill].std()
        if not spread > 0:
            raise UltraFMError(f"scores of disease {disease!r}", "healthy cases without spread", "scores that vary")
        middle = (scores[ill].mean() + scores[~ill].mean()) / 2
        limit = middle if aid.ai_threshold is None else aid.ai_threshold
        advice[rows] = (scores - scores[~ill].mean()) / spread
        wrong[rows] = (scores >= limit) != ill
    return advice, wrong
