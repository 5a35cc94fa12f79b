"""Attack numbers by hand; intervals hold chance where nothing leaks, and do not where something does."""

import numpy as np
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.federation.leakage.rates import attack_numbers, attack_table, mean_interval, roc_points


def test_numbers_by_hand():
    scores, members = np.array([9, 8, 7, 6, 5.0]), np.array([1, 0, 1, 0, 0], bool)
    area, half, hundredth = attack_numbers(scores, members, (0.34, 0.01))
    assert area == pytest.approx(5 / 6)
    assert half == 1.0 and np.isnan(hundredth), "three others allow no rate of 0.01"
    assert attack_numbers(scores, members, (1 / 3,))[1] == 1.0


def test_equal_scores_count_half():
    false, true = roc_points(np.ones(4), np.array([1, 1, 0, 0], bool))
    assert false.tolist() == [0, 1] and true.tolist() == [0, 1]
    assert attack_numbers(np.ones(4), np.array([1, 1, 0, 0], bool), ())[0] == 0.5


def test_a_low_rate_counts_members_above_all_but_few_others():
    others = np.arange(1000) / 1000
    members = np.concatenate([np.full(30, 2.0), np.full(70, 0.5)])
    scores, truth = np.concatenate([others, members]), np.arange(1100) >= 1000
    found = attack_numbers(scores, truth, (0.01, 0.001))
    assert found[1:].tolist() == [0.3, 0.3]


def table(shift, seed=0, models=3, patients=80):
    generator = np.random.default_rng(seed)
    names = np.repeat(np.arange(patients), 3)
    members = generator.random((models, patients))[:, names] > 0.5
    of_patient = generator.standard_normal((models, patients))[:, names]
    scores = of_patient + 0.3 * generator.standard_normal(members.shape) + shift * members
    return attack_table(scores, members, names, generator, resamples=100).set_index("metric")


def test_intervals_hold_chance_only_where_nothing_leaks():
    nothing, much = table(0.0), table(1.0)
    assert nothing.loc["auroc", "low"] < 0.5 < nothing.loc["auroc", "high"]
    assert much.loc["auroc", "low"] > 0.6
    assert much.loc["true_positive_rate_at_0.01", "estimate"] > nothing.loc["true_positive_rate_at_0.01", "estimate"]
    assert np.isnan(much.loc["true_positive_rate_at_0.001", "estimate"])
    assert "not defined" in much.loc["true_positive_rate_at_0.001", "note"]
    assert much.loc["auroc", ["images", "patients", "models"]].tolist() == [240, 80, 3]


def test_pictures_of_one_patient_are_no_more_evidence_than_one():
    generator = np.random.default_rng(0)
    members, scores = np.arange(60) % 2 == 0, generator.standard_normal(60)
    once = attack_table(scores, members, np.arange(60), np.random.default_rng(1))
    tenfold = [np.repeat(one, 10) for one in (scores, members, np.arange(60))]
    again = attack_table(*tenfold, np.random.default_rng(1))
    widths = [(one["high"] - one["low"]).iloc[0] for one in (once, again)]
    assert widths[1] == pytest.approx(widths[0], rel=1e-6)


def test_one_kind_alone_is_refused():
    with pytest.raises(UltraFMError, match="members and others"):
        roc_points(np.ones(3), np.ones(3, bool))


def test_the_interval_of_repeats_is_students():
    mean, low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2.0 and high - mean == pytest.approx(4.3027 / 3**0.5, rel=1e-4) and mean - low == high - mean
    assert np.isnan(mean_interval(np.array([1.0]))[1])


def test_repeats_that_are_all_alike_claim_no_certainty():
    mean, low, high = mean_interval(np.array([0.25, 0.25]))
    assert mean == 0.25 and np.isnan(low) and np.isnan(high)
