"""AI against some of the readers of a study, whatever its design: crossed, split-plot or incomplete."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ultrafm.errors import UltraFMError
from ultrafm.readers.covariance import joint_covariance, macro_average
from ultrafm.readers.design import CROSSED, INCOMPLETE, Crossed
from ultrafm.readers.inference import Inference
from ultrafm.readers.one_treatment import AgainstReaders, ai_versus_readers, mean_auc, paired_differences
from ultrafm.readers.study import Options, Study
from ultrafm.readers.ustatistics import kernel, one_kernel, paired_kernel


@dataclass(frozen=True)
class Pairs:
    """AI and reader on the reader's own cases: values (J,) of both, and the covariance (J, J) of AI minus reader."""

    ai: NDArray[np.float64]
    readers: NDArray[np.float64]
    spread: NDArray[np.float64]


def own_cases(study: Study, options: Options) -> Pairs | None:
    """The pairs of a study that is not fully crossed; None for a crossed one, where all cases are everybody's."""
    if study.design.name == CROSSED:
        return None
    if options.endpoint.kind in ("sensitivity", "specificity"):
        mend = "keep the readers who rated all cases"
        raise UltraFMError(f"{options.source}, readers", "a split-plot design", "a crossed one for this endpoint", mend)
    made = [_copied(disease) for disease in study.diseases]
    values, spread = macro_average(*joint_covariance(made, options.sampling, options.endpoint))
    size = values.size // 2
    contrast = np.hstack([np.eye(size), -np.eye(size)])
    return Pairs(values[:size], values[size:], contrast @ spread @ contrast.T)


def compare(
    study: Study, pairs: Pairs | None, members: NDArray[np.intp], options: Options
) -> tuple[AgainstReaders, Inference]:
    """AI (curve 0) minus the curves `members`, and the mean of these readers."""
    inner = study.spread[np.ix_(members, members)]
    if pairs is None:
        chosen = np.concatenate([[0], members])
        found = ai_versus_readers(study.mean[chosen], study.spread[np.ix_(chosen, chosen)], options.confidence)
        return found, mean_auc(study.mean[members], inner, options.confidence)
    own = members - 1
    difference, spread = (pairs.ai - pairs.readers)[own], pairs.spread[np.ix_(own, own)]
    ends = (float(pairs.ai[own].mean()), float(pairs.readers[own].mean()))
    found = paired_differences(difference, spread, ends, options.confidence)
    if study.design.name == INCOMPLETE and members.size > 1:
        return _u_statistics(study.diseases[0], members, found, options)
    return found, mean_auc(study.mean[members], inner, options.confidence)


def _u_statistics(
    disease: Crossed, members: NDArray[np.intp], found: AgainstReaders, options: Options
) -> tuple[AgainstReaders, Inference]:
    """The same with the random-reader test from all readings that there are."""
    readers = kernel(disease.scores[members], disease.truth)
    ai = kernel(np.repeat(disease.scores[:1], members.size, axis=0), disease.truth)
    random = one_kernel(paired_kernel(ai, readers), options.confidence)
    values = found.__dict__ | {"random": random, "auc_readers": readers.mean}
    return AgainstReaders(**values), one_kernel(readers, options.confidence)


def _copied(disease: Crossed) -> Crossed:
    """The AI once for each reader, on that reader's cases only, and the readers."""
    ai, readers = disease.scores[:1], disease.scores[1:]
    copies = np.where(np.isnan(readers), np.nan, ai)
    return Crossed(disease.disease, disease.cases, disease.truth, np.vstack([copies, readers]), disease.units)
