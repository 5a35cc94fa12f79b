from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import chi2, kstest
from statsmodels.stats.meta_analysis import combine_effects

from ultrafm.downstream.metrics import Cases, auroc_bootstrap, draw_patients, heterogeneity, pool, subgroups
from ultrafm.errors import UltraFMError


def groups_of(signals: dict[str, float], patients: int, seed: int = 0) -> tuple[Cases, np.ndarray]:
    """One image a patient; in each group scores differ by its signal."""
    generator = np.random.default_rng(seed)
    names = np.repeat(list(signals), patients).astype(object)
    truth = np.tile(np.arange(patients) % 2, len(signals))
    scores = generator.normal(size=truth.size) + truth * np.repeat(list(signals.values()), patients)
    people = np.array([f"site/{name}{number:03d}" for number, name in enumerate(names)])
    return Cases(scores[None], truth, people), names


def test_cochrans_q_equals_statsmodels_and_its_p_value_is_that_of_chi_square():
    generator = np.random.default_rng(0)
    for _ in range(200):
        count = int(generator.integers(2, 9))
        values, variances = generator.normal(size=count), generator.uniform(0.05, 0.5, count)
        found, expected = heterogeneity(values, np.diag(variances)), combine_effects(values, variances)
        assert found.q == pytest.approx(expected.q, rel=1e-9)
        assert found.i2 == pytest.approx(max(expected.i2, 0), abs=1e-9)
        assert found.p_value == pytest.approx(chi2.sf(expected.q, count - 1))
        assert 0 <= found.i2_low <= found.i2_high <= 1 and found.i2_low <= found.i2 + 1e-9


def test_interval_of_i2_by_hand():
    # Higgins and Thompson: Q 20 of 5 groups; H = sqrt(5), se of log H = (ln 20 - ln 4) / (2 (sqrt 40 - sqrt 7)).
    found = heterogeneity(np.array([0.0, 0, 0, 0, np.sqrt(25.0)]), np.eye(5))
    assert found.q == pytest.approx(20) and found.i2 == pytest.approx(0.8)
    error = 0.5 * (np.log(20) - np.log(4)) / (np.sqrt(40) - np.sqrt(7))
    ends = [1 - 1 / np.exp(2 * (0.5 * np.log(5) + sign * 1.959964 * error)) for sign in (-1, 1)]
    assert (found.i2_low, found.i2_high) == pytest.approx(ends, rel=1e-6)


def test_shared_patients_make_groups_alike_and_q_heeds_that():
    values, shared = np.array([0.0, 1.0]), np.array([[1.0, 0.9], [0.9, 1.0]])
    assert heterogeneity(values, np.eye(2)).q == pytest.approx(1 / 2)
    assert heterogeneity(values, shared).q == pytest.approx(1 / 0.2)


def test_one_group_is_not_compared():
    found = heterogeneity(np.array([0.5]), np.eye(1))
    assert found.q is None and "two needed" in found.reason


def test_subgroups_find_a_planted_difference_and_name_what_is_too_small():
    cases, names = groups_of({"A": 3.0, "B": 0.3, "C": 1.5}, 80)
    names[names == "C"] = np.where(np.arange(80) < 72, "C", "tiny")
    names[0] = ""
    draws = draw_patients(cases.patients, 500, np.random.default_rng(0), cases.truth)
    listed, differ = subgroups(cases, names, auroc_bootstrap, draws)
    found = {one.name: one for one in listed}
    assert found["A"].images == 79 and found["unknown"].images == 1 and found["tiny"].patients == 8
    assert found["A"].interval.low > found["B"].interval.high
    assert found["tiny"].interval.low is None and "4 patients of a class" in found["tiny"].interval.method
    assert found["unknown"].interval.estimate is None
    assert differ.groups == 3 and differ.p_value < 1e-4 and differ.i2 > 0.7


def test_subgroups_that_do_not_differ_give_uniform_p_values():
    p_values = []
    for seed in range(80):
        cases, names = groups_of({"A": 1.0, "B": 1.0, "C": 1.0}, 60, seed)
        draws = draw_patients(cases.patients, 100, np.random.default_rng(seed), cases.truth)
        p_values.append(subgroups(cases, names, auroc_bootstrap, draws)[1].p_value)
    assert kstest(p_values, "uniform").pvalue > 0.001 and np.mean(np.array(p_values) < 0.05) < 0.12


def test_a_name_for_each_image_is_needed():
    cases, names = groups_of({"A": 1.0}, 10)
    with pytest.raises(UltraFMError, match="one for each of 10 images"):
        subgroups(cases, names[:5], auroc_bootstrap, draw_patients(cases.patients, 5, np.random.default_rng(0)))


def test_pooling_by_hand_and_as_statsmodels():
    values, errors = np.array([0.7, 0.8, 0.9, 0.85]), np.array([0.03, 0.02, 0.02, 0.03])
    found = pool(values, errors)
    variances = (errors / (values * (1 - values))) ** 2
    expected = combine_effects(logit(values), variances, method_re="iterated", use_t=True)
    assert found.tau2 == pytest.approx(expected.tau2, rel=1e-4)
    assert logit(found.mean) == pytest.approx(expected.mean_effect_re, rel=1e-6)
    half = (logit(found.high) - logit(found.low)) / 2
    assert half == pytest.approx(3.182446 * expected.sd_eff_w_re_hksj, rel=1e-3)  # t with 3 degrees of freedom
    wide = 4.302653 * np.sqrt(found.tau2 + (half / 3.182446) ** 2)  # t with 2
    assert logit(found.prediction_high) - logit(found.mean) == pytest.approx(wide, rel=1e-6)
    assert found.weights.sum() == pytest.approx(1) and found.heterogeneity.q == pytest.approx(expected.q)


def test_tasks_that_agree_too_well_do_not_make_the_interval_narrower_than_chance():
    found = pool(np.full(4, 0.8), np.full(4, 0.04))
    error = 0.04 / (0.8 * 0.2) / 2
    assert found.tau2 == 0 and found.mean == pytest.approx(0.8)
    assert found.high == pytest.approx(expit(logit(0.8) + 3.182446 * error), rel=1e-6)


def test_what_cannot_be_pooled_is_named():
    assert np.isnan(pool(np.array([0.7, 0.8]), np.array([0.1, 0.1])).prediction_low)
    with pytest.raises(UltraFMError, match="task 1"):
        pool(np.array([0.7, 1.0]), np.array([0.1, 0.1]))
    with pytest.raises(UltraFMError, match="two tasks"):
        pool(np.array([0.7]), np.array([0.1]))
