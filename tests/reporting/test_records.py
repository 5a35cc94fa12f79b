"""Records: one shape, unique ids, no NaN, and errors that say what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.reporting.records import KEYS, interval_text, merge_records, read_results, record, write_results


def make(**changes: Any) -> dict[str, Any]:
    words = {"section": "diagnosis", "task": "liver", "method": "linear_probe/federated", "metric": "auroc"}
    words |= {"fold": "test", "estimate": 0.8, "ci_low": 0.7, "ci_high": 0.9, "ci_method": "95%", "images": "simulated"}
    return record(**(words | changes))


def test_record_has_exactly_the_keys_in_order() -> None:
    assert tuple(make()) == KEYS
    assert make()["id"] == "diagnosis/liver/linear_probe-federated/-/auroc/test/-"


def test_nan_becomes_none_and_numpy_becomes_python() -> None:
    found = make(estimate=np.float32(0.5), ci_low=np.nan, n=np.int64(3), n_patients=2.0)
    assert (found["estimate"], found["ci_low"], found["n"], found["n_patients"]) == (0.5, None, 3, 2)
    undefined = make(estimate=float("nan"), ci_low=float("nan"), ci_high=float("nan"))
    assert undefined["estimate"] is None
    assert "NaN" not in json.dumps(undefined, allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": "reel"}, "did you mean 'real'"),
        ({"readers": "people"}, "readers"),
        ({"ci_low": 0.95}, "ci_low 0.95 above ci_high 0.9"),
        ({"ci_method": None}, "ci_method"),
        ({"estimate": float("inf")}, "infinite"),
        ({"estimate": True}, "True"),
        ({"estimate": None}, "an estimate"),
        ({"n": 2.5}, "whole number"),
        ({"n_patients": -1}, "not negative"),
        ({"section": " "}, "a section"),
        ({"task": 3}, "a word or None"),
    ],
)
def test_unsound_record_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UltraFMError, match=said):
        make(**changes)


def test_merge_sorts_whatever_the_order() -> None:
    first, second = make(task="a"), make(task="b")
    merged = merge_records([[second], [], [first]])
    assert merged == merge_records([[first, second]])
    assert [found["task"] for found in merged["records"]] == ["a", "b"]
    assert merged["schema_version"] == 1


def test_merge_refuses_the_same_id_twice() -> None:
    with pytest.raises(UltraFMError, match="1 ids more than once"):
        merge_records([[make()], [make(estimate=0.75)]])


def test_merge_refuses_what_is_not_a_record() -> None:
    with pytest.raises(UltraFMError, match="colour"):
        merge_records([[make() | {"colour": "red"}]])
    with pytest.raises(UltraFMError, match="does not match its words"):
        merge_records([[make() | {"task": "other"}]])


def test_results_come_back_as_written_and_bytes_repeat(tmp_path: Path) -> None:
    lists = [[make(task="b")], [make(task="a", estimate=float("nan"), ci_low=None, ci_high=None)]]
    written = write_results(tmp_path / "results.json", lists)
    write_results(tmp_path / "again.json", reversed(lists))
    assert read_results(tmp_path / "results.json") == written
    assert (tmp_path / "results.json").read_bytes() == (tmp_path / "again.json").read_bytes()


def test_unknown_schema_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"schema_version": 2, "records": []}')
    with pytest.raises(UltraFMError, match="schema version 2"):
        read_results(tmp_path / "results.json")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.9123, 0.88, 0.94), "0.912 [0.880, 0.940]"),
        ((-0.0001, -0.02, 0.01), "0.000 [−0.020, 0.010]"),
        ((0.5, None, None), "0.500"),
        ((0.5, 0.4, float("nan")), "0.500 [0.400, …]"),
        ((None, None, None), "not defined"),
        ((float("nan"), 0.1, 0.2), "not defined"),
    ],
)
def test_interval_text(values: tuple, text: str) -> None:
    assert interval_text(*values) == text


@given(st.floats(), st.floats(0, 1), st.text(min_size=1, max_size=8).filter(str.strip))
def test_any_record_is_json_or_an_error(estimate: float, half: float, task: str) -> None:
    try:
        found = make(estimate=estimate, ci_low=estimate - half, ci_high=estimate + half, task=task)
    except UltraFMError:
        assert not np.isfinite(estimate) or not np.isfinite(estimate + half)
        return
    assert json.loads(json.dumps(found, allow_nan=False)) == found
