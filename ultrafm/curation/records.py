"""The numbers of curation as records of the study: counts, so they have no interval."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ultrafm.reporting.records import record


def curation_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Images and patients kept at each site and, level "all_sites", over all; from the table of `curate_sites`."""
    records = [made for row in table.to_dict("records") for made in _pair(row["site"], row["images"], row)]
    simulated = (table["images"] == "simulated").any()
    total = {"kept": table["kept"].sum(), "patients": table["patients"].sum()}
    return records + _pair("all_sites", "simulated" if simulated else "real", total)


def _pair(level: str, images: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    kept, patients = int(row["kept"]), int(row["patients"])
    counts = {"n": kept, "n_patients": patients, "images": images, "section": "curation", "level": level}
    return [
        record(metric="images_kept", estimate=kept, unit="images", **counts),
        record(metric="patients_kept", estimate=patients, unit="patients", **counts),
    ]
