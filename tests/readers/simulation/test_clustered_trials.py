"""Several pictures of a patient: the clustered test keeps its level, the naive one does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from ultrafm.downstream.auc import auc_covariance
from ultrafm.readers.one_treatment import ai_versus_readers
from ultrafm.readers.simulation.roe_metz import RoeMetz
from ultrafm.seeds import spawn

SHARE = 0.4  # of the variance of a picture belongs to its patient


def trials(patients: int, pictures: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (B, 9, K) of an AI and eight readers who are equally good, truth, and the patient of each picture.

    Half of the patient's effect is the same for AI and readers. Adding it changes the expected AUROC of the readers to
    Phi(mu s / sqrt(2 (1 + s^2 (R + MR)))) with s^2 = 1 - SHARE, and the AI's own is set to be equal.
    """
    own, cases = np.sqrt(1 - SHARE), patients * pictures
    readers = RoeMetz(readers=8, cases=cases, aucs=(0.85,))
    auc = ndtr(readers.separations[0] * own / np.sqrt(2 * (1 + (1 - SHARE) * 0.03)))
    design = RoeMetz(readers=8, cases=cases, aucs=(0.85,), ai_auc=float(ndtr(ndtri(auc) / own)))
    half = design.diseased
    codes = np.concatenate([np.arange(half) // pictures, patients + np.arange(cases - half) // pictures])
    codes = np.unique(codes, return_inverse=True)[1]
    generator = spawn(4, "clustered trials", str(patients))
    scores = own * design.scores(generator, count)
    shared, apart = np.sqrt(SHARE) * generator.standard_normal((2, count, codes.max() + 1))
    scores[:, 1:] += shared[:, None, codes]
    scores[:, 0] += np.sqrt(0.5) * (shared + apart)[:, codes]
    return scores, design.truth, codes


@pytest.mark.slow
def test_clustering_keeps_the_level_and_ignoring_patients_does_not() -> None:
    """60 patients with three pictures each, 1500 trials: Monte-Carlo error .006."""
    scores, truth, codes = trials(60, 3, 1500)
    shares = []
    for method, clusters in (("clustered", codes), ("delong", None)):
        found = [ai_versus_readers(*auc_covariance(one, truth, method, clusters)).random.p_value for one in scores]
        shares.append(float((np.array(found) < 0.05).mean()))
    assert 0.04 - 0.012 < shares[0] < 0.06 + 0.012
    assert shares[1] > 0.08
