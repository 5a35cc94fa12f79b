"""Secondary results: the AI against each level of experience and every reader alone, with Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ultrafm.readers.comparison import Pairs, compare
from ultrafm.readers.inference import Inference, NonInferiority, holm, infer, non_inferiority
from ultrafm.readers.names import level_order
from ultrafm.readers.one_treatment import FIXED_READERS, AgainstReaders, one_auc
from ultrafm.readers.study import Options, Study

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
    members: NDArray[np.intp]


@dataclass(frozen=True)
class ReaderResult:
    """One curve alone: its AUROC, and AI minus this reader with `p_holm` adjusted over the readers."""

    auc: Inference
    difference: Inference
    p_holm: float | None


def by_level(study: Study, pairs: Pairs | None, levels: Sequence[str], options: Options) -> list[LevelResult]:
    """The AI (first curve) against the readers of each level, levels in order of experience.

    levels: the J readers' levels. A level of fewer than five readers carries a warning: with three readers the test
    rejects 6 to 8% at a nominal 5%, with two 10 to 12%.
    """
    found = []
    for level in level_order(levels):
        members = np.array([place for place, name in enumerate(levels) if name == level]) + 1
        against, mean = compare(study, pairs, members, options)
        test = None if options.margin is None else non_inferiority(against.random, options.margin)
        found.append(
            LevelResult(level, mean, against, test, None, few_readers(f"level {level}", members.size), members)
        )
    adjusted = holm([result.against.random.p_value for result in found])
    return [replace(result, p_holm=value) for result, value in zip(found, adjusted, strict=True)]


def every_reader(study: Study, pairs: Pairs | None, options: Options) -> list[ReaderResult]:
    """Each of the J readers alone, fixed: interval of the value, and the AI (first curve) minus this reader.

    With one disease and DeLong's covariance the test is DeLong's test of two curves.
    """
    values, covariance, found = study.mean, study.spread, []
    for place in range(1, values.size):
        variance = covariance[0, 0] + covariance[place, place] - 2 * covariance[0, place]
        difference = infer(FIXED_READERS, values[0] - values[place], float(variance), None, options.confidence)
        if pairs is not None:
            difference = compare(study, pairs, np.array([place]), options)[0].fixed_readers
        found.append(ReaderResult(one_auc(values, covariance, place, options.confidence), difference, None))
    adjusted = holm([result.difference.p_value for result in found])
    return [replace(result, p_holm=value) for result, value in zip(found, adjusted, strict=True)]


def few_readers(group: str, readers: int) -> str | None:
    """The warning that belongs to a group of fewer than five readers."""
    if readers >= FEW_READERS:
        return None
    if readers == 1:
        return f"{group} has one reader: the result holds for this reader only, not for readers of this kind"
    few = f"{group} has {readers} readers, fewer than {FEW_READERS}"
    return f"{few}: its test rejects too often and its interval is too short"
