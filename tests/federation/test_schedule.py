"""Who trains what, when: properties that hold for any number of sites."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.federation.schedule import Schedule, share_of

SCHEDULES = st.builds(
    Schedule, sites=st.integers(1, 20), passes=st.integers(1, 3), shares=st.integers(1, 4),
    sites_per_round=st.integers(0, 21), seed=st.integers(0, 99),
)  # fmt: skip
WHOLE_PASSES = st.builds(
    lambda sites, rounds, local_epochs, sites_per_round: Schedule(
        sites, rounds * local_epochs, 1, sites_per_round, local_epochs
    ),
    st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.integers(0, 9),
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


@given(WHOLE_PASSES)
def test_with_several_local_epochs_every_site_makes_every_pass_once(schedule):
    done = [
        (one, site)
        for number in range(1, schedule.rounds + 1)
        for one in range(schedule.place(number)[0] - schedule.local_epochs + 1, schedule.place(number)[0] + 1)
        for site in schedule.sites_of(number)
    ]
    assert sorted(done) == [(one, site) for one in range(1, schedule.passes + 1) for site in range(schedule.sites)]
    assert schedule.ends_pass(schedule.rounds) and schedule.place(schedule.rounds) == (schedule.passes, 1)


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"shares": 0}, {"sites": 0}, {"sites_per_round": -1}, {"local_epochs": 0},
        {"local_epochs": 2, "shares": 2}, {"local_epochs": 3},
    ],
)  # fmt: skip
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(UltraFMError, match=next(iter(wrong))):
        Schedule(**{"sites": 4, "passes": 2} | wrong)


def test_the_passes_that_ended_before_a_round():
    """3 shares of a pass, all sites in every round: passes end after rounds 3, 6, 9."""
    schedule = Schedule(sites=4, passes=5, shares=3)
    assert [schedule.ends_before(number) for number in (1, 3, 4, 7, 9)] == [[], [], [3], [6, 3], [6, 3]]


@given(st.integers(0, 60), st.integers(1, 12))
def test_shares_are_as_even_as_whole_steps_allow_and_hold_every_step_once(steps, shares):
    found = [share_of(steps, share, shares) for share in range(1, shares + 1)]
    assert [step for part in found for step in range(steps)[part]] == list(range(steps))
    sizes = [part.stop - part.start for part in found]
    assert max(sizes) - min(sizes) <= 1
