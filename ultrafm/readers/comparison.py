"""AI against some of the readers of a study, whatever its design: crossed, split-plot or incomplete."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ultrafm.readers.covariance import joint_covariance
from ultrafm.readers.design import CROSSED, Crossed
from ultrafm.readers.inference import Inference
from ultrafm.readers.one_treatment import AgainstReaders, ai_versus_readers, mean_auc, paired_differences
from ultrafm.readers.study import Options, Study
from ultrafm.readers.ustatistics import kernel, one_kernel, paired_kernel


@dataclass(frozen=True)
class Pairs:
    """AI and reader on the reader's own cases: values (D, J) of both, covariance (D, J, D, J) of AI minus reader."""

    ai: NDArray[np.float64]
    readers: NDArray[np.float64]
    joint: NDArray[np.float64]

    def of(self, disease: int | None) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Values of AI and readers and the covariance of their differences, of one disease or averaged."""
        if disease is not None:
            return self.ai[disease], self.readers[disease], self.joint[disease, :, disease, :]
        return self.ai.mean(axis=0), self.readers.mean(axis=0), self.joint.mean(axis=(0, 2))


def own_cases(study: Study, options: Options) -> Pairs | None:
    """The pairs of a study that is not fully crossed; None for a crossed one, where all cases are everybody's."""
    if study.design.name == CROSSED:
        return None
    size = len(study.curves) - 1
    made = [_copied(disease) for disease in study.diseases]
    values, joint = joint_covariance(made, options.sampling, options.endpoint, ai_rows=size)
    contrast = np.hstack([np.eye(size), -np.eye(size)])
    spread = np.einsum("jc,acbd,kd->ajbk", contrast, joint, contrast, optimize=True)
    return Pairs(values[:, :size], values[:, size:], spread)


def compare(
    study: Study,
    pairs: Pairs | None,
    members: NDArray[np.intp],
    options: Options,
    disease: int | None = None,
) -> tuple[AgainstReaders, Inference]:
    """AI (curve 0) minus the curves `members`, and the mean of these readers; of one disease or averaged over all."""
    values, spread = study.mean, study.spread
    if disease is not None:
        values, spread = study.values[disease], study.joint[disease, :, disease, :]
    mean = mean_auc(values[members], spread[np.ix_(members, members)], options.confidence)
    if pairs is None:
        chosen = np.concatenate([[0], members])
        return ai_versus_readers(values[chosen], spread[np.ix_(chosen, chosen)], options.confidence), mean
    own, (ai, readers, covariance) = members - 1, pairs.of(disease)
    ends = (float(ai[own].mean()), float(readers[own].mean()))
    found = paired_differences((ai - readers)[own], covariance[np.ix_(own, own)], ends, options.confidence)
    if study.u_statistics(options) and members.size > 1:
        return _u_statistics(study.diseases[0], members, found, options)
    return found, mean


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
