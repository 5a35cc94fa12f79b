from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from ultrafm.downstream.metrics import (
    Cases,
    Estimates,
    auprc,
    auroc,
    average_precision,
    draw_patients,
    interval,
    mean_value,
    score_limit,
)

ONE, DIFFERENCE = np.array([1.0, 0.0]), np.array([1.0, -1.0])


def names(count: int, site: str = "a") -> np.ndarray:
    return np.array([f"{site}/{number:03d}" for number in range(count)])


def noisy_cases(generator: np.random.Generator, patients: int = 60, site: str = "a", signal: float = 1.0) -> Cases:
    truth = np.arange(patients) % 2
    scores = generator.normal(size=(2, patients)) + signal * truth
    return Cases(scores, truth, names(patients, site))


def test_paired_difference_by_hand():
    # Placements of the diseased: curve 1 (1, 1, 1/2), curve 2 (1/2, 1, 1).
    truth = np.array([1, 1, 1, 0, 0])
    scores = np.array([[9.0, 8.0, 5.0, 6.0, 1.0], [5.0, 9.0, 8.0, 6.0, 1.0]])
    found = interval(auroc([Cases(scores, truth, names(5))]), DIFFERENCE)
    # Both AUROC are 5/6, so the difference is 0. Diseased differences of placements: (1/2, 0, -1/2), variance 1/4; over
    # 3 cases 1/12. Healthy ones: both curves (2/3, 1), no difference. Standard error sqrt(1/12).
    assert found.estimate == pytest.approx(0)
    assert found.high == pytest.approx(norm.ppf(0.975) * np.sqrt(1 / 12))
    assert found.low == pytest.approx(-found.high)


def test_auroc_interval_is_on_the_logit_scale_and_inside_its_range():
    cases = noisy_cases(np.random.default_rng(0), patients=16, signal=2.5)
    found = interval(auroc([cases]), ONE)
    assert found.estimate == pytest.approx(roc_auc_score(cases.truth, cases.scores[0]))
    assert 0 < found.low < found.estimate < found.high < 1 and found.method.endswith("logit")


def test_perfect_ranking_has_an_interval_that_is_flagged_and_not_of_zero_width():
    truth = np.arange(20) % 2
    cases = Cases(np.stack([truth, 1 - truth]).astype(float), truth, names(20))
    perfect = interval(auroc([cases]), ONE)
    assert (perfect.estimate, perfect.high) == (1.0, 1.0) and "perfect ranking" in perfect.method
    assert perfect.low == pytest.approx(score_limit(10, 10)) and 0.6 < perfect.low < 0.9
    worst = interval(auroc([cases]), np.array([0.0, 1.0]))
    assert (worst.estimate, worst.low) == (0.0, 0.0) and worst.high == pytest.approx(1 - perfect.low)
    same = interval(auroc([Cases(np.stack([truth, truth]).astype(float), truth, names(20))]), DIFFERENCE)
    assert same.estimate == 0 and same.low < 0 < same.high


def test_score_limit_solves_newcombes_equation_and_grows_with_patients():
    limit = score_limit(10, 15)
    spread = 1 + 11.5 * ((1 - limit) / (2 - limit) + limit / (1 + limit))
    error = np.sqrt(limit * (1 - limit) * spread / 150)
    assert (1 - limit) / error == pytest.approx(norm.ppf(0.975), rel=1e-6)
    assert score_limit(5, 5) < limit < score_limit(100, 100) < 1


def test_more_images_of_the_same_patients_do_not_narrow_the_interval():
    cases = noisy_cases(np.random.default_rng(1))
    copied = Cases(np.tile(cases.scores, 4), np.tile(cases.truth, 4), np.tile(cases.patients, 4))
    once, often = interval(auroc([cases]), ONE), interval(auroc([copied]), ONE)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_one_class_and_one_patient_are_not_defined_with_a_reason():
    scores, one = np.array([[0.1, 0.2, 0.3], [0.3, 0.1, 0.2]]), np.array(["a/1"] * 3)
    draws = draw_patients(one, 50, np.random.default_rng(0))
    healthy = Cases(scores, np.zeros(3, dtype=int), one)
    for estimates in (auroc([healthy]), auprc([healthy], draws)):
        found = interval(estimates, ONE)
        assert found.estimate is None and "one class" in found.method
    mixed = Cases(scores, np.array([0, 1, 1]), one)
    found = interval(auroc([mixed]), ONE)
    assert found.estimate == 1 and found.low is None and "two of each" in found.method
    for estimates in (auprc([mixed], draws), mean_value([mixed], draws)):
        found = interval(estimates, ONE)
        assert found.estimate is not None and found.low is None and "one patient" in found.method


