"""The room's file: append-only, whole transactions, killed in the middle of writing, backed up while in use."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from ultrafm.errors import UltraFMError
from ultrafm.readers.room.access import Session
from ultrafm.readers.room.readings import Answer, Outcome, show, submit
from ultrafm.readers.room.store import Store

TABLES = ("protocols", "links", "sessions", "pages", "events", "readings", "ratings")


def write_forever(path: Path, told: Connection) -> None:
    """Add readings with three ratings as fast as it goes, and tell each one after it was kept."""
    store, session = Store(path), Session(1, "reader:R1")
    number = store.row("SELECT count(*) AS n FROM pages")["n"]
    while True:
        number += 1
        page = show(store, session, "R1", "unaided", f"case {number}", "hash")
        answer = Answer({"a": number % 101, "b": 1, "c": 2}, "a", None)
        if submit(store, session, "R1", page.token, answer, "hash", None) is Outcome.KEPT:
            told.send(number)


def killed_writer(path: Path, seconds: float) -> list[int]:
    """Let a process write for some time, kill -9 it, return what it had told."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=write_forever, args=(path, theirs))
    process.start()
    theirs.close()
    told = [ours.recv()]
    time.sleep(seconds)
    process.kill()
    process.join()
    try:
        while True:
            told.append(ours.recv())
    except (EOFError, OSError):
        return told


def filled(path: Path) -> Store:
    """A store with a row in every table."""
    store = Store(path, lambda: 5.0)
    with store.transaction():
        store.add("protocols", hash="h", text="{}")
        link = store.add("links", who="reader:R1", hash="a")
        session = store.add("sessions", who="reader:R1", hash="b", link=link)
        page = store.add("pages", token="t", reader="R1", part="unaided", item="x", session=session, protocol="h")
        store.add("events", who="reader:R1", kind="alive", page=page)
        reading = store.add(
            "readings", page=page, reader="R1", part="unaided", item="x", diagnosis="a", seconds=1.0, session=session,
            protocol="h", content="c",
        )  # fmt: skip
        store.add("ratings", reading=reading, disease="a", rating=50)
    return store


@pytest.mark.parametrize("table", TABLES)
def test_no_table_can_be_changed_or_emptied(table: str, tmp_path: Path) -> None:
    filled(tmp_path / "room.sqlite").close()
    other = sqlite3.connect(tmp_path / "room.sqlite")
    before = other.execute(f"SELECT * FROM {table}").fetchall()
    assert len(before) == 1
    column = other.execute(f"SELECT name FROM pragma_table_info('{table}') LIMIT 1 OFFSET 1").fetchone()[0]
    for statement in (f"UPDATE {table} SET {column} = 1", f"DELETE FROM {table}"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute(statement)
    assert other.execute(f"SELECT * FROM {table}").fetchall() == before


def test_replacing_a_row_is_refused_too(tmp_path: Path) -> None:
    store = filled(tmp_path / "room.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        store.rows("INSERT OR REPLACE INTO ratings (reading, disease, rating) VALUES (1, 'a', 60)")
    assert store.row("SELECT rating FROM ratings")["rating"] == 50


def test_a_second_reading_of_a_case_and_a_rating_out_of_range_cannot_be_stored(tmp_path: Path) -> None:
    store = filled(tmp_path / "room.sqlite")
    page = store.add("pages", token="u", reader="R1", part="unaided", item="x", session=1, protocol="h")
    same = {"reader": "R1", "part": "unaided", "item": "x", "diagnosis": "a", "seconds": 1.0, "session": 1}
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        store.add("readings", page=page, protocol="h", content="c", **same)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        store.add("ratings", reading=1, disease="b", rating=101)


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path / "room.sqlite")
    with pytest.raises(RuntimeError), store.transaction():
        store.add("events", who="x", kind="alive")
        raise RuntimeError
    assert len(store.rows("SELECT * FROM events")) == 1
    store.add("events", who="x", kind="alive")
    assert len(store.rows("SELECT * FROM events")) == 2


def test_commits_reach_the_disk_before_they_are_told(tmp_path: Path) -> None:
    store = filled(tmp_path / "room.sqlite")
    assert store.row("PRAGMA journal_mode")[0] == "wal" and store.row("PRAGMA synchronous")[0] == 2  # FULL


def test_a_writer_killed_in_the_middle_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "room.sqlite"
    store = Store(path)
    link = store.add("links", who="reader:R1", hash="a")
    store.add("sessions", who="reader:R1", hash="b", link=link)
    store.close()
    told = [number for turn in range(5) for number in killed_writer(path, 0.05 + 0.037 * turn)]
    store = Store(path)
    kept = [row["item"] for row in store.rows("SELECT item FROM readings ORDER BY id")]
    assert len(told) > 20 and {f"case {number}" for number in told} <= set(kept)
    assert len(set(kept)) == len(kept) <= len(told) + 5  # one a kill may be kept and not told
    assert store.row("PRAGMA integrity_check")[0] == "ok" and not store.rows("PRAGMA foreign_key_check")
    counts = store.rows(
        "SELECT count(*) AS n FROM readings LEFT JOIN ratings ON reading = readings.id GROUP BY readings.id"
    )
    assert {row["n"] for row in counts} == {3}


def test_a_backup_is_whole_while_the_room_goes_on_and_opens_as_a_room(tmp_path: Path) -> None:
    store = filled(tmp_path / "room.sqlite")
    store.backup(tmp_path / "copy.sqlite")
    store.add("events", who="x", kind="alive")
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy.sqlite"]
    copy = Store(tmp_path / "copy.sqlite")
    assert len(copy.rows("SELECT * FROM events")) == 1 and copy.row("SELECT rating FROM ratings")["rating"] == 50
    with pytest.raises(sqlite3.IntegrityError):
        copy.rows("DELETE FROM ratings")


def test_nobody_else_on_the_machine_can_read_the_file(tmp_path: Path) -> None:
    store = filled(tmp_path / "room.sqlite")
    assert store.row("SELECT 1")[0] == 1
    store.backup(tmp_path / "room.sqlite.copy")
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("room.sqlite*")} == {0}


def test_a_full_disk_keeps_nothing_of_the_transaction_and_does_no_harm(tmp_path: Path) -> None:
    store = filled(tmp_path / "room.sqlite")
    used = store.row("PRAGMA page_count")[0]
    store.rows(f"PRAGMA max_page_count = {used + 1}")
    with pytest.raises(sqlite3.OperationalError, match="full"), store.transaction():
        for _ in range(9):
            store.add("events", who="x", kind="refused", detail="x" * 3000)
    assert len(store.rows("SELECT * FROM events")) == 1
    store.rows(f"PRAGMA max_page_count = {used + 99}")  # there is room again
    store.add("events", who="x", kind="alive")
    assert len(store.rows("SELECT * FROM events")) == 2 and store.row("PRAGMA integrity_check")[0] == "ok"


def test_another_file_is_not_taken_for_a_room(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no data base, but long enough to be looked at " * 30)
    with pytest.raises(UltraFMError, match="no data base"):
        Store(tmp_path / "text")
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE patients (name)")
    other.commit()
    with pytest.raises(UltraFMError, match="another program"):
        Store(tmp_path / "other.sqlite")
    with pytest.raises(UltraFMError, match="no such folder"):
        Store(tmp_path / "nowhere" / "room.sqlite")
    with pytest.raises(UltraFMError, match="found a folder"):
        Store(tmp_path)
