"""What visitors may try: other links, guesses, replays, other cases, other tabs, going back, hostile text."""

from __future__ import annotations

import re
import sqlite3
import string
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_room import Clock, MadeRoom, Reader

from ultrafm.readers.room.access import SESSION_HOURS, WINDOW, WRONG_ANSWERS, Knocks, make_links, who_holds
from ultrafm.readers.room.registered import study_truth

HOSTILE = (
    "'; DROP TABLE readings; --", "\" OR 1=1 --", "R1' OR '1'='1", "<script>alert(1)</script>", "{{ 7 * 7 }}",
    "../../../etc/passwd", "%2e%2e%2fSTUDY.yaml", "\x00", "R1\r\nSet-Cookie: a=b", "𝟙𝟘", "NaN", "1e2", "-1", "101",
    "9" * 5000, "",
)  # fmt: skip
FIELDS = ("page", "rating-0", "left", "top", "right", "bottom", "frame", "kind", "code")  # an answer lacks a diagnosis
PLACES = ("/read", "/feedback", "/picture/x/0", "/office", "/office/ratings.csv", "/office/backup.sqlite")


def readings(made: MadeRoom) -> list[tuple]:
    """What the store holds of answers."""
    columns = "reader, part, item, diagnosis, region, disease, rating"
    query = f"SELECT {columns} FROM readings JOIN ratings ON reading = readings.id"
    return [tuple(row) for row in made.room.store.rows(query)]


def test_nothing_is_served_without_a_secret(made: MadeRoom) -> None:
    browser = made.browser()
    token = made.reader("R1").token()
    for place in (*PLACES, f"/picture/{token}/0"):
        reply = browser.get(place)
        assert reply.status_code == 401 and "personal link" in reply.text, place
        assert "Made study" not in reply.text and b"PNG" not in reply.content
    for place in ("/submit", "/sign"):
        assert browser.post(place, data={"page": token}).headers["location"] == "/refused/nobody"
    for place in ("/docs", "/openapi.json", "/redoc", "/STUDY.yaml", "/static/../schema.sql", "/static/..%2fapp.py"):
        assert browser.get(place).status_code == 404
    assert readings(made) == []


def test_the_link_alone_shows_no_case_and_gives_no_cookie(made: MadeRoom) -> None:
    browser = made.browser()
    secret = made.secrets["reader:R1"]
    shown = browser.get(f"/enter/{secret}")
    assert shown.status_code == 200 and not browser.cookies and "breast" not in shown.text
    assert (
        browser.post(f"/enter/{secret}", data={"code": "R2", "consent": "yes"}).headers["location"] == "/refused/code"
    )
    assert browser.post(f"/enter/{secret}", data={"code": "R1"}).headers["location"] == "/refused/code"
    assert not browser.cookies and browser.get("/read").status_code == 401


def test_the_cookie_is_for_this_site_and_no_script(made: MadeRoom) -> None:
    reply = Reader(made.browser(), "R1").enter(made.secrets["reader:R1"])
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
    made.room.secure = True
    assert "Secure" in Reader(made.browser(), "R1").enter(made.secrets["reader:R1"]).headers["set-cookie"]


def test_guessed_links_are_refused_and_soon_not_answered(made: MadeRoom) -> None:
    browser, secret = made.browser(), made.secrets["reader:R1"]
    for guess in (secret[:-1], secret.swapcase(), "office", "reader:R1", quote("' OR 1=1 --"), "R1"):
        assert browser.get(f"/enter/{guess}").status_code == 404
    for number in range(WRONG_ANSWERS):
        browser.post(f"/enter/{number}")
    assert browser.get(f"/enter/{secret}").status_code == 429
    made.clock.at += WINDOW + 1
    assert browser.get(f"/enter/{secret}").status_code == 200


def test_wrong_identity_codes_count_as_guesses(made: MadeRoom) -> None:
    reader = Reader(made.browser(), "R9")
    for _ in range(WRONG_ANSWERS):
        assert reader.enter(made.secrets["reader:R1"]).headers["location"] == "/refused/code"
    assert reader.enter(made.secrets["reader:R1"]).headers["location"] == "/refused/waiting"


def test_a_reader_who_is_let_in_reads_on_while_guesses_are_not_answered(made: MadeRoom) -> None:
    reader = made.reader("R1")
    for number in range(WRONG_ANSWERS + 5):
        made.browser().get(f"/enter/{number}")
    assert reader.send(reader.token()) == "/feedback"


