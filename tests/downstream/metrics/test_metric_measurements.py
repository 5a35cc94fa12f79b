from __future__ import annotations

import numpy as np
import pytest

from ultrafm.downstream.metrics import Cases, draw_patients, interval, limits_of_agreement, measurement
from ultrafm.errors import UltraFMError
from ultrafm.readers.agreement import intraclass_correlation

ONE = np.ones(1)


def measured_twice(seed: int, patients: int = 30, each: int = 3) -> Cases:
    """Differences with a spread of 1 between and 1 within patients, and a bias of 0.5."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(20, 4, patients * each)
    between = np.repeat(generator.normal(size=patients), each)
    names = np.repeat([f"a/{number:03d}" for number in range(patients)], each)
    return Cases((truth + 0.5 + between + generator.normal(size=truth.size))[None], truth, names)


def test_bias_and_error_by_hand():
    cases = Cases(np.array([[1.0, 4.0, 3.0]]), np.array([2.0, 2.0, 3.0]), np.array(["a/1", "a/2", "a/3"]))
    draws = draw_patients(cases.patients, 200, np.random.default_rng(0))
    assert measurement("bias", [cases], draws).values[0] == pytest.approx(1 / 3)
    assert measurement("mean_absolute_error", [cases], draws).values[0] == pytest.approx(1.0)


def test_intraclass_correlation_equals_the_readers_room_also_on_repeated_images():
    generator = np.random.default_rng(0)
    for seed in range(200):
        cases = measured_twice(seed, int(generator.integers(2, 20)), 1)
        draws = draw_patients(cases.patients, 2, generator)
        expected = intraclass_correlation(np.stack([cases.scores[0], cases.truth])).value
        found = measurement("intraclass_correlation", [cases], draws)
        assert found.values[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)
        again = np.repeat(np.arange(len(draws.patients)), draws.counts[0])
        drawn = np.stack([cases.scores[0], cases.truth])[:, again]
        expected = intraclass_correlation(drawn).value
        if expected is None:  # one image, drawn again and again
            assert np.isnan(found.replicates[0, 0])
        else:
            assert found.replicates[0, 0] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_limits_of_one_measurement_a_patient_by_hand():
    truth = np.array([10.0, 20.0, 30.0, 40.0])
    found = limits_of_agreement(truth + np.array([1, 2, 3, 2]), truth, np.array(["a/1", "a/2", "a/3", "a/4"]))
    spread = np.sqrt(2 / 3)  # of 1, 2, 3, 2 about 2
    assert found.bias == 2 and found.upper == pytest.approx(2 + 1.959964 * spread, rel=1e-6)
    assert found.lower == pytest.approx(2 - 1.959964 * spread, rel=1e-6)


def test_repeated_measurements_neither_narrow_the_limits_nor_count_as_patients():
    cases = measured_twice(1, patients=200)
    found = limits_of_agreement(cases.scores[0], cases.truth, cases.patients)
    assert found.standard_deviation == pytest.approx(np.sqrt(2), rel=0.1)  # between and within
    single = limits_of_agreement(cases.scores[0, ::3], cases.truth[::3], cases.patients[::3])
    ignoring = limits_of_agreement(cases.scores[0], cases.truth, np.array([f"a/{n}" for n in range(600)]))
    widths = [one.bias_high - one.bias_low for one in (ignoring, found, single)]
    assert widths[0] < 0.85 * widths[1] and widths[1] < widths[2]


def test_the_interval_of_the_bias_covers_it():
    hits = 0
    for seed in range(400):
        cases = measured_twice(seed)
        found = limits_of_agreement(cases.scores[0], cases.truth, cases.patients)
        hits += found.bias_low <= 0.5 <= found.bias_high
    assert 0.92 <= hits / 400 <= 0.98


def test_differences_of_the_error_are_paired():
    cases = measured_twice(2, 100, 1)
    both = Cases(np.stack([cases.scores[0], cases.scores[0] + 0.3]), cases.truth, cases.patients)
    estimates = measurement("mean_absolute_error", [both], draw_patients(cases.patients, 500, np.random.default_rng(0)))
    single, paired = interval(estimates, np.array([1.0, 0.0])), interval(estimates, np.array([-1.0, 1.0]))
    assert paired.high - paired.low < 0.5 * (single.high - single.low) and paired.low > 0


def test_what_cannot_be_told_has_a_reason():
    one = Cases(np.array([[1.0, 2.0]]), np.array([1.0, 2.5]), np.array(["a/1", "a/1"]))
    draws = draw_patients(one.patients, 5, np.random.default_rng(0))
    found = interval(measurement("mean_absolute_error", [one], draws), ONE)
    assert found.estimate == 0.25 and found.low is None and "one patient" in found.method
    with pytest.raises(UltraFMError, match="1 clusters"):
        limits_of_agreement(one.scores[0], one.truth, one.patients)
    flat = Cases(np.full((1, 4), 2.0), np.full(4, 2.0), np.array([f"a/{number}" for number in range(4)]))
    draws = draw_patients(flat.patients, 5, np.random.default_rng(0))
    found = interval(measurement("intraclass_correlation", [flat], draws), ONE)
    assert found.estimate is None and "do not differ" in found.method
    with pytest.raises(UltraFMError, match="one of bias"):
        measurement("error", [flat], draws)
