"""The result of an analysis in plain words, for the command line and for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ultrafm.reporting.figures import interval_text

WIDTH = 34


def summarise(found: Mapping[str, Any]) -> str:
    """Plain-text summary of what `analyse` returned: design, primary result, others, levels, readers, warnings."""
    lines = [*_design(found), ""]
    lines += _against(found) if found["kind"] == "ai_versus_readers" else _modalities(found)
    lines += ["", "Readers", *(_reader(entry) for entry in found["individual_readers"])]
    lines += ["", *(f"Warning: {text}." for text in found["warnings"])] if found["warnings"] else []
    return "\n".join(lines)


def number(value: float | None, digits: int = 4) -> str:
    """A number for a table, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def p_number(value: float | None) -> str:
    """A p value for a table."""
    return "< 0.0001" if value is not None and value < 0.0001 else number(value)


def p_text(value: float | None) -> str:
    """A p value as journals print it."""
    if value is None:
        return "p not estimable"
    return f"p {p_number(value)}" if value < 0.0001 else f"p = {p_number(value)}"


def inference_text(found: Mapping[str, Any]) -> str:
    """Estimate, interval, degrees of freedom and p in one line; the reason where there is none."""
    if found["standard_error"] is None:
        return f"{number(found['estimate'])} ({found['status']})"
    law = "normal" if found["df"] is None else f"df {found['df']:.1f}"
    interval = f"{found['confidence']:.0%} CI {number(found['ci_low'])} to {number(found['ci_high'])}"
    error = number(found["standard_error"])
    return f"{number(found['estimate'])} ({interval}, SE {error}, {law}, {p_text(found['p_value'])})"


def non_inferiority_text(found: Mapping[str, Any]) -> str:
    """The non-inferiority test in one line, with margin, alpha and sidedness."""
    if found["p_value"] is None:
        return f"not estimable ({found['status']})"
    verdict = "non-inferior" if found["non_inferior"] else "not shown to be non-inferior"
    return (
        f"{verdict} (margin {found['margin']}, {found['sidedness']} alpha {found['alpha']}, {p_text(found['p_value'])})"
    )


def _design(found: Mapping[str, Any]) -> list[str]:
    """What was analysed and how."""
    counts = found["counts"]
    said = {"simulated": "SIMULATED readers", "real": "real readers"}.get(found["readers"], "readers")
    clusters = "" if counts["clusters"] is None else f", {counts['clusters']} clusters ({found['cluster']})"
    return [
        f"Data        {found['source']}: {counts['readers']} {said}, {counts['cases']} cases{clusters}, "
        f"{counts['diseased']} diseased and {counts['healthy']} healthy readings per reader, "
        f"{counts['diseases']} disease(s)",
        f"Endpoint    {found['endpoint']}",
        f"Model       {found['model']}",
        f"Covariance  {found['covariance']}; tests {found['sidedness']}, alpha {found['alpha']}",
    ]


def _auc(found: Mapping[str, Any]) -> str:
    """An AUROC with its interval."""
    if found["ci_low"] is None:
        return f"{number(found['auc'])} ({found['status']})"
    return f"{number(found['auc'])} ({number(found['ci_low'])} to {number(found['ci_high'])})"


def _row(label: str, text: str) -> str:
    return f"  {label:<{WIDTH}} {text}"


def _against(found: Mapping[str, Any]) -> list[str]:
    """AI against readers."""
    lines = [
        _row(f"AUROC of {found['ai']}", _auc(found["auc"]["ai"])),
        _row("AUROC of readers, mean", _auc(found["auc"]["readers"])),
        _row("AI minus readers (primary)", inference_text(found["primary"])),
    ]
    if found["non_inferiority"] is not None:
        lines.append(_row("Non-inferiority of the AI", non_inferiority_text(found["non_inferiority"])))
    lines.append(_row("These readers only (fixed)", inference_text(found["fixed_readers"])))
    lines.append(_row("These cases only (fixed)", inference_text(found["fixed_cases"])))
    if len(found["diseases"]) > 1:
        lines += ["", "AI minus readers by disease (secondary, Holm)"]
        lines += [_row(entry["disease"], _adjusted(entry)) for entry in found["diseases"]]
    if found["levels"]:
        lines += ["", f"AI minus readers by {found['by']} (secondary, Holm)"]
        lines += [_row(f"{entry['level']} ({entry['readers']} readers)", _adjusted(entry)) for entry in found["levels"]]
    return lines


def _adjusted(entry: Mapping[str, Any]) -> str:
    """A difference with Holm's p."""
    return f"{inference_text(entry['difference'])}, Holm {p_text(entry['p_holm'])}"


def _modalities(found: Mapping[str, Any]) -> list[str]:
    """Modalities against each other."""
    lines = [_row(f"AUROC of modality {entry['modality']}", _auc(entry)) for entry in found["modalities"]]
    if "primary" not in found:
        return lines
    for key, label in (("primary", "primary"), ("fixed_readers", "these readers"), ("fixed_cases", "these cases")):
        for entry in found[key]["differences"]:
            title = f"{entry['first']} minus {entry['second']} ({label})"
            lines.append(_row(title, inference_text(entry["difference"])))
    lines += [_level_line(level, entry) for level in found["levels"] for entry in level["primary"]["differences"]]
    return lines


