"""A reader's way through the room, times of the server, what the office sees, what is exported, deviations."""

from __future__ import annotations

import io
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from made_room import MadeRoom, change_fields, make_study, open_room, read_all

from ultrafm.cli import main
from ultrafm.errors import UltraFMError
from ultrafm.readers import analyse, summarise
from ultrafm.readers.ratings import check_ratings
from ultrafm.readers.room.export import analyse_command, ratings_table
from ultrafm.readers.room.registered import study_truth
from ultrafm.readers.room.schedule import order_of


def test_two_readers_read_everything_and_the_export_is_what_they_sent(made: MadeRoom) -> None:
    sent = {code: read_all(made.reader(code), made, start) for code, start in (("R1", 0), ("R2", 5))}
    assert [len(one) for one in sent.values()] == [25, 25]
    table = pd.read_csv(io.StringIO(made.office().get("/office/ratings.csv").text))
    study, truth = made.room.study, study_truth(made.room.study)
    assert len(table) == 48 and set(table["simulated"]) == {"yes"} and set(table["images"]) == {"simulated"}
    for code in sent:
        mine = table[table["reader"] == code]
        order = [(part, name) for part in ("unaided", "aided") for name in order_of(study, code, part)]
        assert list(zip(mine["modality"], mine["case"])) == order
        assert mine["rating"].tolist() == sent[code][1:]
    assert table["truth"].tolist() == [truth[case, "breast cancer"] for case in table["case"]]
    assert (table["diagnosis"] == table["rating"].ge(50).map({True: "breast cancer", False: "healthy"})).all()
    assert set(table["seconds"]) == {7.0} and set(table["protocol"]) == {study.hash}
    assert set(zip(table["reader"], table["level"], table["years"])) == {("R1", "junior", 2), ("R2", "expert", 15)}
    assert table["patient"].nunique() == 12 and table["deviation"].isna().all()
    checked = check_ratings(table.fillna(""))
    found = analyse(checked, cluster="patient")
    assert found["readers"] == "simulated" and found["protocol"]["registered"] == study.hash
    assert f"registered, {study.hash}" in summarise(found) and "deviation from" not in summarise(found)


def test_the_aid_is_shown_in_the_aided_part_alone(made: MadeRoom) -> None:
    reader = made.reader("R1")
    reader.send(reader.token())
    for _ in range(12):
        page = reader.browser.get("/read").text
        assert "The AI says" not in page
        reader.send(reader.token())
    item = order_of(made.room.study, "R1", "aided")[0]
    page = reader.browser.get("/read").text
    assert "The AI says" in page and f"{100 * made.room.study.scores[item, 'breast cancer']:.0f}</strong>" in page


def test_the_washout_is_enforced_to_the_second_and_told(study_path: Path) -> None:
    made = open_room(change_fields(study_path, design={"parts": ["unaided", "aided"], "washout_days": 28}))
    reader = made.reader("R1")
    assert len(read_all(reader, made)) == 13
    page = reader.browser.get("/read").text
    assert "second part opens on" in page and reader.token() is None
    made.clock.at += 28 * 86_400 - 8
    made.room.store.rows("SELECT 1")
    reader = made.reader("R1")
    assert reader.token() is None
    made.clock.at += 9
    assert reader.token() is not None


def test_pauses_and_broken_pages_do_not_count(made: MadeRoom) -> None:
    reader = made.reader("R1")
    token = reader.token()

    def sign(kind: str, page: str) -> int:
        return reader.browser.post("/sign", data={"page": page, "kind": kind}).status_code

    for kind, later in (("alive", 10), ("paused", 5), ("resumed", 1000), ("alive", 15)):
        made.clock.at += later
        assert sign(kind, token) == 204
    made.clock.at += 500  # the browser is gone; the reader comes back and opens the case anew
    token = reader.token()
    made.clock.at += 4
    assert sign("nonsense", token) == 303 and sign("alive", "nobody's") == 303
    reader.send(token)
    assert made.room.store.row("SELECT seconds FROM readings")["seconds"] == 10 + 5 + 15 + 4


def test_the_office_sees_progress_and_incidents_but_no_rating_and_no_truth(made: MadeRoom) -> None:
    reader = made.reader("R1")
    read_all(reader, made, most=5)
    older = reader.token()
    reader.token()
    reader.send(older, 99)
    made.browser().get("/enter/guess")
    page = made.office().get("/office").text
    assert "1 of 1" in page and "4 of 12" in page and "0 of 12" in page and "not yet" in page
    assert "answer from an older tab refused" in page and "unknown link" in page and made.room.study.hash in page
    assert "malignant" not in page and "99" not in page.replace(made.room.study.hash, "")