def test_no_task_is_not_an_error():
    draws = draw_patients(["a/1"], 5, np.random.default_rng(0))
    assert auroc([]).reason and auprc([], draws).reason and mean_value([], draws).reason


def test_average_precision_equals_scikit_learn_with_ties_and_repeated_images():
    generator = np.random.default_rng(3)
    truth, scores = generator.integers(0, 2, 40), generator.integers(0, 8, 40) / 8
    counts = generator.multinomial(40, np.full(40, 1 / 40), size=5)
    found = average_precision(scores, truth, counts)
    for row, value in zip(counts, found):
        repeated = np.repeat(np.arange(40), row)
        assert value == pytest.approx(average_precision_score(truth[repeated], scores[repeated]))
    assert np.isnan(average_precision(scores, truth, (truth == 0)[None].astype(int))).all()


def test_bootstrap_draws_whole_patients_inside_their_site():
    patients = np.concatenate([names(6, "a"), names(4, "b")])
    draws = draw_patients(np.repeat(patients, 3), 200, np.random.default_rng(0))
    in_a = np.char.startswith(draws.patients, "a/")
    assert (draws.counts[:, in_a].sum(axis=1) == 6).all() and (draws.counts[:, ~in_a].sum(axis=1) == 4).all()
    weights = draws.weights(np.array(["b/001", "a/000", "b/001"]))
    assert (weights[:, 0] == weights[:, 2]).all() and not (weights[:, 0] == weights[:, 1]).all()


def test_dice_differences_are_paired_and_the_interval_matches_theory():
    generator = np.random.default_rng(5)
    common = generator.uniform(0.3, 0.7, 80)
    scores = np.stack([common + 0.1 + generator.normal(0, 0.01, 80), common])
    draws = draw_patients(names(80), 1000, np.random.default_rng(0))
    estimates = mean_value([Cases(scores, np.ones(80, dtype=int), names(80))], draws)
    single, paired = interval(estimates, ONE), interval(estimates, DIFFERENCE)
    assert single.estimate == pytest.approx(scores[0].mean()) and paired.estimate == pytest.approx(0.1, abs=0.005)
    assert paired.high - paired.low < 0.1 * (single.high - single.low)
    theory = 2 * 1.96 * scores[0].std() / np.sqrt(80)
    assert single.high - single.low == pytest.approx(theory, rel=0.1)


def test_equal_dice_everywhere_gives_no_interval_of_zero_width():
    draws = draw_patients(names(10), 100, np.random.default_rng(0))
    found = interval(mean_value([Cases(np.full((2, 10), 0.5), np.ones(10, dtype=int), names(10))], draws), ONE)
    assert found.estimate == 0.5 and found.low is None and "no spread" in found.method


def test_macro_average_of_tasks_with_other_patients_adds_their_variances():
    generator = np.random.default_rng(7)
    tasks = [noisy_cases(generator, 40, "a"), noisy_cases(generator, 50, "b", 0.6)]
    single, both = [auroc([cases]) for cases in tasks], auroc(tasks)
    assert both.values == pytest.approx((single[0].values + single[1].values) / 2)
    assert both.covariance == pytest.approx((single[0].covariance + single[1].covariance) / 4)


def test_macro_average_of_one_task_twice_is_no_more_certain_than_once():
    cases = noisy_cases(np.random.default_rng(8))
    assert auroc([cases, cases]).covariance == pytest.approx(auroc([cases]).covariance)
    draws = draw_patients(cases.patients, 300, np.random.default_rng(0))
    assert auprc([cases, cases], draws).replicates == pytest.approx(auprc([cases], draws).replicates)


def test_random_scores_cover_one_half_about_as_often_as_promised():
    generator = np.random.default_rng(9)
    hits = 0
    for _ in range(300):
        found = interval(auroc([noisy_cases(generator, 60, signal=0.0)]), ONE)
        hits += found.low <= 0.5 <= found.high
    assert 0.9 <= hits / 300 <= 0.99


def test_intervals_of_differences_are_clipped():
    estimates = Estimates(np.array([0.9, 0.1]), "made", np.diag([0.2, 0.2]), degenerate=np.array([False, False]))
    found = interval(estimates, DIFFERENCE)
    assert found.high == 1.0 and -1 <= found.low < 0.8
