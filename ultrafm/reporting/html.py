"""Notebook pages: one self-contained HTML file per notebook, calm to read, with the code folded and nothing fetched."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from papermill.execute import ERROR_MARKER_TAG

from ultrafm.errors import NothingToDo
from ultrafm.files import write_text
from ultrafm.reporting.parameters import TAG, read_comments, read_notebook
from ultrafm.reporting.rendering import TEMPLATES, style, templates
from ultrafm.reporting.tables import CAUTIONS, provenance_rows

SCRIPT, WIDGET = "application/javascript", "application/vnd.jupyter.widget-view+json"
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}
LOADED |= {"audio": "src", "embed": "src", "object": "data", "image": "href", "use": "href", "input": "src"}
OUTSIDE = re.compile(r"\s*(//|(?!data:|blob:|about:)[a-z][a-z0-9+.-]*:)", re.IGNORECASE)
MOST_LINES = 300


@dataclass(frozen=True)
class Page:
    """A page of the study: the name of its step and its address, relative to the study's folder."""

    name: str
    path: str

    @property
    def title(self) -> str:
        """The step's name for people: "30 · diagnosis"."""
        number, _, words = self.name.partition("_")
        return f"{number} · {words.replace('_', ' ')}" if number.isdigit() and words else self.name.replace("_", " ")


def write_page(notebook: Path, target: Path, run: Mapping[str, Any], pages: Sequence[Page]) -> Path:
    """Convert a notebook with its outputs to the HTML file `target`, and return `target`.

    `run` is the value of run.json; with it the page tells where its numbers come from (an empty one leaves that out).
    `pages` are all pages of the study, in order, for the navigation. The page opens without a network: pictures are
    inside, nothing is loaded. A notebook that failed has a banner that leads to the cell where it stopped.
    """
    book = read_notebook(notebook)
    failure = _take_failure(book)
    sections = _mark_sections(book)
    _describe_pictures(book)
    _tidy_outputs(book)
    parts = templates().get_template("parts.html.j2").module
    study = {
        "style": style(),
        "title": _title(book, notebook.stem),
        "navigation": parts.navigation(*_neighbours(notebook.stem, pages)),
        "failure": parts.failure(failure) if failure else "",
        "caution": parts.caution(CAUTIONS[run["profile"]]) if run.get("profile") in CAUTIONS else "",
        "sections": parts.sections(sections) if len(sections) > 2 else "",
        "parameters": parts.parameters(parameter_rows(book)),
        "provenance": parts.provenance(provenance_rows(run, notebook.stem)) if run else "",
    }
    html, _ = _exporter().from_notebook_node(book, {"metadata": {"name": study["title"]}, "study": study})
    write_text(target, html)
    return target


def external_references(html: str) -> list[str]:
    """Addresses that a browser would fetch to show `html`; an empty list means that it opens without a network.

    Links that a reader may follow do not count, nor do data: addresses, anchors, and names of files beside the page.
    """
    soup = BeautifulSoup(html, features="html.parser")
    found = [tag[name] for kind, name in LOADED.items() for tag in soup.find_all(kind) if tag.get(name)]
    for tag in soup.find_all(srcset=True):
        found += [part.split()[0] for part in tag["srcset"].split(",") if part.strip()]
    styles = [tag.get_text() for tag in soup.find_all("style")] + [tag["style"] for tag in soup.find_all(style=True)]
    for text in styles:
        found += re.findall(r"url\(\s*['\"]?([^'\")]+)", text) + re.findall(r"@import\s+['\"]([^'\"]+)", text)
    for tag in soup.find_all("script"):
        found += re.findall(r"['\"`]((?:https?:|wss?:)?//[^'\"`\s]+)", tag.get_text())
    return [address for address in found if OUTSIDE.match(address)]


def parameter_rows(book: NotebookNode) -> list[dict[str, str]]:
    """The parameters of a notebook that has run: name, type, value used, default and meaning, all as text."""
    defaults = _assignments(book, TAG)
    used = _assignments(book, "injected-parameters")
    rows = []
    for name, line in (defaults | used).items():
        value = _short_path(used.get(name, line)["value"])
        default = defaults.get(name, {"value": "", "type": "", "help": "not declared"})
        rows.append({"name": name, "value": value, "default": default["value"], "type": default["type"]})
        rows[-1]["help"] = default["help"]
    return rows


def _exporter() -> HTMLExporter:
    return HTMLExporter(
        template_name="page", extra_template_basedirs=[str(TEMPLATES)], embed_images=True, exclude_anchor_links=True,
        mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="", mermaid_layout_elk_js_url="",
        jupyter_widgets_base_url="",
    )  # fmt: skip


