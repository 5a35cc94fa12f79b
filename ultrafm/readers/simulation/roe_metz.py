"""The generative model of Roe and Metz for whole trials, with an AI that reads the same cases.

Reader j in modality i gives case k of truth t the score

    t * mu_i + R_jt + (MR)_ijt + C_kt + (MC)_ikt + (RC)_jkt + E_ijkt,

all effects normal and independent between the truth states; C + MC + RC + E have the variance 1 together (Roe and Metz,
Academic Radiology 1997, 4:298). Over readers and cases the expected AUROC is Phi(mu / sqrt(2 (1 + R + MR))), so that
truths for tests and intervals are known exactly. The AI is one more curve without reader effects: t * mu + C + MC + E.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ultrafm.errors import UltraFMError

AI_NAME = "AI"


@dataclass(frozen=True)
class RoeMetz:
    """Numbers of readers and cases, expected AUROCs, and variances.

    aucs: expected AUROC of the readers in each modality. ai_auc: of the AI, None for no AI. diseased_share: of the
    cases. reader, modality_reader: variance of readers, and of readers within modalities. case, modality_case,
    reader_case: parts of the variance 1 that cases bring; the rest is noise.
    """

    readers: int = 6
    cases: int = 200
    aucs: tuple[float, ...] = (0.85,)
    ai_auc: float | None = None
    diseased_share: float = 0.5
    reader: float = 0.02
    modality_reader: float = 0.01
    case: float = 0.3
    modality_case: float = 0.1
    reader_case: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        parts = (self.case, self.modality_case, self.reader_case)
        if min(*parts, self.reader, self.modality_reader) < 0 or sum(parts) >= 1:
            raise UltraFMError("Roe-Metz model", f"case variances {parts}", "0 or more, together less than 1")
        if min(self.diseased, self.cases - self.diseased) < 2 or self.readers < 1:
            found = f"{self.readers} readers, {self.diseased} diseased of {self.cases} cases"
            raise UltraFMError("Roe-Metz model", found, "a reader, and two cases of each class, at least")
        if not all(0 < one < 1 for one in (*self.aucs, self.ai_auc or 0.5)):
            raise UltraFMError("Roe-Metz model", f"AUROCs {self.aucs} and {self.ai_auc}", "above 0 and below 1")

    @property
    def diseased(self) -> int:
        """How many of the cases are diseased; they come first."""
        return round(self.cases * self.diseased_share)

    @property
    def truth(self) -> NDArray[np.bool_]:
        """Truth (K,) of the cases."""
        return np.arange(self.cases) < self.diseased

    @property
    def separations(self) -> tuple[float, ...]:
        """mu of each modality."""
        spread = np.sqrt(2 * (1 + self.reader + self.modality_reader))
        return tuple(float(ndtri(auc) * spread) for auc in self.aucs)

    def expected_auc(self, separation: float) -> float:
        """Expected AUROC over readers and cases of a modality with this mu."""
        return float(ndtr(separation / np.sqrt(2 * (1 + self.reader + self.modality_reader))))

    def scores(self, generator: np.random.Generator, trials: int = 1) -> NDArray[np.float64]:
        """Scores (B, C, K) of B trials: the AI first where there is one, then readers modality by modality."""
        truth = self.truth.astype(np.intp)
        case = self._normal(generator, self.case, (trials, 1, self.cases))
        reader = self._normal(generator, self.reader, (trials, self.readers, 2))[:, :, truth]
        reader_case = self._normal(generator, self.reader_case, (trials, self.readers, self.cases))
        noise = 1 - self.case - self.modality_case - self.reader_case
        parts = []
        if self.ai_auc is not None:
            own = self._normal(generator, 1 - self.case, (trials, 1, self.cases))
            parts.append(truth * np.sqrt(2) * ndtri(self.ai_auc) + case + own)
        for separation in self.separations:
            within = self._normal(generator, self.modality_reader, (trials, self.readers, 2))[:, :, truth]
            shared = self._normal(generator, self.modality_case, (trials, 1, self.cases))
            own = self._normal(generator, noise, (trials, self.readers, self.cases))
            parts.append(truth * separation + reader + within + case + shared + reader_case + own)
        return np.concatenate(parts, axis=1)

    def table(self, generator: np.random.Generator) -> pd.DataFrame:
        """One trial in the ratings format, marked as simulated."""
        scores = self.scores(generator)[0]
        names = [(AI_NAME, "standalone")] if self.ai_auc is not None else []
        names += [
            (f"reader {reader + 1}", f"modality {modality + 1}")
            for modality in range(len(self.aucs))
            for reader in range(self.readers)
        ]
        index = pd.MultiIndex.from_tuples(names, names=["reader", "modality"])
        wide = pd.DataFrame(scores, index=index, columns=pd.RangeIndex(self.cases, name="case"))
        long = wide.stack().rename("rating").reset_index()
        return long.assign(truth=self.truth[long["case"]].astype(int), simulated="yes")

    def _normal(self, generator: np.random.Generator, variance: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.sqrt(variance) * generator.standard_normal(shape)
