from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from ultrafm.downstream.metrics import (
    Cases,
    Estimates,
    auroc,
    auroc_bootstrap,
    draw_patients,
    holm,
    interval,
    mean_value,
    p_value,
)
from ultrafm.downstream.metrics.resampling import SMALLEST, Resampling, strata
from ultrafm.errors import UltraFMError

ONE, DIFFERENCE = np.ones(1), np.array([1.0, -1.0])


def names(count: int, site: str = "a") -> np.ndarray:
    return np.array([f"{site}/{number:03d}" for number in range(count)])


def test_patients_are_drawn_inside_site_and_class():
    patients = np.concatenate([names(12, "a"), names(12, "b")])
    classes = np.tile(np.repeat([0, 1], 6), 2)
    draws = draw_patients(np.repeat(patients, 2), 100, np.random.default_rng(0), np.repeat(classes, 2))
    for start in range(0, 24, 6):
        assert (draws.counts[:, start : start + 6].sum(axis=1) == 6).all()


def test_small_strata_are_joined_inside_their_class():
    sites = np.array(["a"] * 10 + ["b"] * 3 + ["c"] * 3)
    classes = np.array(["0"] * 7 + ["1"] * 3 + ["0", "1", "1", "1", "1", "1"])
    layers = strata(sites, classes)
    for one in ("0", "1"):
        inside = classes == one
        assert len(set(layers[inside])) == 1 and not set(layers[inside]) & set(layers[~inside])
    many = strata(np.repeat(["a", "b"], 10), np.tile(np.repeat(["0", "1"], 5), 2))
    assert len(set(many)) == 4


def test_rare_classes_are_drawn_together_and_a_single_one_by_itself():
    classes = np.array(["0"] * 8 + ["1"] * 6 + ["0 1", "1 0", "1 1"] + ["2"] * 3)
    layers = strata(np.repeat("a", 20), classes)
    assert len(set(layers)) == 3 and len(set(layers[14:])) == 1 and len(set(layers[:14])) == 2
    alone = strata(np.repeat("a", 11), np.array(["0"] * 8 + ["1"] * 3))
    assert len(set(alone[8:])) == 1 and not set(alone[8:]) & set(alone[:8])


def test_rare_combinations_of_labels_do_not_narrow_the_interval():
    # Six labels make nearly every patient a combination of its own: drawn inside it, no count would ever vary.
    generator = np.random.default_rng(0)
    truth = (generator.random((60, 6)) < 0.4).astype(int)
    scores = 0.8 * truth + generator.normal(size=truth.shape)
    draws = draw_patients(names(60), 2000, np.random.default_rng(1), ["".join(map(str, row)) for row in truth])
    assert (draws.counts.std(axis=0) > 0).all()
    for label in range(6):
        cases = [Cases(scores[None, :, label], truth[:, label], names(60))]
        drawn, closed = interval(auroc_bootstrap(cases, draws), ONE), interval(auroc(cases), ONE)
        assert drawn.high - drawn.low == pytest.approx(closed.high - closed.low, rel=0.15)


def test_a_few_patients_with_images_of_both_classes_are_drawn_with_the_diseased():
    images = np.repeat(names(20), 2)
    classes = np.repeat(np.arange(20) % 2, 2)
    classes[0] = 1  # patient 0 has one image of each class
    draws = draw_patients(images, 200, np.random.default_rng(0), classes)
    diseased = np.arange(20) % 2 == 1
    diseased[0] = True
    assert (draws.counts[:, diseased].sum(axis=1) == 11).all() and draws.counts[:, 0].max() > 1


def test_replicates_equal_scikit_learn_on_the_drawn_images_in_blocks_too(monkeypatch):
    generator = np.random.default_rng(1)
    truth = np.arange(60) // 2 % 2
    scores = np.round(generator.normal(size=(2, 60)) + truth, 1)
    patients = np.repeat(names(30), 2)
    draws = draw_patients(patients, 40, generator, truth)
    monkeypatch.setattr("ultrafm.downstream.metrics.resampling.ELEMENTS", 60 * 7)
    found = auroc_bootstrap([Cases(scores, truth, patients)], draws)
    weights = draws.weights(patients)
    for replicate in range(40):
        again = np.repeat(np.arange(60), weights[replicate])
        expected = [roc_auc_score(truth[again], row[again]) for row in scores]
        assert found.replicates[replicate] == pytest.approx(expected, rel=1e-9)


def test_bca_interval_equals_scipy_when_the_draws_are_many():
    # SciPy leaves each of both samples' cases out by itself, which is what leaving out patients of one image is.
    generator = np.random.default_rng(2)
    ill, well = generator.normal(1.8, 1, 25), generator.normal(0, 1, 35)

    def area(first: np.ndarray, second: np.ndarray) -> float:
        return float((first[:, None] > second).mean())

    expected = scipy_bootstrap(
        (ill, well), area, vectorized=False, n_resamples=6000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    truth = np.r_[np.ones(25, int), np.zeros(35, int)]
    draws = draw_patients(names(60), 20000, generator, truth)
    found = interval(auroc_bootstrap([Cases(np.r_[ill, well][None], truth, names(60))], draws), ONE)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.012) and found.method.endswith("BCa")


def test_few_patients_of_a_class_have_a_value_and_no_bootstrap_interval():
    truth = (np.arange(30) < SMALLEST - 1).astype(int)
    scores = np.random.default_rng(0).normal(size=(1, 30))
    draws = draw_patients(names(30), 50, np.random.default_rng(0), truth)
    found = interval(auroc_bootstrap([Cases(scores, truth, names(30))], draws), ONE)
    assert found.estimate is not None and found.low is None and "4 patients of a class" in found.method


