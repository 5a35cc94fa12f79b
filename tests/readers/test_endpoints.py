"""Endpoints other than the AUROC, and resampling, against definitions written out by hand or by loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from ultrafm.downstream.auc import auc_covariance
from ultrafm.errors import UltraFMError
from ultrafm.readers import Endpoint, analyse
from ultrafm.readers.covariance import Sampling, joint_covariance
from ultrafm.readers.design import Crossed
from ultrafm.readers.resampling import (
    bootstrap_weights,
    jackknife_weights,
    scaled_area,
    unit_strata,
    weighted_auc,
    weighted_partial,
    weighted_roc,
)


def study(seed: int = 0, cases: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Three curves with many ties."""
    generator = np.random.default_rng(seed)
    truth = np.arange(cases) % 3 == 0
    return np.round(generator.normal(truth * 1.0, 1.2, (3, cases))), truth


def crossed(scores: np.ndarray, truth: np.ndarray, patients: int | None = None) -> Crossed:
    names = np.array([f"c{place:03}" for place in range(truth.size)], dtype=object)
    units = names if patients is None else np.array([f"p{place % patients}" for place in range(truth.size)], object)
    return Crossed("all", names, truth, scores, units)


def test_weights_are_repeated_cases() -> None:
    scores, truth = study()
    weights = np.random.default_rng(1).integers(0, 4, (truth.size, 5)).astype(float)
    for column in range(5):
        picked = np.repeat(np.arange(truth.size), weights[:, column].astype(int))
        for row in scores:
            wanted = roc_auc_score(truth[picked], row[picked])
            assert weighted_auc(row, truth, weights)[column] == pytest.approx(wanted, abs=1e-12)
            alarms, hits, _ = roc_curve(truth[picked], row[picked], drop_intermediate=False)
            inner = np.interp(0.2, alarms, hits)
            kept = alarms <= 0.2
            area = np.trapezoid(np.append(hits[kept], inner), np.append(alarms[kept], 0.2))
            assert weighted_partial(row, truth, weights, 0.8, False)[column] == pytest.approx(area / 0.2, abs=1e-12)


def test_partial_area_of_the_whole_range_is_the_auroc() -> None:
    scores, truth = study()
    ones = np.ones((truth.size, 1))
    for row in scores:
        assert weighted_partial(row, truth, ones, 0.0, False)[0] == pytest.approx(weighted_auc(row, truth, ones)[0])
        ours = weighted_partial(row, truth, ones, 0.7, True)[0]
        assert ours == pytest.approx(roc_auc_score(truth, row, max_fpr=0.3), abs=1e-12)


def test_mcclish_scale_by_hand() -> None:
    """Chance up to a false positive rate of .2 has the area .02, a perfect curve .2."""
    assert scaled_area(np.array([0.02, 0.2]), 0.2, True) == pytest.approx([0.5, 1.0])


def test_a_resample_without_a_class_is_not_a_number() -> None:
    scores, truth = study()
    weights = np.column_stack([truth.astype(float), np.ones(truth.size)])
    found = weighted_auc(scores[0], truth, weights)
    assert np.isnan(found[0]) and found[1] == pytest.approx(weighted_auc(scores[0], truth, weights[:, 1:])[0])


def test_roc_points_by_hand() -> None:
    alarms, hits = weighted_roc(np.array([3.0, 2, 1, 2]), np.array([True, True, False, False]), np.ones((4, 1)))
    assert alarms[:, 0].tolist() == [0, 0, 0.5, 1] and hits[:, 0].tolist() == [0, 0.5, 1, 1]


def test_bootstrap_is_near_the_closed_forms() -> None:
    scores, truth = study(2, 120)
    for patients, method in ((None, "delong"), (40, "clustered")):
        disease = crossed(scores, truth, patients)
        sampling = Sampling("bootstrap", 4000, np.random.default_rng(3))
        values, found = joint_covariance([disease], sampling)
        wanted = auc_covariance(scores, truth, method, None if patients is None else disease.units)
        assert values[0] == pytest.approx(wanted[0])
        assert np.diag(found[0, :, 0]) == pytest.approx(np.diag(wanted[1]), rel=0.15)


def test_bootstrap_needs_a_generator() -> None:
    with pytest.raises(UltraFMError, match="no generator"):
        joint_covariance([crossed(*study())], "bootstrap")


