"""The room's file: SQLite, append-only, one transaction a submission, on the disk before the reader is told so."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ultrafm.errors import UltraFMError
from ultrafm.files import replacing

SCHEMA = Path(__file__).with_name("schema.sql")
APPLICATION = 0x55464D32  # marks the file as a reading room of these tables (SQLite's application_id)
WAIT = 30  # seconds for another process's transaction


class Store:
    """One file, one connection; threads take turns. `now` gives seconds since 1970.

    WAL with synchronous=FULL: a transaction that was committed survives a kill and a power cut, one that was not leaves
    nothing. Raises UltraFMError for a file that is something else, and for a place without a folder.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self.path, self.now, self._turn = Path(path), now, threading.RLock()
        self._connection = _connect(self.path)

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[None]:
        """All that is added inside is kept, or nothing; no other process writes meanwhile.

        Without `durable` the disk is not waited for: such rows survive a kill of the program, but not always a power
        cut before the next durable transaction.
        """
        with self._turn:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._connection.execute("PRAGMA synchronous = FULL")

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """The rows of a query; values take the places of its question marks."""
        with self._turn:
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        return next(iter(self.rows(query, *values)), None)

    def add(self, table: str, **values: Any) -> int:
        """Add a row with the time of now; returns its id. `table` and the keywords are names of the schema."""
        row = {"at": self.now(), **values} if table != "ratings" else values
        marks = ", ".join("?" * len(row))
        with self._turn:
            added = self._connection.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
            )
        return int(added.lastrowid or 0)

    def backup(self, path: Path) -> None:
        """Write a whole and consistent copy while the room goes on (SQLite's backup)."""
        with replacing(Path(path)) as temporary:
            temporary.touch(mode=0o600)
            copy = sqlite3.connect(temporary)
            try:
                with self._turn:
                    self._connection.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            finally:
                copy.close()

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._connection.close()


def store_of(study: Path, store: Path | None) -> Path:
    """The room's file: the one named, else beside STUDY.yaml with the ending .sqlite."""
    return Path(store) if store else Path(study).with_suffix(".sqlite")


def _connect(path: Path) -> sqlite3.Connection:
    """Open or make the file, with its tables and triggers."""
    if path.is_dir() or not path.parent.is_dir():
        found = "a folder" if path.is_dir() else "no such folder"
        raise UltraFMError(f"--store {path}", found, "a file in a folder that exists")
    path.touch(mode=0o600)  # for nobody else on this machine; SQLite gives the log beside it the same rights
    connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        known = connection.execute("PRAGMA application_id").fetchone()[0]
        empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if known != APPLICATION and not empty:
            raise UltraFMError(
                f"--store {path}", "another program's or version's data base", "a reading room's file, or none"
            )
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "recursive_triggers = ON"):
            connection.execute(f"PRAGMA {setting}")
        _make_tables(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise UltraFMError(
            f"--store {path}", f"a file that is no data base ({error})", "a reading room's file"
        ) from error
    return connection


def _make_tables(connection: sqlite3.Connection) -> None:
    """Make all tables in one transaction, unless they are there."""
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        for statement in _statements(SCHEMA.read_text(encoding="utf-8")):
            connection.execute(statement)
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in map(tuple, tables):
            for action in ("UPDATE", "DELETE"):
                connection.execute(
                    f"CREATE TRIGGER {name}_no_{action.lower()} BEFORE {action} ON {name} "
                    "BEGIN SELECT RAISE(ABORT, 'append-only'); END"
                )
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute("COMMIT")


def _statements(text: str) -> list[str]:
    """The statements of the schema, without comments."""
    lines = (line for line in text.splitlines() if not line.startswith("--"))
    return [part for part in "\n".join(lines).split(";") if part.strip()]
