"""Deviations from the registered protocol, as an analysis tells them."""

from __future__ import annotations

import pandas as pd
import pytest

from ultrafm.readers import analyse, summarise
from ultrafm.readers.deviations import protocol_lines, protocol_of, protocol_warnings

FIRST, SECOND, THIRD = (letter * 64 for letter in "abc")


def table(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    """One row per (case, hash, reason) of one reader, and an AI's."""
    made = pd.DataFrame(rows, columns=["case", "protocol", "deviation"]).assign(reader="kim", modality="unaided")
    return pd.concat([made, made.assign(reader="AI", protocol=THIRD)], ignore_index=True)


def test_readings_are_counted_by_hash_and_reason() -> None:
    rows = [("1", FIRST, ""), ("2", FIRST, ""), ("3", SECOND, "ill"), ("4", SECOND, "ill"), ("5", THIRD, "")]
    found = protocol_of(table([*rows, ("5", THIRD, "")]), "AI")  # two diseases of one reading
    assert found["registered"] == FIRST and found["readings"] == 5
    assert found["deviations"] == [
        {"protocol": SECOND, "reason": "ill", "readings": 2},
        {"protocol": THIRD, "reason": "no reason given", "readings": 1},
    ]
    assert protocol_warnings(found)[0].endswith("in 2 of 5 readings, made under bbbbbbbbbbbb: ill")
    assert protocol_lines(found) == [f"Protocol    registered, {FIRST}"]


def test_a_study_that_only_deviated_has_no_registered_readings() -> None:
    found = protocol_of(table([("1", SECOND, "late")]), "AI")
    assert found["registered"] is None and found["deviations"][0]["readings"] == 1
    assert "no reading was made under it" in protocol_lines(found)[0]


@pytest.mark.parametrize("word", ["B-mode first", "", FIRST[:-1]])
def test_a_column_that_holds_no_hashes_means_something_else(word: str) -> None:
    assert protocol_of(table([("1", word, ""), ("2", word, "")]), "AI") is None
    assert protocol_warnings(None) == protocol_lines(None) == []


@pytest.mark.parametrize("word", ["by hand", "", FIRST[:-1]])
def test_readings_without_a_hash_among_others_hide_nothing(word: str) -> None:
    found = protocol_of(table([("1", FIRST, ""), ("2", word, ""), ("3", word, ""), ("4", SECOND, "ill")]), "AI")
    assert found["registered"] == FIRST
    none = {"protocol": "no protocol", "reason": "no reason given", "readings": 2}
    assert found["deviations"] == [none, {"protocol": SECOND, "reason": "ill", "readings": 1}]
    assert "in 2 of 4 readings, made under no protocol: no reason" in protocol_warnings(found)[0]


def test_an_analysis_shows_hash_and_deviations_and_leaves_its_numbers_alone(small_study: pd.DataFrame) -> None:
    plain = analyse(small_study, ai="AI")
    cases = sorted(small_study["case"].unique())
    marked = small_study.assign(protocol=FIRST, deviation="")
    late = marked["case"] == cases[0]
    marked.loc[late, ["protocol", "deviation"]] = SECOND, "a new scanner"
    found = analyse(marked, ai="AI")
    assert "protocol" not in plain and found["protocol"]["registered"] == FIRST
    assert found["ai_versus_readers"] == plain["ai_versus_readers"]
    told = summarise(found)
    assert FIRST in told and "made under bbbbbbbbbbbb: a new scanner" in told and FIRST not in summarise(plain)
