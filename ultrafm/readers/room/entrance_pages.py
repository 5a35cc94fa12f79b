"""The way in: personal link, identity code, consent, signing out; and the friendly pages of refusals."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from ultrafm.readers.room.access import cookie_name, open_session, reader_name, who_holds
from ultrafm.readers.room.app import address_of, go_to, message_page, page, room_of
from ultrafm.readers.room.forms import Form, read_form
from ultrafm.readers.room.messages import MESSAGES, Refusal
from ultrafm.readers.room.protocol import OFFICE
from ultrafm.readers.room.readings import has_consented, note, withdrawn

entrance = APIRouter()
Fields = Annotated[Form, Depends(read_form)]


@entrance.get("/")
def front(request: Request) -> Response:
    """Nothing but where to go."""
    return message_page(request, "nobody")


@entrance.get("/refused/{why}")
def refused(request: Request, why: str) -> Response:
    """A friendly page."""
    return message_page(request, why if why in MESSAGES else "place")


@entrance.get("/enter/{secret}")
def link(request: Request, secret: str) -> Response:
    """The page behind a personal link. It shows nothing of the study's cases and sets no cookie."""
    who, _number = _holder(request, secret)
    room = room_of(request)
    values = {"office": who == OFFICE, "consented": who == OFFICE or has_consented(room.store, _code(who))}
    return page(request, "enter.html", values)


@entrance.post("/enter/{secret}")
def enter(request: Request, secret: str, form: Fields) -> Response:
    """Identity code and consent; then this browser is let in."""
    who, number = _holder(request, secret)
    room = room_of(request)
    if who != OFFICE:
        _check_identity(request, _code(who), form)
    with room.store.transaction():
        token = open_session(room.store, who, number)
        if who != OFFICE and not has_consented(room.store, _code(who)):
            note(room.store, who, "consent", detail=room.study.hash)
    answer = go_to(request, "/office" if who == OFFICE else "/read")
    name = cookie_name(who == OFFICE, room.secure)
    answer.set_cookie(name, token, httponly=True, samesite="strict", secure=room.secure)
    return answer


@entrance.post("/leave")
def leave(request: Request) -> Response:
    """Sign out: for a computer that others use too."""
    answer = go_to(request, "/")
    secure = room_of(request).secure
    for office in (True, False):
        answer.delete_cookie(cookie_name(office, secure), httponly=True, samesite="strict", secure=secure)
    return answer


def _holder(request: Request, secret: str) -> tuple[str, int]:
    """Whose link it is. Raises Refusal, and counts the attempt."""
    room, address = room_of(request), address_of(request)
    if room.knocks.locked(address):
        raise Refusal("waiting")
    found = who_holds(room.store, secret)
    known = found is not None and (found[0] == OFFICE or room.study.protocol.reader(_code(found[0])) is not None)
    if found is None or not known:
        room.knocks.wrong(address)
        note(room.store, "unknown", "refused", detail="link")
        raise Refusal("link")
    if _code(found[0]) in withdrawn(room.store):
        raise Refusal("withdrawn")
    return found


def _check_identity(request: Request, code: str, form: Form) -> None:
    """Raise Refusal for another code, or without consent."""
    room = room_of(request)
    consented = has_consented(room.store, code) or form.get("consent") == "yes"
    right = hmac.compare_digest(form.get("code", "").strip().encode("utf-8", "replace"), code.encode())
    if not right:
        room.knocks.wrong(address_of(request))
        note(room.store, reader_name(code), "refused", detail="code")
    if not (right and consented):
        raise Refusal("code")


def _code(who: str) -> str:
    return who.removeprefix(reader_name(""))