def test_answers_weigh_as_asked():
    generator = np.random.default_rng(3)
    truth = np.arange(40) % 2
    tasks = [Cases(generator.normal(size=(2, 40)) + s * truth, truth, names(40, f"{s}")) for s in (0.2, 1.0, 2.0)]
    single = [auroc([one]) for one in tasks]
    found = auroc(tasks, np.array([0.25, 0.25, 0.5]))
    assert found.values == pytest.approx(0.25 * single[0].values + 0.25 * single[1].values + 0.5 * single[2].values)
    expected = (single[0].covariance + single[1].covariance + 4 * single[2].covariance) / 16
    assert found.covariance == pytest.approx(expected)
    draws = draw_patients(np.concatenate([one.patients for one in tasks]), 50, generator)
    means = mean_value(tasks, draws, np.array([1.0, 1.0, 2.0]))
    parts = [mean_value([one], draws) for one in tasks]
    expected = 0.25 * parts[0].replicates + 0.25 * parts[1].replicates + 0.5 * parts[2].replicates
    assert means.replicates == pytest.approx(expected)
    with pytest.raises(UltraFMError, match="2 positive numbers"):
        auroc(tasks[:2], np.array([1.0]))


def test_scores_that_are_no_number_are_named_by_encoder_row_and_patient():
    scores = np.array([[0.1, 0.2], [0.3, np.nan]])
    with pytest.raises(UltraFMError, match=r"encoder 1, row 1 \(patient a/001\)"):
        Cases(scores, np.array([0, 1]), names(2))
    with pytest.raises(UltraFMError, match="shapes"):
        Cases(scores[:, :1], np.array([0, 1]), names(2))


def test_p_value_from_a_covariance_by_hand():
    estimates = Estimates(np.array([0.8, 0.7]), "made", np.diag([0.002, 0.0005]), degenerate=np.zeros(2, bool))
    assert p_value(estimates, DIFFERENCE) == pytest.approx(2 * norm.sf(0.1 / 0.05))
    assert p_value(Estimates(np.array([0.8, 0.7]), "none", reason="one patient"), DIFFERENCE) is None


def test_p_value_from_replicates_by_hand():
    replicates = np.stack([np.arange(-2.0, 97), np.zeros(99)], axis=1)
    # Three of 99 differences are at or below 0: 2 * (3 + 1) / 100.
    assert p_value(Estimates(np.array([47.0, 0.0]), "made", replicates=replicates), DIFFERENCE) == pytest.approx(0.08)
    same = Estimates(np.zeros(2), "made", replicates=np.zeros((99, 2)))
    assert p_value(same, DIFFERENCE) is None


def test_bca_p_value_is_where_the_interval_touches_zero():
    generator = np.random.default_rng(5)
    truth = np.arange(80) % 2
    below = 0
    for _ in range(60):
        common = generator.normal(size=80)
        scores = np.stack([common + 1.1 * truth, 0.7 * common + 0.5 * generator.normal(size=80) + 0.7 * truth])
        draws = draw_patients(names(80), 999, generator, truth)
        estimates = auroc_bootstrap([Cases(scores, truth, names(80))], draws)
        found, value = interval(estimates, DIFFERENCE), p_value(estimates, DIFFERENCE)
        if not 0.03 < value < 0.07:  # near 0.05 the steps of 999 draws decide
            assert (value < 0.05) == (found.low > 0 or found.high < 0)
        below += value < 0.05
    assert 5 < below < 60


def test_null_differences_give_p_values_below_five_percent_about_as_often_as_promised():
    generator, below = np.random.default_rng(6), {"delong": 0, "bootstrap": 0}
    truth = np.arange(100) % 2
    for _ in range(200):
        scores = generator.normal(size=(2, 100)) + 1.2 * truth + 0.8 * generator.normal(size=100)
        cases = Cases(scores, truth, names(100))
        draws = draw_patients(names(100), 299, generator, truth)
        below["delong"] += p_value(auroc([cases]), DIFFERENCE) < 0.05
        below["bootstrap"] += p_value(auroc_bootstrap([cases], draws), DIFFERENCE) < 0.05
    assert all(2 <= count <= 20 for count in below.values())


def test_holm_equals_statsmodels_and_leaves_out_what_is_not_defined():
    values = [0.01, None, 0.04, 0.03]
    expected = multipletests([0.01, 0.04, 0.03], method="holm")[1]
    found = holm(values)
    assert found[1] is None and [found[0], found[2], found[3]] == pytest.approx(expected.tolist())
    assert found[0] == pytest.approx(0.03) and found[2] == found[3] == pytest.approx(0.06)  # 3 * 0.01; 2 * 0.03
    assert holm([]) == [] and holm([None]) == [None]
    with pytest.raises(UltraFMError, match="0 to 1"):
        holm([0.5, 1.2])


def test_weights_of_images_follow_their_patient():
    draws = Resampling(names(3), np.array([[2, 0, 1]]))
    assert draws.weights(np.array(["a/002", "a/000", "a/000", "a/001"])).tolist() == [[1, 2, 2, 0]]


@pytest.mark.slow
def test_two_thousand_replicates_of_ten_thousand_images_take_less_than_two_seconds_of_one_core():
    generator = np.random.default_rng(0)
    patients = np.arange(10_000) // 3
    truth = (patients % 3 == 0).astype(int)
    cases = Cases(generator.normal(size=(1, 10_000)) + truth, truth, np.array([f"a/{one:05d}" for one in patients]))
    start = time.process_time()
    draws = draw_patients(cases.patients, 2000, generator, truth)
    found = interval(auroc_bootstrap([cases], draws), ONE)
    assert time.process_time() - start < 2 and found.low < found.estimate < found.high