def test_knocks_are_counted_by_address_and_forgotten() -> None:
    clock = Clock(0.0)
    knocks = Knocks(clock)
    for _ in range(WRONG_ANSWERS):
        assert not knocks.locked("a")
        knocks.wrong("a")
    assert knocks.locked("a") and not knocks.locked("b")
    clock.at = WINDOW + 0.1
    assert not knocks.locked("a")


def test_secrets_are_stored_hashed_and_long(made: MadeRoom, study_path: Path) -> None:
    reader = made.reader("R1")
    cookie = reader.browser.cookies["reader"]
    made.room.store.backup(study_path.with_name("all.sqlite"))
    told = study_path.with_name("all.sqlite").read_bytes() + study_path.with_suffix(".sqlite-wal").read_bytes()
    for secret in (*made.secrets.values(), cookie):
        assert secret.encode() not in told and len(secret) >= 43
        assert set(secret) <= set(string.ascii_letters + string.digits + "-_")


def test_a_new_link_ends_the_old_one_and_its_sessions(made: MadeRoom) -> None:
    reader, other = made.reader("R1"), made.reader("R2")
    new = make_links(made.room.store, ["reader:R1"], ["reader:R1"])
    assert who_holds(made.room.store, made.secrets["reader:R1"]) is None
    assert reader.browser.get("/read").status_code == 401 and other.browser.get("/read").status_code == 200
    assert reader.enter(new["reader:R1"]).headers["location"] == "/read"
    assert make_links(made.room.store, ["reader:R1"]) == {}


def test_a_session_ends_after_hours(made: MadeRoom) -> None:
    reader = made.reader("R1")
    made.clock.at += SESSION_HOURS * 3600 + 1
    assert reader.browser.get("/read").status_code == 401


def test_signing_out_takes_the_cookie_away(made: MadeRoom) -> None:
    reader = made.reader("R1")
    reader.browser.post("/leave")
    assert reader.browser.get("/read").status_code == 401


def test_another_readers_page_and_picture_are_not_served_or_taken(made: MadeRoom) -> None:
    one, two = made.reader("R1"), made.reader("R2")
    token = one.token()
    assert two.browser.get(f"/picture/{token}/0").status_code == 404
    assert two.send(token) == "/refused/strange" and readings(made) == []
    assert one.browser.get(f"/picture/{token}/0").headers["content-type"] == "image/png"


def test_a_reader_is_not_the_office_and_the_office_no_reader(made: MadeRoom) -> None:
    reader, office = made.reader("R1"), made.office()
    for place in ("/office", "/office/ratings.csv", "/office/backup.sqlite"):
        assert reader.browser.get(place).status_code == 401
    reader.browser.cookies["office"] = reader.browser.cookies["reader"]
    assert reader.browser.get("/office").status_code == 401
    office.cookies["reader"] = office.cookies["office"]
    assert office.get("/read").status_code == 401 and office.get("/office").status_code == 200


def test_a_submission_that_is_replayed_counts_once(made: MadeRoom) -> None:
    reader = made.reader("R1")
    token = reader.token()
    assert [reader.send(token, 40) for _ in range(3)] == ["/feedback"] * 3
    assert len(readings(made)) == 1
    assert reader.send(token, 41) == "/refused/changed"
    assert [row[-1] for row in readings(made)] == [40]


def test_a_replay_from_long_ago_changes_nothing(made: MadeRoom) -> None:
    reader = made.reader("R1")
    first = reader.token()
    reader.send(first, 40)
    reader.send(reader.token(), 50)
    assert reader.send(first, 40) == "/feedback"  # the very same: told as before
    assert reader.send(first, 99) == "/refused/changed"
    assert [row[-1] for row in readings(made)] == [40, 50]


def test_a_changed_case_in_the_form_is_no_way_to_another_case(made: MadeRoom) -> None:
    reader = made.reader("R1")
    token = reader.token()
    other = next(iter(made.room.study.cases))
    for forged in (other, quote(other), token[:-1], token.upper(), "", "0"):
        assert reader.send(forged) == "/refused/strange"
    assert reader.send(token, item=other, case=other, part="aided", reader="R2") == "/feedback"
    (row,) = readings(made)
    assert row[:3] == ("R1", "training", next(iter(made.room.study.training)))


