"""The joint covariance of several diseases: overlap, disjoint cases, shared patients, the macro average."""

from __future__ import annotations

import numpy as np
import pytest

from ultrafm.downstream.auc import auc_covariance
from ultrafm.readers.covariance import joint_covariance, macro_average
from ultrafm.readers.design import Crossed


def disease(name: str, cases: range, seed: int, patients: int | None = None) -> Crossed:
    """Three curves over numbered cases; a patient owns every `patients`-th case."""
    generator = np.random.default_rng(seed)
    names = np.array([f"c{number}" for number in cases], dtype=object)
    truth = np.array([number % 2 == 0 for number in cases])
    units = names if patients is None else np.array([f"p{number % patients}" for number in cases], dtype=object)
    return Crossed(name, names, truth, np.round(generator.normal(truth * 1.0, 1, (3, len(names))), 1), units)


@pytest.mark.parametrize("covariance", ["delong", "jackknife"])
def test_diagonal_blocks_are_those_of_each_disease(covariance: str) -> None:
    pair = [disease("a", range(30), 1, 7), disease("b", range(20, 60), 2, 7)]
    _, joint = joint_covariance(pair, covariance)
    for i, one in enumerate(pair):
        method = "clustered" if covariance == "delong" else "jackknife"
        assert joint[i, :, i, :] == pytest.approx(
            auc_covariance(one.scores, one.truth, method, one.units)[1], rel=1e-10
        )


@pytest.mark.parametrize("covariance", ["delong", "jackknife"])
def test_diseases_without_common_cases_are_independent(covariance: str) -> None:
    _, joint = joint_covariance([disease("a", range(30), 1), disease("b", range(100, 150), 2)], covariance)
    assert not joint[0, :, 1, :].any()


@pytest.mark.parametrize("covariance", ["delong", "jackknife"])
def test_the_same_disease_twice_is_fully_dependent(covariance: str) -> None:
    one = disease("a", range(30), 1, 7)
    aucs, joint = joint_covariance([one, one], covariance)
    assert joint[0, :, 1, :] == pytest.approx(joint[0, :, 0, :], rel=1e-10)
    mean, spread = macro_average(aucs, joint)
    assert mean == pytest.approx(aucs[0])
    assert spread == pytest.approx(joint[0, :, 0, :], rel=1e-10)


@pytest.mark.parametrize("covariance", ["delong", "jackknife"])
def test_shared_patients_with_different_pictures_matter(covariance: str) -> None:
    """Two pictures of each patient, one for each disease, with nearly the same ratings: strongly dependent."""
    one = disease("a", range(40), 1)
    units = np.array([f"p{number}" for number in range(40)], dtype=object)
    first = Crossed("a", one.cases, one.truth, one.scores, units)
    second = Crossed("b", np.array([f"other {name}" for name in one.cases], dtype=object), one.truth, one.scores, units)
    _, joint = joint_covariance([first, second], covariance)
    assert joint[0, :, 1, :] == pytest.approx(joint[0, :, 0, :], rel=1e-10)


def test_macro_average_of_independent_diseases_by_hand() -> None:
    pair = [disease("a", range(30), 1), disease("b", range(100, 150), 2)]
    aucs, joint = joint_covariance(pair)
    mean, spread = macro_average(aucs, joint)
    assert mean == pytest.approx((aucs[0] + aucs[1]) / 2)
    assert spread == pytest.approx((joint[0, :, 0, :] + joint[1, :, 1, :]) / 4)


def test_overlap_matches_a_bootstrap_of_patients() -> None:
    """Covariance between two diseases that share two thirds of their patients, against 3000 resamples of patients."""
    generator = np.random.default_rng(4)
    patients = np.arange(240)
    latent = generator.standard_normal(240)
    made = []
    for number, own in enumerate((patients[:200], patients[40:])):
        truth = own % 2 == 0
        scores = (truth * 1.0 + 1.5 * latent[own] + 0.3 * generator.standard_normal(own.size))[None]
        names = own.astype(str).astype(object)
        made.append(Crossed(str(number), names, truth, scores, names))
    _, joint = joint_covariance(made)
    draws = []
    for _ in range(3000):
        weight = np.bincount(generator.integers(0, 240, 240), minlength=240)
        pair = []
        for one in made:
            own = one.cases.astype(int)
            picked = np.repeat(np.arange(own.size), weight[own])
            pair.append(auc_covariance(one.scores[:, picked], one.truth[picked])[0][0])
        draws.append(pair)
    assert joint[0, 0, 1, 0] == pytest.approx(np.cov(np.array(draws).T)[0, 1], rel=0.15)
