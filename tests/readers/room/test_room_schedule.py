"""Orders of reading, washout, and seconds by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_room import change_fields

from ultrafm.readers.room.registered import Study, load_study
from ultrafm.readers.room.schedule import DAY, Step, next_step, order_of
from ultrafm.readers.room.timing import seconds_read


@pytest.fixture
def study(study_path: Path) -> Study:
    """The made study, with a washout of two days."""
    return load_study(change_fields(study_path, design={"parts": ["unaided", "aided"], "washout_days": 2}))


def test_every_reader_and_part_has_an_order_of_its_own_that_depends_on_nothing_else(study: Study) -> None:
    orders = {(code, part): order_of(study, code, part) for code in ("R1", "R2") for part in ("unaided", "aided")}
    assert all(sorted(order) == sorted(study.cases) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 4
    shuffled = replace(study, cases=dict(reversed(study.cases.items())))
    assert order_of(shuffled, "R1", "unaided") == orders["R1", "unaided"]
    other = replace(study, protocol=study.protocol.model_copy(update={"seed": 5}))
    assert order_of(other, "R1", "unaided") != orders["R1", "unaided"]
    assert order_of(study, "R1", "training") == [*study.training]


def test_each_place_is_equally_likely_over_readers(study: Study) -> None:
    first = [order_of(study, f"reader {number}", "unaided")[0] for number in range(1200)]
    counts = [first.count(name) for name in study.cases]
    assert sum((count - 100) ** 2 / 100 for count in counts) < 31.3  # chi-squared, 11 degrees of freedom, p = 0.001


def test_the_whole_way_of_a_reader(study: Study) -> None:
    done: set[tuple[str, str]] = set()
    steps = []
    for _ in range(13):
        step = next_step(study, "R1", done, None, 0.0)
        steps.append(step)
        done.add((step.part, step.item))
    assert [step.part for step in steps] == ["training"] + ["unaided"] * 12
    assert [step.place for step in steps] == [1, *range(1, 13)] and steps[1].of == 12
    end = 1000.0
    assert next_step(study, "R1", done, end, end + 2 * DAY - 1) == Step("washout", "aided", until=end + 2 * DAY)
    later = next_step(study, "R1", done, end, end + 2 * DAY)
    assert (later.kind, later.part, later.place) == ("case", "aided", 1)
    done |= {("aided", name) for name in study.cases}
    assert next_step(study, "R1", done, end, end).kind == "done"


def test_without_an_aided_part_the_study_ends_after_the_unaided_one(study_path: Path) -> None:
    study = load_study(change_fields(study_path, design={"parts": ["unaided"], "washout_days": 0}, ai=None))
    done = {("training", name) for name in study.training} | {("unaided", name) for name in study.cases}
    assert next_step(study, "R1", done, 5.0, 6.0).kind == "done"


def test_pauses_do_not_count() -> None:
    view = [("shown", 10.0), ("paused", 14.0), ("resumed", 100.0), ("alive", 115.0), ("submitted", 116.0)]
    assert seconds_read([view]) == 4 + 16


def test_a_page_that_broke_counts_to_its_last_sign_of_life() -> None:
    assert (
        seconds_read([[("shown", 0.0), ("alive", 15.0), ("alive", 30.0)], [("shown", 500.0), ("submitted", 507.0)]])
        == 37
    )
    assert seconds_read([[("shown", 0.0)], [("shown", 9.0), ("submitted", 10.0)]]) == 1
    assert seconds_read([[("shown", 0.0), ("paused", 3.0)], [("shown", 90.0), ("submitted", 92.0)]]) == 5


def test_a_closed_lid_counts_to_the_last_sign_of_life() -> None:
    view = [("shown", 0.0), ("alive", 15.0), ("asleep", 5000.0), ("resumed", 5010.0), ("submitted", 5012.0)]
    assert seconds_read([view]) == 15 + 2
    assert (
        seconds_read([[("shown", 0.0), ("paused", 3.0), ("asleep", 99.0), ("resumed", 100.0), ("alive", 104.0)]]) == 7
    )


def test_signs_of_life_in_a_pause_do_not_end_it() -> None:
    assert seconds_read([[("shown", 0.0), ("paused", 2.0), ("alive", 20.0), ("submitted", 30.0)]]) == 2


def test_pausing_twice_and_a_clock_that_goes_back_do_no_harm() -> None:
    assert seconds_read([[("shown", 0.0), ("paused", 2.0), ("paused", 5.0), ("resumed", 6.0), ("submitted", 7.0)]]) == 3
    assert seconds_read([[("shown", 100.0), ("alive", 50.0), ("submitted", 60.0)]]) == 10
    assert seconds_read([]) == 0


@given(
    st.lists(st.sampled_from(["paused", "resumed", "alive", "asleep"]), max_size=8),
    st.lists(st.floats(0, 100), min_size=10, max_size=10),
)
def test_seconds_are_never_negative_and_never_more_than_the_whole_time(kinds: list[str], gaps: list[float]) -> None:
    times = [sum(gaps[: place + 1]) for place in range(10)]
    view = [("shown", times[0]), *zip(kinds, times[1:9], strict=False), ("submitted", times[9])]
    assert all(a[1] <= b[1] for a, b in pairwise(view))
    assert 0 <= seconds_read([view]) <= times[9] - times[0] + 1e-9
