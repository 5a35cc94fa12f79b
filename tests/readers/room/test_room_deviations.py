"""The protocol before and after the first reading: refused, or accepted in words, marked and shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_room import change_fields, free_port, open_room, read_all

from ultrafm.cli import main
from ultrafm.errors import UltraFMError
from ultrafm.readers import analyse, summarise
from ultrafm.readers.room.export import ratings_table
from ultrafm.readers.room.registered import load_study
from ultrafm.readers.room.registration import register, registered
from ultrafm.readers.room.schedule import order_of
from ultrafm.readers.room.store import Store


def test_a_page_of_a_case_that_a_deviation_took_out_is_refused_in_words(study_path: Path) -> None:
    made = open_room(study_path)
    read_all(made.reader("R1"), made, most=2)
    token = made.reader("R1").token()
    item = order_of(made.room.study, "R1", "unaided")[1]
    made.room.store.close()
    kept = {"images": [name for name in made.room.study.cases if name != item and "/" in name]}
    again = open_room(change_fields(study_path, cases=kept), "one case was shown to a reader before")
    reader = again.reader("R1")
    assert reader.send(token) == "/refused/older" and reader.browser.get(f"/picture/{token}/0").status_code == 409
    assert reader.send(reader.token()) == "/read"


def test_a_case_that_was_shown_under_another_protocol_is_opened_again(study_path: Path) -> None:
    made = open_room(study_path)
    read_all(made.reader("R1"), made, most=13)
    token, before = made.reader("R1").token(), study_path.read_text()
    made.room.store.close()
    scores = study_path.with_name("scores.csv")
    registered_scores = scores.read_text()
    scores.write_text(registered_scores.replace("0.050", "0.95"))
    again = open_room(study_path, "scores of another release")
    reader = again.reader("R1")
    assert reader.send(token) == "/refused/older"
    token = reader.token()
    again.room.store.close()
    scores.write_text(registered_scores)  # put back: what she saw under the deviation is no reading of the registered
    last = open_room(study_path)
    reader = last.reader("R1")
    assert last.room.deviation is None and study_path.read_text() == before
    assert reader.send(token) == "/refused/older" and reader.send(reader.token()) == "/read"
    assert len(last.room.store.rows("SELECT * FROM readings WHERE part = 'aided' AND deviation IS NULL")) == 1


def test_before_the_first_reading_the_protocol_may_change(study_path: Path) -> None:
    made = open_room(study_path)
    reader = made.reader("R1")
    reader.send(reader.token())  # training
    changed = load_study(change_fields(study_path, seed=5))
    assert register(made.room.store, changed) is None and registered(made.room.store)[0] == changed.hash


def test_after_the_first_reading_a_changed_protocol_is_refused_and_says_what_changed(study_path: Path, capsys) -> None:
    made = open_room(study_path)
    read_all(made.reader("R1"), made, most=3)
    made.room.store.close()
    change_fields(study_path, seed=5)
    assert main(["readers", "room", str(study_path), "--port", str(free_port())]) == 1
    told = capsys.readouterr().err
    assert "changed: seed" in told and made.room.study.hash[:12] in told and "--accept-deviation" in told


def test_an_accepted_deviation_marks_all_later_readings_and_the_report_shows_it(
    study_path: Path, tmp_path: Path
) -> None:
    made = open_room(study_path)
    for code in ("R1", "R2"):
        read_all(made.reader(code), made, most=13)
    first = made.room.study.hash
    made.room.store.close()
    changed = change_fields(study_path, title="Made study, corrected")
    with pytest.raises(UltraFMError, match="changed: title"):
        open_room(changed)
    made = open_room(changed, "a misprint <in> the title")
    for code in ("R1", "R2"):
        read_all(made.reader(code), made)
    table = ratings_table(made.room.store, made.room.study)
    assert (table["deviation"] == "").tolist() == (table["modality"] == "unaided").tolist()
    assert set(table["protocol"]) == {first, made.room.study.hash}
    page = made.office().get("/office").text
    assert "a misprint &lt;in&gt; the title" in page and first in page and made.room.study.hash in page
    found = analyse(table)
    assert found["protocol"]["registered"] == first
    told = {"protocol": made.room.study.hash, "reason": "a misprint <in> the title", "readings": 24}
    assert found["protocol"]["deviations"] == [told]
    assert "Warning: deviation from the registered protocol in 24 of 48 readings" in summarise(found)
    made.room.store.close()
    again = open_room(changed)  # the reason was given
    assert again.room.deviation == "a misprint <in> the title"
    assert Store(study_path.with_suffix(".sqlite")).row("SELECT count(*) FROM protocols")[0] == 2


def test_while_the_room_runs_a_changed_protocol_halts_it_until_it_is_put_back(study_path: Path) -> None:
    made = open_room(study_path)
    reader = made.reader("R1")
    read_all(reader, made, most=2)
    token, before = reader.token(), study_path.read_text()
    study_path.write_text(before.replace("Made study", "Another study"))
    assert reader.send(token) == "/refused/protocol" and reader.browser.get("/read").status_code == 503
    assert "no readings are taken" in made.office().get("/office").text
    study_path.write_text("no: yaml: at all")
    assert reader.send(token) == "/refused/protocol"
    study_path.write_text("# a comment counts for nothing\n" + before)
    assert reader.send(token) == "/read"
    assert len(made.room.store.rows("SELECT * FROM readings")) == 3
    study_path.unlink()
    assert reader.browser.get("/read").status_code == 503


def test_a_table_is_exported_under_the_registered_protocol_and_truth_alone(study_path: Path, capsys) -> None:
    made = open_room(study_path)
    read_all(made.reader("R1"), made, most=3)
    before, out = study_path.read_text(), str(study_path.with_name("r.csv"))
    change_fields(study_path, title="Another")
    assert main(["readers", "export", str(study_path), "--out", out]) == 1
    assert "changed: title" in capsys.readouterr().err and not Path(out).exists()
    study_path.write_text(before)
    assert main(["readers", "export", str(study_path), "--out", out]) == 0
    assert Path(out).stat().st_mode & 0o077 == 0


def test_a_truth_that_changes_while_the_room_runs_is_not_joined(study_path: Path, tmp_path: Path) -> None:
    study = load_study(study_path)
    lines = [f"{name},breast cancer,{number % 2}" for number, name in enumerate([*study.cases, *study.training])]
    (tmp_path / "truth.csv").write_text("\n".join(["case,disease,truth", *lines]))
    made = open_room(change_fields(study_path, truth={"source": "file", "file": "truth.csv", "reference": "a maker"}))
    read_all(made.reader("R1"), made, most=3)
    assert made.office().get("/office/ratings.csv").status_code == 200
    (tmp_path / "truth.csv").write_text(
        (tmp_path / "truth.csv").read_text().replace("breast cancer,0", "breast cancer,1")
    )
    with pytest.raises(UltraFMError, match="another truth"):
        ratings_table(made.room.store, made.room.study)


def test_readings_of_what_a_deviation_took_out_need_their_own_protocol(study_path: Path) -> None:
    made = open_room(study_path)
    read_all(made.reader("R1"), made, most=3)
    made.room.store.close()
    gone = order_of(made.room.study, "R1", "unaided")[0]
    images = [name for name in made.room.study.cases if name != gone and "/" in name]
    again = open_room(change_fields(study_path, cases={"images": images}), "a case is taken out")
    with pytest.raises(UltraFMError, match="export with the STUDY"):
        ratings_table(again.room.store, again.room.study)
