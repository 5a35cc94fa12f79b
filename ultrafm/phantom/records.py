"""The numbers of the notebook on simulated pictures, as records."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ultrafm.reporting.records import record


def phantom_records(told: pd.DataFrame, likeness: pd.DataFrame) -> list[dict[str, Any]]:
    """Records of what is told without tissue (`figures.shortcut_table`), and of how far real and simulated scans differ
    (`twins.join_tables`)."""
    shortcuts = [
        record(
            section="phantom", task=row.disease, method=f"without tissue/{row.set}", metric="auroc", images="simulated",
            estimate=row.auroc, ci_low=row.low, ci_high=row.high, ci_method="Hanley and McNeil 1982, at 0.5",
            fold="cross-validation", n=row.patients, n_patients=row.patients,
        )
        for row in told.itertuples()
    ]  # fmt: skip
    apart = [
        record(
            section="phantom", task=f"{row.organ}, {row.scan_mode}", method=row.measure, comparator="real scans",
            metric="auroc of telling them apart", images="simulated", estimate=row.apart, n=row.scans,
        )
        for row in likeness.itertuples()
    ]  # fmt: skip
    return [*shortcuts, *apart]
