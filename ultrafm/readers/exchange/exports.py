"""Tables of a result as CSV (full precision) and as LaTeX (rounded, for a manuscript)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ultrafm.files import write_text

NUMBERS = ("difference", "se", "df", "statistic", "p", "p_holm", "ci_low", "ci_high")
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def result_tables(found: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The tables of what `analyse` returned: values of every reader, tests, components, and claims where stated."""
    tables = {"values": _values(found), "tests": pd.DataFrame(_tests(found))}
    for name in ("components", "ai_components"):
        if name in found or name == "components":
            parts = found.get(name) or {}
            tables[name] = pd.DataFrame({"component": list(parts), "value": list(parts.values())})
    if found.get("claims"):
        tables["claims"] = pd.DataFrame(found["claims"]).drop(columns="sentence")
    return tables


def export_tables(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write every table of a result to `folder` as NAME.csv and NAME.tex; the paths.

    A column `readers_are` says "simulated" or "real" in every row, where the ratings table told it.
    """
    made, note = [], table_note(found)
    for name, table in result_tables(found).items():
        table = table if found["readers"] is None else table.assign(readers_are=found["readers"])
        paths = [Path(folder) / f"{name}.csv", Path(folder) / f"{name}.tex"]
        write_text(paths[0], table.to_csv(index=False))
        write_text(paths[1], latex_table(table, f"{found['endpoint']}: {name}", f"tab:{name}", note))
        made += paths
    return made


def table_note(found: Mapping[str, Any]) -> str:
    """What a reader of any of the tables must know: model, covariance, clusters, sign, and whether it is simulated."""
    cluster = f"clustered by {found['cluster']}" if found["cluster"] else "cases independent"
    cluster = "" if cluster in found["covariance_name"] else f"{cluster}; "
    modalities = f"modalities: {found['model_of_modalities']}; " if "model_of_modalities" in found else ""
    said = "SIMULATED readers. " if found["readers"] == "simulated" else ""
    told = f"{said}{found['model']}; {modalities}{found['covariance_name']}; {cluster}{found['design']}; "
    told += f"sign: {found['sign']}; "
    return (
        told + f"{found['confidence']:.0%} intervals, {found['sidedness']} p; ultrafm {found['versions']['ultrafm']}."
    )


def latex_table(table: pd.DataFrame, caption: str, label: str, note: str = "", digits: int = 4) -> str:
    """A table environment for booktabs: numbers rounded to `digits`, text escaped, a note below."""
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{escaped(caption)}}}", rf"\label{{{label}}}"]
    lines += [rf"\begin{{tabular}}{{{''.join('r' if one else 'l' for one in numeric)}}}", r"\toprule"]
    lines += [_row([escaped(str(name)) for name in table.columns]), r"\midrule"]
    lines += [_row([_cell(value, digits) for value in row]) for row in table.itertuples(index=False)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\footnotesize {escaped(note)}"] if note else []
    return "\n".join([*lines, r"\end{table}", ""])


def escaped(text: str) -> str:
    """Text with the characters that mean something to LaTeX written out."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(value: Any, digits: int) -> str:
    """One cell: rounded number, dash for nothing, escaped text."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "--"
    if isinstance(value, bool | int) or (hasattr(value, "dtype") and value.dtype.kind in "bi"):
        return escaped(str(value))
    if isinstance(value, float):
        return f"$<$0.{'0' * (digits - 1)}1" if 0 < value < 0.5 * 10**-digits else f"{value:.{digits}f}"
    return escaped(str(value))


def _values(found: Mapping[str, Any]) -> pd.DataFrame:
    """Each curve's value, then the means."""
    rows = [dict(row) for row in found.get("auc") or found["values"]]
    name = "auc" if "auc" in found else "value"
    means = [("mean of readers", entry["modality"], entry) for entry in found.get("modalities", [])]
    if not means and found["kind"] == "ai_versus_readers":
        against = found["ai_versus_readers"]
        means = [("mean of readers", against["modality"], against["readers"])]
    for reader, modality, entry in means:
        own = {key: entry[key] for key in ("se", "ci_low", "ci_high")}
        rows.append({"reader": reader, "modality": modality, name: entry["estimate"]} | own)
    return pd.DataFrame(rows)


def _tests(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every test, long: for whom, what, under which model."""
    primary = found.get("ai_versus_readers") or {}
    where = f", {primary['modality']}" if "by_modality" in primary else ""
    for group, place in (("all", found), *found["levels"].items()):
        against = place.get("ai_versus_readers")
        if against:
            yield from _against(group, f"AI minus readers{where}", against, _holm(place))
        for name, other in (against or {}).get("by_modality", {}).items():
            if name != primary["modality"]:
                yield from _against(group, f"AI minus readers, {name}", other, {})
        for model, entry in (place.get("tests") or {}).items():
            for pair in entry["pairs"]:
                yield _test(group, f"{pair['first']} minus {pair['second']}", model, pair)
    for entry in found["individual_readers"]:
        if "difference" in entry:
            yield _test(
                f"reader {entry['reader']}",
                f"AI minus reader{where}",
                "fixed_readers",
                entry["difference"] | _holm(entry),
            )


def _against(group: str, what: str, against: Mapping[str, Any], holm: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """AI minus readers under each model; Holm's p belongs to the first."""
    yield _test(group, what, "random_readers_random_cases", {**against, **holm})
    for model in ("fixed_readers", "fixed_cases"):
        yield _test(group, what, model, against[model])


def _holm(place: Mapping[str, Any]) -> dict[str, Any]:
    return {"p_holm": place.get("p_holm")}


def _test(group: str, what: str, model: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"readers": group, "comparison": what, "model": model} | {name: entry.get(name) for name in NUMBERS}
