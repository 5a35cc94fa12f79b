"""Checklists: every item is filled from the run or says why not, and nothing is invented."""

from __future__ import annotations

import pandas as pd
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.readers import Endpoint, analyse
from ultrafm.readers.checklists import GUIDELINES, checklist_page, fill_checklist, study_facts


def facts(small_study: pd.DataFrame, **options: object) -> dict:
    found = analyse(small_study.assign(simulated="yes"), ai="AI", cluster="patient", by="level", **options)
    return study_facts(found, images="simulated")


@pytest.mark.parametrize("guideline", GUIDELINES)
def test_every_item_is_filled_or_gives_its_reason(small_study: pd.DataFrame, guideline: str) -> None:
    table = fill_checklist(guideline, facts(small_study))
    assert len(table) >= 10 and table["item"].is_unique
    silent = table[~table["filled"]]
    assert silent["reported"].str.startswith("not reported because ").all() and silent["reported"].str.len().min() > 30
    assert not table["reported"].str.contains("None|nan|\\{|\\}").any()


def test_page_shows_items_and_reports(small_study: pd.DataFrame) -> None:
    page = checklist_page(fill_checklist("CLAIM 2024", facts(small_study))).to_html()
    assert "Qualification of the readers" in page and "2 junior, 2 expert" not in page  # the table has no years
    assert "not reported because the table has no levels or years" in page


def test_numbers_are_those_of_the_run(small_study: pd.DataFrame) -> None:
    known = facts(small_study, margin=0.1)
    table = fill_checklist("STARD-AI", known).set_index("item")["reported"]
    assert "margin 0.1" in table.iloc[0]
    assert table["Missing and indeterminate readings, and what was done with them"] == (
        "fully crossed: 0 readings are missing"
    )
    assert fill_checklist("TRIPOD+AI", known)["reported"].str.contains("36 patients; clustered by patient").any()


def test_what_the_run_has_not_is_not_claimed(small_study: pd.DataFrame) -> None:
    plain, more = facts(small_study), facts(small_study, endpoint=Endpoint(threshold=1.0, ai_threshold=1.0))
    asks = "Counts of true and false calls at the threshold"
    answers = [fill_checklist("STARD-AI", one).set_index("item")["reported"][asks] for one in (plain, more)]
    assert answers == ["not reported because no threshold was given", "table of operating points, 10 rows"]


def test_facts_of_a_person_are_taken_over(small_study: pd.DataFrame) -> None:
    found = analyse(small_study, ai="AI", cluster="patient", by="level")
    asks = "Reference standard and why it was chosen"
    named = study_facts(found, reference="histology within 30 days", years=None)
    assert fill_checklist("STARD-AI", named).set_index("item")["reported"][asks] == "histology within 30 days"


def test_readers_are_people_only_where_the_table_says_so(small_study: pd.DataFrame) -> None:
    tables = (small_study, small_study.assign(simulated="no"))
    told = [study_facts(analyse(table, ai="AI"))["reality"] for table in tables]
    assert "does not say" in told[0] and told[1] == "readers are people"


def test_one_reader_is_no_inference_to_others(small_study: pd.DataFrame) -> None:
    alone = study_facts(analyse(small_study[small_study["reader"].isin(["AI", "ann"])], ai="AI"))
    assert "these readers only" in alone["inference"] and "new readers" in facts(small_study)["inference"]


def test_readers_harmed_by_aid_are_counted(small_study: pd.DataFrame) -> None:
    readers = small_study[small_study["reader"] != "AI"]
    change = readers["reader"].map({"ann": 0.5, "bob": 0.5, "cem": 0.5, "dan": -0.5}) * readers["truth"]
    aided = readers.assign(modality="aided", rating=readers["rating"] + change)
    known = study_facts(analyse(pd.concat([readers, aided])))
    assert known["harmed"] == "1 of 4 readers are lower with the AI than without"


def test_unknown_guidelines_are_refused() -> None:
    with pytest.raises(UltraFMError, match="did you mean 'STARD-AI'"):
        fill_checklist("STARD", {})