def _neighbours(name: str, pages: Sequence[Page]) -> tuple[Page | None, Page | None, Sequence[Page], str]:
    names = [page.name for page in pages]
    if name not in names:
        return None, None, pages, name
    here = names.index(name)
    return (pages[here - 1] if here else None), (pages[here + 1] if here + 1 < len(pages) else None), pages, name


def _title(book: NotebookNode, default: str) -> str:
    for cell in book.cells:
        heading = re.search(r"^# +(.+)$", cell.source, re.M) if cell.cell_type == "markdown" else None
        if heading:
            return heading.group(1).strip()
    return default


def _take_failure(book: NotebookNode) -> str | None:
    """Remove papermill's markers; mark the cell that failed instead, and return what happened.

    Where a step had nothing to do, its last cell and all after it are left out: the reason stands at the head.
    """
    markers = [number for number, cell in enumerate(book.cells) if ERROR_MARKER_TAG in cell.metadata.get("tags", [])]
    if not markers:
        return None
    failed = book.cells[min(markers[-1] + 1, len(book.cells) - 1)]
    failed.metadata["failed"] = True
    text = BeautifulSoup(book.cells[markers[0]].source, features="html.parser").get_text()
    errors = [output for output in failed.get("outputs", []) if output.output_type == "error"]
    if errors:
        text = f"{errors[-1].ename}: {errors[-1].evalue}"
    end = markers[-1] if NothingToDo.reason_in(text) else len(book.cells)
    book.cells = [cell for number, cell in enumerate(book.cells[:end]) if number not in markers]
    return text


def _mark_sections(book: NotebookNode) -> list[tuple[str, str]]:
    """Give every second-level heading an anchor; (anchor, heading) of each, for the list at the head of the page."""
    found: list[tuple[str, str]] = []
    for cell in book.cells:
        heading = re.match(r"## +(.+)", cell.source) if cell.cell_type == "markdown" else None
        if heading:
            found.append((f"section-{len(found) + 1}", re.sub(r"[*_`]", "", heading.group(1)).strip()))
            cell.source = f'<span id="{found[-1][0]}"></span>\n\n{cell.source}'
    return found


def _describe_pictures(book: NotebookNode) -> None:
    """Give pictures without a description one that says at least where they belong."""
    heading = "this notebook"
    for cell in book.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ +(.+)$", cell.source, re.M)
            heading = headings[-1].strip() if headings else heading
        for output in cell.get("outputs", []):
            for kind in ("image/png", "image/jpeg"):
                if kind in output.get("data", {}):
                    about = output.metadata.setdefault(kind, {})
                    about["alt"] = about.get("alt") or f"Figure in the section “{heading}”"


def _tidy_outputs(book: NotebookNode) -> None:
    """Leave out what needs a running kernel, keep the last state of progress lines, and cut floods of text."""
    for cell in book.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in output.text.split("\n")]
                left = len(lines) - MOST_LINES
                note = [f"… {left} more lines in the notebook"] if left > 0 else []
                output.text = "\n".join(lines[:MOST_LINES] + note)
            output.get("data", {}).pop(SCRIPT, None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("data", True) and not _is_widget(output)]


def _is_widget(output: NotebookNode) -> bool:
    """Is this a progress bar or another widget, of which a page could only show how it looked before it began?"""
    return WIDGET in output.get("data", {})


def _assignments(book: NotebookNode, tag: str) -> dict[str, dict[str, str]]:
    """The assignments of the cell with `tag`: name -> value, type and comment, as text. Empty if it cannot be read."""
    cells = [cell for cell in book.cells if tag in cell.metadata.get("tags", []) and cell.cell_type == "code"]
    try:
        lines = [line for cell in cells for line in ast.parse(cell.source).body]
        notes = {number: text for cell in cells for number, text in read_comments(cell.source).items()}
    except SyntaxError:
        return {}
    found = {}
    for line in lines:
        if isinstance(line, ast.AnnAssign) and line.value is not None:
            target, kind = line.target, ast.unparse(line.annotation)
        elif isinstance(line, ast.Assign):
            target, kind = line.targets[0], ""
        else:
            continue
        about = {"value": ast.unparse(line.value), "type": kind, "help": notes.get(line.end_lineno or 0, "")}
        found[ast.unparse(target)] = about
    return found


def _short_path(value: str) -> str:
    """An absolute path by its last two parts: pages travel, and where a machine keeps its files is private."""
    found = re.fullmatch(r"'(?:/|[A-Za-z]:\\).*?([^/\\]+[/\\][^/\\]+)[/\\]?'", value)
    return f"'…/{found.group(1)}'" if found else value
