"""Forests: each reader's value, and differences by level, disease and reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ultrafm.errors import UltraFMError
from ultrafm.readers.figures.words import images_words, said
from ultrafm.readers.names import level_order
from ultrafm.reporting.figures import PALETTE, interval_plot


def reader_forest(found: Mapping[str, Any], images: str | None = None) -> Figure:
    """AUROC of each reader with its interval, coloured by level, against the AI's line and band.

    found: what `analyse` returned for AI against readers; images: "real" or "simulated", told in the title where given.
    """
    ai = found["ai_versus_readers"]["ai"]
    rows = [_auc_row(entry["reader"], entry.get("level"), entry["value"]) for entry in found["individual_readers"]]
    table = pd.DataFrame([_auc_row(found["ai"], found["ai"], ai), *rows])
    title = f"AI and {said(found)}{images_words(images)}"
    unit = (
        f"{found['endpoint']}\n{found['confidence']:.0%} interval, {found['covariance_name']}; band: the AI's interval"
    )
    figure = interval_plot(table, "auc", "low", "high", "reader", "level", title, unit, reference=ai["estimate"])
    if ai["ci_low"] is not None:
        figure.axes[0].axvspan(ai["ci_low"], ai["ci_high"], color=PALETTE[0], alpha=0.10, linewidth=0, zorder=0)
    return figure


def difference_plot(found: Mapping[str, Any], images: str | None = None) -> Figure:
    """AI minus readers with interval: all readers, each level, each disease; zero and the margin are marked."""
    rows = [_difference_row("all readers (primary)", "all readers", found["ai_versus_readers"])]
    by = found["by"] or "level"
    rows += [
        _difference_row(f"{level} ({entry['readers']} readers)", f"by {by}", entry["ai_versus_readers"])
        for level, entry in found["levels"].items()
    ]
    if len(found["diseases"]) > 1:
        rows += [_difference_row(entry["disease"], "by disease", entry["difference"]) for entry in found["diseases"]]
    title = f"AI minus {said(found)}{images_words(images)}"
    what = "AUROC" if found["endpoint_kind"] == "auc" else found["endpoint"]
    unit = f"difference of {what}, AI minus readers, {found['confidence']:.0%} interval"
    table = pd.DataFrame(rows)
    figure = interval_plot(table, "estimate", "low", "high", "label", "group", title, unit, reference=0.0)
    if found["non_inferiority"] is not None:
        margin = found["non_inferiority"]["margin"]
        figure.axes[0].axvline(-margin, color=PALETTE[1], linestyle=":", linewidth=1.6, zorder=1)
        figure.axes[0].set_xlabel(f"{unit}\ndotted line: non-inferiority margin -{margin}")
    return figure


def modality_plot(found: Mapping[str, Any], images: str | None = None) -> Figure:
    """Differences of two modalities with interval: all readers, each level, each disease, each reader alone.

    found: what `analyse` returned for two modalities. Raises UltraFMError for another number of them.
    """
    if len(found.get("modalities", [])) != 2:
        expected = "an analysis of two modalities"
        raise UltraFMError("differences of modalities", f"{len(found.get('modalities', []))} modalities", expected)
    key = "random_readers_random_cases"
    rows = [_difference_row("all readers (primary)", "all readers", found["tests"][key])]
    for level, entry in found["levels"].items():
        if "tests" in entry:
            rows.append(_difference_row(f"{level} ({entry['readers']} readers)", "by level", entry["tests"][key]))
    for entry in found["diseases"]:
        if "tests" in entry:
            rows.append(_difference_row(entry["disease"], "by disease", entry["tests"][key]))
    order = level_order([entry.get("level") or "" for entry in found["reader_differences"]])
    readers = sorted(found["reader_differences"], key=lambda entry: order.index(entry.get("level") or ""))
    rows += [_difference_row(entry["reader"], "one reader", entry) for entry in readers]
    first, second = (entry["modality"] for entry in found["modalities"])
    title = f"{said(found).capitalize()}: {first} minus {second}{images_words(images)}"
    unit = f"difference, {first} minus {second}, {found['confidence']:.0%} interval\n{found['endpoint']}"
    return interval_plot(pd.DataFrame(rows), "estimate", "low", "high", "label", "group", title, unit, reference=0.0)


def _auc_row(reader: str, level: str | None, entry: Mapping[str, Any]) -> dict[str, Any]:
    ends = {"low": _nan(entry["ci_low"]), "high": _nan(entry["ci_high"])}
    return {"reader": reader, "level": level or "reader", "auc": entry["estimate"]} | ends


def _difference_row(label: str, group: str, found: Mapping[str, Any]) -> dict[str, Any]:
    ends = {"low": _nan(found["ci_low"]), "high": _nan(found["ci_high"])}
    return {"label": label, "group": group, "estimate": found["difference"]} | ends


def _nan(value: float | None) -> float:
    return np.nan if value is None else value
