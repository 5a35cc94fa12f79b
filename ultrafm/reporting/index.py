"""The index page of a study: what it is, its main numbers, what the paper reports, and where to read on."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ultrafm.files import write_text
from ultrafm.reporting.html import Page
from ultrafm.reporting.rendering import style, templates
from ultrafm.reporting.tables import (
    CAUTIONS,
    Table,
    headline_tables,
    idle_reason,
    provenance_rows,
    reported_table,
    setting_table,
    steps_table,
)

OUTCOMES = {"out of date": "is out of date, and its numbers are left out"}


def write_index(
    folder: Path,
    results: Mapping[str, Any],
    run: Mapping[str, Any],
    pages: Sequence[Page],
    pictures: Mapping[str, Path] | None = None,
    licences: Table | None = None,
) -> Path:
    """Write `folder`/index.html and return its path.

    Every number of ours comes from `results` (the value of results.json), times and memory from `run` (run.json), and
    what the paper reports from paper.yaml, in a table of its own. Pages that do not exist in `folder` are not linked.
    `pictures` maps a caption to a PNG file; they are put into the page. `licences`: those of the sites, in a table. The
    page opens without a network.
    """
    records = results["records"]
    tables = headline_tables(records)
    there = [page for page in pages if (folder / page.path).exists()]
    template = templates().get_template("study.html.j2")
    html = template.render(
        style=style(),
        run=run,
        pages=there,
        notice=_notice(records, run.get("profile", "")),
        failed=_failed_steps(run, there),
        idle=_idle_steps(run),
        groups=[(kind, [table for table in tables if table.kind == kind]) for kind in ("real", "simulated")],
        paper=reported_table(),
        setting=setting_table(records, run.get("parameters") or {}, _count_sites(run)),
        licences=licences,
        steps=steps_table(run),
        provenance=provenance_rows(run),
        pictures={caption: _data_address(path) for caption, path in (pictures or {}).items()},
    )
    target = folder / "index.html"
    write_text(target, html)
    return target


def _notice(records: Sequence[Mapping[str, Any]], profile: str) -> str:
    """The sentence that stands before all numbers: what in this study is simulated."""
    images = {found["images"] for found in records}
    readers = {found["readers"] for found in records if found["readers"]}
    parts = [CAUTIONS[profile]] if profile in CAUTIONS else []
    if images == {"simulated"}:
        parts.append("All images are simulated, by a phantom with known truth.")
    elif "simulated" in images:
        parts.append("Some images are simulated; their numbers stand in tables of their own.")
    if "simulated" in readers:
        parts.append("The readers are simulated: no person has read these cases.")
    if "simulated" in images | readers:
        parts.append("Such numbers show that the method and its statistics work. They say nothing about patients.")
    return " ".join(parts)


def _failed_steps(run: Mapping[str, Any], pages: Sequence[Page]) -> list[tuple[str, str, str, Page | None]]:
    """Name, what happened, cause and page of each step that did not finish or is out of date."""
    by_name = {page.name: page for page in pages}
    steps = sorted(run.get("steps", {}).items())
    return [
        (
            name,
            OUTCOMES.get(entry["status"], "did not finish"),
            entry.get("error", "it did not run to its end"),
            by_name.get(name),
        )
        for name, entry in steps
        if entry.get("status", "finished") != "finished"
    ]


def _idle_steps(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and reason of each step that found nothing to do."""
    steps = sorted(run.get("steps", {}).items())
    return [(name, reason) for name, entry in steps if (reason := idle_reason(entry))]


def _count_sites(run: Mapping[str, Any]) -> int | None:
    return sum(name.startswith("site_") for name in run.get("manifests", {})) or None


def _data_address(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
