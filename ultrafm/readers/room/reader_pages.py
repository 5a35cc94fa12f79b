"""The pages of readers: the current case and its pictures, submission, feedback."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from ultrafm.readers.room.access import Session, cookie_name, find_session, reader_name
from ultrafm.readers.room.app import Room, go_to, page, room_of
from ultrafm.readers.room.forms import BadForm, Form, read_answer, read_form
from ultrafm.readers.room.messages import Refusal
from ultrafm.readers.room.pictures import Case
from ultrafm.readers.room.protocol import AIDED, HEALTHY, TRAINING
from ultrafm.readers.room.readings import (
    SIGNS,
    Outcome,
    done_by,
    find_page,
    is_answered,
    is_newest,
    last_training,
    note,
    show,
    submit,
    unaided_end,
    withdrawn,
)
from ultrafm.readers.room.schedule import Step, next_step

readers = APIRouter()
Fields = Annotated[Form, Depends(read_form)]


def signed_in(request: Request) -> tuple[Session, str]:
    """The reader's session and code. Raises Refusal."""
    room = room_of(request)
    session = find_session(room.store, request.cookies.get(cookie_name(False, room.secure)))
    if session is None:
        raise Refusal("nobody")
    code = session.who.removeprefix(reader_name(""))
    if room.study.protocol.reader(code) is None:
        raise Refusal("nobody")
    if code in withdrawn(room.store):
        raise Refusal("withdrawn")
    return session, code


SignedIn = Annotated[tuple[Session, str], Depends(signed_in)]


@readers.get("/read")
def read(request: Request, signed: SignedIn) -> Response:
    """The case that is next, or the washout, or the end. The address is the same for all cases."""
    session, code = signed
    room = room_of(request)
    _check_protocol(room)
    step = _step(room, code)
    if step.kind != "case":
        until = time.strftime("%A, %d %B %Y, %H:%M", time.localtime(step.until))
        return page(request, "rest.html", {"step": step, "until": until, "code": code})
    with room.store.transaction(durable=False):  # a power cut costs no kept answer
        shown = show(room.store, session, code, step.part, step.item, room.study.hash)
    return page(request, "case.html", {"step": step, "token": shown.token, "code": code, **_about(room, step)})


def _step(room: Room, code: str) -> Step:
    store = room.store
    return next_step(room.study, code, done_by(store, code), unaided_end(store, code), store.now())


def _check_protocol(room: Room) -> None:
    if not room.watch.unchanged():
        raise Refusal("protocol")


def _about(room: Room, step: Step) -> dict[str, Any]:
    """What a page shows of a case: never its name, site, patient or truth."""
    case, protocol = _case(room, step.item), room.study.protocol
    diseases = protocol.diseases_of(case.organ)
    scores = {one.name: room.study.scores[case.name, one.name] for one in diseases} if step.part == AIDED else {}
    return {"case": case, "diseases": diseases, "scores": scores, "healthy": HEALTHY}


def _case(room: Room, item: str) -> Case:
    """The case of a page. Raises Refusal for one that is in the study no more."""
    case = room.study.cases.get(item) or room.study.training.get(item)
    if case is None:
        raise Refusal("older")
    return case


@readers.get("/picture/{token}/{frame:int}")
def picture(request: Request, signed: SignedIn, token: str, frame: int) -> Response:
    """A picture of the page that this reader has open; 404 for all else."""
    _session, code = signed
    room = room_of(request)
    shown = find_page(room.store, code, token)
    if shown is None or not is_newest(room.store, shown):
        raise Refusal("place")
    if shown.part != TRAINING and is_answered(room.store, shown):
        raise Refusal("place")
    frames = _case(room, shown.item).frames
    if frame >= len(frames):
        raise Refusal("place")
    return Response(frames[frame], media_type="image/png")


@readers.post("/submit")
def submission(request: Request, signed: SignedIn, form: Fields) -> Response:
    """Take an answer, exactly once; what is sent again is answered like the first time."""
    session, code = signed
    room = room_of(request)
    if not room.watch.unchanged():
        note(room.store, reader_name(code), "refused", detail="protocol")
        raise Refusal("protocol")
    token = form.get("page", "")
    shown = find_page(room.store, code, token)
    if shown is None:
        note(room.store, reader_name(code), "refused", detail="strange")
        raise Refusal("strange")
    case = _case(room, shown.item)
    try:
        answer = read_answer(form, room.study.protocol.diseases_of(case.organ), case, room.study.protocol.marking)
    except BadForm as error:
        raise Refusal("values") from error
    outcome = submit(room.store, session, code, token, answer, room.study.hash, room.deviation)
    if outcome not in (Outcome.KEPT, Outcome.AGAIN):
        raise Refusal(outcome)
    return go_to(request, "/feedback" if shown.part == TRAINING else "/read")


@readers.post("/sign")
def sign(request: Request, signed: SignedIn, form: Fields) -> Response:
    """A sign of life of the open page: it is paused, goes on, or is still looked at."""
    _session, code = signed
    store = room_of(request).store
    shown = find_page(store, code, form.get("page", ""))
    if shown is None or form.get("kind") not in SIGNS or not is_newest(store, shown):
        raise Refusal("older")
    with store.transaction(durable=False):
        note(store, reader_name(code), form["kind"], shown)
    return Response(status_code=204)


@readers.get("/feedback")
def feedback(request: Request, signed: SignedIn) -> Response:
    """After a training case: what it was, beside what the reader said."""
    _session, code = signed
    room = room_of(request)
    found = last_training(room.store, code)
    if found is None:
        return go_to(request, "/read")
    shown, ratings = found
    case = _case(room, shown.item)
    truth = {disease: room.study.feedback[shown.item, disease] for disease in ratings}
    values = {"token": shown.token, "ratings": ratings, "truth": truth, "code": code}
    return page(request, "feedback.html", {**values, "case": case})
