"""The whole analysis: what stands in the result, options, warnings, words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.readers import Endpoint, analyse, analyse_file, summarise
from ultrafm.readers.page_tables import difference_table, inference_table, reader_table
from ultrafm.readers.sentences import conclusion, freedom


def analysed(table: pd.DataFrame, **options: object) -> dict:
    chosen = {"ai": "AI", "cluster": "patient", "margin": 0.05, "by": "level"} | options
    return analyse(table, **chosen)


def plain_numbers(found: dict) -> dict:
    """The numbers of the primary test."""
    return {name: found["ai_versus_readers"][name] for name in ("difference", "se", "df", "p", "ci_low", "ci_high")}


def test_result_names_everything(small_study: pd.DataFrame) -> None:
    found = analysed(small_study)
    assert found["kind"] == "ai_versus_readers"
    assert found["sign"] == "AI minus readers"
    assert found["covariance_name"] == "clustered by patient (Obuchowski 1997)"
    assert found["counts"] == {
        "modalities": 1, "readers": 4, "diseases": 2, "cases": 96, "diseased": 48, "healthy": 48, "clusters": 36,
        "missing_readings": 0,
    }  # fmt: skip
    assert list(found["levels"]) == ["junior", "expert"]
    assert [disease["disease"] for disease in found["diseases"]] == ["goitre", "gout"]
    assert found["versions"]["numpy"] == np.__version__
    assert any("4 readers" in text for text in found["warnings"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_reader_called_ai_that_is_not_named_is_told_of(small_study: pd.DataFrame) -> None:
    readers_only = small_study[small_study["reader"] != "AI"].replace({"reader": {"ann": "AI"}})
    assert any("--ai AI" in text for text in analyse(readers_only)["warnings"])
    assert not any("--ai AI" in text for text in analyse(small_study[small_study["reader"] != "AI"])["warnings"])


def test_the_table_of_inferences_says_for_whom_each_holds(small_study: pd.DataFrame) -> None:
    found = analysed(small_study)
    table = inference_table(found).set_index("holds for")
    assert table.index.tolist() == ["new readers, new cases", "these readers only", "these cases only"]
    assert table.iloc[0]["df"] == freedom(found["ai_versus_readers"]["df"]) and table.iloc[0]["p"] != "-"
    assert (freedom(None), freedom(120008.2), freedom(3.25)) == ("-", "> 1000", "3.2")


def test_macro_average_is_the_mean_of_the_diseases(small_study: pd.DataFrame) -> None:
    found = analysed(small_study)
    assert found["ai_versus_readers"]["difference"] == pytest.approx(
        np.mean([disease["difference"]["difference"] for disease in found["diseases"]])
    )
    level = [entry["ai_versus_readers"]["difference"] for entry in found["levels"].values()]
    assert np.mean(level) == pytest.approx(found["ai_versus_readers"]["difference"])


def test_strictly_rising_ratings_and_row_order_change_nothing(small_study: pd.DataFrame) -> None:
    changed = small_study.sample(frac=1, random_state=2)
    changed["rating"] = np.where(changed["reader"] == "bob", np.exp(changed["rating"]), changed["rating"])
    one, other = analysed(small_study), analysed(changed)
    assert plain_numbers(one) == pytest.approx(plain_numbers(other))
    assert one["individual_readers"][1]["reader"] == other["individual_readers"][1]["reader"]


def test_numbers_name_the_ai_as_text_does(small_study: pd.DataFrame) -> None:
    numbered = small_study.assign(reader=small_study["reader"].map({"AI": 0, "ann": 1, "bob": 2, "cem": 3, "dan": 4}))
    assert analysed(numbered, ai=0)["ai_versus_readers"] == analysed(numbered, ai="0")["ai_versus_readers"]


def test_renaming_the_readers_changes_nothing(small_study: pd.DataFrame) -> None:
    renamed = small_study.replace({"reader": {"ann": "10", "bob": "9", "cem": "1", "dan": "2"}})
    assert analysed(renamed)["ai_versus_readers"]["p"] == pytest.approx(
        analysed(small_study)["ai_versus_readers"]["p"], rel=1e-9
    )
    assert [entry["reader"] for entry in analysed(renamed)["individual_readers"]] == ["9", "10", "1", "2"]


def test_jackknife_is_near_delong(small_study: pd.DataFrame) -> None:
    for cluster in (None, "patient"):
        one, other = (analysed(small_study, cluster=cluster, covariance=name) for name in ("delong", "jackknife"))
        assert other["ai_versus_readers"]["se"] == pytest.approx(one["ai_versus_readers"]["se"], rel=0.15)
        assert other["ai_versus_readers"]["se"] != one["ai_versus_readers"]["se"]


def test_ignored_patients_are_told(small_study: pd.DataFrame) -> None:
    found = analysed(small_study, cluster=None)
    assert any("96 cases come from 36 patients" in text for text in found["warnings"])
    assert not any("independent" in text for text in analysed(small_study)["warnings"])
    assert any("12 diseased patients, fewer than 20" in text for text in analysed(small_study)["warnings"])


def test_reversed_ratings_are_told(small_study: pd.DataFrame) -> None:
    small_study["rating"] = np.where(small_study["reader"] == "cem", -small_study["rating"], small_study["rating"])
    assert any(text.startswith("cem has an AUROC of 0.") for text in analysed(small_study)["warnings"])


def test_a_perfect_reader_is_told(small_study: pd.DataFrame) -> None:
    small_study["rating"] = np.where(small_study["reader"] == "cem", small_study["truth"], small_study["rating"])
    found = analysed(small_study)
    entry = next(entry for entry in found["individual_readers"] if entry["reader"] == "cem")
    assert entry["value"]["estimate"] == 1
    assert entry["value"]["ci_low"] is None
    assert "variance is zero" in entry["value"]["status"]
    assert any("cem has an AUROC of 1" in text for text in found["warnings"])


def test_one_reader_is_labelled_as_such(small_study: pd.DataFrame) -> None:
    found = analysed(small_study[small_study["reader"].isin(["AI", "bob"])], by=None)
    assert found["model"].startswith("fixed readers")
    assert found["ai_versus_readers"]["p"] is not None
    assert any("one reader" in text for text in found["warnings"])
    assert "one reader says nothing about readers" in found["ai_versus_readers"]["fixed_cases"]["status"]


def test_one_reader_of_two_modalities_is_judged_alone(small_study: pd.DataFrame) -> None:
    reader = small_study[small_study["reader"] == "bob"]
    both = pd.concat([reader, reader.assign(modality="aided", rating=reader["rating"] + 0.5 * reader["truth"])])
    found = analyse(both, cluster="patient")
    assert "For these readers only:" in found["conclusion"]
    assert found["tests"]["fixed_readers"]["p"] is not None
    assert found["tests"]["random_readers_random_cases"]["p"] is None


def test_without_ai_the_missing_readings_point_to_it(small_study: pd.DataFrame) -> None:
    with pytest.raises(UltraFMError, match="name it with --ai"):
        analyse(small_study)


def test_only_areas_are_said_to_rank_cases(small_study: pd.DataFrame) -> None:
    better = small_study.assign(
        rating=small_study["rating"] + 3 * small_study["truth"] * (small_study["reader"] == "AI")
    )
    ranked, called = (
        analysed(better, endpoint=one)["conclusion"]
        for one in (Endpoint(), Endpoint("sensitivity", threshold=2, ai_threshold=2))
    )
    assert "the AI ranks cases better than these kinds of readers" in ranked
    assert "the AI's value is higher than that of these kinds of readers" in called and "ranks" not in called


def test_one_modality_alone(small_study: pd.DataFrame) -> None:
    found = analyse(small_study[small_study["reader"] != "AI"], by="level")
    assert found["kind"] == "one_modality"
    assert found["modalities"][0]["modality"] == "unaided"
    assert found["modalities"][0]["ci_low"] < found["modalities"][0]["estimate"]
    assert "modality unaided, mean" in summarise(found)


def test_two_modalities_by_level(small_study: pd.DataFrame) -> None:
    readers = small_study[small_study["reader"] != "AI"]
    aided = readers.assign(modality="aided", rating=readers["rating"] + readers["truth"])
    found = analyse(pd.concat([readers, aided]), by="level", cluster="patient")
    assert found["kind"] == "modalities"
    assert found["tests"]["random_readers_random_cases"]["first"] == "aided"
    assert found["tests"]["random_readers_random_cases"]["difference"] > 0
    assert list(found["levels"]) == ["junior", "expert"]
    assert "aided minus unaided (primary)" in summarise(found)


def test_readers_of_one_modality_each_are_counted_in_the_one_that_is_compared(small_study: pd.DataFrame) -> None:
    table = small_study.assign(modality=small_study["modality"].where(~small_study["reader"].isin(["ann"]), "aided"))
    found = analyse(table, ai="AI")
    assert found["counts"]["readers"] == 4 and "AI minus 3 readers in modality unaided" in found["conclusion"]


def test_a_reader_without_a_level_is_named(small_study: pd.DataFrame) -> None:
    table = small_study.assign(level=small_study["level"].where(small_study["reader"] != "bob", ""))
    with pytest.raises(UltraFMError, match="column 'level': found reader 'bob' without one; expected one level"):
        analyse(table, ai="AI", by="level")


def test_ai_beside_two_modalities_says_which_one_it_is_compared_with(small_study: pd.DataFrame) -> None:
    readers = small_study[small_study["reader"] != "AI"]
    aided = readers.assign(modality="aided", rating=readers["rating"] + readers["truth"])
    table = pd.concat([small_study, aided])
    found = analyse(table, ai="AI")
    told = summarise(found)
    assert "AI minus readers, unaided (primary)" in told and told.count("AI minus readers, aided") == 1
    assert "AI minus 4 readers in modality unaided" in found["conclusion"]
    assert "ann (junior, modality unaided)" in told and "ann (modality aided)" in told
    assert not any("no modality is called" in text for text in found["warnings"])
    renamed = analyse(table.replace({"modality": {"unaided": "without AI", "aided": "with AI"}}), ai="AI")
    assert "in modality with AI" in renamed["conclusion"]
    assert any("first compared with 'with AI'" in text for text in renamed["warnings"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ai": "Ai"}, "--ai"),
        ({"cluster": "patiens"}, "did you mean 'patient'"),
        ({"covariance": "delongs"}, "did you mean 'delong'"),
        ({"margin": 1.5}, "--margin"),
        ({"margin": 0.0}, "--margin"),
        ({"by": "levels"}, "did you mean 'level'"),
        ({"by": "case"}, "one case for each reader"),
        ({"ai": None}, "margin"),
        ({"covariance": "bootstrap", "replicates": 0}, "two at least"),
    ],
)
def test_bad_options(small_study: pd.DataFrame, options: dict, words: str) -> None:
    with pytest.raises(UltraFMError, match=words):
        analysed(small_study, **options)


def test_file_in_and_json_out(small_study: pd.DataFrame, tmp_path: Path) -> None:
    small_study.to_csv(tmp_path / "r.csv", index=False)
    found = analyse_file(
        tmp_path / "r.csv", ai="AI", cluster="patient", margin=0.05, by="level", json_out=tmp_path / "o.json"
    )
    assert json.loads((tmp_path / "o.json").read_text()) == found
    assert found["ai_versus_readers"] == analysed(small_study)["ai_versus_readers"]
    assert found["source"] == "r.csv"


def test_summary_says_what_matters(small_study: pd.DataFrame) -> None:
    text = summarise(analysed(small_study.assign(simulated="yes")))
    for words in (
        "SIMULATED readers",
        "AI minus readers",
        "Obuchowski 1997",
        "one-sided alpha 0.025",
        "Holm",
        "Warning",
    ):
        assert words in text
    assert "nan" not in text.lower()


def test_tables_and_conclusion(small_study: pd.DataFrame) -> None:
    found = analysed(small_study.assign(simulated="yes"))
    assert len(difference_table(found)) == 1 + 2 + 2
    assert reader_table(found)["reader"].tolist() == ["ann", "bob", "cem", "dan"]
    assert "simulated" in conclusion(found)


def test_no_torch() -> None:
    code = (
        "import sys, ultrafm.readers, ultrafm.readers.figures, ultrafm.readers.cases; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])
