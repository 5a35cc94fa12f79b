"""The data sheet of a curated site: where its images come from, what was left out and why, what is there now.

After Gebru et al. 2021, "Datasheets for datasets". It holds counts and no name of a file or patient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.curation.reasons import LeftOut
from ultrafm.curation.sheets.counting import (
    COUNTED,
    MEASURES,
    OUTSIDE,
    compare_scan_modes,
    count_crossed,
    count_values,
    depths_mm,
    draw_ids,
    histogram,
    spread,
)
from ultrafm.curation.sheets.flow import count_left_out
from ultrafm.curation.sheets.gallery import Gallery, fetch
from ultrafm.curation.sheets.licences import all_conditions, strictest
from ultrafm.curation.sheets.markdown import write_markdown
from ultrafm.manifests.schema import FileSource, SiteManifest

__all__ = ["count_flow", "make_datasheet", "write_markdown"]

FOLDS = {
    "patients": ("train", "validation", "test"),
    "cross_validation": ("train", "evaluation"),
    "pretrain_only": ("train",),
}
ORIGIN = {"publisher", "address", "country", "licence", "conditions", "citation", "checked"}
COUNTED_STAGES = ("quarantined", "duplicates", "low_quality")
GREY_SAMPLE = 400  # pictures that the histogram of grey values is made of
GREY_BINS = 32


def count_flow(rows: int, left_out: Sequence[LeftOut], kept: int) -> dict[str, int]:
    """What happened to the rows of a table: rows, quarantined, read, duplicates, low_quality, other stages, kept."""
    stages = Counter(entry.stage for entry in left_out)
    quarantined, duplicates, low_quality = (stages.pop(name, 0) for name in COUNTED_STAGES)
    return {
        "rows": rows, "quarantined": quarantined, "read": rows - quarantined, "duplicates": duplicates,
        "low_quality": low_quality, **dict(sorted(stages.items())), "kept": kept,
    }  # fmt: skip


def make_datasheet(
    manifest: SiteManifest,
    source: FileSource,
    kept: pd.DataFrame,
    flow: Mapping[str, int],
    left_out: Sequence[LeftOut],
    settings: Mapping[str, int],
    removed_tags: Mapping[str, int] | None = None,
    gallery: Gallery | None = None,
    tied: int = 0,
) -> dict[str, Any]:
    """The data sheet as a value for JSON; the same input gives the same value.

    `kept` has a row for each kept picture with the store's columns except the pictures, `area` ("rectangle", "sector",
    "whole") and `mask_outside` (share of the mask outside the scan area, None without a mask); what other columns it
    lacks is left out of the sheet. `removed_tags`: name of a header field -> files that it was removed from.
    `gallery` gives a sample of the pictures, for the histogram of grey values. `tied`: patients who lie in one fold
    with another because their pictures are nearly the same.
    """
    origin = source.model_dump(include=ORIGIN, mode="json")
    sheet = {
        "site": manifest.site,
        "title": manifest.title,
        "images": "simulated" if kept["simulated"].any() else "real",
        "origin": origin,
        "carried": strictest(all_conditions(origin["licence"], origin["conditions"])),
        "deidentification": source.deidentification.model_dump(mode="json"),
        "removed_tags": dict(sorted((removed_tags or {}).items())),
        "settings": dict(settings),
        "flow": dict(flow),
        "left_out": count_left_out(left_out),
        "patients": int(kept["patient"].nunique()),
        "tied_patients": tied,
        "counts": {column: count_values(kept, column) for column in COUNTED},
        "labels_by_fold": count_crossed(kept, "label", "fold"),
        "masks": _masks(kept),
        "quality": {name: found for name in MEASURES if name in kept and (found := spread(kept[name]))},
        "scan_area": {kind: int((kept["area"] == kind).sum()) for kind in ("sector", "rectangle", "whole")},
        "scan_modes": compare_scan_modes(kept),
        "confidence": spread(kept["confidence"]) if "confidence" in kept else None,
        "text": _text(kept),
        "colour_share": round(float(kept["colour"].mean()), 4),
        "depth_mm": _depth(kept, settings.get("image_size")),
        "grey_values": None if gallery is None else grey_histogram(kept, gallery),
    }
    return sheet | {"notes": _notes(manifest, source, kept, sheet)}


def _masks(kept: pd.DataFrame) -> dict[str, int]:
    outside = pd.to_numeric(kept["mask_outside"])
    return {"with_mask": int(outside.notna().sum()), "reaching_outside_the_scan_area": int((outside > OUTSIDE).sum())}


def _text(kept: pd.DataFrame) -> dict[str, int] | None:
    """Text and markers found in or at the scan area; None when nobody looked."""
    if "text_marks" not in kept:
        return None
    marks = kept["text_marks"].fillna(0)
    found = {"images": int((marks > 0).sum()), "marks": int(marks.sum())}
    return found | ({"images_with_calipers": int((kept["calipers"] > 0).sum())} if "calipers" in kept else {})


def _depth(kept: pd.DataFrame, image_size: int | None) -> dict[str, Any] | None:
    """Depth of the scans in millimetres; None where no file tells how large a pixel is."""
    if image_size is None or "pixel_mm" not in kept or not kept["pixel_mm"].notna().any():
        return None
    depths = depths_mm(kept, image_size)
    return {"known": int(depths.notna().sum()), "spread": spread(depths), "histogram": histogram(depths)}


def grey_histogram(kept: pd.DataFrame, gallery: Gallery) -> dict[str, Any]:
    """Shares of grey values inside the scan, in bins of 8, over pictures drawn by hash, each of the same weight."""
    ids = draw_ids(kept["image_id"], GREY_SAMPLE, "grey values")
    total, pictures = np.zeros(256), 0
    for picture in fetch(gallery, ids):
        values = picture.image if picture.sector is None else picture.image[picture.sector > 0]
        if values.size:
            total += np.bincount(values.ravel(), minlength=256) / values.size
            pictures += 1
    shares = total.reshape(GREY_BINS, -1).sum(axis=1) / max(1, pictures)
    return {"pictures": pictures, "start": 0, "step": 256 // GREY_BINS, "shares": [round(float(x), 5) for x in shares]}


def _notes(manifest: SiteManifest, source: FileSource, kept: pd.DataFrame, sheet: Mapping[str, Any]) -> list[str]:
    """What a reader of the numbers should know."""
    notes = []
    empty = [fold for fold in FOLDS[manifest.split.rule] if not (kept["fold"] == fold).any()]
    if empty:
        names = " or ".join(empty)
        notes.append(f"No patient fell into the fold {names}: patients are dealt by hash, and there are few.")
    if sheet["patients"] == 1:
        notes.append("One patient only: nothing can be evaluated within this site.")
    if sheet["tied_patients"]:
        notes.append(
            f"{sheet['tied_patients']} patients have pictures that are nearly those of another patient, and lie in one "
            "fold with that one: are some of them one person?"
        )
    reaching = sheet["masks"]["reaching_outside_the_scan_area"]
    if reaching:
        notes.append(f"{reaching} masks reach outside the scan area that was found; look at those pictures.")
    if sheet["scan_area"]["whole"]:
        notes.append(f"In {sheet['scan_area']['whole']} pictures no border was found, so that nothing was cut off.")
    notes.append(_text_note(source, sheet["text"]))
    notes.append("Patients and clips carry keyed hashes: pseudonyms, not anonymity.")
    if sheet["images"] == "real" and not source.checked:
        notes.append("Country and licence were not read at the source: check them before the images are used.")
    return notes


def _text_note(source: FileSource, found: Mapping[str, int] | None) -> str:
    if found is None:
        return "Text inside the scan area (calipers, body marks, annotations) is not removed."
    if source.deidentification.text == "report":
        return "Text in the scan area was counted and left where it is, as the manifest says."
    return "Text and markers found in or at the scan area were blacked out. What the search missed is still there."
