"""What browsers send: small forms, and the answer to a case, checked field by field before anything is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from starlette.requests import Request

from ultrafm.readers.room.pictures import Case
from ultrafm.readers.room.protocol import HEALTHY, Disease
from ultrafm.readers.room.readings import Answer, Region

LARGEST = 16_384  # bytes of a form
MOST_FIELDS = 64
EDGES = ("left", "top", "right", "bottom")
Form = dict[str, str]


class BadForm(ValueError):
    """A form that no page of ours sends, or an answer that lacks something."""


async def read_form(request: Request) -> Form:
    """The fields of a form (application/x-www-form-urlencoded, UTF-8). Raises BadForm for anything else or larger."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise BadForm("too large")
    try:
        return dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise BadForm("no form") from error


def read_answer(form: Mapping[str, str], diseases: Sequence[Disease], case: Case, marking: bool) -> Answer:
    """The answer to a case: a whole number 0..100 per disease, a final diagnosis, a region or none. Raises BadForm."""
    ratings = {disease.name: _whole(form, f"rating-{place}", 100) for place, disease in enumerate(diseases)}
    diagnosis = form.get("diagnosis", "")
    if diagnosis not in (HEALTHY, *ratings):
        raise BadForm("no final diagnosis")
    return Answer(ratings, diagnosis, _region(form, case) if marking else None)


def _region(form: Mapping[str, str], case: Case) -> Region | None:
    """The marked box, None where all four edges are empty."""
    if not any(form.get(edge, "").strip() for edge in EDGES):
        return None
    left, right = (_whole(form, edge, case.width) for edge in ("left", "right"))
    top, bottom = (_whole(form, edge, case.height) for edge in ("top", "bottom"))
    if left >= right or top >= bottom:
        raise BadForm("a region without area")
    return Region(left, top, right, bottom, _whole({"frame": "0", **form}, "frame", len(case.frames) - 1))


def _whole(form: Mapping[str, str], field: str, most: int) -> int:
    text = form.get(field, "").strip()
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > most:
        raise BadForm(f"{field} is no whole number from 0 to {most}")
    return int(text)
