"""Agreement with the R packages MRMCaov and RJafroc, to nine digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ultrafm.readers import analyse_file
from ultrafm.readers.covariance import joint_covariance
from ultrafm.readers.design import cross
from ultrafm.readers.ratings import load_ratings
from ultrafm.readers.two_treatments import compare_modalities

CLOSE = {"rel": 1e-9, "abs": 1e-13}
MODELS = (("RRRC", "random"), ("FRRC", "fixed_readers"), ("RRFC", "fixed_cases"))


def compared(path: Path, covariance: str, floor: bool = False):
    """The two modalities of a classic data set, compared."""
    table = load_ratings(path)
    readers = sorted(set(table["reader"]))
    curves = [(reader, modality) for modality in ("1", "2") for reader in readers]
    aucs, joint = joint_covariance(cross(table, curves), covariance)
    size = len(curves)
    return compare_modalities(aucs.reshape(2, -1), joint.reshape(size, size), floor=floor)


def test_auc_of_each_reader(reader_data: Path, expected: dict) -> None:
    for name in ("vandyke", "franken"):
        found = analyse_file(reader_data / f"{name}.csv")
        values = {f"{row['modality']}.{row['reader']}": row["auc"] for row in found["auc"]}
        assert values == pytest.approx(expected[name]["auc"], **CLOSE)


@pytest.mark.parametrize("name", ["vandyke", "franken"])
@pytest.mark.parametrize("covariance", ["jackknife", "DeLong"])
@pytest.mark.parametrize(("theirs", "ours"), MODELS)
def test_two_modalities(reader_data: Path, expected: dict, name: str, covariance: str, theirs: str, ours: str) -> None:
    found = getattr(compared(reader_data / f"{name}.csv", covariance.lower()), ours)
    wanted = expected[name][covariance][theirs]
    equality, difference = wanted["test_equality"], wanted["test_diffs"]
    assert found.equality.statistic == pytest.approx(equality.get("F", equality.get("X2")), **CLOSE)
    assert found.equality.p_value == pytest.approx(equality["p-value"], abs=1e-12)
    assert found.equality.df2 == (pytest.approx(equality["df2"], **CLOSE) if "df2" in equality else None)
    if "Denominator" in equality:
        assert found.equality.denominator == pytest.approx(equality["Denominator"], **CLOSE)
    (ours_difference,) = found.differences
    assert ours_difference.estimate == pytest.approx(difference["Estimate"], **CLOSE)
    assert ours_difference.standard_error == pytest.approx(difference["StdErr"], **CLOSE)
    assert ours_difference.ci_low == pytest.approx(difference["CI.Lower"], **CLOSE)
    assert ours_difference.ci_high == pytest.approx(difference["CI.Upper"], **CLOSE)
    assert ours_difference.statistic == pytest.approx(difference.get("t", difference.get("z")), **CLOSE)
    assert ours_difference.p_value == pytest.approx(difference["p-value"], abs=1e-12)


@pytest.mark.parametrize("name", ["vandyke", "franken"])
@pytest.mark.parametrize("covariance", ["jackknife", "DeLong"])
def test_variance_components(reader_data: Path, expected: dict, name: str, covariance: str) -> None:
    parts = compared(reader_data / f"{name}.csv", covariance.lower()).variances
    ours = {"reader": parts.reader, "modality:reader": parts.modality_reader, "Error": parts.variance}
    ours |= {"Cov1": parts.cov1, "Cov2": parts.cov2, "Cov3": parts.cov3}
    assert ours == pytest.approx(expected[name][covariance]["RRRC"]["components"], **CLOSE)


def test_fixed_reader_floor_is_an_option(reader_data: Path) -> None:
    """Franken has Cov2 < Cov3: Iowa's program and RJafroc print 0.57100, MRMCaov 0.54632 (their documentation)."""
    path = reader_data / "franken.csv"
    assert compared(path, "jackknife").fixed_readers.equality.p_value == pytest.approx(0.54632, abs=5e-6)
    assert compared(path, "jackknife", floor=True).fixed_readers.equality.p_value == pytest.approx(0.57100, abs=5e-6)


