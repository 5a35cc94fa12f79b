"""Partial work of a site: every file that was read, with what came of it, in one SQLite file.

A killed run continues where it stopped, and a file that has not changed is not read again. It holds what the store may
hold, no name of a file or patient, and stays in the house like everything beside the store.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ultrafm.curation.identity.header import HeaderReport
from ultrafm.curation.reasons import Unusable

TABLES = """
CREATE TABLE IF NOT EXISTS settings (value TEXT);
CREATE TABLE IF NOT EXISTS files (key TEXT PRIMARY KEY, patient TEXT, header TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pictures (
    number INTEGER PRIMARY KEY, key TEXT, frame INTEGER, frames INTEGER, failure TEXT,
    pixels TEXT, perceptual TEXT, facts TEXT, image BLOB, sector BLOB, mask BLOB, preview BLOB);
CREATE INDEX IF NOT EXISTS of_file ON pictures (key);
"""
FETCHED = 256  # pictures in memory at a time


@dataclass(frozen=True)
class Picture:
    """One frame of a file: its curated pictures as PNG (preview: JPEG), and facts that do not come from the table.

    crop: at the file's own resolution, where it is asked for; partial work does not keep it.

    failure: why it cannot be used; then there is nothing else. In place of a name it says "file" or "mask", the field
    of the row where the name stands. pixels, perceptual: see duplicates.Likeness.
    """

    frame: int = 0
    frames: int = 1
    failure: Unusable | None = None
    pixels: str = ""
    perceptual: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    image: bytes | None = None
    sector: bytes | None = None
    mask: bytes | None = None
    preview: bytes | None = None
    crop: bytes | None = None


@dataclass(frozen=True)
class ReadFile:
    """What came of one file. header: what it carried beside its pixels, and curation did not take."""

    key: str
    patient: str
    header: HeaderReport
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Note:
    """What is known of a picture without loading it; `number` finds the rest."""

    number: int
    frame: int
    frames: int
    failure: Unusable | None
    pixels: str
    perceptual: int
    facts: dict[str, Any]


class Work:
    """The partial work of one site. All of it belongs to one `settings` text; other settings begin afresh."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def known(self) -> set[str]:
        """Keys of the files that were read."""
        return {key for (key,) in self._connection.execute("SELECT key FROM files")}

    def add(self, files: Iterable[ReadFile]) -> None:
        """Keep what came of files, all of them or none."""
        with self._connection:
            for file in files:
                cells = (file.key, file.patient, json.dumps(asdict(file.header)))
                self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", cells)
                self._connection.execute("DELETE FROM pictures WHERE key = ?", (file.key,))
                rows = [_as_row(file.key, picture) for picture in file.pictures]
                self._connection.executemany(f"INSERT INTO pictures VALUES (NULL{', ?' * 11})", rows)

    def keep_only(self, keys: Collection[str]) -> None:
        """Remove what belongs to other files, so that nothing of a withdrawn patient or a removed file stays behind."""
        gone = self.known() - set(keys)
        self._delete([("files", "key"), ("pictures", "key")], gone)

    def pixels(self) -> Iterator[str]:
        """The pixel hashes of all pictures."""
        for (pixels,) in self._connection.execute("SELECT DISTINCT pixels FROM pictures WHERE pixels != ''"):
            yield pixels

    def drop_pictures(self, pixels: Collection[str]) -> None:
        """Remove the pictures that have these pixel hashes; their files count as read, so that they do not return."""
        if pixels:
            found = self._connection.execute("SELECT number, pixels FROM pictures")
            self._delete([("pictures", "number")], [number for number, own in found if own in pixels])

    def _delete(self, places: Sequence[tuple[str, str]], values: Collection[Any]) -> None:
        """Delete the rows with these values in the table and column of each place, so that nothing is left on disk."""
        if not values:
            return
        with self._connection:
            for table, column in places:
                statement = f"DELETE FROM {table} WHERE {column} = ?"
                self._connection.executemany(statement, [(value,) for value in values])
        self._connection.execute("VACUUM")

    def notes(self, key: str) -> list[Note]:
        """What is known of the pictures of one file, in the order of its frames."""
        wanted = "number, frame, frames, failure, pixels, perceptual, facts"
        found = self._connection.execute(f"SELECT {wanted} FROM pictures WHERE key = ? ORDER BY frame", (key,))
        return [
            Note(number, frame, frames, _failure(failure), pixels, int(perceptual, 16), json.loads(facts))
            for number, frame, frames, failure, pixels, perceptual, facts in found
        ]

    def headers(self) -> Iterator[HeaderReport]:
        """For each file in turn, what it carried beside its pixels."""
        for (header,) in self._connection.execute("SELECT header FROM files ORDER BY key"):
            yield HeaderReport(**json.loads(header))

    def pictures(self, numbers: Sequence[int]) -> Iterator[tuple[dict[str, Any], bytes, bytes, bytes | None]]:
        """Facts, image, sector and mask of these pictures, in this order; a few are in memory at a time."""
        for start in range(0, len(numbers), FETCHED):
            some = numbers[start : start + FETCHED]
            marks = ", ".join("?" * len(some))
            query = f"SELECT number, facts, image, sector, mask FROM pictures WHERE number IN ({marks})"
            found = {number: cells for number, *cells in self._connection.execute(query, some)}
            for number in some:
                facts, image, sector, mask = found[number]
                yield json.loads(facts), image, sector, mask

    def preview(self, number: int) -> bytes | None:
        """The larger picture for the contact sheet, as JPEG."""
        return self._connection.execute("SELECT preview FROM pictures WHERE number = ?", (number,)).fetchone()[0]


def pixels_of(path: Path, patient: str) -> list[str]:
    """The pixel hashes of all pictures of a patient in partial work, whatever its settings; it is only read."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        query = "SELECT pixels FROM pictures JOIN files USING (key) WHERE patient = ? AND pixels != ''"
        return [pixels for (pixels,) in connection.execute(query, (patient,))]
    finally:
        connection.close()


@contextmanager
def open_work(path: Path, settings: str) -> Iterator[Work]:
    """The partial work in a file; made when it is not there, and emptied when it was made by other settings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(TABLES)
        if connection.execute("SELECT value FROM settings").fetchall() != [(settings,)]:
            with connection:
                for table in ("settings", "files", "pictures"):
                    connection.execute(f"DELETE FROM {table}")
                connection.execute("INSERT INTO settings VALUES (?)", (settings,))
            connection.execute("VACUUM")
        yield Work(connection)
    finally:
        connection.close()


def _as_row(key: str, picture: Picture) -> tuple[Any, ...]:
    why = picture.failure
    failure = None if why is None else json.dumps([why.kind, why.found, why.expected, why.name])
    return (
        key, picture.frame, picture.frames, failure, picture.pixels, f"{picture.perceptual:016x}",
        json.dumps(picture.facts), picture.image, picture.sector, picture.mask, picture.preview,
    )  # fmt: skip


def _failure(text: str | None) -> Unusable | None:
    return None if text is None else Unusable(*json.loads(text))
