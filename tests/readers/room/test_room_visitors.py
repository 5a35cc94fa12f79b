"""What visitors may try: other links, guesses, replays, other cases, other tabs, going back, hostile text."""

from __future__ import annotations

import re
from urllib.parse import quote

from made_room import MadeRoom, readings

from ultrafm.readers.room.registered import study_truth

PLACES = ("/read", "/feedback", "/picture/x/0", "/office", "/office/ratings.csv", "/office/backup.sqlite")


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
