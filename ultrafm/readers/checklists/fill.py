"""Fill the checklists' items with the facts of an analysis; what is unknown is said to be not reported, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

import pandas as pd
import yaml
from pandas.io.formats.style import Styler

from ultrafm.errors import one_of
from ultrafm.readers.names import level_order
from ultrafm.readers.sentences import inference_text

ITEMS = Path(__file__).resolve().parent / "items.yaml"
GUIDELINES = ("STARD-AI", "CLAIM 2024", "DECIDE-AI", "TRIPOD+AI")
SILENT = "not reported because"
REALITY = {
    "simulated": "readers are simulated",
    "real": "readers are people",
    None: "the table does not say whether readers are people or simulated",
}


def fill_checklist(guideline: str, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Items of one guideline with what the study reports for each; facts: see `study_facts`, and any of your own.

    Wording is our own, item numbers are left out. Raises UltraFMError for a guideline that is not known.
    """
    one_of("checklist", guideline, GUIDELINES)
    rows = []
    for entry in _entries()[guideline]:
        told = _answer(entry, facts)
        rows.append({"item": entry["asks"], "reported": told, "filled": not told.startswith(SILENT)})
    return pd.DataFrame(rows)


def checklist_page(table: pd.DataFrame) -> Styler:
    """A filled checklist for a page: item and report, both set to the left."""
    left = [{"selector": "th, td", "props": "text-align: left !important"}]
    return table[["item", "reported"]].style.hide(axis="index").set_table_styles(left)


def study_facts(found: Mapping[str, Any], images: str | None = None, **more: Any) -> dict[str, Any]:
    """What an analysis tells: counts, design, model, result. `more`: facts that only the person knows, by name.

    Names that items ask for and an analysis cannot know: ai_model, partition, reference, blinding, sample_size, use,
    reliance, harmed, sessions, threshold, ai_threshold.
    """
    counts, simulated = found["counts"], found["readers"] == "simulated"
    facts = {
        "question": f"{found['sign']}: {found['endpoint']}", "endpoint": found["endpoint"], "design": found["design"],
        "margin": (found.get("non_inferiority") or {}).get("margin"), "cases": counts["cases"], "images": images,
        "patients": counts["clusters"], "missing": counts["missing_readings"], "diseased": counts["diseased"],
        "healthy": counts["healthy"], "reader_count": counts["readers"], "model": found["model"],
        "covariance": found["covariance_name"], "confidence": f"{found['confidence']:.0%}",
        "sidedness": f"{found['sidedness']} at {found['alpha']:g}", "version": found["versions"]["ultrafm"],
        "reality": REALITY[found["readers"]],
        "reality_readers": "simulated readers" if simulated else "readers",
        "no_people": "the readers are simulated" if simulated else "the table does not hold it",
        "clustering": _clustering(found),
        "diseases": ", ".join(entry["disease"] for entry in found["diseases"]) or "one outcome",
    }  # fmt: skip
    return facts | _results(found) | _people(found) | {name: value for name, value in more.items() if value is not None}


def _results(found: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of the results; None where the analysis has none."""
    against, tests = found.get("ai_versus_readers"), found.get("tests")
    primary = against or (tests or {}).get("random_readers_random_cases")
    shown = primary is not None and primary["difference"] is not None
    parts = found.get("components") or {}
    pairs = found.get("reader_differences") or []
    harmed = sum(_lower_with_aid(entry) for entry in pairs) if _aided(pairs) else None
    return {
        "primary": inference_text(primary) if shown else "see the table of values",
        "inference": primary["model"] if primary else f"mean over readers, {found['modalities'][0]['model']}",
        "components": ", ".join(f"{name} {value:.3g}" for name, value in parts.items() if isinstance(value, float)),
        "by_level": ", ".join(f"{name} ({entry['readers']})" for name, entry in found["levels"].items()) or None,
        "operating": f"{len(found['operating_points'])} rows" if "operating_points" in found else None,
        "agreement": "kappa, AC1 and ICC by level" if found.get("agreement") else None,
        "modality": against["modality"] if against else None,
        "harmed": None if harmed is None else f"{harmed} of {len(pairs)} readers are lower with the AI than without",
    }


def _aided(pairs: list[Mapping[str, Any]]) -> bool:
    """Whether the differences are those of readers with and without the AI."""
    return bool(pairs) and {pairs[0]["first"], pairs[0]["second"]} == {"aided", "unaided"}


def _lower_with_aid(entry: Mapping[str, Any]) -> bool:
    """Whether a reader's value is lower with the AI."""
    return (entry["difference"] < 0) == (entry["first"] == "aided") and entry["difference"] != 0


def _people(found: Mapping[str, Any]) -> dict[str, Any]:
    """Levels and years of the readers, each reader once."""
    readers = {entry["reader"]: entry for entry in found["individual_readers"]}.values()
    levels = [entry["level"] for entry in readers if entry.get("level")]
    years = [float(entry["years"]) for entry in readers if _number(entry.get("years"))]
    counted = ", ".join(f"{levels.count(level)} {level}" for level in level_order(levels))
    return {"levels": counted or None, "years": f"{min(years):g} to {max(years):g}" if years else None}


def _number(text: str | None) -> bool:
    return bool(text) and text.replace(".", "", 1).isdecimal()


def _clustering(found: Mapping[str, Any]) -> str:
    if found["cluster"] is None:
        return "cases were treated as independent"
    return f"{found['counts']['clusters']} {found['cluster']}s; {found['covariance_name']}"


def _answer(entry: Mapping[str, str], facts: Mapping[str, Any]) -> str:
    """The item's answer, or why there is none."""
    wanted = entry.get("answer")
    if wanted and all(facts.get(name) is not None for name in _names(wanted)):
        return wanted.format(**facts)
    return f"{SILENT} {entry.get('reason', 'the analysis does not tell it').format(**facts)}"


def _names(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name]


def _entries() -> dict[str, list[dict[str, str]]]:
    """The items of every guideline."""
    return {part["guideline"]: part["items"] for part in yaml.safe_load(ITEMS.read_text(encoding="utf-8"))}
