"""Designs that are not fully crossed: their names, and that their tests say what the formulas say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ultrafm.downstream.auc import auc_covariance
from ultrafm.errors import UltraFMError
from ultrafm.readers import Endpoint, analyse
from ultrafm.readers.nested import compare_nested

MODALITIES = ("1", "2")


@pytest.fixture
def crossed() -> pd.DataFrame:
    """Six readers, two modalities, 60 cases."""
    generator, rows = np.random.default_rng(8), []
    for modality in MODALITIES:
        for reader in "abcdef":
            for case in range(60):
                rating = round((1.0 + 0.3 * (modality == "2")) * (case % 2) + generator.standard_normal(), 1)
                rows.append((reader, modality, f"c{case:02}", case % 2, rating))
    return pd.DataFrame(rows, columns=["reader", "modality", "case", "truth", "rating"])


def number(case: pd.Series) -> pd.Series:
    return case.str[1:].astype(int)


def random_test(found: dict) -> dict:
    return found["tests"]["random_readers_random_cases"]


def test_crossed_is_named(crossed: pd.DataFrame) -> None:
    found = analyse(crossed)
    assert (found["design"], found["divided"], found["counts"]["missing_readings"]) == ("fully crossed", None, 0)


@pytest.mark.parametrize(
    ("keep", "divided"),
    [
        (lambda t: (t["reader"] < "d") == (t["modality"] == "1"), "readers within modalities"),
        (lambda t: (t["reader"] < "d") == (number(t["case"]) < 30), "readers and cases in blocks"),
        (lambda t: t["reader"].map(ord) - ord("a") == number(t["case"]) // 10, "cases within readers"),
        (lambda t: (t["modality"] == "1") == (number(t["case"]) < 30), "cases within modalities"),
    ],
)
def test_split_plots_are_named_and_tested(crossed: pd.DataFrame, keep, divided: str) -> None:
    found = analyse(crossed[keep(crossed)])
    assert (found["design"], found["divided"]) == ("split-plot", divided)
    assert found["counts"]["missing_readings"] > 0
    test = random_test(found)
    assert 0 < test["p"] <= 1 and test["ci_low"] < test["difference"] < test["ci_high"]


def test_blocks_by_hand(crossed: pd.DataFrame) -> None:
    """Differences of each reader on own cases; Cov2 is the mean over all pairs, zero between the blocks."""
    kept = crossed[(crossed["reader"] < "d") == (number(crossed["case"]) < 30)]
    differences, spread = np.empty(6), np.zeros((6, 6))
    for block, readers in enumerate(("abc", "def")):
        rows = kept[kept["reader"].isin(list(readers))].pivot(
            index=["modality", "reader"], columns="case", values="rating"
        )
        truth = number(pd.Series(rows.columns)) % 2
        aucs, covariance = auc_covariance(rows.to_numpy(), truth)
        contrast = np.hstack([np.eye(3), -np.eye(3)])
        place = slice(3 * block, 3 * block + 3)
        differences[place], spread[place, place] = contrast @ aucs, contrast @ covariance @ contrast.T
    cov2 = (spread.sum() - np.trace(spread)) / 30
    denominator = differences.var(ddof=1) + 6 * max(cov2, 0)
    test = random_test(analyse(kept))
    assert test["difference"] == pytest.approx(differences.mean(), rel=1e-12)
    assert test["se"] == pytest.approx(np.sqrt(denominator / 6), rel=1e-10)
    assert test["df"] == pytest.approx(5 * (denominator / differences.var(ddof=1)) ** 2, rel=1e-10)


def test_cases_within_readers_have_no_shared_variance(crossed: pd.DataFrame) -> None:
    kept = crossed[crossed["reader"].map(ord) - ord("a") == number(crossed["case"]) // 10]
    found = analyse(kept)
    assert [found["components"][name] for name in ("cov2", "cov3")] == pytest.approx([0, 0], abs=1e-15)
    assert not any("Cov2" in text for text in found["warnings"])
    assert random_test(found)["df"] == pytest.approx(5)
    assert random_test(found)["p"] == pytest.approx(found["tests"]["fixed_cases"]["p"])


def test_cases_within_modalities_have_no_covariance_between_them(crossed: pd.DataFrame) -> None:
    kept = crossed[(crossed["modality"] == "1") == (number(crossed["case"]) < 30)]
    parts = analyse(kept)["components"]
    assert [parts["cov1"], parts["cov3"]] == pytest.approx([0, 0], abs=1e-15)
    assert abs(parts["cov2"]) > 1e-6


def test_readers_within_modalities_by_hand() -> None:
    """Two readers in each of two modalities: MS(R within T) = .0005, Cov2 = 2e-4, Cov3 = 1e-4, D = 5e-4 + 2 * 1e-4."""
    values = np.array([0.80, 0.84, 0.90, 0.92])
    covariance = np.full((4, 4), 1e-4)
    covariance[:2, :2] = covariance[2:, 2:] = 2e-4
    np.fill_diagonal(covariance, 5e-4)
    found = compare_nested(values, covariance, [0, 0, 1, 1])
    assert found.variances.ms_reader_within == pytest.approx(0.0005)
    assert found.variances.denominator == pytest.approx(7e-4)
    (difference,) = found.random.differences
    assert difference.estimate == pytest.approx(-0.09)
    assert difference.standard_error == pytest.approx(np.sqrt(7e-4))
    assert difference.df == pytest.approx(2 * (7 / 5) ** 2)
    assert found.random.equality.statistic == pytest.approx(difference.statistic**2)
    assert found.random.equality.p_value == pytest.approx(difference.p_value)
    # fixed readers: (5 + 2) / 2 e-4 in each modality, minus twice 1e-4
    assert found.fixed_readers.differences[0].standard_error == pytest.approx(np.sqrt(7e-4 - 2e-4))
    assert found.fixed_readers.equality.p_value == pytest.approx(found.fixed_readers.differences[0].p_value)


def test_one_reader_in_a_modality_gives_a_reason() -> None:
    found = compare_nested(np.array([0.8, 0.84, 0.9]), np.eye(3) * 1e-4, [0, 0, 1])
    assert "one reader only" in found.random.differences[0].status
    assert found.random.differences[0].estimate == pytest.approx(-0.08)


def test_ai_against_readers_in_blocks_equals_crossed_when_there_is_one_block(small_study: pd.DataFrame) -> None:
    """A reader's missing half: AI and reader are compared on the reader's cases, the others as before."""
    table = small_study[small_study["disease"] == "gout"]
    whole = analyse(table, ai="AI")
    half = table["case"].str.split(" ").str[1].astype(int) < 12
    kept = analyse(table[(table["reader"] == "AI") | (half == table["reader"].isin(["ann", "bob"]))], ai="AI")
    assert (kept["design"], kept["divided"]) == ("split-plot", "readers and cases in blocks")
    assert kept["ai_versus_readers"]["se"] != whole["ai_versus_readers"]["se"]
    ann = next(entry for entry in kept["individual_readers"] if entry["reader"] == "ann")
    alone = analyse(table[half & table["reader"].isin(["AI", "ann"])], ai="AI")
    for name in ("difference", "se", "p"):
        assert ann["difference"][name] == pytest.approx(alone["ai_versus_readers"][name])


def test_incomplete_designs_use_every_reading(crossed: pd.DataFrame) -> None:
    holes = np.random.default_rng(1).random(len(crossed)) < 0.9
    found = analyse(crossed[holes])
    assert found["design"] == "incomplete"
    assert "Gallas" in found["model"]
    assert any("readings are missing, the first by reader 'a' (modality '1')" in text for text in found["warnings"])
    assert random_test(found)["p"] == pytest.approx(random_test(analyse(crossed))["p"], abs=0.25)


def test_a_reader_without_one_modality_is_left_out_by_name(crossed: pd.DataFrame) -> None:
    """Reader f has modality 1 only: the other five stay paired, as if f were not there."""
    lacking = crossed[(crossed["reader"] != "f") | (crossed["modality"] == "1")].assign(patient=crossed["case"])
    found = analyse(lacking, cluster="patient")
    alone = analyse(lacking[lacking["reader"] != "f"], cluster="patient")
    assert random_test(found) == random_test(alone) and found["components"] == alone["components"]
    told = " ".join(found["warnings"])
    assert "reader f: not in every modality" in told and "reader 'f', who has none in modality '2'" in told
    assert "not in every modality" not in " ".join(alone["warnings"])
    available = analyse(lacking)["tests"]["available_cases"]
    assert available["difference"] == pytest.approx(random_test(alone)["difference"])


def test_incomplete_against_ai(small_study: pd.DataFrame) -> None:
    table = small_study[small_study["disease"] == "gout"]
    holes = (np.random.default_rng(1).random(len(table)) < 0.9) | (table["reader"] == "AI").to_numpy()
    found = analyse(table[holes], ai="AI", by="level")
    assert found["design"] == "incomplete"
    whole = analyse(table, ai="AI")["ai_versus_readers"]
    assert found["ai_versus_readers"]["difference"] == pytest.approx(whole["difference"], abs=0.03)
    assert found["ai_versus_readers"]["se"] == pytest.approx(whole["se"], rel=0.5)


def test_one_missing_reading_of_several_diseases_changes_little(small_study: pd.DataFrame) -> None:
    """Every reader and the AI on the cases that she rated; patients kept together."""
    whole = analyse(small_study, ai="AI", cluster="patient", by="level")
    found = analyse(small_study.drop(index=small_study.index[-1]), ai="AI", cluster="patient", by="level")
    assert (found["design"], found["counts"]["missing_readings"]) == ("incomplete", 1)
    assert "each reader on the cases that she rated" in found["model"]
    for name in ("difference", "se"):
        assert found["ai_versus_readers"][name] == pytest.approx(whole["ai_versus_readers"][name], rel=0.1)
    assert [entry["disease"] for entry in found["diseases"]] == ["goitre", "gout"]
    assert any("1 reading is missing, the first by reader 'dan'" in text for text in found["warnings"])
    goitre, gout = (entry["difference"]["difference"] for entry in found["diseases"])
    assert (goitre + gout) / 2 == pytest.approx(found["ai_versus_readers"]["difference"])


def test_sensitivity_with_missing_readings_by_hand(small_study: pd.DataFrame) -> None:
    """AI minus reader on the diseased cases that the reader rated."""
    table = small_study[small_study["disease"] == "gout"]
    table = table[
        (table["reader"] != "ann") | (number(table["case"].str.replace("gout ", "c").str.split(" ").str[0]) > 5)
    ]
    found = analyse(table, ai="AI", endpoint=Endpoint("sensitivity", threshold=1.0, ai_threshold=1.5))
    wide = table[table["truth"] == 1].pivot(index="case", columns="reader", values="rating")
    ai = (wide["AI"] >= 1.5).astype(float)
    wanted = [
        (ai[wide[name].notna()].mean() - (wide[name].dropna() >= 1).mean()) for name in ("ann", "bob", "cem", "dan")
    ]
    assert found["ai_versus_readers"]["difference"] == pytest.approx(np.mean(wanted))


def test_available_cases_stand_beside_the_u_statistics(crossed: pd.DataFrame) -> None:
    found = analyse(crossed[np.random.default_rng(1).random(len(crossed)) < 0.9])
    other = found["tests"]["available_cases"]
    assert other["difference"] == pytest.approx(random_test(found)["difference"], abs=0.02)
    assert other["se"] > 0
    clustered = analyse(
        crossed[np.random.default_rng(1).random(len(crossed)) < 0.9].assign(patient=crossed["case"]), cluster="patient"
    )
    assert random_test(clustered)["se"] == pytest.approx(other["se"], rel=1e-9)


def test_a_reader_without_a_disease_is_told(small_study: pd.DataFrame) -> None:
    kept = small_study[(small_study["reader"] != "dan") | (small_study["disease"] == "gout")]
    with pytest.raises(
        UltraFMError, match=r"disease 'goitre': found reader 'dan' .modality 'unaided'. without a rating"
    ):
        analyse(kept, ai="AI")


def test_ai_must_have_read_all_cases(small_study: pd.DataFrame) -> None:
    table = small_study[small_study["disease"] == "gout"]
    with pytest.raises(UltraFMError, match="1 cases without a rating by 'AI'"):
        analyse(table.drop(index=table.index[0]), ai="AI")


def test_ai_beside_readers_nested_in_modalities(crossed: pd.DataFrame) -> None:
    nested = crossed[(crossed["reader"] < "d") == (crossed["modality"] == "1")]
    ai = crossed[(crossed["reader"] == "a") & (crossed["modality"] == "1")].assign(reader="AI", modality="standalone")
    found = analyse(pd.concat([nested, ai]), ai="AI")
    assert (found["design"], found["divided"]) == ("split-plot", "readers within modalities")
    assert found["counts"]["readers"] == 6 and set(found["ai_versus_readers"]["by_modality"]) == {"1", "2"}
    alone = analyse(nested)
    assert random_test(found) == random_test(alone)
