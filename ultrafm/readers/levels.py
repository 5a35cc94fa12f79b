"""Secondary results: the AI against each level of experience and every reader alone, with Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ultrafm.readers.inference import Inference, NonInferiority, holm, infer, non_inferiority
from ultrafm.readers.one_treatment import FIXED_READERS, AgainstReaders, ai_versus_readers, clipped, mean_auc
from ultrafm.readers.ratings import level_order

FEW_READERS = 5


@dataclass(frozen=True)
class LevelResult:
    """The AI against the readers of one level; `p_holm` is adjusted over the levels."""

    level: str
    auc_readers: Inference
    against: AgainstReaders
    non_inferiority: NonInferiority | None
    p_holm: float | None
    warning: str | None


@dataclass(frozen=True)
class ReaderResult:
    """One curve alone: its AUROC, and AI minus this reader with `p_holm` adjusted over the readers."""

    auc: Inference
    difference: Inference
    p_holm: float | None


def by_level(
    aucs: NDArray[np.float64],
    covariance: NDArray[np.float64],
    levels: Sequence[str],
    margin: float | None = None,
    confidence: float = 0.95,
) -> list[LevelResult]:
    """The AI (first AUROC) against the readers of each level, levels in order of experience.

    aucs: (1 + J,); covariance: (1 + J, 1 + J); levels: the J readers' levels. A level of fewer than five readers
    carries a warning: with three readers the test rejects 6 to 8% at a nominal 5%, with two 10 to 12%.
    """
    found = []
    for level in level_order(levels):
        members = np.array([place for place, name in enumerate(levels) if name == level]) + 1
        against, mean = _against(aucs, covariance, members, confidence)
        test = None if margin is None else non_inferiority(against.random, margin)
        found.append(LevelResult(level, mean, against, test, None, few_readers(f"level {level}", members.size)))
    adjusted = holm([result.against.random.p_value for result in found])
    return [replace(result, p_holm=value) for result, value in zip(found, adjusted, strict=True)]


def every_reader(
    aucs: NDArray[np.float64], covariance: NDArray[np.float64], confidence: float = 0.95
) -> list[ReaderResult]:
    """Each of the J readers alone, fixed: interval of the AUROC, and the AI (first AUROC) minus this reader.

    With one disease and DeLong's covariance the test is DeLong's test of two curves.
    """
    found = []
    for place in range(1, aucs.size):
        variance = covariance[0, 0] + covariance[place, place] - 2 * covariance[0, place]
        difference = infer(FIXED_READERS, aucs[0] - aucs[place], float(variance), None, confidence)
        found.append(ReaderResult(one_auc(aucs, covariance, place, confidence), difference, None))
    adjusted = holm([result.difference.p_value for result in found])
    return [replace(result, p_holm=value) for result, value in zip(found, adjusted, strict=True)]


def one_auc(
    aucs: NDArray[np.float64], covariance: NDArray[np.float64], place: int, confidence: float = 0.95
) -> Inference:
    """One curve's AUROC with a normal interval, clipped to 0..1; no interval where it is 1 and its variance 0."""
    return clipped(infer(FIXED_READERS, float(aucs[place]), float(covariance[place, place]), None, confidence))


def few_readers(group: str, readers: int) -> str | None:
    """The warning that belongs to a group of fewer than five readers."""
    if readers >= FEW_READERS:
        return None
    if readers == 1:
        return f"{group} has one reader: the result holds for this reader only, not for readers of this kind"
    few = f"{group} has {readers} readers, fewer than {FEW_READERS}"
    return f"{few}: its test rejects too often and its interval is too short"


def _against(
    aucs: NDArray[np.float64], covariance: NDArray[np.float64], members: NDArray[np.intp], confidence: float
) -> tuple[AgainstReaders, Inference]:
    """The AI against some of the readers, and these readers' mean AUROC."""
    chosen = np.concatenate([[0], members])
    inner = mean_auc(aucs[members], covariance[np.ix_(members, members)], confidence)
    return ai_versus_readers(aucs[chosen], covariance[np.ix_(chosen, chosen)], confidence), inner
