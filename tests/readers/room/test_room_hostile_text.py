"""SQL, HTML, paths and noise in every field, and forms that are none: nothing changes, nothing breaks."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_room import MadeRoom, readings

HOSTILE = (
    "'; DROP TABLE readings; --", "\" OR 1=1 --", "R1' OR '1'='1", "<script>alert(1)</script>", "{{ 7 * 7 }}",
    "../../../etc/passwd", "%2e%2e%2fSTUDY.yaml", "\x00", "R1\r\nSet-Cookie: a=b", "𝟙𝟘", "NaN", "1e2", "-1", "101",
    "9" * 5000, "",
)  # fmt: skip
FIELDS = ("page", "rating-0", "left", "top", "right", "bottom", "frame", "kind", "code")  # an answer lacks a diagnosis


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("field", ["page", "rating-0", "diagnosis", "left", "frame"])
def test_hostile_text_in_any_field_of_an_answer_changes_nothing(made: MadeRoom, field: str, text: str) -> None:
    reader = made.reader("R1")
    fields = {"page": reader.token(), "rating-0": "5", "diagnosis": "healthy", "left": "1", "top": "1", "right": "9"}
    fields |= {"bottom": "9", "frame": "0"}
    reply = reader.browser.post("/submit", data=fields | {field: text}, headers={"accept": "application/json"})
    expected = {"page": "strange", "rating-0": "values", "diagnosis": "values", "left": "values", "frame": "values"}
    assert reply.json()["next"] == f"/refused/{expected[field]}"
    page = reader.browser.get(reply.json()["next"])
    assert "<script>alert" not in page.text and "49" not in page.text
    assert readings(made) == [] and len(made.room.store.rows("SELECT name FROM sqlite_master")) > 10


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_as_identity_code_or_address_is_refused_and_shown_nowhere(made: MadeRoom, text: str) -> None:
    browser = made.browser()
    reply = browser.post(f"/enter/{made.secrets['reader:R1']}", data={"code": text, "consent": "yes"})
    assert reply.headers["location"] == "/refused/code"
    assert browser.get(f"/enter/{quote(text, safe='')}x").status_code == 404
    assert browser.get(f"/refused/{quote(text, safe='')}x").status_code == 404
    assert "<script>alert" not in made.office().get("/office").text


def test_hostile_text_of_the_study_itself_is_shown_as_text(study_path: Path) -> None:
    from made_room import change_fields, open_room

    made = open_room(change_fields(study_path, title="<b>Bold</b> & 'quoted'"))
    page = made.reader("R1").browser.get("/read").text
    assert "<b>Bold" not in page and "&lt;b&gt;Bold&lt;/b&gt; &amp; &#39;quoted&#39;" in page


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=20), max_size=9), st.binary(max_size=60))
def test_nothing_that_is_sent_breaks_the_room(made: MadeRoom, fields: dict[str, str], noise: bytes) -> None:
    reader = made.reader("R1")
    before = len(readings(made))
    fields = {name: text.encode("utf-8", "replace").decode() for name, text in fields.items()}
    for body in (urlencode({"page": reader.token()} | fields).encode(), noise):
        reply = reader.browser.post("/submit", content=body)
        assert reply.status_code == 303 and reply.headers["location"].startswith("/refused/")
    assert len(readings(made)) == before and reader.browser.get("/read").status_code == 200


def test_forms_that_are_none_are_refused(made: MadeRoom) -> None:
    reader = made.reader("R1")
    token = reader.token()
    answer = f"page={token}&rating-0=5&diagnosis=healthy"
    bodies = (b"\xff\xfe" * 9, b"a=1&" * 100, b"x" * 20_000, answer.encode() + b"&pad=" + b"x" * 20_000)
    for body in bodies:
        assert reader.browser.post("/submit", content=body).headers["location"] == "/refused/form"
    foreign = reader.browser.post("/submit", content=answer, headers={"sec-fetch-site": "cross-site"})
    assert foreign.headers["location"] == "/refused/form" and readings(made) == []
    assert reader.browser.post("/submit", content=answer, headers={"sec-fetch-site": "same-origin"}).status_code == 303
    assert len(readings(made)) == 1


def test_an_answer_needs_every_rating_a_diagnosis_and_a_region_inside_the_picture(made: MadeRoom) -> None:
    reader = made.reader("R1")
    token = reader.token()
    box = {"left": 1, "top": 2, "right": 48, "bottom": 40}
    assert reader.send(token, "") == reader.send(token, 50.5) == reader.send(token, 101) == "/refused/values"
    assert reader.send(token, 5, "gout") == reader.send(token, 5, "") == "/refused/values"
    for wrong in ({"right": 49}, {"bottom": 41}, {"right": 1}, {"top": 40}, {"left": ""}, {"frame": 1}):
        assert reader.send(token, 5, **(box | wrong)) == "/refused/values", wrong
    assert readings(made) == []
    assert reader.send(token, 5, "healthy", **box) == "/feedback"
    assert readings(made)[0][3:] == (
        "healthy", '{"left": 1, "top": 2, "right": 48, "bottom": 40, "frame": 0}', "breast cancer", 5,
    )  # fmt: skip


def test_a_fault_of_the_room_keeps_the_headers_and_tells_nothing(made: MadeRoom, monkeypatch) -> None:
    reader = made.reader("R1")
    token = reader.token()

    def full(*_words: object) -> None:
        raise sqlite3.OperationalError("database or disk is full: secret place")

    monkeypatch.setattr("ultrafm.readers.room.reader_pages.submit", full)
    reply = reader.browser.post("/submit", data={"page": token, "rating-0": "5", "diagnosis": "healthy"})
    assert reply.status_code == 500 and reply.headers["x-frame-options"] == "DENY"
    assert "secret place" not in reply.text and "is kept" in reply.text


def test_the_file_is_unharmed_by_all_this(made: MadeRoom, study_path: Path) -> None:
    reader = made.reader("R1")
    for text in HOSTILE:
        reader.send(reader.token(), text, text)
    other = sqlite3.connect(study_path.with_suffix(".sqlite"))
    assert other.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
