"""The commands beside `readers analyse` as such: thresholds, tables, power, import; reading times."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ultrafm.cli import main
from ultrafm.readers import Endpoint, analyse, load_ratings, summarise


def test_a_threshold_adds_operating_points_and_agreement(small_study: pd.DataFrame, tmp_path: Path, capsys) -> None:
    small_study.to_csv(tmp_path / "r.csv", index=False)
    words = f"readers analyse {tmp_path}/r.csv --ai AI --cluster patient --by level --threshold 1 --ai-threshold 1"
    assert main([*words.split(), "--json", str(tmp_path / "o.json"), "--tables", str(tmp_path / "t")]) == 0
    found = json.loads((tmp_path / "o.json").read_text())
    assert len(found["operating_points"]) == 2 * 5 and len(found["ai_pairs"]) == 2 * 2 * 4
    assert [row["disease"] for row in found["matched"]] == ["goitre", "gout"]
    assert {row["group"] for row in found["agreement"]} == {"all", "junior", "expert"}
    pairs = [(row["first"], row["second"]) for row in found["agreement_pairs"] if row["disease"] == "gout"]
    assert pairs == [("ann", "bob"), ("cem", "dan")] and found["agreement_pairs"][0]["lower"] is not None
    assert (tmp_path / "t" / "tests.tex").exists()
    told = capsys.readouterr().out
    assert "Operating points" in told and "AI at readers' sensitivity" in told


def test_readers_alone_have_operating_points_too(small_study: pd.DataFrame) -> None:
    found = analyse(small_study[small_study["reader"] != "AI"], endpoint=Endpoint(threshold=1.0))
    assert len(found["operating_points"]) == 2 * 4 and "ai_pairs" not in found and "matched" not in found
    assert "Operating points" in summarise(found)


def test_claims_and_equivalence_on_the_command_line(small_study: pd.DataFrame, tmp_path: Path, capsys) -> None:
    small_study.to_csv(tmp_path / "r.csv", index=False)
    words = f"readers analyse {tmp_path}/r.csv --ai AI --by level --margin 0.1 --equivalence 0.1"
    words += " --claim superiority:junior --claim equivalence:expert:0.1 --covariance bootstrap --seed 3"
    assert main(words.split()) == 0
    told = capsys.readouterr().out
    assert "Claims stated beforehand" in told and "closed order" in told and "bootstrap of cases" in told


def test_partial_auc_on_the_command_line(small_study: pd.DataFrame, tmp_path: Path, capsys) -> None:
    small_study.to_csv(tmp_path / "r.csv", index=False)
    assert main(f"readers analyse {tmp_path}/r.csv --ai AI --endpoint partial_auc --min-specificity 0.7".split()) == 0
    assert "specificity 0.7 to 1" in capsys.readouterr().out


def test_power_of_a_pilot(reader_data: Path, capsys) -> None:
    words = f"readers power {reader_data}/nico_ai.csv --ai AI --effect 0.05 --readers 5,9 --cases 100,400"
    assert main(words.split()) == 0
    told = capsys.readouterr().out
    assert "cases for 80% power" in told and "40% of cases diseased" in told and "AgainstPilot" not in told
    assert main(f"readers power {reader_data}/nico_ai.csv --ai AI --effect -0.04 --margin 0.05".split()) == 0
    told = capsys.readouterr().out
    assert "non-inferior to readers, margin 0.05, alpha 0.025" in told and "not reached" in told
    assert main(f"readers power {reader_data}/nico_ai.csv --effect 0.05 --margin 0.05".split()) == 1
    assert main(f"{words} --readers five".split()) == 1
    assert "whole numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--effect 5", "--effect: found 5; expected a difference between -1 and 1"),
        ("--effect 0", "--effect: found 0 without a margin"),
        ("--effect 0 --margin 5", "--margin: found 5"),
        ("--effect -0.05 --margin 0.05", "expected above -0.05"),
    ],
)
def test_power_of_a_senseless_effect_is_refused(reader_data: Path, words: str, told: str, capsys) -> None:
    assert main(f"readers power {reader_data}/nico_ai.csv --ai AI {words}".split()) == 1
    assert told in capsys.readouterr().err


def test_power_of_one_modality_says_what_is_missing(reader_data: Path, capsys) -> None:
    assert main(f"readers power {reader_data}/nico_ai.csv --effect 0.05".split()) == 1
    assert "name the AI with --ai" in capsys.readouterr().err


def test_import_of_a_spreadsheet_with_decimal_commas(tmp_path: Path, capsys) -> None:
    rows = "\n".join(f"i{case};{case % 2};0,{case % 7}" for case in range(8))
    (tmp_path / "w.csv").write_text(f"case;truth;R1\n{rows}\n")
    words = f"readers import {tmp_path}/w.csv --out {tmp_path}/r.csv --form wide --reading R1=Kim:unaided"
    assert main(words.split()) == 1
    assert "--decimal-comma" in capsys.readouterr().err
    assert main([*words.split(), "--decimal-comma"]) == 0
    assert load_ratings(tmp_path / "r.csv")["rating"].tolist() == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0]


def test_import_of_a_wide_table(tmp_path: Path, capsys) -> None:
    rows = "\n".join(f"i{case},{'HCC' if case % 2 else 'none'},{case % 3},{case % 2}" for case in range(8))
    (tmp_path / "w.csv").write_text(f"image,truth,R1,R2\n{rows}\n")
    words = f"readers import {tmp_path}/w.csv --out {tmp_path}/r.csv --form wide --column case=image --positive HCC"
    assert main([*words.split(), "--reading", "R1=Kim:unaided", "--reading", "R2=Lee:unaided"]) == 0
    found = load_ratings(tmp_path / "r.csv")
    assert sorted(found["reader"].unique()) == ["Kim", "Lee"] and found["truth"].sum() == 8
    assert "16 readings of 8 cases by 2 readers" in capsys.readouterr().out
    assert main(words.split()) == 1
    assert main([*words.split(), "--reading", "R1"]) == 1
    assert "--reading 'R1 aided=Kim:aided'" in capsys.readouterr().err
    assert main(f"readers import {tmp_path}/none.csv --out {tmp_path}/r.csv".split()) == 1


def test_import_of_the_long_form_of_mrmcaov(tmp_path: Path, reader_data: Path) -> None:
    text = (reader_data / "vandyke.csv").read_text().replace("modality", "treatment", 1)
    (tmp_path / "v.csv").write_text(text)
    assert main(f"readers import {tmp_path}/v.csv --form mrmcaov --out {tmp_path}/r.csv".split()) == 0
    assert (
        analyse(load_ratings(tmp_path / "r.csv"))["tests"]
        == analyse(load_ratings(reader_data / "vandyke.csv"))["tests"]
    )


def test_reading_times(small_study: pd.DataFrame) -> None:
    readers = small_study[small_study["reader"] != "AI"]
    both = pd.concat([readers.assign(modality="aided", seconds=20.0), readers.assign(modality="unaided", seconds=30.0)])
    both["seconds"] *= np.where(both["reader"] == "ann", 1.1, 1.0) * np.where(both["modality"] == "aided", 1.0, 1.02)
    both.loc[(both["reader"] == "bob") & (both["modality"] == "aided"), "seconds"] *= 1.2
    found = analyse(both, by="level", cluster="patient")["reading_time"]
    assert {(row["modality"], row["group"]) for row in found["medians"]} >= {("aided", "all"), ("unaided", "expert")}
    wanted = (20 / 30.6) * 1.2 ** (1 / 4)
    assert found["ratio"]["ratio"] == pytest.approx(wanted)
    assert found["ratio"]["ci_low"] < wanted < found["ratio"]["ci_high"]
    assert analyse(readers)["reading_time"] is None
