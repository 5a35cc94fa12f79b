"""What a person sees of an evaluation: the table in words, as CSV, and a figure of each metric."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ultrafm.files import replacing, write_bytes
from ultrafm.reporting.figures import figure_png, interval_plot
from ultrafm.reporting.records import interval_text

TABLE = "metrics.csv"
CHANCE = {"auroc": 0.5}


def write_shown(out: Path, table: pd.DataFrame) -> str:
    """Write metrics.csv and a figure for each metric (metric_NAME.png); returns the table as text for a terminal."""
    with replacing(out / TABLE) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    for metric, rows in table.groupby("metric", sort=False):
        alone = rows[~rows["encoder"].str.contains(" − ")].astype({"ci_low": float, "ci_high": float})
        label = [f"{task}\n{method}" for task, method in zip(alone["task"], alone["method"])]
        kinds = " and ".join(sorted(set(alone["images"])))
        shown = alone.assign(label=[text.replace("_", " ") for text in label])
        title = f"{_words(str(metric))} with 95% intervals over patients ({kinds} images)"
        reference = CHANCE.get(str(metric))
        drawn = interval_plot(
            shown, "estimate", "ci_low", "ci_high", "label", "encoder", title, _words(str(metric)), reference
        )
        write_bytes(out / f"metric_{metric}.png", figure_png(drawn))
    return as_text(table)


def as_text(table: pd.DataFrame) -> str:
    """One line per number, under a heading for each task, method and metric."""
    lines = []
    for (task, method, metric), rows in table.groupby(["task", "method", "metric"], sort=False):
        first = rows.iloc[0]
        where = f"{first['images']} images, {first['fold']}, {first['n']} cases of {first['n_patients']} patients"
        lines.append(f"\n{task}, {_words(method)}, {_words(metric)} ({where})")
        width = max(len(name) for name in rows["encoder"])
        lines += [
            f"  {row.encoder:<{width}}  {interval_text(row.estimate, row.ci_low, row.ci_high)}"
            for row in rows.itertuples()
        ]
    return "\n".join(lines)


def _words(name: str) -> str:
    return {"auroc": "AUROC", "auprc": "AUPRC", "iou": "IoU", "dice": "Dice"}.get(name, name.replace("_", " "))
