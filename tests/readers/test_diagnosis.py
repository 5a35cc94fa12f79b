"""The final diagnosis as an endpoint: right or wrong, and beside the AUROC."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.readers import Endpoint, analyse
from ultrafm.readers.diagnosis import diagnosis_table
from ultrafm.readers.ratings import check_ratings


def diagnoses() -> pd.DataFrame:
    """Two diseases, three cases: x has gout, y goitre, z none; one reader right twice, the AI always."""
    rows = []
    for reader, named in (
        ("AI", {"x": "gout", "y": "goitre", "z": "healthy"}),
        ("ann", {"x": "gout", "y": "gout", "z": "None"}),
    ):
        for case, said in named.items():
            for disease in ("gout", "goitre"):
                truth = int((case, disease) in (("x", "gout"), ("y", "goitre")))
                rows.append((reader, "m", case, truth, 1.0 * truth, disease, said))
    return pd.DataFrame(rows, columns=["reader", "modality", "case", "truth", "rating", "disease", "diagnosis"])


def test_final_diagnosis_is_right_or_wrong() -> None:
    found = diagnosis_table(check_ratings(diagnoses()))
    assert dict(zip(found["reader"].astype(str) + found["case"].astype(str), found["rating"])) == {
        "AIx": 1, "AIy": 1, "AIz": 1, "annx": 1, "anny": 0, "annz": 1,
    }  # fmt: skip


def test_accuracy_of_the_final_diagnosis_is_analysed(small_study: pd.DataFrame) -> None:
    table = small_study.copy()
    right = np.where(table["truth"] == 1, table["disease"], "healthy")
    table["diagnosis"] = np.where(table["rating"] > 0.5, table["disease"], "healthy")
    found = analyse(table, ai="AI", cluster="patient", endpoint=Endpoint("diagnosis"))
    wanted = (table["diagnosis"] == right).groupby(table["reader"]).mean()
    assert found["ai_versus_readers"]["ai"]["estimate"] == pytest.approx(wanted["AI"])
    assert found["ai_versus_readers"]["readers"]["estimate"] == pytest.approx(wanted.drop("AI").mean())
    assert found["endpoint"] == "accuracy of the final diagnosis"


@pytest.mark.parametrize(
    ("old", "new", "words"), [("goitre", "goiter", "row 4, column 'diagnosis'"), ("gout", "", "column 'diagnosis'")]
)
def test_unknown_diagnoses_are_told(old: str, new: str, words: str) -> None:
    table = diagnoses()
    table["diagnosis"] = table["diagnosis"].replace(old, new)
    with pytest.raises(UltraFMError, match=words):
        diagnosis_table(check_ratings(table))


def test_final_diagnosis_is_the_second_endpoint_of_an_analysis_of_aurocs(small_study: pd.DataFrame) -> None:
    table = small_study.assign(diagnosis=np.where(small_study["rating"] > 0.5, small_study["disease"], "healthy"))
    found = analyse(table, ai="AI", cluster="patient", by="level")
    alone = analyse(table, ai="AI", cluster="patient", endpoint=Endpoint("diagnosis"))
    second = found["final_diagnosis"]["ai_versus_readers"]
    assert second["p"] == alone["ai_versus_readers"]["p"]
    assert "Second endpoint, accuracy of the final diagnosis" in found["conclusion"]
    assert "final_diagnosis" not in analyse(small_study, ai="AI", cluster="patient")
