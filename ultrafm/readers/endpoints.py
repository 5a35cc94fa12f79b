"""What a reader study measures on each curve: AUROC, partial AUROC, sensitivity, specificity, or correct diagnoses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError, nearest
from ultrafm.readers.design import Crossed

KINDS = ("auc", "partial_auc", "sensitivity", "specificity", "diagnosis")


@dataclass(frozen=True)
class Endpoint:
    """A figure of merit.

    kind: one of KINDS. min_specificity: a partial AUROC counts the area where specificity is at least this (0..1).
    mcclish: rescale it to 0.5 (chance) .. 1 (perfect) as McClish does, else it is the mean sensitivity of that range.
    threshold, ai_threshold: a rating of at least this is a positive call (sensitivity, specificity); the AI has its
    own, since it rates on its own scale. Thresholds must be fixed before the study is read.
    """

    kind: str = "auc"
    min_specificity: float = 0.8
    mcclish: bool = False
    threshold: float | None = None
    ai_threshold: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        if self.kind not in KINDS:
            found = repr(self.kind) + nearest(self.kind, KINDS)
            raise UltraFMError("--endpoint", found, f"one of {', '.join(KINDS)}")
        if self.kind == "partial_auc" and not 0 <= self.min_specificity < 1:
            raise UltraFMError("--min-specificity", f"{self.min_specificity}", "0 or more and below 1, such as 0.8")
        if self.kind in ("sensitivity", "specificity") and self.threshold is None:
            mend = "give --threshold; a rating of at least this is a positive call"
            raise UltraFMError(f"--endpoint {self.kind}", "no threshold", "one that was fixed before the study", mend)

    @property
    def label(self) -> str:
        """The endpoint in words."""
        if self.kind == "partial_auc":
            how = "McClish's scale" if self.mcclish else "mean sensitivity"
            return f"partial AUROC, specificity {self.min_specificity:g} to 1, {how}"
        if self.kind in ("sensitivity", "specificity"):
            own = "" if self.ai_threshold is None else f" (AI {self.ai_threshold:g})"
            return f"{self.kind}, positive from {self.threshold:g}{own}"
        return {"auc": "AUROC", "diagnosis": "accuracy of the final diagnosis"}[self.kind]


AUC = Endpoint()


def calls(disease: Crossed, endpoint: Endpoint, ai_rows: int) -> NDArray[np.float64]:
    """Successes (C, K), 1 right, 0 wrong, NaN where the curve has no rating or the case does not count.

    ai_rows: so many curves at the beginning are the AI, with its own threshold, which must then be given.
    """
    if endpoint.kind == "diagnosis":
        return disease.scores
    limits = np.full((disease.scores.shape[0], 1), endpoint.threshold)
    if ai_rows:
        if endpoint.ai_threshold is None:
            raise UltraFMError(f"--endpoint {endpoint.kind}", "no threshold of the AI", "--ai-threshold as well")
        limits[:ai_rows] = endpoint.ai_threshold
    positive = disease.scores >= limits
    wanted = endpoint.kind == "sensitivity"
    successes = np.where(positive == wanted, 1.0, 0.0)
    return np.where(np.isnan(disease.scores) | (disease.truth != wanted), np.nan, successes)
