"""The ratings table: each thing that can be wrong is told with file, row and a way to mend it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.readers.design import cross
from ultrafm.readers.names import level_order, natural_order
from ultrafm.readers.ratings import check_ratings, find_ai, load_ratings, standalone_ratings

GOOD = """reader,modality,case,truth,rating,patient
2,a,x,1,3,p1
2,a,y,0,1,p2
10,a,x,1,2,p1
10,a,y,0,2.5,p2
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "ratings.csv"
    path.write_text(text)
    return path


def test_names_stay_text_and_sort_as_people_count(tmp_path: Path) -> None:
    table = load_ratings(written(tmp_path, GOOD))
    assert natural_order(table["reader"]) == ["2", "10"]
    (found,) = cross(table, [("2", "a"), ("10", "a")])
    assert found.cases.tolist() == ["x", "y"]
    assert found.scores.tolist() == [[3, 1], [2, 2.5]]
    assert found.truth.tolist() == [True, False]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rating,patient", "ratings,patient", "a column 'rating'.*did you mean 'ratings'"),
        (
            "10,a,y,0,2.5,p2\n",
            "10,a,x,1,2,p1\n",
            "row 5: found a second rating of case 'x' by reader '10' .first in row 4",
        ),
        ("2,a,y,0,1,p2", "2,a,y,0,,p2", "row 3, column 'rating': found ''"),
        ("2,a,y,0,1,p2", "2,a,y,0,nan,p2", "row 3, column 'rating'"),
        ("2,a,y,0,1,p2", "2,a,y,0,inf,p2", "row 3, column 'rating'"),
        ("2,a,y,0,1,p2", "2,a,y,2,1,p2", "row 3, column 'truth': found '2'"),
        ("2,a,y,0,1,p2", "2,a,y,maybe,1,p2", "row 3, column 'truth': found 'maybe'.*0 .healthy. or 1.*--positive"),
        ("2,a,y,0,1,p2", '2,a,y,0,"0,5",p2', "row 3, column 'rating': found '0,5'.*decimals with a point"),
        ("2,a,y,0,1,p2", ",a,y,0,1,p2", "row 3: found no reader"),
        ("10,a,x,1,2,p1", "10,a,x,0,2,p1", "row 4: found case 'x' with truth 0 and 1"),
        ("10,a,x,1,2,p1", "10,a,x,1,2,p9", "row 4: found case 'x' with patient p1 and p9"),
        (",0,", ",1,", "only diseased cases"),
    ],
)
def test_problems_are_told_with_their_row(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(UltraFMError, match=words) as caught:
        load_ratings(written(tmp_path, GOOD.replace(old, new)))
    assert "ratings.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("reader", ["a", 1], "both text .'a'. and numbers .1."),
        ("case", ["1", 2.0], "both text"),
        ("reader", ["1", "01"], "'1' and '01'"),
        ("case", ["1", "1.0"], "each name written in one way"),
    ],
)
def test_names_of_mixed_type_are_told(column: str, values: list, words: str) -> None:
    table = pd.DataFrame({"reader": "a", "modality": "m", "case": ["x", "y"], "truth": [0, 1], "rating": [1.0, 2.0]})
    table[column] = pd.Series(values, dtype=object)
    with pytest.raises(UltraFMError, match=words):
        check_ratings(table)


def test_names_that_only_look_like_numbers_are_kept_apart() -> None:
    """Sections 1.1 and 1.10 are two names; whole floats lose their point."""
    table = pd.DataFrame({"reader": 3.0, "modality": "m", "case": ["1.1", "1.10"], "truth": [0, 1], "rating": [1.0, 2]})
    found = check_ratings(table)
    assert found["case"].tolist() == ["1.1", "1.10"] and found["reader"].tolist() == ["3", "3"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"seconds": [3, -1]}, "row 3, column 'seconds'"),
        ({"seconds": ["5", "fast"]}, "row 3, column 'seconds': found 'fast'"),
        ({"device": ["d1", "d2"], "case": ["x", "x"], "reader": ["a", "b"], "truth": [1, 1]}, "device d1 and d2"),
        ({"diagnosis": ["gout", "flu"], "disease": ["g", "f"], "case": ["x", "x"]}, "diagnosis flu and gout"),
        ({"years": ["4", "5"]}, "years 4 and 5"),
    ],
)
def test_optional_columns_are_checked(columns: dict, words: str) -> None:
    table = pd.DataFrame({"reader": "a", "modality": "m", "case": ["x", "y"], "truth": [0, 1], "rating": [1.0, 2.0]})
    with pytest.raises(UltraFMError, match=words):
        check_ratings(table.assign(**columns))


