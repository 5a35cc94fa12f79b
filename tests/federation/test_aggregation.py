"""Means that stream and rules that withstand bad sites, against hand-computed numbers and Flower's own classes."""

import numpy as np
import pytest
from flwr.serverapp.strategy.fedtrimmedavg import trim_mean
from flwr.serverapp.strategy.multikrum import compute_distances
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.federation.aggregation import krum, make_aggregation, median, squared_distances, trimmed_mean
from ultrafm.federation.arrays import to_record
from ultrafm.federation.compression import Update
from ultrafm.federation.vector import WEIGHTS


def rows(*values):
    return [np.array(one, np.float32) for one in values]


def join(name, updates, weights=None, suspected=1, folder=None):
    aggregation = make_aggregation(name, len(updates[0]), suspected, folder)
    old = np.full(len(updates[0]), 0.5, np.float32)
    for update, weight in zip(updates, weights or [1.0] * len(updates)):
        aggregation.add(Update(old, {WEIGHTS: old + update}), weight)
    return aggregation.joined()


def test_the_median_of_every_number():
    assert median(rows([1, 9], [2, -50], [3, 8])).tolist() == [2, 8]
    assert median(rows([1, 9], [2, 7])).tolist() == [1.5, 8]


def test_the_trimmed_mean_leaves_out_the_extremes():
    assert trimmed_mean(rows([1, 0], [2, 0], [3, 9], [100, 3], [-9, 3]), 1).tolist() == [2, 2]


def test_krum_takes_one_of_the_crowd():
    crowd = rows([1, 1], [1.1, 1], [1, 1.1], [0.9, 1], [50, -50])
    assert krum(crowd, 1).tolist() == pytest.approx([1, 1])
    assert any(np.array_equal(krum(crowd, 1), one) for one in crowd[:4])


def test_distances_and_trimmed_means_are_those_that_flower_computes():
    updates = [np.random.default_rng(seed).normal(size=100).astype(np.float32) for seed in range(5)]
    theirs = compute_distances([to_record({"w": one}) for one in updates])
    assert squared_distances(updates) == pytest.approx(np.asarray(theirs), abs=1e-3)
    assert trimmed_mean(updates, 1) == pytest.approx(trim_mean(np.stack(updates), 0.2), abs=1e-6)


@pytest.mark.parametrize("name", ["median", "trimmed_mean", "krum"])
@given(seed=st.integers(0, 9), bad=st.sampled_from([1e6, -1e6, np.inf, np.nan]))
def test_one_bad_site_of_seven_cannot_lead_robust_rules_outside_the_honest_range(name, seed, bad):
    honest = np.random.default_rng(seed).normal(size=(6, 50)).astype(np.float32)
    found = join(name, [*honest[:3], np.full(50, bad, np.float32), *honest[3:]])
    assert (found >= honest.min(axis=0) - 1e-5).all() and (found <= honest.max(axis=0) + 1e-5).all()


@pytest.mark.parametrize("name", ["mean", "median", "trimmed_mean", "krum"])
def test_equal_updates_stay_what_they_are_over_several_parts(name):
    update = np.linspace(-1, 1, 150_000, dtype=np.float32)
    old = np.full(len(update), 0.5, np.float32)
    assert join(name, [update] * 5) == pytest.approx((old + update).astype(np.float64) - old)


@pytest.mark.parametrize("name", ["mean", "median", "trimmed_mean", "krum"])
def test_a_round_without_answers_that_count_changes_nothing(name):
    assert join(name, rows([1, 2], [3, 4]), weights=[0.0, 0.0]).tolist() == [0, 0]


def test_waiting_updates_leave_nothing_behind(tmp_path):
    join("median", rows([1, 2], [3, 4]), folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name, least", [("trimmed_mean", 5), ("krum", 7)])
def test_too_few_sites_for_so_many_suspects_are_told(name, least):
    with pytest.raises(UltraFMError, match=f"4 updates in a round with 2 suspected; expected at least {least}"):
        join(name, rows([1], [2], [3], [4]), suspected=2)
