"""The data sheet as a page: origin, flow, examples, figures and tables in one file that opens without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from ultrafm.curation.sheets.charts import histogram_chart, spread_chart, stacked_chart
from ultrafm.curation.sheets.counting import MEASURES, UNKNOWN, draw_spread
from ultrafm.curation.sheets.flow import flow_chart, flow_steps
from ultrafm.curation.sheets.gallery import Gallery, fetch, outlined, png_address
from ultrafm.curation.sheets.markdown import deidentification_lines, origin_facts, picture_lines
from ultrafm.curation.sheets.rendering import table, write_rendered

PAGES = (
    ("data sheet", "datasheet.html"),
    ("as Markdown", "datasheet.md"),
    ("as JSON", "datasheet.json"),
    ("Croissant", "croissant.json"),
)
EXAMPLES = 12
KIND = ("label", "organ", "modality", "scan_mode")
FOLD_ORDER = ("train", "validation", "test", "evaluation")


def write_page(target: Path, sheet: Mapping[str, Any], kept: pd.DataFrame, gallery: Gallery) -> Path:
    """Write the data sheet's page to `target` and return it; nothing in it names a file or a patient.

    `sheet` is the value that `make_datasheet` gave for `kept`; `gallery` gives the few pictures that are shown.
    """
    images = sheet["images"]
    values = {
        "site": sheet["site"], "title": sheet["title"], "images": images, "pages": PAGES, "here": "data sheet",
        "flow_kept": sheet["flow"]["kept"], "flow_rows": sheet["flow"]["rows"], "patients": sheet["patients"],
        "origin": origin_facts(sheet),
        "flow_chart": flow_chart(flow_steps(sheet["flow"], sheet["left_out"]), images),
        "examples": _examples(kept, gallery) if len(kept) else (),
        "charts": charts(sheet),
        "picture_lines": picture_lines(sheet),
        "tables": tables(sheet),
        "deidentification": deidentification_lines(sheet),
        "tags": _tag_table(sheet),
        "notes": sheet["notes"],
    }  # fmt: skip
    write_rendered(target, "datasheet.html.j2", values)
    return target


def choose_examples(kept: pd.DataFrame, count: int = EXAMPLES) -> list[str]:
    """Image ids drawn by hash, one of each combination of label, organ, modality and scan mode before a second."""
    kinds = kept.groupby(list(KIND), dropna=False).ngroup()
    return draw_spread(kept["image_id"], kinds, count, "examples")


def _examples(kept: pd.DataFrame, gallery: Gallery) -> Iterator[tuple[str, str, str]]:
    """Address, words and image id of each example."""
    ids = choose_examples(kept)
    rows = kept.set_index("image_id").loc[ids]
    for picture in fetch(gallery, ids):
        row = rows.loc[picture.image_id]
        words = ", ".join(_word(name, row[name]) for name in KIND)
        yield png_address(outlined(picture)), words, picture.image_id


def _word(column: str, value: Any) -> str:
    return f"{column.replace('_', ' ')} unknown" if pd.isna(value) or value == UNKNOWN else str(value)


def charts(sheet: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """Caption and drawing of each figure that the sheet has numbers for."""
    images, found = sheet["images"], []
    labels = sheet["labels_by_fold"]
    folds = [fold for fold in FOLD_ORDER if any(fold in row for row in labels.values())]
    alt = f"Images by label and fold ({images}): {'; '.join(f'{name} {_parts(row)}' for name, row in labels.items())}."
    found.append(("Labels and folds", stacked_chart(labels, folds, alt)))
    if sheet["quality"]:
        medians = ", ".join(f"{name} {spread['median']:g}" for name, spread in sheet["quality"].items())
        alt = f"Quality inside the scan area ({images} images), medians: {medians}."
        found.append(("Quality: all, middle half, median", spread_chart(sheet["quality"], MEASURES, alt)))
    grey, depth = sheet["grey_values"], sheet["depth_mm"]
    if grey:
        shares = [round(100 * share, 2) for share in grey["shares"]]
        alt = f"Grey values inside the scan area, mean of {grey['pictures']} {images} images."
        drawn = histogram_chart(grey["start"], grey["step"], shares, "grey value", "% of pixels", alt)
        found.append((f"Grey values in the scan, mean of {grey['pictures']}", drawn))
    if depth:
        bins = depth["histogram"]
        alt = f"Depth of {depth['known']} {images} images, median {depth['spread']['median']:g} mm."
        drawn = histogram_chart(bins["start"], bins["step"], bins["counts"], "depth in mm", "images", alt)
        found.append((f"Depth, known for {depth['known']:,} of {sheet['flow']['kept']:,}", drawn))
    return found


def _parts(row: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in row.items())


def tables(sheet: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Images and patients of each value of each column, and stated against found scan modes."""
    found = []
    for column, values in sheet["counts"].items():
        name = column.replace("_", " ")
        rows = [(value, f"{both['images']:,}", f"{both['patients']:,}") for value, both in values.items()]
        if column == "fold":
            rows.sort(key=lambda row: FOLD_ORDER.index(row[0]) if row[0] in FOLD_ORDER else len(FOLD_ORDER))
        found.append(table(name.capitalize(), (name, "images", "patients"), rows))
    if sheet["scan_modes"]:
        rows = [(row["stated"], row["found"], f"{row['images']:,}") for row in sheet["scan_modes"]["table"]]
        title = "Scan mode, stated and read from the pixels"
        found.append(table(title, ("stated", "found", "images"), rows))
    return found


def _tag_table(sheet: Mapping[str, Any]) -> dict[str, Any] | None:
    rows = [(name, f"{files:,}") for name, files in sheet["removed_tags"].items()]
    note = "By name only; no value is kept anywhere."
    return table("Header fields removed", ("field", "files"), rows, note=note) if rows else None
