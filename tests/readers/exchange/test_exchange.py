"""Readings from elsewhere become the same ratings table; results go out as CSV and LaTeX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.readers import analyse
from ultrafm.readers.exchange import (
    export_tables,
    from_imrmc,
    from_long,
    from_rjafroc,
    from_wide,
    latex_table,
    result_tables,
    to_imrmc,
)
from ultrafm.readers.ratings import check_ratings

KEYS = ["reader", "modality", "case", "truth", "rating"]


@pytest.fixture
def study() -> pd.DataFrame:
    """Three readers, two modalities, 12 cases."""
    generator, rows = np.random.default_rng(2), []
    for modality in ("aided", "unaided"):
        for reader in ("1", "2", "10"):
            for case in range(12):
                rows.append((reader, modality, f"c{case}", case % 2, float(generator.integers(1, 6) + case % 2)))
    return pd.DataFrame(rows, columns=KEYS)


def same(found: pd.DataFrame, wanted: pd.DataFrame) -> bool:
    """Whether two tables hold the same readings, in whatever order."""
    sort = [check_ratings(table)[KEYS].astype(dict.fromkeys(KEYS[:3], str)) for table in (found, wanted)]
    first, second = (table.sort_values(KEYS[:3]).reset_index(drop=True) for table in sort)
    return first.equals(second)


def test_long_form_of_mrmcaov(study: pd.DataFrame) -> None:
    theirs = study.rename(columns={"modality": "treatment"})
    assert same(from_long(theirs, {"modality": "treatment"}), study)


def test_long_form_with_words_for_truth(study: pd.DataFrame) -> None:
    theirs = study.assign(truth=study["truth"].map({0: "Normal", 1: "Abnormal"})).drop(columns="modality")
    theirs = theirs[study["modality"] == "aided"].rename(columns={"rating": "score"})
    found = from_long(theirs, {"rating": "score"}, fixed={"modality": "aided"})
    assert same(found, study[study["modality"] == "aided"])
    named = from_long(
        theirs.assign(truth=theirs["truth"].replace("Abnormal", "HCC")),
        {"rating": "score"},
        {"modality": "aided"},
        "hcc",
    )
    assert same(named, study[study["modality"] == "aided"])


def test_wide_table_with_an_empty_cell(study: pd.DataFrame) -> None:
    wide = study.pivot(index=["case", "truth"], columns=["reader", "modality"], values="rating")
    wide.columns = [f"R{reader} {modality}" for reader, modality in wide.columns]
    wide = wide.reset_index().rename(columns={"case": "image"})
    readings = {
        f"R{reader} {modality}": (reader, modality) for reader in ("1", "2", "10") for modality in ("aided", "unaided")
    }
    assert same(from_wide(wide, readings, {"case": "image"}), study)
    wide["R2 aided"] = wide["R2 aided"].astype(object)
    wide.loc[3, "R2 aided"] = ""
    assert len(from_wide(wide, readings, {"case": "image"})) == len(study) - 1


def test_imrmc_there_and_back(study: pd.DataFrame) -> None:
    theirs = to_imrmc(study)
    assert list(theirs.columns) == ["readerID", "modalityID", "caseID", "score"]
    assert (theirs["readerID"] == "truth").sum() == 12
    assert same(from_imrmc(theirs), study)


def test_two_sheets_of_rjafroc(study: pd.DataFrame) -> None:
    names = {"reader": "ReaderID", "modality": "ModalityID", "case": "CaseID"}
    ill, well = (study[study["truth"] == truth].rename(columns=names) for truth in (1, 0))
    found = from_rjafroc(ill.rename(columns={"rating": "TP_Rating"}), well.rename(columns={"rating": "FP_Rating"}))
    assert same(found, study)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda t: from_long(t, {"modalty": "modality"}), "did you mean 'modality'"),
        (lambda t: from_long(t, {"modality": "treatment"}), "column map of 'modality'"),
        (lambda t: from_long(t, {}, positive="HCC"), "word for diseased"),
        (lambda t: from_wide(t, {"R1": ("1", "aided")}), "wide columns"),
        (lambda t: from_wide(t, {}), "no column of ratings"),
        (lambda t: from_imrmc(t), "readerID"),
        (lambda t: from_imrmc(to_imrmc(t).iloc[1:]), "case 'c0' without truth"),
        (lambda t: from_rjafroc(t, t), "TP_Rating"),
        (lambda t: to_imrmc(pd.concat([t.assign(disease="a"), t.assign(disease="b")])), "2 diseases"),
    ],
)
def test_problems_are_told(study: pd.DataFrame, work, words: str) -> None:
    with pytest.raises(UltraFMError, match=words):
        work(study)


def test_tables_hold_every_test(small_study: pd.DataFrame, tmp_path: Path) -> None:
    found = analyse(small_study.assign(simulated="yes"), ai="AI", cluster="patient", by="level")
    tables = result_tables(found)
    tests = tables["tests"].set_index(["readers", "model"])
    assert tests.loc[("all", "random_readers_random_cases"), "p"] == found["ai_versus_readers"]["p"]
    assert tests.loc[("expert", "random_readers_random_cases"), "p_holm"] == found["levels"]["expert"]["p_holm"]
    assert len(tables["tests"]) == 3 * 3 + 4
    paths = export_tables(found, tmp_path)
    assert {path.name for path in paths} == {f"{name}.{end}" for name in tables for end in ("csv", "tex")}
    back = pd.read_csv(tmp_path / "tests.csv")
    assert back["difference"].tolist() == pytest.approx(tables["tests"]["difference"].tolist(), rel=1e-15)
    assert "SIMULATED readers" in (tmp_path / "values.tex").read_text()
    for name in tables:
        assert set(pd.read_csv(tmp_path / f"{name}.csv")["readers_are"]) == {"simulated"}


def test_tables_tell_the_ai_against_every_modality(small_study: pd.DataFrame, tmp_path: Path) -> None:
    readers = small_study[small_study["reader"] != "AI"]
    aided = readers.assign(modality="aided", rating=readers["rating"] + readers["truth"])
    found = analyse(pd.concat([small_study, aided]), ai="AI", cluster="patient")
    tables = result_tables(found)
    tests = tables["tests"].set_index(["comparison", "model"])["difference"]
    for name, one in found["ai_versus_readers"]["by_modality"].items():
        assert tests[f"AI minus readers, {name}", "random_readers_random_cases"] == one["difference"]
    assert tests["AI minus readers, aided", "fixed_cases"] < tests["AI minus readers, unaided", "fixed_cases"]
    assert "cov2" in set(tables["ai_components"]["component"]) and "cov3" in set(tables["components"]["component"])
    export_tables(found, tmp_path)
    note = (tmp_path / "tests.tex").read_text()
    assert note.count("clustered by patient") == 1 and "modalities: Obuchowski-Rockette" in note


def test_latex_is_escaped_and_rounded() -> None:
    table = pd.DataFrame({"a_b": ["50% & more", "x"], "p": [0.00001, 0.25], "n": [3, 4], "none": [None, 1.5]})
    text = latex_table(table, "AUC #1", "tab:x", "note_1")
    assert r"a\_b & p & n & none \\" in text
    assert r"50\% \& more & $<$0.0001 & 3 & -- \\" in text
    assert r"x & 0.2500 & 4 & 1.5000 \\" in text
    assert r"\caption{AUC \#1}" in text and r"note\_1" in text and r"\begin{tabular}{lrrr}" in text
