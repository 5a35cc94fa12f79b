"""Records of a reader study beside its primary results: unique, labelled, and the numbers of the analysis."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ultrafm.readers import Claim, analyse, records
from ultrafm.readers.agreement import agreement_table
from ultrafm.readers.cases import StudyCases
from ultrafm.readers.operating import matched_specificity
from ultrafm.readers.power import pilot_from, size_table
from ultrafm.reporting.records import merge_records


@pytest.fixture
def study(small_study: pd.DataFrame) -> StudyCases:
    return StudyCases(small_study, {"gout": "real", "goitre": "simulated"}, ())


@pytest.fixture
def table(small_study: pd.DataFrame) -> pd.DataFrame:
    return small_study.assign(simulated="yes")


def test_all_records_go_together(table: pd.DataFrame, study: StudyCases) -> None:
    claims = [Claim("superiority", "junior"), Claim("equivalence", "expert", 0.1)]
    found = analyse(table, ai="AI", cluster="patient", by="level", margin=0.1, claims=claims)
    readers = table[table["reader"] != "AI"]
    aided = analyse(pd.concat([readers, readers.assign(modality="aided")]), cluster="patient", by="level")
    matched = matched_specificity(table, "AI", 1.0, np.random.default_rng(0), "patient", replicates=100)
    agreed = agreement_table(table, 1.0, ai="AI", cluster="patient", replicates=50)
    sizes = size_table(pilot_from(found), 0.0, (3, 9), margin=0.1)
    made = [
        *records.study_records(found, study, "m"), *records.claim_records(found, study, "m"),
        *records.aided_records(aided, study), *records.matched_records(matched, found, study, "m"),
        *records.agreement_records(agreed, found, study), *records.size_records(sizes, found, study, "margin 0.1"),
    ]  # fmt: skip
    merged = merge_records([made])["records"]
    assert {one["readers"] for one in merged} == {"simulated"}
    assert {one["images"] for one in merged if one["task"] == "gout"} == {"real"}
    (matching,) = [one for one in merged if one["metric"].startswith("specificity") and one["task"] == "gout"]
    assert (matching["estimate"], matching["n"], matching["n_patients"]) == (matched[1].difference, 48, 24)


def test_claims_carry_their_adjusted_p(table: pd.DataFrame, study: StudyCases) -> None:
    found = analyse(table, ai="AI", by="level", claims=[Claim("superiority", "junior"), Claim("superiority", "expert")])
    made = records.claim_records(found, study, "m")
    assert [(one["level"], one["estimate"]) for one in made] == [
        (row["level"], row["p_holm"]) for row in found["claims"]
    ]


def test_aided_readers_have_their_intervals(table: pd.DataFrame, study: StudyCases) -> None:
    readers = table[table["reader"] != "AI"]
    aided = readers.assign(modality="aided", rating=readers["rating"] + 0.5 * readers["truth"])
    found = analyse(pd.concat([readers, aided]), cluster="patient", by="level")
    made = {(one["metric"], one["level"]): one for one in records.aided_records(found, study)}
    test = found["tests"]["random_readers_random_cases"]
    whole = made["auroc with and without aid", "all"]
    assert (whole["estimate"], whole["ci_low"]) == (test["difference"], test["ci_low"])
    junior = found["levels"]["junior"]["tests"]["random_readers_random_cases"]["p_holm"]
    assert made["p two-sided, Holm, with and without aid", "junior"]["estimate"] == junior


def test_sizes_that_cannot_be_reached_are_not_defined(table: pd.DataFrame, study: StudyCases) -> None:
    found = analyse(table, ai="AI", cluster="patient")
    sizes = pd.DataFrame({"readers": [3, 9], "cases for 80% power": pd.array([None, 200], dtype="Int64")})
    made = records.size_records(sizes, found, study, "margin 0.1")
    assert [(one["level"], one["estimate"]) for one in made] == [("3 readers", None), ("9 readers", 200.0)]


def test_records_are_unique_and_labelled(table: pd.DataFrame, study: StudyCases) -> None:
    found = analyse(table, ai="AI", cluster="patient", margin=0.05, by="level")
    made = records.study_records(found, study, "linear_probe/federated")
    merged = merge_records([made])["records"]
    assert {record["readers"] for record in merged} == {"simulated"}
    primary = [record for record in merged if record["comparator"] == "readers" and record["task"] == "macro average"]
    (one,) = [record for record in primary if record["level"] == "all" and record["metric"] == "auroc"]
    assert one["estimate"] == found["ai_versus_readers"]["difference"]
    assert one["images"] == "simulated"
    assert one["n_patients"] == 36
    assert {record["images"] for record in merged if record["task"] == "gout"} == {"real"}