def test_draws_keep_the_size_of_their_strata() -> None:
    strata = np.array([0] * 10 + [1] * 7)
    (drawn,) = bootstrap_weights(strata, 50, np.random.default_rng(4))
    assert drawn.shape == (17, 50)
    assert (drawn[:10].sum(axis=0) == 10).all() and (drawn[10:].sum(axis=0) == 7).all()


def test_strata_follow_the_classes_and_small_ones_are_joined() -> None:
    truth = np.array([True] * 8 + [False] * 8 + [True, False])
    codes = np.append(np.arange(16), [16, 16])
    found = unit_strata([(codes, truth)], 17)
    assert len(set(found[:8])) == 1 and len(set(found[8:16])) == 1 and found[0] != found[8]
    assert found[16] == -1


def test_jackknife_weights_leave_each_unit_out_once() -> None:
    (weights,) = jackknife_weights(6)
    assert (weights == 1 - np.eye(6)).all()


def test_partial_auc_jackknife_by_loop() -> None:
    scores, truth = study(5)
    endpoint = Endpoint("partial_auc", 0.8)
    _, found = joint_covariance([crossed(scores, truth)], "jackknife", endpoint)
    left = []
    for case in range(truth.size):
        kept, ones = np.delete(np.arange(truth.size), case), np.ones((truth.size - 1, 1))
        left.append([weighted_partial(row[kept], truth[kept], ones, 0.8, False)[0] for row in scores])
    wanted = (truth.size - 1) ** 2 / truth.size * np.cov(np.array(left).T)
    assert found[0, :, 0] == pytest.approx(wanted, rel=1e-10)


def test_sensitivity_covariance_is_that_of_successes() -> None:
    scores, truth = study(6)
    values, found = joint_covariance([crossed(scores, truth)], "delong", Endpoint("sensitivity", threshold=1))
    hits = (scores[:, truth] >= 1).astype(float)
    assert values[0] == pytest.approx(hits.mean(axis=1))
    assert found[0, :, 0] == pytest.approx(np.cov(hits) / truth.sum(), rel=1e-12)


def test_clustered_sensitivity_by_loops() -> None:
    scores, truth = study(7)
    disease = crossed(scores, truth, 13)
    values, found = joint_covariance([disease], "delong", Endpoint("specificity", threshold=1))
    quiet, units = (scores[:, ~truth] < 1).astype(float), disease.units[~truth]
    sums = (
        np.array([[(row[units == unit] - row.mean()).sum() for unit in sorted(set(units))] for row in quiet])
        / (~truth).sum()
    )
    inside = len(set(units))
    assert values[0] == pytest.approx(quiet.mean(axis=1))
    assert found[0, :, 0] == pytest.approx(inside / (inside - 1) * sums @ sums.T, rel=1e-12)


def test_ai_has_a_threshold_of_its_own(small_study: pd.DataFrame) -> None:
    endpoint = Endpoint("sensitivity", threshold=1.0, ai_threshold=2.0)
    found = analyse(small_study, ai="AI", cluster="patient", endpoint=endpoint)
    rows = small_study[small_study["truth"] == 1]
    hits = rows["rating"] >= np.where(rows["reader"] == "AI", 2.0, 1.0)
    wanted = hits.groupby([rows["reader"], rows["disease"]]).mean().groupby("reader").mean()
    assert found["ai_versus_readers"]["difference"] == pytest.approx(wanted["AI"] - wanted.drop("AI").mean())
    assert "positive from 1 (AI 2)" in found["endpoint"] and "right and wrong" in found["covariance_name"]
    assert "auc" not in found and found["values"][0]["value"] == pytest.approx(wanted["AI"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Endpoint("sensitivity"), "--threshold"),
        (lambda: Endpoint("partial_auc", 1.0), "--min-specificity"),
        (lambda: Endpoint("aucs"), "did you mean 'auc'"),
    ],
)
def test_senseless_endpoints_are_refused(make, words: str) -> None:
    with pytest.raises(UltraFMError, match=words):
        make()


def test_partial_auc_refuses_delong_and_the_ai_needs_a_threshold(small_study: pd.DataFrame) -> None:
    with pytest.raises(UltraFMError, match="jackknife or bootstrap"):
        analyse(small_study, ai="AI", endpoint=Endpoint("partial_auc"))
    with pytest.raises(UltraFMError, match="--ai-threshold"):
        analyse(small_study, ai="AI", endpoint=Endpoint("sensitivity", threshold=1))