def test_a_backup_from_the_office_is_a_room(made: MadeRoom, tmp_path: Path) -> None:
    read_all(made.reader("R1"), made, most=3)
    (tmp_path / "copy.sqlite").write_bytes(made.office().get("/office/backup.sqlite").content)
    copy = sqlite3.connect(tmp_path / "copy.sqlite")
    assert copy.execute("SELECT count(*) FROM readings").fetchone()[0] == 3


def test_regions_and_sign_ins_are_exported(made: MadeRoom) -> None:
    reader = made.reader("R1")
    reader.send(reader.token())
    reader.send(reader.token(), 80, left=3, top=4, right=20, bottom=30)
    again = made.reader("R1")
    again.send(again.token(), 20)
    table = ratings_table(made.room.store, made.room.study)
    assert table["region"].tolist() == [json.dumps([3, 4, 20, 30, 0]), ""] and table["session"].tolist() == [1, 2]


def test_the_export_before_the_first_reading_is_refused(made: MadeRoom) -> None:
    with pytest.raises(UltraFMError, match="no reading yet"):
        ratings_table(made.room.store, made.room.study)
    reply = made.office().get("/office/ratings.csv")
    assert reply.status_code == 409 and "no reading yet" in reply.text


def test_the_registered_analysis_runs_on_the_export_with_the_ai(tmp_path: Path, capsys) -> None:
    analysis = {
        "primary": "AUROC, AI minus readers", "against_ai": True, "margin": 0.1, "by": "level", "threshold": 50,
        "claims": ["superiority:junior", "equivalence:expert:0.2"],
    }  # fmt: skip
    readers = [{"code": f"R{n}", "level": ("junior", "expert")[n % 2], "years": n} for n in range(4)]
    made = open_room(make_study(tmp_path, analysis=analysis, readers=readers))
    for number in range(4):
        read_all(made.reader(f"R{number}"), made, 7 * number)
    assert main(["readers", "export", str(tmp_path / "STUDY.yaml"), "--out", str(tmp_path / "r.csv")]) == 0
    told = capsys.readouterr().out
    command = analyse_command(made.room.study, str(tmp_path / "r.csv"))
    assert command in told and "108 ratings of 12 cases by 5 readers" in told
    assert "--ai AI --ai-threshold 50 --cluster patient --margin 0.1 --by level --threshold 50" in command
    assert main(command.split()[1:]) == 0
    assert "Claims stated beforehand" in capsys.readouterr().out


def test_the_same_answer_from_many_at_once_is_kept_once(made: MadeRoom) -> None:
    reader = made.reader("R1")
    token = reader.token()
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda _number: reader.send(token, 40), range(24)))
    assert places == ["/feedback"] * 24
    assert [row["rating"] for row in made.room.store.rows("SELECT rating FROM ratings")] == [40]
    token = reader.token()
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda rating: reader.send(token, rating), range(24)))
    assert sorted(places) == ["/read"] + ["/refused/changed"] * 23
    kept = [row["rating"] for row in made.room.store.rows("SELECT rating FROM ratings ORDER BY reading")]
    assert kept == [40, places.index("/read")]


def test_several_diseases_are_each_rated_and_one_is_the_diagnosis(tmp_path: Path) -> None:
    diseases = [
        {"name": "breast cancer", "positive": ["malignant"], "negative": ["benign"]},
        {"name": "a lump, <any>", "positive": ["malignant", "benign"], "negative": ["normal"]},
    ]
    scores = {"ai": None, "design": {"parts": ["unaided"]}}
    made = open_room(make_study(tmp_path, diseases=diseases, **scores))
    reader = made.reader("R1")
    page = reader.browser.get("/read").text
    assert "a lump, &lt;any&gt;" in page and "none of these" in page and 'name="rating-1"' in page
    assert reader.send(reader.token(), 10) == "/refused/values"
    assert reader.send(reader.token(), 10, "a lump, <any>", **{"rating-1": 90}) == "/feedback"
    reader.send(reader.token(), 20, "healthy", **{"rating-1": 0})
    table = ratings_table(made.room.store, made.room.study)
    assert dict(zip(table["disease"], table["rating"])) == {"breast cancer": 20, "a lump, <any>": 0}
    assert table.loc[table["disease"] == "a lump, <any>", "truth"].tolist() == [1]


def test_pages_work_without_script_as_plain_forms(made: MadeRoom) -> None:
    reader = made.reader("R1")
    reply = reader.browser.post("/submit", data={"page": reader.token(), "rating-0": "5", "diagnosis": "healthy"})
    assert reply.status_code == 303 and reply.headers["location"] == "/feedback"
