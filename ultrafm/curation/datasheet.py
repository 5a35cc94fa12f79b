"""The data sheet of a curated site: where its images come from, what was left out and why, what is there now.

After Gebru et al. 2021, "Datasheets for datasets". It holds counts and no name of a file or patient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ultrafm.curation.reasons import STAGES, LeftOut
from ultrafm.manifests.schema import FileSource, SiteManifest

COUNTED = ("fold", "label", "organ", "modality", "scan_mode")
MEASURES = {"blur": "variance of the Laplacian", "contrast": "grey values", "entropy": "bits"}
FOLDS = {
    "patients": ("train", "validation", "test"),
    "cross_validation": ("train", "evaluation"),
    "pretrain_only": ("train",),
}


def count_flow(rows: int, left_out: Sequence[LeftOut], kept: int) -> dict[str, int]:
    """What happened to the rows of a table: rows, quarantined, read, duplicates, low_quality, kept."""
    stages = Counter(entry.stage for entry in left_out)
    quarantined, duplicates, low_quality = (stages[stage] for stage in STAGES)
    return {
        "rows": rows, "quarantined": quarantined, "read": rows - quarantined, "duplicates": duplicates,
        "low_quality": low_quality, "kept": kept,
    }  # fmt: skip


def make_datasheet(
    manifest: SiteManifest,
    source: FileSource,
    kept: pd.DataFrame,
    flow: Mapping[str, int],
    left_out: Sequence[LeftOut],
    settings: Mapping[str, int],
) -> dict[str, Any]:
    """The data sheet as a value for JSON.

    `kept` has a row for each kept picture with the store's columns except the pictures, and the columns `area`
    ("rectangle", "sector", "whole") and `mask_outside` (share of the mask outside the scan area, None without a mask).
    """
    kinds = Counter((entry.stage, entry.kind) for entry in left_out)
    return {
        "site": manifest.site,
        "title": manifest.title,
        "images": "simulated" if kept["simulated"].any() else "real",
        "origin": source.model_dump(include={"publisher", "address", "country", "licence", "citation", "checked"}),
        "settings": dict(settings),
        "flow": dict(flow),
        "left_out": [{"stage": stage, "kind": kind, "images": kinds[stage, kind]} for stage, kind in sorted(kinds)],
        "patients": int(kept["patient"].nunique()),
        "counts": {column: _count(kept, column) for column in COUNTED},
        "masks": _masks(kept),
        "quality": {name: _spread(kept[name]) for name in MEASURES},
        "scan_area": {kind: int((kept["area"] == kind).sum()) for kind in ("sector", "rectangle", "whole")},
        "colour_share": round(float(kept["colour"].mean()), 4),
        "notes": _notes(manifest, kept),
    }


def _count(kept: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    """Images and patients of each value of a column; no label is called "unknown"."""
    values = kept[column].where(kept[column].notna(), "unknown")
    return {
        str(value): {"images": len(rows), "patients": int(rows["patient"].nunique())}
        for value, rows in kept.groupby(values.to_numpy(), sort=True)
    }


def _masks(kept: pd.DataFrame) -> dict[str, int]:
    outside = pd.to_numeric(kept["mask_outside"])
    return {"with_mask": int(outside.notna().sum()), "reaching_outside_the_scan_area": int((outside > 0.01).sum())}


def _spread(values: pd.Series) -> dict[str, float]:
    shares = {"lowest": 0, "lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75, "highest": 1}
    return {name: round(float(values.quantile(share)), 4) for name, share in shares.items()}


def _notes(manifest: SiteManifest, kept: pd.DataFrame) -> list[str]:
    """What a reader of the numbers should know."""
    notes = []
    empty = [fold for fold in FOLDS[manifest.split.rule] if not (kept["fold"] == fold).any()]
    if empty:
        names = " or ".join(empty)
        notes.append(f"No patient fell into the fold {names}: patients are dealt by hash, and there are few.")
    if kept["patient"].nunique() == 1:
        notes.append("One patient only: nothing can be evaluated within this site.")
    reaching = _masks(kept)["reaching_outside_the_scan_area"]
    if reaching:
        notes.append(f"{reaching} masks reach outside the scan area that was found; look at those pictures.")
    notes.append("Text inside the scan area (calipers, body marks, annotations) is not removed.")
    notes.append("Patients and clips carry hashes salted with the site: pseudonyms, not anonymity.")
    return notes


def write_markdown(sheet: Mapping[str, Any]) -> str:
    """The data sheet for people."""
    origin, flow = sheet["origin"], sheet["flow"]
    lines = [f"# Data sheet: {sheet['site']}", "", f"{sheet['title']}. The images are **{sheet['images']}**.", ""]
    lines += ["## Origin", ""]
    told = {**origin, "checked": "yes" if origin["checked"] else "no, from memory"}
    lines += [f"- {name}: {value}" for name, value in told.items() if value]
    lines += ["", "## From the table to the store", ""]
    lines += _table(("step", "images"), [(name.replace("_", " "), count) for name, count in flow.items()])
    if sheet["left_out"]:
        reasons = [(entry["stage"].replace("_", " "), entry["kind"], entry["images"]) for entry in sheet["left_out"]]
        lines += ["", *_table(("left out as", "because of", "images"), reasons)]
    lines += ["", "## What is in the store", "", f"{flow['kept']} images of {sheet['patients']} patients.", ""]
    counted = [
        (column.replace("_", " "), value, both["images"], both["patients"])
        for column, values in sheet["counts"].items()
        for value, both in values.items()
    ]
    lines += _table(("column", "value", "images", "patients"), counted)
    lines += ["", "## Pictures", "", *_pictures(sheet), "", "## Notes", "", *(f"- {note}" for note in sheet["notes"])]
    return "\n".join(lines) + "\n"


def _pictures(sheet: Mapping[str, Any]) -> list[str]:
    areas = ", ".join(f"{count} {kind}" for kind, count in sheet["scan_area"].items())
    lines = [f"- scan area: {areas} (whole: no border was found)"]
    lines.append(f"- with colour: {100 * sheet['colour_share']:.1f}%; curated pictures are grey")
    lines.append(f"- with mask: {sheet['masks']['with_mask']}")
    for name, unit in MEASURES.items():
        spread = sheet["quality"][name]
        half = f"middle half {spread['lower_quartile']:g} to {spread['upper_quartile']:g}"
        ends = f"all {spread['lowest']:g} to {spread['highest']:g}"
        lines.append(f"- {name} ({unit}): median {spread['median']:g}, {half}, {ends}")
    return lines


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(map(str, cells)) + " |" for cells in lines]
