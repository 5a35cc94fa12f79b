from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve as reference_curve
from sklearn.linear_model import LogisticRegression

from ultrafm.downstream.metrics import (
    Cases,
    brier,
    calibration_curve,
    calibration_error,
    decision_curve,
    draw_patients,
    fit_recalibration,
    interval,
    net_benefit,
)
from ultrafm.errors import UltraFMError

ONE = np.ones(1)


def drawn(count: int, seed: int = 0, slope: float = 1.0, intercept: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose true logit is intercept + slope * logit, and truth."""
    generator = np.random.default_rng(seed)
    scores = expit(1.5 * generator.normal(size=count))
    return scores, (generator.random(count) < expit(intercept + slope * logit(scores))).astype(int)


def names(count: int) -> np.ndarray:
    return np.array([f"a/{number:05d}" for number in range(count)])


def test_calibration_curve_equals_scikit_learn_on_random_cases():
    for seed in range(300):
        scores, truth = drawn(40, seed)
        found = calibration_curve(scores, truth, "equal width", 5)
        observed, predicted = reference_curve(truth, scores, n_bins=5)
        assert found.observed == pytest.approx(observed, abs=1e-9)
        assert found.predicted == pytest.approx(predicted, abs=1e-9) and found.count.sum() == 40


def test_calibration_error_by_hand():
    # Equal width, two bins: {0.1, 0.3} with one ill, |0.4 - 1| = 0.6; {0.6, 0.8, 0.7} with two, |2.1 - 2| = 0.1.
    scores, truth = np.array([0.1, 0.3, 0.6, 0.8, 0.7]), np.array([0, 1, 1, 1, 0])
    draws = draw_patients(names(5), 20, np.random.default_rng(0))
    found = calibration_error([Cases(scores[None], truth, names(5))], draws, "equal width", 2)
    assert found.values[0] == pytest.approx((0.6 + 0.1) / 5)
    # Equal mass, two bins, cut at the median 0.6: the same bins here.
    assert calibration_error([Cases(scores[None], truth, names(5))], draws, bins=2).values[0] == pytest.approx(0.14)


def test_equal_probabilities_fall_into_one_bin():
    found = calibration_curve(np.full(10, 0.3), np.arange(10) % 2)
    assert found.count.tolist() == [10] and found.predicted == pytest.approx([0.3]) and found.observed.tolist() == [0.5]


def test_temperature_and_intercept_equal_logistic_regression():
    for seed in range(20):
        scores, truth = drawn(300, seed, slope=0.5, intercept=-0.8)
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(scores)[:, None], truth)
        found = fit_recalibration(scores, truth, intercept=True)
        assert 1 / found.temperature == pytest.approx(model.coef_[0, 0], rel=1e-4)
        assert found.intercept == pytest.approx(model.intercept_[0], abs=1e-4)
        alone = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000, fit_intercept=False)
        slope = alone.fit(logit(scores)[:, None], truth).coef_[0, 0]
        assert 1 / fit_recalibration(scores, truth, intercept=False).temperature == pytest.approx(slope, rel=1e-4)


def test_recalibration_mends_overconfidence_and_only_the_intercept_mends_the_prevalence():
    fitted, held = drawn(4000, 1, slope=0.4, intercept=-1.5), drawn(4000, 2, slope=0.4, intercept=-1.5)
    draws = draw_patients(names(4000), 20, np.random.default_rng(0))

    def error(scores: np.ndarray) -> float:
        return float(calibration_error([Cases(scores[None], held[1], names(4000))], draws).values[0])

    tempered, both = (fit_recalibration(*fitted, intercept=asked) for asked in (False, True))
    assert error(held[0]) > 0.2 and error(tempered(held[0])) > 0.1 and error(both(held[0])) < 0.03
    assert both.intercept == pytest.approx(-1.5, abs=0.15) and both.temperature == pytest.approx(2.5, abs=0.3)


def test_separable_classes_run_into_the_bound_and_say_so():
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    found = fit_recalibration(scores, np.array([0, 0, 1, 1]), intercept=False)
    assert found.at_bound and found.temperature < 0.2 and np.isfinite(found(scores)).all()
    assert not fit_recalibration(*drawn(200), intercept=True).at_bound


def test_what_is_no_probability_is_named_by_its_row():
    truth = np.array([0, 1, 1])
    for wrong in (1.2, -0.1, np.nan):
        with pytest.raises(UltraFMError, match="row 2"):
            calibration_curve(np.array([0.1, 0.2, wrong]), truth)
    with pytest.raises(UltraFMError, match="one class"):
        fit_recalibration(np.array([0.1, 0.2]), np.ones(2), intercept=True)


def test_brier_by_hand_and_its_interval():
    cases = Cases(np.array([[0.0, 1.0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]]), np.array([0, 1, 1, 0]), names(4))
    found = brier([cases], draw_patients(names(4), 500, np.random.default_rng(0)))
    assert found.values.tolist() == [0.125, 0.25]
    single, none = interval(found, np.array([1.0, 0.0])), interval(found, np.array([0.0, 1.0]))
    assert single.low == 0 and single.high == 0.25 and none.low is None and "no spread" in none.method


def test_net_benefit_by_hand():
    # Acting at 0.25 costs 1/3 of a false positive: called are 0.3 (ill), 0.5 (well), 0.9 (ill) of five images.
    scores, truth = np.array([0.1, 0.2, 0.3, 0.5, 0.9]), np.array([0, 1, 1, 0, 1])
    draws = draw_patients(names(5), 50, np.random.default_rng(0))
    found = net_benefit(Cases(scores[None], truth, names(5)), 0.25, draws)
    assert found.values == pytest.approx([(2 - 1 / 3) / 5, (3 - 2 / 3) / 5])
    curve = decision_curve(scores, truth, names(5), draws, (0.25, 0.5))
    assert curve.model == pytest.approx([1 / 3, (1 - 1) / 5]) and curve.treat_all == pytest.approx([7 / 15, 0.2])
    assert (curve.low <= curve.model).all() and (curve.model <= curve.high).all()


def test_acting_at_zero_is_treating_all_and_one_class_has_no_curve():
    scores, truth = drawn(50)
    draws = draw_patients(names(50), 20, np.random.default_rng(0))
    found = net_benefit(Cases(scores[None], truth, names(50)), 0.0, draws)
    assert found.values[0] == found.values[1] == pytest.approx(truth.mean())
    healthy = np.zeros(50, dtype=int)
    assert "one class" in net_benefit(Cases(scores[None], healthy, names(50)), 0.2, draws).reason
    with pytest.raises(UltraFMError, match="one class"):
        decision_curve(scores, healthy, names(50), draws)
    with pytest.raises(UltraFMError, match="threshold"):
        net_benefit(Cases(scores[None], truth, names(50)), 1.0, draws)