def test_columns_in_capitals_or_twice_are_told() -> None:
    table = pd.DataFrame({"Reader": "a", "modality": "m", "case": ["x", "y"], "truth": [0, 1], "rating": [1.0, 2.0]})
    with pytest.raises(UltraFMError, match=r"a column 'reader'.*did you mean 'Reader'"):
        check_ratings(table)
    table = table.rename(columns={"Reader": "reader"})
    with pytest.raises(UltraFMError, match="two columns 'rating'"):
        check_ratings(pd.concat([table, table[["rating"]]], axis=1))


@pytest.mark.parametrize("words", [("normal", "Abnormal"), ("False", "True"), ("0.0", "1.0"), (False, True), ("no", 1)])
def test_truth_may_be_words(words: tuple) -> None:
    table = pd.DataFrame({"reader": "a", "modality": "m", "case": ["x", "y"], "rating": [1.0, 2.0]})
    assert check_ratings(table.assign(truth=list(words)))["truth"].tolist() == [0, 1]


def test_seconds_may_be_empty() -> None:
    table = pd.DataFrame({"reader": "a", "modality": "m", "case": ["x", "y"], "truth": [0, 1], "rating": [1.0, 2.0]})
    found = check_ratings(table.assign(seconds=["12.5", ""], session=[1, 2], diagnosis=["gout", "healthy"]))
    assert found["seconds"].iloc[0] == 12.5 and np.isnan(found["seconds"].iloc[1])
    assert found["session"].tolist() == ["1", "2"]


def test_missing_cells_name_reader_and_case(tmp_path: Path) -> None:
    table = load_ratings(written(tmp_path, GOOD.replace("10,a,y,0,2.5,p2\n", "") + "3,a,x,1,2,p1\n3,a,y,0,1,p2\n"))
    with pytest.raises(UltraFMError, match=r"1 missing rating, the first by reader '10' .* of case 'y'"):
        cross(table, [("2", "a"), ("3", "a"), ("10", "a")])


@pytest.mark.parametrize("text", ["", "reader,modality,case,truth,rating\n"])
def test_empty_files(tmp_path: Path, text: str) -> None:
    with pytest.raises(UltraFMError):
        load_ratings(written(tmp_path, text))


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(UltraFMError, match="no such file"):
        load_ratings(tmp_path / "nothing.csv")


def test_unknown_ai_gets_the_nearest_name(small_study: pd.DataFrame) -> None:
    with pytest.raises(UltraFMError, match="did you mean 'bob'"):
        find_ai(check_ratings(small_study), "bobb")


def test_unknown_or_empty_cluster(small_study: pd.DataFrame) -> None:
    table = check_ratings(small_study)
    with pytest.raises(UltraFMError, match="did you mean 'patient'"):
        cross(table, [("ann", "unaided")], "patients")
    small_study.loc[small_study["case"] == "gout 3 1", "patient"] = ""
    with pytest.raises(UltraFMError, match="row 37, column 'patient'"):
        cross(check_ratings(small_study), [("ann", "unaided")], "patient")


def test_a_reader_has_one_level(small_study: pd.DataFrame) -> None:
    small_study.loc[7, "level"] = "expert" if small_study.loc[7, "level"] == "junior" else "junior"
    with pytest.raises(UltraFMError, match="with level expert and junior"):
        check_ratings(small_study)


def test_row_order_does_not_matter(small_study: pd.DataFrame) -> None:
    curves = [("AI", "standalone"), ("ann", "unaided")]
    one = cross(check_ratings(small_study), curves, "patient")
    other = cross(check_ratings(small_study.sample(frac=1, random_state=3)), curves, "patient")
    for first, second in zip(one, other, strict=True):
        assert first.disease == second.disease
        np.testing.assert_array_equal(first.scores, second.scores)
        assert first.units.tolist() == second.units.tolist()


def test_levels_are_ordered_by_experience() -> None:
    assert level_order(["expert", "resident 10", "junior", "resident 2", "mid-level"]) == [
        "junior", "mid-level", "expert", "resident 2", "resident 10",
    ]  # fmt: skip


def test_rows_of_the_ai_have_the_shared_columns() -> None:
    cases = pd.DataFrame({"case": ["x", "y"], "truth": [0, 1], "disease": "gout", "score": [0.25, 0.5], "patient": "p"})
    rows = standalone_ratings(cases)
    assert rows["rating"].tolist() == [0.25, 0.5]
    assert set(rows["reader"]) == {"AI"}
    assert set(rows["modality"]) == {"standalone"}
    assert set(rows["simulated"]) == {"no"}
