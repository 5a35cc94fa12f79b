"""Who trains what, when: properties that hold for any number of sites."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.federation.schedule import Schedule

SCHEDULES = st.builds(
    Schedule, sites=st.integers(1, 20), passes=st.integers(1, 3), shares=st.integers(1, 4),
    sites_per_round=st.integers(0, 21), seed=st.integers(0, 99),
)  # fmt: skip


@given(SCHEDULES)
def test_every_site_trains_on_every_share_of_every_pass_once(schedule):
    done = [
        (*schedule.place(number), site)
        for number in range(1, schedule.rounds + 1)
        for site in schedule.sites_of(number)
    ]
    assert sorted(done) == [
        (number, share, site)
        for number in range(1, schedule.passes + 1)
        for share in range(1, schedule.shares + 1)
        for site in range(schedule.sites)
    ]
    assert [row[:2] for row in done] == sorted(row[:2] for row in done)


@given(SCHEDULES)
def test_rounds_are_as_large_as_asked_and_sites_in_rising_order(schedule):
    most = schedule.sites_per_round or schedule.sites
    for number in range(1, schedule.rounds + 1):
        chosen = schedule.sites_of(number)
        assert 1 <= len(chosen) <= min(most, schedule.sites) and chosen == sorted(set(chosen))


def test_the_rounds_of_a_laptop_study():
    schedule = Schedule(sites=16, passes=30, shares=10, sites_per_round=4)
    assert schedule.rounds == 30 * 10 * 4
    assert [number for number in range(1, 99) if schedule.ends_pass(number)] == [40, 80]
    assert [schedule.place(number) for number in (1, 4, 5, 40, 41)] == [(1, 1), (1, 1), (1, 2), (1, 10), (2, 1)]


@given(SCHEDULES, st.integers(1, 30))
def test_the_last_round_of_a_site_is_one_in_which_it_took_part(schedule, number):
    last = schedule.last_round_of(0, number)
    assert last < number and (last == 0 or 0 in schedule.sites_of(last))
    assert all(0 not in schedule.sites_of(between) for between in range(last + 1, number))


@pytest.mark.parametrize("wrong", [{"shares": 0}, {"sites": 0}, {"sites_per_round": -1}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(UltraFMError, match=next(iter(wrong))):
        Schedule(**{"sites": 4, "passes": 2} | wrong)


def test_state_is_kept_for_the_rounds_that_the_coordinator_may_return_to():
    """3 shares of a pass, all sites in every round: passes end after rounds 3, 6, 9."""
    schedule = Schedule(sites=4, passes=5, shares=3)
    assert schedule.rounds_to_keep(0, 1) == [0]
    assert schedule.rounds_to_keep(0, 3) == [2]
    assert schedule.rounds_to_keep(0, 4) == [3]
    assert schedule.rounds_to_keep(0, 8) == [3, 6, 7]


def test_a_site_that_sat_out_keeps_what_it_had_when_a_pass_ended():
    schedule = Schedule(sites=4, passes=5, shares=2, sites_per_round=2, seed=3)
    for site in range(4):
        kept = schedule.rounds_to_keep(site, 10)  # passes end after rounds 4 and 8
        assert kept == sorted({schedule.last_round_of(site, end) for end in (5, 9, 10)})
        assert all(site in schedule.sites_of(number) for number in kept)
