"""Epsilon and noise against the library, the exact curve of one Gaussian, and another library's numbers."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import PRVAccountant, RDPAccountant
from scipy.special import ndtr

from ultrafm.errors import UltraFMError
from ultrafm.federation.privacy.accounting import (
    Spending,
    accountant_name,
    epsilon_of,
    is_affordable,
    least_units,
    noise_for,
)

# (noise, rate, steps) of one or two runs, delta, and epsilon by privacy loss distributions (dp-accounting 0.6.0, the
# worse of adding and removing one).
TABLE = [
    ([(1.0, 16 / 1024, 300)], 1e-5, 1.6999),
    ([(1.0, 1 / 64, 1)], 1e-5, 0.3354),
    ([(1.0, 1.0, 1)], 1e-5, 4.3772),
    ([(4.0, 0.25, 300)], 1e-5, 4.9692),
    ([(0.8, 0.1, 100)], 1e-4, 9.3293),
    ([(2.0, 0.5, 40)], 1e-3, 6.0774),
    ([(8.0, 1.0, 50)], 1e-5, 3.7965),
    ([(1.0, 1 / 64, 300), (2.0, 0.1, 30)], 1e-5, 2.0908),
]


def library(kind, runs, delta):
    accountant = kind()
    accountant.history = list(runs)
    return accountant.get_epsilon(delta=delta)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("runs", "delta", "distributions"), TABLE)
def test_epsilon_is_the_librarys_and_above_another_librarys(runs, delta, distributions):
    spent = [Spending(*run) for run in runs]
    assert epsilon_of(spent, delta) == library(PRVAccountant, runs, delta)
    assert epsilon_of(reversed(spent), delta) == epsilon_of(spent, delta)
    assert distributions <= epsilon_of(spent, delta) <= distributions + 0.03
    assert library(RDPAccountant, runs, delta) >= epsilon_of(spent, delta) - 0.011


def test_the_known_case_by_three_accountants():
    runs = [(1.0, 16 / 1024, 300)]
    assert epsilon_of([Spending(*runs[0])], 1e-5) == pytest.approx(1.710, abs=5e-4)
    assert library(RDPAccountant, runs, 1e-5) == pytest.approx(2.049, abs=5e-4)
    assert epsilon_of([Spending(*runs[0])], 1e-5) - TABLE[0][2] == pytest.approx(0.01, abs=5e-4)


@pytest.mark.parametrize(("noise", "steps"), [(1.0, 1), (4.0, 9), (20.0, 100), (0.7, 1)])
def test_without_sampling_it_is_the_exact_curve_of_one_gaussian(noise, steps):
    """Delta of a Gaussian with deviation `noise`, `steps` times (Balle and Wang 2018, arXiv 1805.06530, theorem 8)."""
    found, spread = epsilon_of([Spending(noise, 1.0, steps)], 1e-5), noise / math.sqrt(steps)

    def delta_at(epsilon):
        half, shift = 1 / (2 * spread), epsilon * spread
        return ndtr(half - shift) - math.exp(epsilon) * ndtr(-half - shift)

    assert delta_at(found) <= 1e-5 <= delta_at(found - 0.03)


def test_steps_add_up_however_they_are_told():
    parts = [Spending(1.0, 0.1, 3), Spending(2.0, 0.5, 2), Spending(1.0, 0.1, 4), Spending(1.0, 0.1, 0)]
    assert epsilon_of(parts, 1e-5) == epsilon_of([Spending(2.0, 0.5, 2), Spending(1.0, 0.1, 7)], 1e-5)
    assert epsilon_of([], 1e-5) == epsilon_of([Spending(1.0, 0.1, 0)], 1e-5) == 0.0


@given(st.floats(1, 8), st.floats(0.01, 0.2), st.integers(1, 30))
@settings(max_examples=8, deadline=None)
def test_more_noise_costs_less_and_more_steps_cost_more(noise, rate, steps):
    epsilon = epsilon_of([Spending(noise, rate, steps)], 1e-5)
    assert epsilon_of([Spending(noise * 1.5, rate, steps)], 1e-5) < epsilon
    assert epsilon_of([Spending(noise, rate, 2 * steps)], 1e-5) >= epsilon
    assert epsilon_of([Spending(noise, rate, steps)], 1e-6) > epsilon


@pytest.mark.parametrize(("wanted", "rate", "steps"), [(1.0, 1 / 64, 300), (6.0, 0.1, 20), (2.0, 1.0, 10)])
def test_the_noise_for_an_epsilon_is_enough_and_hardly_more(wanted, rate, steps):
    noise = noise_for(wanted, 1e-5, rate, steps)
    assert epsilon_of([Spending(noise, rate, steps)], 1e-5) <= wanted
    assert epsilon_of([Spending(noise * 0.995, rate, steps)], 1e-5) > wanted


def test_an_epsilon_that_no_noise_gives_is_refused():
    with pytest.raises(UltraFMError, match=r"epsilon: found 0\.001 over 10 steps"):
        noise_for(0.001, 1e-5, 0.5, 10)


def test_affordable_is_up_to_the_budget_and_not_beyond():
    spent = [Spending(1.0, 1 / 64, 300)]
    exact = epsilon_of(spent, 1e-5)
    assert is_affordable(spent, exact, 1e-5) and is_affordable(spent, 50.0, 1e-5)
    assert not is_affordable(spent, exact - 1e-6, 1e-5) and not is_affordable(spent, 0.1, 1e-5)


@pytest.mark.parametrize("bad", [(0.0, 0.1, 1), (1.0, 0.0, 1), (1.0, 1.1, 1), (1.0, 0.1, -1), (math.nan, 0.1, 1)])
def test_senseless_spending_is_refused(bad):
    with pytest.raises(UltraFMError, match=r"privacy, spending: found .*; expected noise above 0"):
        Spending(*bad)


@pytest.mark.filterwarnings("ignore")
def test_a_very_large_epsilon_is_told_by_the_cheaper_accountant():
    runs = [(0.4, 0.5, 1000)]
    assert epsilon_of([Spending(*runs[0])], 1e-5) == library(RDPAccountant, runs, 1e-5) > 50


def test_senseless_deltas_are_refused():
    with pytest.raises(UltraFMError, match=r"privacy, delta: found 1; expected"):
        epsilon_of([Spending(1.0, 0.1, 1)], 1.0)
    with pytest.raises(UltraFMError, match=r"x: found delta 0\.01 with 100 patients; .*choose a delta below 0\.01"):
        least_units(100, 0.01, "x", ("patient", "patients"))
    least_units(99, 0.01, "x", ("patient", "patients"))
    assert accountant_name().startswith("opacus 1.6.0, ")
