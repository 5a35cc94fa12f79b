"""Attacks' numbers as records of a study's results; a step and an experiment that both have some use other sections."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ultrafm.reporting.records import record

UNITS = {"psnr": "dB", "ssim": "similarity", "picked_out": "probability"}


def game_records(table: pd.DataFrame, images: str, section: str = "privacy") -> list[dict[str, Any]]:
    """The rows of a membership game; numbers that are not defined for want of others are None. The level is the
    protection, where there is a column of that name."""
    return [
        record(
            section=section, task="membership_inference", method=row.attack, metric=row.metric,
            fold="random halves of patients", level=getattr(row, "protection", None), estimate=row.estimate,
            ci_low=row.low, ci_high=row.high, ci_method="bootstrap of patients and models", n=int(row.images),
            n_patients=int(row.patients), unit="probability", images=images,
        )
        for row in table.itertuples()
    ]  # fmt: skip


def inversion_records(
    summary: pd.DataFrame, images: str, attack: str = "patches", section: str = "privacy"
) -> list[dict[str, Any]]:
    """Similarity of recovered pictures by case, beside what masks alone give and a usual other picture of the site."""
    records = []
    for row in summary.itertuples():
        common = {
            "section": section, "task": "inversion", "metric": row.metric, "fold": "train", "level": row.case,
            "n": int(row.images), "unit": UNITS[row.metric], "images": images,
        }  # fmt: skip
        method = f"gradient matching, {attack}"
        repeats = f"Student over {row.repeats} repeats"
        records += [
            record(
                **common, method=method, estimate=row.estimate, ci_low=row.low, ci_high=row.high, ci_method=repeats
            ),
            record(
                **common, method=method, comparator="masks alone", estimate=row.gain, ci_low=row.gain_low,
                ci_high=row.gain_high, ci_method=repeats,
            ),
            record(**common, method="masks alone", estimate=row.blind),
            record(**common, method="another picture of the site", estimate=row.baseline),
        ]  # fmt: skip
    return records


def origin_records(
    summary: pd.DataFrame, metric: str, chance: float, images: str, section: str = "privacy"
) -> list[dict[str, Any]]:
    """How well a site's organ (metric "accuracy") or an organ's share ("correlation") is guessed, beside chance."""
    records = []
    for row in summary.itertuples():
        common = {
            "section": section, "task": "origin_of_update", "metric": metric, "level": row.case, "images": images,
            "unit": "probability" if metric == "accuracy" else "correlation",
        }  # fmt: skip
        records.append(record(
            **common, method="shadow sites", estimate=row.estimate, ci_low=row.low, ci_high=row.high,
            ci_method=f"Student over {row.repeats} repeats", n=int(row.repeats),
        ))  # fmt: skip
        records.append(record(**common, method="chance", estimate=chance))
    return records