def test_the_older_tab_is_refused_and_the_newer_one_counts(made: MadeRoom) -> None:
    reader = made.reader("R1")
    older, newer = reader.token(), reader.token()
    assert reader.send(older, 10) == "/refused/older" and readings(made) == []
    page = reader.browser.get("/refused/older")
    assert page.status_code == 409 and "opened again" in page.text and "Nothing was lost" in page.text
    assert reader.browser.get(f"/picture/{older}/0").status_code == 404
    assert reader.send(newer, 20) == "/feedback" and [row[-1] for row in readings(made)] == [20]


def test_there_is_no_way_back(made: MadeRoom) -> None:
    reader = made.reader("R1")
    reader.send(reader.token())
    second = reader.token()
    reader.send(second, 30)
    assert reader.browser.get(f"/picture/{second}/0").status_code == 404
    third = reader.token()
    assert third != second and reader.send(second, 31) == "/refused/changed"
    assert reader.browser.get("/feedback").headers["location"] == "/read"
    assert [row[-1] for row in readings(made)] == [70, 30]


def test_the_picture_of_training_goes_with_its_feedback_and_no_longer(made: MadeRoom) -> None:
    reader = made.reader("R1")
    token = reader.token()
    assert "not there" not in reader.browser.get("/read").text
    token = reader.token()
    reader.send(token, 12)
    told = reader.browser.get("/feedback").text
    assert "12 of 100" in told and ("not there" in told) and token in told
    assert reader.browser.get(f"/picture/{token}/0").status_code == 200
    reader.token()
    assert reader.browser.get(f"/picture/{token}/0").status_code == 404


def test_frames_that_are_not_there_are_not_found(made: MadeRoom) -> None:
    reader = made.reader("R1")
    token = reader.token()
    for frame in ("1", "-1", "x", "0x0", "99999999999999999999", "..%2f0"):
        assert reader.browser.get(f"/picture/{token}/{frame}").status_code == 404, frame


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


def test_headers_stand_on_every_answer(made: MadeRoom) -> None:
    reader = made.reader("R1")
    token = reader.token()
    places = ["/", "/read", f"/picture/{token}/0", "/static/room.js", "/nothing", "/office", "/enter/x", "/feedback"]
    for place in places:
        headers = reader.browser.get(place).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY" and headers["cache-control"] == "no-store", place
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert reader.browser.get("/", headers={"host": "evil.example"}).status_code == 400
    assert reader.browser.get("/", headers={"host": "evil.example"}).headers["x-frame-options"] == "DENY"


def test_a_fault_of_the_room_keeps_the_headers_and_tells_nothing(made: MadeRoom, monkeypatch) -> None:
    reader = made.reader("R1")
    token = reader.token()

    def full(*_words: object) -> None:
        raise sqlite3.OperationalError("database or disk is full: secret place")

    monkeypatch.setattr("ultrafm.readers.room.reader_pages.submit", full)
    reply = reader.browser.post("/submit", data={"page": token, "rating-0": "5", "diagnosis": "healthy"})
    assert reply.status_code == 500 and reply.headers["x-frame-options"] == "DENY"
    assert "secret place" not in reply.text and "is kept" in reply.text


def test_pages_hold_no_script_or_style_of_their_own_and_no_name_of_case_patient_or_truth(made: MadeRoom) -> None:
    reader = made.reader("R1")
    reader.send(reader.token())
    told = ""
    while (page := reader.browser.get("/read").text) and "data-page" in page:
        assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son\w+=", page)
        told += page
        reader.send(re.search(r'data-page="([^"]+)"', page).group(1))
    study = made.room.study
    secret = {word for case in study.cases.values() for word in (case.name, case.patient, case.site, case.content)}
    assert [word for word in secret | {"malignant", "benign", "/0000"} if word in told] == []
    assert len(study_truth(study)) == 12 and told.count('id="stage"') == 24


def test_tokens_of_the_same_case_differ_between_readers_and_openings(made: MadeRoom) -> None:
    one, two = made.reader("R1"), made.reader("R2")
    tokens = [one.token(), one.token(), two.token(), two.token()]
    assert len(set(tokens)) == 4 and all(len(token) == 32 for token in tokens)


def test_the_file_is_unharmed_by_all_this(made: MadeRoom, study_path: Path) -> None:
    reader = made.reader("R1")
    for text in HOSTILE:
        reader.send(reader.token(), text, text)
    other = sqlite3.connect(study_path.with_suffix(".sqlite"))
    assert other.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
