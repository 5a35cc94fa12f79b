"""The templates of these pages: the house's style and parts, and what is special to data and contact sheets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from ultrafm.files import replacing
from ultrafm.reporting.rendering import TEMPLATES as HOUSE
from ultrafm.reporting.rendering import style, templates

OWN = Path(__file__).resolve().parent / "templates"


@cache
def _environment() -> Environment:
    return templates().overlay(loader=FileSystemLoader([OWN, HOUSE]))


def whole_style() -> Markup:
    """The style sheet of the house and what these pages add to it."""
    return style() + Markup((OWN / "sheet.css").read_text(encoding="utf-8"))


def table(title: str, columns: Iterable[str], rows: Iterable[tuple], note: str = "") -> dict[str, Any]:
    """A table as the house's template shows it."""
    frame = pd.DataFrame(list(rows), columns=list(columns), dtype=object)
    return {"title": title, "frame": frame, "note": note, "label": "", "kind": ""}


def write_rendered(target: Path, template: str, values: Mapping[str, Any]) -> None:
    """Render a template into a file, whole or not at all; what `values` give as iterators is never held at once."""
    pieces: Iterator[str] = _environment().get_template(template).generate(style=whole_style(), **values)
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(pieces)
