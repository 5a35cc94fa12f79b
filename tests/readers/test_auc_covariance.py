"""AUROC and covariance against definitions written out by hand or by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultrafm.downstream.auc import auc_covariance, placements
from ultrafm.errors import UltraFMError


def brute_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Share of pairs in the right order, ties one half."""
    ours, theirs = scores[truth][:, None], scores[~truth][None, :]
    return float(((ours > theirs) + 0.5 * (ours == theirs)).mean())


def study(seed: int, curves: int = 3, cases: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Ratings from 0 to 5, so many ties."""
    generator = np.random.default_rng(seed)
    truth = np.arange(cases) % 3 == 0
    return np.round(generator.normal(truth * 1.0, 1.5, (curves, cases)) + 2).clip(0, 5), truth


def test_four_cases_by_hand() -> None:
    """Diseased 3 and 2, healthy 1 and 2: pairs 1, 1, 1, 0.5. V10 = (1, .75), V01 = (1, .75): variance 2 * .03125/2."""
    aucs, covariance = auc_covariance(np.array([[3.0, 2.0, 1.0, 2.0]]), np.array([1, 1, 0, 0]))
    assert aucs[0] == 0.875
    assert covariance[0, 0] == pytest.approx(0.03125)


def test_placements_by_hand() -> None:
    found = placements([3.0, 2.0, 1.0, 2.0], [1, 1, 0, 0])
    assert found.diseased.tolist() == [[1.0, 0.75]]
    assert found.healthy.tolist() == [[1.0, 0.75]]


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_auc_is_the_share_of_ordered_pairs(seed: int) -> None:
    scores, truth = study(seed)
    assert placements(scores, truth).aucs == pytest.approx([brute_auc(row, truth) for row in scores], abs=1e-15)


@pytest.mark.parametrize("method", ["delong", "jackknife"])
def test_jackknife_and_delong_by_definition(method: str) -> None:
    scores, truth = study(3)
    _, found = auc_covariance(scores, truth, method)
    if method == "jackknife":
        left = np.array([[brute_auc(np.delete(row, k), np.delete(truth, k)) for k in range(24)] for row in scores])
        assert found == pytest.approx(23**2 / 24 * np.cov(left), rel=1e-12)
    else:
        _, diseased, healthy = placements(scores, truth)
        assert found == pytest.approx(np.cov(diseased) / 8 + np.cov(healthy) / 16, rel=1e-12)


def test_jackknife_of_whole_patients_by_brute_force() -> None:
    scores, truth = study(4)
    patients = np.arange(24) // 4  # every patient has diseased and healthy pictures
    left = [[brute_auc(row[patients != one], truth[patients != one]) for one in range(6)] for row in scores]
    _, found = auc_covariance(scores, truth, "jackknife", patients)
    assert found == pytest.approx(5**2 / 6 * np.cov(np.array(left)), rel=1e-12)


def test_clusters_of_one_case_are_delong() -> None:
    scores, truth = study(5)
    names = np.array([f"case {number}" for number in range(24)])
    assert auc_covariance(scores, truth, "clustered", names)[1] == pytest.approx(
        auc_covariance(scores, truth)[1], rel=1e-12
    )


def test_clustered_formula_by_loops() -> None:
    """Obuchowski 1997, written as sums over clusters."""
    scores, truth = study(6)
    patients = np.arange(24) // 2
    found = placements(scores, truth)
    deviation = np.zeros((3, 24))
    deviation[:, truth] = found.diseased - found.aucs[:, None]
    deviation[:, ~truth] = found.healthy - found.aucs[:, None]
    d = np.array([[sum(row[(patients == c) & truth]) for c in range(12)] for row in deviation]) / 8
    e = np.array([[sum(row[(patients == c) & ~truth]) for c in range(12)] for row in deviation]) / 16
    one, zero = len(set(patients[truth])), len(set(patients[~truth]))
    wanted = one / (one - 1) * d @ d.T + zero / (zero - 1) * e @ e.T + 12 / 11 * (d @ e.T + e @ d.T)
    assert auc_covariance(scores, truth, "clustered", patients)[1] == pytest.approx(wanted, rel=1e-12)


def test_copies_of_a_picture_add_no_information() -> None:
    """Every patient's picture three times: clustering keeps the variance, DeLong makes it three times too small."""
    scores, truth = study(7)
    threefold, patients = np.repeat(scores, 3, axis=1), np.repeat(np.arange(24), 3)
    single = auc_covariance(scores, truth)[1]
    clustered = auc_covariance(threefold, np.repeat(truth, 3), "clustered", patients)[1]
    assert clustered == pytest.approx(single, rel=1e-12)
    naive = auc_covariance(threefold, np.repeat(truth, 3))[1]
    assert (np.diag(naive) < 0.4 * np.diag(single)).all()


@given(st.integers(0, 10**6), st.sampled_from(["delong", "jackknife", "clustered"]))
@settings(max_examples=30, deadline=None)
def test_monotone_transforms_and_row_order_change_nothing(seed: int, method: str) -> None:
    scores, truth = study(seed)
    clusters = np.arange(24) // 2 if method == "clustered" else None
    order = np.random.default_rng(seed).permutation(24)
    stretched = np.exp(scores)[:, order]
    moved = auc_covariance(stretched, truth[order], method, None if clusters is None else clusters[order])
    aucs, covariance = auc_covariance(scores, truth, method, clusters)
    assert moved[0] == pytest.approx(aucs, abs=1e-15)
    assert moved[1] == pytest.approx(covariance, abs=1e-14)


@pytest.mark.parametrize("method", ["delong", "jackknife"])
def test_all_ties_and_perfect_order_have_no_variance(method: str) -> None:
    truth = np.array([1, 1, 1, 0, 0, 0])
    aucs, covariance = auc_covariance(np.array([[1.0] * 6, [5, 6, 7, 1, 2, 3]]), truth, method)
    assert aucs.tolist() == [0.5, 1.0]
    assert np.abs(covariance).max() < 1e-30


def test_turning_the_scores_round_mirrors_the_auc() -> None:
    scores, truth = study(8)
    plus, minus = auc_covariance(scores, truth), auc_covariance(-scores, truth)
    assert minus[0] == pytest.approx(1 - plus[0])
    assert minus[1] == pytest.approx(plus[1])


def test_float_scores_are_not_rounded() -> None:
    """Scores that differ in the 12th digit are ordered, not tied."""
    assert placements([0.5 + 1e-12, 0.5], [1, 0]).aucs.tolist() == [1.0]


def test_hundred_thousand_cases() -> None:
    """AUROC of two normals one standard deviation apart is Phi(1/sqrt 2) = 0.76025."""
    generator = np.random.default_rng(1)
    truth = np.arange(100_000) % 2 == 0
    aucs, covariance = auc_covariance(generator.normal(truth * 1.0, 1.0, (2, truth.size)), truth)
    assert aucs == pytest.approx([0.76025, 0.76025], abs=4 * 0.0015)
    assert covariance[0, 0] == pytest.approx(2.25e-6, rel=0.1)


@pytest.mark.parametrize(
    ("scores", "truth", "method", "clusters", "word"),
    [
        ([[1.0, 2.0]], [1, 1], "delong", None, "all diseased"),
        ([[1.0, 2.0]], [0, 0], "delong", None, "all healthy"),
        ([[1.0, 2.0, 3.0]], [1, 0, 0], "delong", None, "1 independent diseased"),
        ([[1.0, np.nan, 3.0, 1.0]], [1, 0, 0, 1], "delong", None, "case 1"),
        ([[1.0, 2.0, 3.0]], [1, 0], "delong", None, "shapes"),
        ([[1.0, 2.0, 3.0]], [1, 0, 2], "delong", None, "only 0 and 1"),
        ([[1.0, 2.0, 3.0, 4.0]], [1, 0, 0, 1], "clustered", None, "without clusters"),
        ([[1.0, 2.0, 3.0, 4.0]], [1, 0, 0, 1], "delong", [1, 2, 3, 4], "'clustered'"),
        ([[1.0, 2.0, 3.0, 4.0]], [1, 0, 0, 1], "clustered", ["a", "b", "c", "a"], "1 independent diseased"),
        ([[1.0, 2.0, 3.0, 4.0]], [1, 0, 0, 1], "clustered", ["a", "b"], "one cluster name"),
        ([[1.0, 2.0, 3.0, 4.0]], [1, 0, 0, 1], "jacknife", None, "did you mean 'jackknife'"),
    ],
)
def test_bad_input_is_told(scores: list, truth: list, method: str, clusters: list | None, word: str) -> None:
    with pytest.raises(UltraFMError, match=word):
        auc_covariance(scores, truth, method, clusters)