def _level_line(level: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """One level's difference between two modalities."""
    return _row(f"{level['level']}: {entry['first']} minus {entry['second']}", _adjusted(entry))


def _reader(entry: Mapping[str, Any]) -> str:
    """One reader's AUROC, with level, years and modality where known."""
    facts = [entry.get("level"), f"years {entry['years']}" if entry.get("years") else None]
    facts.append(f"modality {entry['modality']}" if "modality" in entry else None)
    known = ", ".join(fact for fact in facts if fact)
    return _row(entry["reader"] + (f" ({known})" if known else ""), _auc(entry["auc"]))


def conclusion(found: Mapping[str, Any]) -> str:
    """What the primary result of AI against readers allows to say, in two or three sentences."""
    primary, readers = found["primary"], f"{found['counts']['readers']} readers"
    who = f"{found['counts']['readers']} simulated readers" if found["readers"] == "simulated" else readers
    said = [f"AI minus {who}, {found['endpoint']}: {inference_text(primary)}."]
    if primary["ci_low"] is not None:
        said.append(_direction(primary))
    test = found["non_inferiority"]
    if test is not None:
        said.append(f"Non-inferiority of the AI: {non_inferiority_text(test)}.")
    if found["readers"] == "simulated":
        said.append(
            "The readers are simulated: this follows from their stated parameters and says nothing about sonographers."
        )
    return " ".join(said)


def difference_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """AI minus readers for all readers, each level and each disease, as text for a page; Holm inside each family."""
    rows = [
        _table_row("all readers", "primary", found["auc"]["readers"], found["primary"], None, found["non_inferiority"])
    ]
    for family, name in (("levels", "level"), ("diseases", "disease")):
        rows += [
            _table_row(
                entry[name],
                f"by {name}",
                entry["auc_readers"],
                entry["difference"],
                entry["p_holm"],
                entry["non_inferiority"],
            )
            for entry in found[family]
        ]
    return pd.DataFrame(rows)


def inference_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """AI minus readers under each kind of inference, as text for a page; the first is the result of the study."""
    kinds = {"primary": "new readers, new cases", "fixed_readers": "these readers only"}
    kinds["fixed_cases"] = "these cases only"
    rows = [
        {
            "holds for": words, "AI minus readers (95% CI)": interval_text(*_ends(found[kind])),
            "standard error": number(found[kind]["standard_error"]), "df": freedom(found[kind]["df"]),
            "p": p_number(found[kind]["p_value"]),
        }
        for kind, words in kinds.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def freedom(df: float | None) -> str:
    """Degrees of freedom for a table: from a thousand on the t distribution is the normal one."""
    return "-" if df is None else "> 1000" if df > 1000 else number(df, 1)


def reader_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """Every reader alone: level, years, AUROC, and AI minus this reader, as text for a page; Holm over readers."""
    rows = [
        {name: entry[name] for name in ("reader", "level", "years") if name in entry}
        | {
            "AUROC (95% CI)": interval_text(entry["auc"]["auc"], entry["auc"]["ci_low"], entry["auc"]["ci_high"]),
            "AI minus reader (95% CI, not adjusted)": interval_text(*_ends(entry["difference"])),
            "p, Holm": p_number(entry["p_holm"]),
        }
        for entry in found["individual_readers"]
    ]
    return pd.DataFrame(rows)


def _direction(primary: Mapping[str, Any]) -> str:
    """What the interval says about the sign."""
    if primary["ci_low"] > 0:
        return (
            "The interval lies above zero: the AI ranks cases better than these kinds of readers on cases like these."
        )
    if primary["ci_high"] < 0:
        return "The interval lies below zero: the AI ranks cases worse than these kinds of readers on cases like these."
    return "The interval includes zero: a difference in either direction is compatible with the data."


def _ends(found: Mapping[str, Any]) -> tuple[float, float | None, float | None]:
    """Estimate and interval."""
    return found["estimate"], found["ci_low"], found["ci_high"]


def _table_row(
    group: str,
    family: str,
    auc: Mapping[str, Any],
    difference: Mapping[str, Any],
    p_holm: float | None,
    test: Mapping[str, Any] | None,
) -> dict[str, str]:
    """One line of the table of differences."""
    row = {
        "readers or disease": group,
        "family": family,
        "AUROC of readers": interval_text(auc["auc"], auc["ci_low"], auc["ci_high"]),
        "AI minus readers (95% CI, not adjusted)": interval_text(*_ends(difference)),
        "df": freedom(difference["df"]),
        "p": p_number(difference["p_value"]),
        "p, Holm": p_number(p_holm),
    }
    return row if test is None else row | {f"p, non-inferior by {test['margin']}": p_number(test["p_value"])}
