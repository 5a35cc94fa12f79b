"""The templates of this folder, with escaping on."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).resolve().parent / "templates"


@cache
def templates() -> Environment:
    """The templates; whatever is put into them is escaped, and a name that they miss is an error."""
    loader = FileSystemLoader(TEMPLATES)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def style() -> Markup:
    """The style sheet of all pages."""
    return Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
