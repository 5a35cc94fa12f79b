"""The web application: what every answer has in common. Pages of readers and of the office are routes of their own."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from ultrafm.readers.room.access import Knocks
from ultrafm.readers.room.forms import BadForm
from ultrafm.readers.room.messages import MESSAGES, Refusal
from ultrafm.readers.room.registered import Study
from ultrafm.readers.room.registration import Watch
from ultrafm.readers.room.store import Store

HERE = Path(__file__).parent
# No script or style in the page, nothing from elsewhere, no frame around it, and nothing kept in a cache.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass
class Room:
    """What the routes work on. deviation: why the study is not the registered one, or None.

    secure: are readers on https, so that cookies may travel on nothing else?
    """

    study: Study
    store: Store
    watch: Watch
    deviation: str | None = None
    secure: bool = False
    knocks: Knocks = field(default_factory=Knocks)


def create_app(room: Room, hosts: list[str]) -> FastAPI:
    """The application of a room. hosts: names under which browsers may ask for it (against DNS rebinding)."""
    from ultrafm.readers.room.entrance_pages import entrance
    from ultrafm.readers.room.office_pages import office
    from ultrafm.readers.room.reader_pages import readers

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.room = room
    app.include_router(entrance)
    app.include_router(readers)
    app.include_router(office)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(BadForm, lambda request, _error: _told(request, "form"))
    app.add_exception_handler(HTTPException, lambda request, _error: _told(request, "place"))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    app.middleware("http")(_guard)
    return app


async def _guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse forms that another site sends; put the headers on every answer."""
    foreign = request.method == "POST" and request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
    try:
        answer = _told(request, "form") if foreign else await call(request)
    except Exception:  # a full disk, a fault of ours: the visitor gets a page with the headers, the log the reason
        logging.getLogger("uvicorn.error").exception("%s failed", request.url.path.split("/")[1])
        answer = message_page(request, "broken")
    for name, value in HEADERS.items():
        answer.headers[name] = value
    return answer


def _refused(request: Request, error: Exception) -> Response:
    return _told(request, error.why if isinstance(error, Refusal) else "form")


def _told(request: Request, why: str) -> Response:
    """The friendly page: at once, or for a submission the way to it."""
    if request.method == "POST":
        return go_to(request, f"/refused/{why}")
    return message_page(request, why)


def go_to(request: Request, place: str) -> Response:
    """Where to go on: for our script as JSON, for a plain form as a redirection."""
    if request.headers.get("accept") == "application/json":
        return JSONResponse({"next": place})
    return RedirectResponse(place, status_code=303)


def message_page(request: Request, why: str) -> Response:
    """One of MESSAGES as a page."""
    message = MESSAGES[why]
    return page(request, "message.html", {"message": message}, message.status)


def _environment() -> Environment:
    """Templates; everything that is put into them is escaped, and a name that is not there is an error."""
    return Environment(
        loader=FileSystemLoader(HERE / "pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


TEMPLATES = _environment()


def page(request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """A page of `pages/`."""
    study = room_of(request).study
    shown = {"protocol": study.protocol, "images": study.images, **values}
    return HTMLResponse(TEMPLATES.get_template(template).render(shown), status)


def room_of(request: Request) -> Room:
    """The room that a request came into."""
    return request.app.state.room


def address_of(request: Request) -> str:
    """The visitor's address, as far as the server knows it."""
    return request.client.host if request.client else "unknown"
