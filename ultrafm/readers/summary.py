"""The result of an analysis as plain text, for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ultrafm.readers.deviations import protocol_lines
from ultrafm.readers.sentences import (
    equivalence_text,
    inference_text,
    non_inferiority_text,
    number,
    p_text,
    value_text,
)

WIDTH = 36
MODELS = {
    "random_readers_random_cases": "primary",
    "fixed_readers": "these readers",
    "fixed_cases": "these cases",
    "available_cases": "available cases",
}


def summarise(found: Mapping[str, Any]) -> str:
    """Plain-text summary of what `analyse` returned: design, primary result, others, levels, readers, warnings."""
    lines = [*_design(found), ""]
    lines += _against(found) if found["kind"] == "ai_versus_readers" else []
    lines += _modalities(found)
    lines += _points(found) + _time(found)
    lines += ["", "Readers", *(_reader(entry) for entry in found["individual_readers"]), *_other_curves(found)]
    lines += ["", *(f"Warning: {text}." for text in found["warnings"])] if found["warnings"] else []
    return "\n".join([*lines, "", found["conclusion"]])


def _design(found: Mapping[str, Any]) -> list[str]:
    """What was analysed and how."""
    counts = found["counts"]
    said = {"simulated": "SIMULATED readers", "real": "real readers"}.get(found["readers"], "readers")
    clusters = "" if counts["clusters"] is None else f", {counts['clusters']} clusters ({found['cluster']})"
    divided = f" ({found['divided']})" if found["divided"] else ""
    missing = f", {counts['missing_readings']} readings fewer than fully crossed" if counts["missing_readings"] else ""
    return [
        f"Data        {found['source']}: {counts['readers']} {said}, {counts['cases']} cases{clusters}, "
        f"{counts['diseased']} diseased and {counts['healthy']} healthy readings per reader, "
        f"{counts['diseases']} disease(s)",
        f"Design      {found['design']}{divided}{missing}",
        f"Endpoint    {found['endpoint']}",
        f"Model       {found['model']}",
        *([f"            modalities: {found['model_of_modalities']}"] if "model_of_modalities" in found else []),
        f"Covariance  {found['covariance_name']}; tests {found['sidedness']}, alpha {found['alpha']}",
        *protocol_lines(found.get("protocol")),
    ]


def _row(label: str, text: str) -> str:
    return f"  {label:<{WIDTH}} {text}"


def _against(found: Mapping[str, Any]) -> list[str]:
    """AI against readers."""
    primary = found["ai_versus_readers"]
    others = {name: one for name, one in primary.get("by_modality", {}).items() if name != primary["modality"]}
    where = f", {primary['modality']}" if others else ""
    lines = [
        _row(f"{found['ai']}", value_text(primary["ai"])),
        _row(f"readers, mean{where}", value_text(primary["readers"])),
        _row(f"AI minus readers{where} (primary)", inference_text(primary)),
    ]
    if found["non_inferiority"] is not None:
        lines.append(_row("Non-inferiority of the AI", non_inferiority_text(found["non_inferiority"])))
        lines.append(_row("then superiority (closed order)", found["closed_order"]["verdict"]))
    if found["equivalence"] is not None:
        lines.append(_row("Equivalence", equivalence_text(found["equivalence"])))
    lines.append(_row("These readers only (fixed)", inference_text(primary["fixed_readers"])))
    lines.append(_row("These cases only (fixed)", inference_text(primary["fixed_cases"])))
    for name, other in others.items():
        lines.append(_row(f"AI minus readers, {name}", inference_text(other)))
    if found["claims"]:
        lines += ["", f"Claims stated beforehand{where} (one-sided, Holm)", *(_claim(row) for row in found["claims"])]
    if len(found["diseases"]) > 1:
        lines += ["", "AI minus readers by disease (secondary, Holm)"]
        lines += [_row(entry["disease"], _adjusted(entry["difference"], entry)) for entry in found["diseases"]]
    if found["levels"]:
        lines += ["", f"AI minus readers{where} by {found['by']} (secondary, Holm)"]
        for level, entry in found["levels"].items():
            lines.append(_row(f"{level} ({entry['readers']} readers)", _adjusted(entry["ai_versus_readers"], entry)))
    return lines


def _claim(row: Mapping[str, Any]) -> str:
    """One claim with its adjusted p."""
    margin = "" if row["margin"] is None else f", margin {row['margin']:g}"
    return _row(f"{row['claim']}: {row['level']}{margin}", f"{row['sentence']} Holm {p_text(row['p_holm'])}")


def _adjusted(test: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """A difference with Holm's p."""
    return f"{inference_text(test)}, Holm {p_text(entry['p_holm'])}"


