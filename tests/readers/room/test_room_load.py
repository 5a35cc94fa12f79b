"""Twenty readers at once, a hundred submissions each, the server killed five times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench_room import run_load


def check_load(found: dict) -> None:
    """Nothing lost, nothing doubled, nothing altered."""
    assert found["sent"] == found["kept"] == found["readers"] * found["submissions_each"]
    assert (found["lost"], found["doubled"], found["differing_readers"]) == (0, 0, 0)
    assert found["integrity"] == "ok"


@pytest.mark.slow
def test_twenty_readers_and_five_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    found = run_load(tmp_path)
    check_load(found)
    assert found["kills"] == 5 and found["submissions_each"] == 100 and found["repeated_requests"] > 0
    assert all(median < 200 for median in found["median_ms"].values()), found["median_ms"]


@pytest.mark.slow
def test_a_few_readers_and_a_kill_in_the_same_way(tmp_path: Path) -> None:
    found = run_load(tmp_path, readers=3, cases=10, kills=1)
    check_load(found)
    assert found["kills"] == 1 and found["kept"] == 60
