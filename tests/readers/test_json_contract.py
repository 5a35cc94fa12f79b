"""What `ultrafm readers analyse --json` writes: the names that others rely on, with the reference numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from ultrafm.cli import main

CLOSE = {"rel": 1e-9, "abs": 1e-13}
KEYS = {"difference", "se", "df", "statistic", "p", "ci_low", "ci_high"}
MODELS = {"RRRC": "random_readers_random_cases", "FRRC": "fixed_readers", "RRFC": "fixed_cases"}


def command(tmp_path: Path, ratings: Path, *options: str) -> dict:
    out = tmp_path / "out.json"
    assert main(["readers", "analyse", str(ratings), *options, "--json", str(out)]) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize("name", ["vandyke", "franken"])
@pytest.mark.parametrize("method", ["jackknife", "DeLong"])
def test_modalities(tmp_path: Path, reader_data: Path, expected: dict, name: str, method: str) -> None:
    found = command(tmp_path, reader_data / f"{name}.csv", "--covariance", method.lower())
    assert (found["design"], found["covariance"], found["cluster"]) == ("fully crossed", method.lower(), None)
    assert {f"{row['modality']}.{row['reader']}": row["auc"] for row in found["auc"]} == pytest.approx(
        expected[name]["auc"], **CLOSE
    )
    parts = expected[name][method]["RRRC"]["components"]
    ours = [found["components"][key] for key in ("reader", "modality_reader", "variance", "cov1", "cov2", "cov3")]
    assert ours == pytest.approx(
        [parts[key] for key in ("reader", "modality:reader", "Error", "Cov1", "Cov2", "Cov3")], **CLOSE
    )
    for theirs, key in MODELS.items():
        wanted, test = expected[name][method][theirs]["test_diffs"], found["tests"][key]
        assert set(test) >= KEYS
        names = {"difference": "Estimate", "se": "StdErr", "ci_low": "CI.Lower", "ci_high": "CI.Upper"}
        assert {mine: test[mine] for mine in names} == pytest.approx(
            {mine: wanted[other] for mine, other in names.items()}, **CLOSE
        )
        assert test["statistic"] == pytest.approx(wanted.get("t", wanted.get("z")), **CLOSE)
        assert test["df"] == (pytest.approx(wanted["df"], **CLOSE) if "df" in wanted else None)
        assert test["p"] == pytest.approx(wanted["p-value"], abs=1e-12)
        equality = expected[name][method][theirs]["test_equality"]
        assert test["equality"]["p_value"] == pytest.approx(equality["p-value"], abs=1e-12)
        assert test["equality"]["statistic"] == pytest.approx(equality.get("F", equality.get("X2")), **CLOSE)


def test_ai(tmp_path: Path, reader_data: Path, expected: dict) -> None:
    found = command(tmp_path, reader_data / "nico_ai.csv", "--ai", "AI", "--covariance", "jackknife")
    wanted, test = expected["nico_ai"]["1T-RRRC"], found["ai_versus_readers"]
    assert set(test) >= KEYS and "tests" not in found
    assert test["difference"] == pytest.approx(-wanted["avgDiffFom"], **CLOSE)
    assert [-test["ci_high"], -test["ci_low"]] == pytest.approx(wanted["CIAvgDiffFom"], **CLOSE)
    assert [test["statistic"], test["df"]] == pytest.approx([-wanted["Tstat"], wanted["df"]], **CLOSE)
    assert test["p"] == pytest.approx(wanted["pval"], abs=1e-12)
    assert [row["auc"] for row in found["auc"]] == pytest.approx([wanted["fomCAD"], *wanted["fomRAD"]], **CLOSE)
    assert found["components"]["cov2"] == pytest.approx(wanted["cov2"], **CLOSE)


def test_ai_and_two_modalities_by_level(tmp_path: Path, small_study: pd.DataFrame) -> None:
    """AI, unaided and aided readers in one table: both kinds of test, for all readers and for each level."""
    readers = small_study[small_study["reader"] != "AI"]
    aided = readers.assign(modality="aided", rating=readers["rating"] + 0.8 * readers["truth"])
    pd.concat([small_study, aided]).to_csv(tmp_path / "r.csv", index=False)
    options = ("--ai", "AI", "--cluster", "patient", "--by", "level", "--margin", "0.1")
    found = command(tmp_path, tmp_path / "r.csv", *options)
    assert found["cluster"] == "patient" and found["ai_versus_readers"]["modality"] == "unaided"
    assert set(found["ai_versus_readers"]["by_modality"]) == {"aided", "unaided"}
    assert len(found["auc"]) == 1 + 2 * 4
    for place in (found, *found["levels"].values()):
        assert set(place["ai_versus_readers"]) >= KEYS
        for model in MODELS.values():
            assert set(place["tests"][model]) >= KEYS
        assert "cov3" in place["components"] and "mean_square" in place["ai_components"]
    alone = command(tmp_path, tmp_path / "r.csv", *options)
    assert alone == found
    small_study.to_csv(tmp_path / "u.csv", index=False)
    unaided = command(tmp_path, tmp_path / "u.csv", *options)
    assert unaided["ai_versus_readers"]["p"] == found["ai_versus_readers"]["p"]
    assert found["tests"]["random_readers_random_cases"]["difference"] > 0


def test_three_modalities_have_the_test_of_equality_at_the_top(tmp_path: Path, reader_data: Path) -> None:
    """Van Dyke with a third modality that is the first once more: F on two degrees of freedom, three pairs."""
    table = pd.read_csv(reader_data / "vandyke.csv")
    pd.concat([table, table[table["modality"] == 1].assign(modality=3)]).to_csv(tmp_path / "r.csv", index=False)
    test = command(tmp_path, tmp_path / "r.csv")["tests"]["random_readers_random_cases"]
    assert set(test) >= KEYS and test["difference"] is None
    assert (test["statistic"], test["p"]) == (test["equality"]["statistic"], test["equality"]["p_value"])
    assert [(pair["first"], pair["second"]) for pair in test["pairs"]] == [("1", "2"), ("1", "3"), ("2", "3")]
    assert test["pairs"][1]["difference"] == 0
    assert test["pairs"][0]["p_holm"] >= test["pairs"][0]["p"]


def test_levels_have_their_own_values(tmp_path: Path, small_study: pd.DataFrame) -> None:
    small_study.to_csv(tmp_path / "r.csv", index=False)
    found = command(tmp_path, tmp_path / "r.csv", "--ai", "AI", "--by", "level", "--cluster", "patient")
    assert [row["reader"] for row in found["levels"]["expert"]["auc"]] == ["cem", "dan"]


def test_floor_is_an_option(tmp_path: Path, reader_data: Path) -> None:
    """Franken: fixed readers p .54632 as MRMCaov has it, .57100 as RJafroc and the Iowa program have it."""
    options = ("--covariance", "jackknife")
    plain = command(tmp_path, reader_data / "franken.csv", *options)["tests"]["fixed_readers"]
    floored = command(tmp_path, reader_data / "franken.csv", *options, "--floor")["tests"]["fixed_readers"]
    assert (plain["p"], floored["p"]) == pytest.approx((0.54632, 0.57100), abs=5e-6)
