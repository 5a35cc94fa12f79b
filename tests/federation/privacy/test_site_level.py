"""Noise at the coordinator: clipping, the noise's deviation, what one site can change, budget before training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.federation.privacy.striped_patients import IMAGES, PRIVATE, RECIPE, SITES, put_in_place
from ultrafm.errors import UltraFMError
from ultrafm.federation.aggregation import StreamingMean
from ultrafm.federation.checks import length_of
from ultrafm.federation.compression import Update, compress
from ultrafm.federation.driver import federate
from ultrafm.federation.incidents import Fault
from ultrafm.federation.plan import Federation
from ultrafm.federation.privacy.accounting import Spending, epsilon_of
from ultrafm.federation.privacy.draws import SeededDraws
from ultrafm.federation.privacy.server import clip_update, protect_mean, require_site_budget, site_spending
from ultrafm.federation.schedule import Schedule
from ultrafm.federation.vector import WEIGHTS, to_vector
from ultrafm.pretraining.recipe import build_model

AT_COORDINATOR = replace(PRIVATE, privacy="sites", weighting="equal", delta=0.1, clip=0.05)


class Silence:
    """Noise of zero."""

    def normal(self, count):
        return torch.zeros(count, dtype=torch.float64)


def update_of(change):
    old = np.linspace(-1, 1, len(change), dtype=np.float32)
    return Update(old, {WEIGHTS: old + np.asarray(change, np.float32)})


def noisy(changes, asked, protection=AT_COORDINATOR, draws=None):
    mean = StreamingMean(len(changes[0]))
    for change in changes:
        update = update_of(change)
        mean.add(clip_update(update, length_of(update), protection.clip), 1.0)
    return protect_mean(mean.joined(), len(changes), asked, protection, draws or Silence())


def test_long_updates_are_shortened_and_short_ones_are_not():
    found = noisy([[3.0, 4.0], [0.03, 0.0]], 2)
    assert found == pytest.approx([(0.03 + 0.03) / 2, 0.02], abs=1e-7)


def test_an_update_of_length_zero_stays_zero():
    assert noisy([[0.0, 0.0, 0.0]], 1).tolist() == [0.0, 0.0, 0.0]
    packed = Update(np.zeros(5, np.float32), compress(np.zeros(5, np.float32), "int8"))
    assert clip_update(packed, length_of(packed), 1.0).part(slice(0, 5)).tolist() == [0.0] * 5


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_an_update_that_is_not_finite_is_a_fault_without_a_guard_too(number):
    broken = update_of([1.0, number])
    with pytest.raises(Fault, match="not a finite number"):
        clip_update(broken, length_of(broken), 1.0)


@given(
    st.lists(st.lists(st.floats(-10, 10, width=32), min_size=4, max_size=4), min_size=2, max_size=5),
    st.floats(0.01, 5),
)
def test_one_site_changes_the_mean_by_at_most_clip_over_the_asked(changes, clip):
    protection, asked = replace(AT_COORDINATOR, clip=clip), len(changes)
    whole, less = noisy(changes, asked, protection), noisy(changes[1:], asked, protection)
    assert np.linalg.norm(whole - less) <= clip / asked * (1 + 1e-5)


def test_the_noise_has_the_deviation_that_was_planned():
    draws = SeededDraws(1, "coordinator", 1)
    found = protect_mean(np.zeros(100_000), 0, 4, AT_COORDINATOR, draws)
    deviation = AT_COORDINATOR.noise * AT_COORDINATOR.clip / 4
    low, high = stats.chi2(len(found)).ppf([1e-7, 1 - 1e-7])
    assert low < ((found / deviation) ** 2).sum() < high


def test_a_site_spends_every_round_that_asks_it_without_amplification():
    schedule = Schedule(sites=16, passes=5, shares=2, sites_per_round=4, seed=1)
    asked = [sum(place in schedule.sites_of(number) for number in range(1, 41)) for place in range(16)]
    assert schedule.rounds == 40 and set(asked) == {10}
    assert site_spending(AT_COORDINATOR, schedule) == Spending(1.0, 1.0, 10)
    early = [sum(place in schedule.sites_of(number) for number in range(1, 8)) for place in range(16)]
    assert site_spending(AT_COORDINATOR, schedule, 7).steps == max(early) == 2


def test_a_run_that_would_exceed_the_budget_is_refused_before_it_begins():
    schedule = Schedule(sites=16, passes=10)
    cost = epsilon_of([Spending(1.0, 1.0, 10)], 0.01)
    require_site_budget(replace(AT_COORDINATOR, delta=0.01, epsilon=cost), schedule)
    with pytest.raises(UltraFMError, match=r"privacy budget: found epsilon .* of a site over 10 rounds"):
        require_site_budget(replace(AT_COORDINATOR, delta=0.01, epsilon=cost * 0.99), schedule)
    with pytest.raises(UltraFMError, match=r"delta 0\.1 with 16 sites"):
        require_site_budget(AT_COORDINATOR, schedule)


def run(folder, federation=AT_COORDINATOR, on_round=None):
    return federate(folder / "curated", SITES, folder, RECIPE, federation, seed=5, on_round=on_round)


@pytest.mark.parametrize("changes", [
    {}, {"sites_per_round": 2}, {"compression": "int8"}, {"local_weights": "decoder*"}, {"adaptive": "kept"},
])  # fmt: skip
def test_a_run_with_noise_at_the_coordinator_resumes_with_the_same_bits(tmp_path, monkeypatch, changes):
    put_in_place(monkeypatch.setattr)
    federation = replace(AT_COORDINATOR, **changes)

    def stop(number, _loss):
        if number == 2:
            raise KeyboardInterrupt

    whole = run(tmp_path / "whole", federation)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", federation, stop)
    resumed = run(tmp_path / "cut", federation)
    assert np.array_equal(to_vector(whole.model), to_vector(resumed.model))
    assert {row["loss"] for row in whole.history} == {None} and whole.grey_scale.mean == 0.29
    assert not np.array_equal(to_vector(whole.model), to_vector(build_model(RECIPE, 5)))


def test_without_noise_and_with_a_long_clip_it_is_plain_averaging(tmp_path, monkeypatch):
    put_in_place(monkeypatch.setattr)
    tiny = replace(AT_COORDINATOR, noise=1e-12, clip=1e3, public_mean=0.4, public_deviation=0.3)
    tiny = replace(tiny, server_optimizer="average")
    plain = Federation(passes=2, shares=2, site_batch_size=2, weighting="equal", server_optimizer="average")
    counts = {site: sum(images) for site, images in IMAGES.items()}
    monkeypatch.setattr(
        "ultrafm.federation.client_app.describe_site",
        lambda _curated, site: (counts[site], 0.4 * counts[site], (0.16 + 0.09) * counts[site]),
    )
    one, other = run(tmp_path / "noisy", tiny), run(tmp_path / "plain", plain)
    assert one.grey_scale == other.grey_scale
    np.testing.assert_allclose(to_vector(one.model), to_vector(other.model), atol=1e-6)
