"""Links, identity codes, cookies, sessions, guesses; secrets are stored hashed."""

from __future__ import annotations

import string
from pathlib import Path
from urllib.parse import quote

from made_room import Clock, MadeRoom, Reader

from ultrafm.readers.room.access import SESSION_HOURS, WINDOW, WRONG_ANSWERS, Knocks, make_links, who_holds


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
    reader = Reader(made.browser(), "R1")
    reader.browser.base_url = "https://127.0.0.1"
    cookie = reader.enter(made.secrets["reader:R1"]).headers["set-cookie"]
    assert cookie.startswith("__Host-reader=") and "Secure" in cookie and "Path=/" in cookie and "Domain" not in cookie
    assert reader.browser.get("/read").status_code == 200
    planted = made.browser()
    planted.cookies["reader"] = reader.browser.cookies["__Host-reader"]  # a sibling site can set only this name
    assert planted.get("/read").status_code == 401


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
    office = made.office()
    office.post("/leave")
    assert office.get("/office").status_code == 401