def _modalities(found: Mapping[str, Any]) -> list[str]:
    """Modalities against each other."""
    lines = ["", "Modalities of the readers"] if found["kind"] == "ai_versus_readers" and "tests" in found else []
    lines += [_row(f"modality {entry['modality']}, mean", value_text(entry)) for entry in found.get("modalities", [])]
    if "tests" not in found:
        return lines
    for key, label in MODELS.items():
        for pair in found["tests"].get(key, {}).get("pairs", []):
            lines.append(_row(f"{pair['first']} minus {pair['second']} ({label})", inference_text(pair)))
    for level, entry in found["levels"].items():
        for pair in entry.get("tests", {}).get("random_readers_random_cases", {}).get("pairs", []):
            lines.append(_row(f"{level}: {pair['first']} minus {pair['second']}", _adjusted(pair, pair)))
    return lines


def _points(found: Mapping[str, Any]) -> list[str]:
    """Operating points of every reader, and the AI at matched sensitivity."""
    if "operating_points" not in found:
        return []
    lines = ["", "Operating points (sensitivity, specificity)"]
    for row in found["operating_points"]:
        ends = [_interval(row, kind) for kind in ("sensitivity", "specificity")]
        lines.append(_row(f"{row['disease']}: {row['reader']} ({row['modality']})", ", ".join(ends)))
    for row in found.get("matched", []):
        told = f"{number(row['difference'])} ({number(row['ci_low'])} to {number(row['ci_high'])}), {row['readers']}"
        lines.append(_row(f"{row['disease']}: AI at readers' sensitivity", f"specificity, AI minus readers {told}"))
    return lines


def _interval(row: Mapping[str, Any], kind: str) -> str:
    return f"{number(row[kind])} ({number(row[f'{kind}_low'])} to {number(row[f'{kind}_high'])})"


def _time(found: Mapping[str, Any]) -> list[str]:
    """Median reading times."""
    if not found["reading_time"]:
        return []
    rows = found["reading_time"]["medians"]
    told = [_row(f"{row['modality']}, {row['group']} readers", f"median {row['median_seconds']:.1f} s") for row in rows]
    return ["", "Reading time", *told]


def _reader(entry: Mapping[str, Any]) -> str:
    """One reader's value, with level, years and modality where known."""
    facts = [entry.get("level"), f"years {entry['years']}" if entry.get("years") else None]
    known = ", ".join([fact for fact in facts if fact] + [f"modality {entry['modality']}"])
    return _row(f"{entry['reader']} ({known})", value_text(entry["value"]))


def _other_curves(found: Mapping[str, Any]) -> list[str]:
    """The readers' values in modalities other than the one that the AI is first compared with."""
    if found["kind"] != "ai_versus_readers":
        return []
    name = "auc" if "auc" in found else "value"
    first = (found["ai"], found["ai_versus_readers"]["modality"])
    return [
        _row(
            f"{row['reader']} (modality {row['modality']})",
            value_text({"estimate": row[name], "status": "no interval"} | row),
        )
        for row in found.get("auc") or found["values"]
        if row["reader"] != first[0] and row["modality"] != first[1]
    ]
