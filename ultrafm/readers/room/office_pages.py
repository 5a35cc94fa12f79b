"""The page of the study office: progress, incidents, export and backup. Truth is joined only when it exports."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from ultrafm.errors import UltraFMError
from ultrafm.readers.room.access import Session, cookie_name, find_session
from ultrafm.readers.room.app import page, room_of
from ultrafm.readers.room.export import analyse_command, ratings_table
from ultrafm.readers.room.messages import Message, Refusal
from ultrafm.readers.room.overview import incidents, local_time, standings
from ultrafm.readers.room.protocol import OFFICE
from ultrafm.readers.room.registration import deviations, registered

office = APIRouter(prefix="/office")


def office_session(request: Request) -> Session:
    """The session of the office. Raises Refusal."""
    room = room_of(request)
    session = find_session(room.store, request.cookies.get(cookie_name(True, room.secure)))
    if session is None or session.who != OFFICE:
        raise Refusal("nobody")
    return session


Office = Annotated[Session, Depends(office_session)]


@office.get("")
def overview(request: Request, _session: Office) -> Response:
    """Progress, incidents, the protocol's hash and deviations from it."""
    room = room_of(request)
    first = registered(room.store)
    values = {
        "standings": standings(room.store, room.study), "incidents": incidents(room.store),
        "hash": first[0] if first else "", "current": room.study.hash, "unchanged": room.watch.unchanged(),
        "deviations": [(local_time(one.at), one.hash, one.reason) for one in deviations(room.store)],
        "command": analyse_command(room.study, "ratings.csv"),
    }  # fmt: skip
    return page(request, "office.html", values)


@office.get("/ratings.csv")
def ratings(request: Request, _session: Office) -> Response:
    """The ratings table, or a page that says why there is none."""
    room = room_of(request)
    try:
        text = ratings_table(room.store, room.study).to_csv(index=False)
    except UltraFMError as error:
        return page(request, "message.html", {"message": Message(409, "There is no table", str(error))}, 409)
    return _download(text.encode(), "ratings.csv", "text/csv; charset=utf-8")


@office.get("/backup.sqlite")
def backup(request: Request, _session: Office) -> Response:
    """A copy of the room's file."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "backup.sqlite"
        room_of(request).store.backup(copy)
        data = copy.read_bytes()
    return _download(data, time.strftime("reading_room_%Y-%m-%d_%H%M.sqlite"), "application/vnd.sqlite3")


def _download(data: bytes, name: str, kind: str) -> Response:
    return Response(data, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