def test_floor_changes_the_components_of_franken_only(reader_data: Path) -> None:
    """RJafroc: Var(TR) = MS(TR) - V + Cov1 + 0, and Var(R) from it; Van Dyke has Cov2 > Cov3 and stays."""
    plain, floored = (compared(reader_data / "franken.csv", "jackknife", floor).variances for floor in (False, True))
    assert floored.modality_reader == pytest.approx(plain.ms_interaction - plain.variance + plain.cov1, rel=1e-12)
    wanted = plain.ms_reader - floored.modality_reader - plain.variance + plain.cov2 - plain.cov1 + plain.cov3
    assert floored.reader == pytest.approx(wanted / 2, rel=1e-12)
    both = [compared(reader_data / "vandyke.csv", "jackknife", floor).variances for floor in (False, True)]
    assert both[0] == both[1]


def test_ai_against_nine_readers(reader_data: Path, expected: dict) -> None:
    """RJafroc gives readers minus AI; ours is AI minus readers."""
    found, wanted = analyse_file(reader_data / "nico_ai.csv", ai="AI", covariance="jackknife"), expected["nico_ai"]
    both, cases = wanted["1T-RRRC"], wanted["1T-RRFC"]
    primary = found["ai_versus_readers"]
    fixed = primary["fixed_cases"]
    assert found["sign"] == "AI minus readers"
    assert primary["ai"]["estimate"] == pytest.approx(both["fomCAD"], **CLOSE)
    assert primary["readers"]["estimate"] == pytest.approx(both["avgRadFom"], **CLOSE)
    assert primary["difference"] == pytest.approx(-both["avgDiffFom"], **CLOSE)
    assert [-primary["ci_high"], -primary["ci_low"]] == pytest.approx(both["CIAvgDiffFom"], **CLOSE)
    assert primary["statistic"] == pytest.approx(-both["Tstat"], **CLOSE)
    assert primary["df"] == pytest.approx(both["df"], **CLOSE)
    assert primary["p"] == pytest.approx(both["pval"], abs=1e-12)
    assert found["components"]["mean_square"] == pytest.approx(both["varR"], **CLOSE)
    assert found["components"]["variance"] == pytest.approx(both["varError"], **CLOSE)
    assert found["components"]["cov2"] == pytest.approx(both["cov2"], **CLOSE)
    assert fixed["statistic"] == pytest.approx(-cases["Tstat"], **CLOSE)
    assert fixed["df"] == cases["df"]
    assert fixed["p"] == pytest.approx(cases["pval"], abs=1e-12)
    assert [-fixed["ci_high"], -fixed["ci_low"]] == pytest.approx(cases["CIAvgDiffFom"], **CLOSE)


def test_ai_against_nine_readers_with_delong(reader_data: Path) -> None:
    """Printed by MRMCaov with the AI replicated and by RJafroc: SE 0.0318676, df 867.340, p 0.319589."""
    primary = analyse_file(reader_data / "nico_ai.csv", ai="AI")["ai_versus_readers"]
    assert primary["se"] == pytest.approx(0.0318676, abs=5e-8)
    assert primary["df"] == pytest.approx(867.340, abs=5e-4)
    assert primary["p"] == pytest.approx(0.319589, abs=5e-7)


def test_one_treatment_equals_two_treatments_with_the_ai_replicated(reader_data: Path) -> None:
    """Entering the AI once per reader as a second modality gives the same test (mrmc: four programs, one formula)."""
    table = load_ratings(reader_data / "nico_ai.csv")
    readers = [f"R{number}" for number in range(1, 10)]
    aucs, joint = joint_covariance(cross(table, [("AI", "1")] + [(reader, "1") for reader in readers]))
    picks = np.concatenate([np.zeros(9, dtype=int), np.arange(1, 10)])
    covariance = joint[0][:, 0][np.ix_(picks, picks)]
    found = compare_modalities(aucs[0][picks].reshape(2, 9), covariance).random.differences[0]
    one = analyse_file(reader_data / "nico_ai.csv", ai="AI")["ai_versus_readers"]
    assert [found.estimate, found.standard_error, found.df] == pytest.approx(
        [one["difference"], one["se"], one["df"]], rel=1e-9
    )


def test_confidence_interval_of_one_modality(reader_data: Path) -> None:
    """Van Dyke, DeLong, modality 1: MS(R) + J Cov2 over the five AUROCs, single-modality formula, from its parts."""
    parts = compared(reader_data / "vandyke.csv", "delong")
    found, aucs = (
        parts.means[0],
        np.array([0.919645732689211, 0.85877616747182, 0.903864734299517, 0.973107890499195, 0.829790660225443]),
    )
    assert found.estimate == pytest.approx(aucs.mean(), rel=1e-12)
    spread = aucs.var(ddof=1)
    assert found.df == pytest.approx(4 * (5 * found.standard_error**2 / spread) ** 2, rel=1e-9)
