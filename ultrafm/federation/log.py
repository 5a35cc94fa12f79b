"""The log of a federation: one row per pass and site, as pure functions that add to it.

A row holds pass, site, images, loss (of training, the mean over the pass's images;
None where only a sum over sites is known), validation_images, validation_loss
(after the pass; None without validation images or an answer), bytes_sent and bytes_received (of weights, to and from
the site). Pass 0 is before training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]
Metrics = Mapping[str, Mapping[str, Any]]  # site -> what it reported


def add_round(history: list[Row], number: int, site_metrics: Metrics) -> list[Row]:
    """The log with a round of pass `number` added: losses are averaged over images."""
    rows = _rows(history)
    for site, metrics in site_metrics.items():
        row = rows.get((number, site), _new_row(number, site))
        images, loss = row["images"] + int(metrics["images"]), metrics.get("loss")
        total = (row["loss"] or 0.0) * row["images"] + (loss or 0.0) * metrics["images"]
        known = images and loss is not None
        rows[number, site] = row | {"images": images, "loss": total / images if known else None}
    return list(rows.values())


def add_validation(history: list[Row], number: int, site_metrics: Metrics) -> list[Row]:
    """The log with the validation losses after pass `number`."""
    rows = _rows(history)
    for site, metrics in site_metrics.items():
        images = int(metrics["images"])
        found = {"validation_images": images, "validation_loss": float(metrics["loss"]) if images else None}
        rows[number, site] = rows.get((number, site), _new_row(number, site)) | found
    return list(rows.values())


def add_bytes(history: list[Row], number: int, site_bytes: Mapping[str, tuple[int, int]]) -> list[Row]:
    """The log with what travelled to and from each site in a round of pass `number`."""
    rows = _rows(history)
    for site, (sent, received) in site_bytes.items():
        row = rows.get((number, site), _new_row(number, site))
        counts = {"bytes_sent": row["bytes_sent"] + sent, "bytes_received": row["bytes_received"] + received}
        rows[number, site] = row | counts
    return list(rows.values())


def without_losses(history: list[Row]) -> list[Row]:
    """The log of protected sites, which tell no loss."""
    return [row | {"loss": None} for row in history]


def _rows(history: list[Row]) -> dict[tuple[int, str], Row]:
    return {(row["pass"], row["site"]): row for row in history}


def _new_row(number: int, site: str) -> Row:
    """A row of which nothing is known yet."""
    return {
        "pass": number, "site": site, "images": 0, "loss": None, "validation_images": 0, "validation_loss": None,
        "bytes_sent": 0, "bytes_received": 0,
    }  # fmt: skip
