"""Figures and tables of the controls."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ultrafm.downstream.controls.without_tissue import EVERYTHING, FRAME
from ultrafm.downstream.figures.words import nothing
from ultrafm.reporting.figures import interval_plot
from ultrafm.reporting.records import interval_text

MODEL = "the model"


def shortcut_figure(table: pd.DataFrame, images: str) -> Figure:
    """AUROC of all features without tissue, with and without grey values, and of the model, by task.

    From `control_table`; `shortcut_style` shows every group alone.
    """
    title = f"Told without looking at tissue, beside the model ({images} images)"
    if table.empty:
        return nothing(title)
    parts = []
    for task, rows in table[table["group"].isin([FRAME, EVERYTHING])].groupby("task", sort=False):
        first = rows.iloc[0]
        model = {"task": task, "who": MODEL, "estimate": first["model"], "low": first["model_low"],
                 "high": first["model_high"]}  # fmt: skip
        controls = rows.rename(columns={"group": "who", "control": "estimate", "control_low": "low",
                                        "control_high": "high"})  # fmt: skip
        parts += [pd.DataFrame([model]), controls[["task", "who", "estimate", "low", "high"]]]
    drawn = pd.concat(parts, ignore_index=True).astype({"estimate": float, "low": float, "high": float})
    drawn["task"] = drawn["task"].str.replace("_", " ")
    return interval_plot(drawn, "estimate", "low", "high", "task", "who", title, "AUROC", 0.5)


def shortcut_style(table: pd.DataFrame) -> Styler:
    """The controls as a table for reading."""
    shown = pd.DataFrame(
        {
            "task": table["task"].str.replace("_", " "),
            "told by": table["group"],
            "AUROC": _texts(table, "control"),
            "the model's": _texts(table, "model"),
            "model − control": _texts(table, "margin"),
            "warning": table["warning"],
        }
    )
    return shown.style.hide(axis="index")


def site_style(table: pd.DataFrame) -> Styler:
    """How well features tell the site, as a table for reading."""
    asked = table["why"] == ""
    text = [interval_text(*row) for row in table[["accuracy", "low", "high"]].itertuples(index=False)]
    shown = pd.DataFrame(
        {
            "task": table["task"].str.replace("_", " "),
            "balanced accuracy of the site": [one if there else "–" for one, there in zip(text, asked)],
            "guessing": [f"{value:.3f}" if there else "–" for value, there in zip(table["chance"], asked)],
            "patients": [f"{value:.0f}" if there else "–" for value, there in zip(table["patients"], asked)],
            "not asked, because": table["why"],
        }
    )
    return shown.style.hide(axis="index")


def permutation_style(table: pd.DataFrame) -> Styler:
    """Label permutation as a table for reading."""
    shown = pd.DataFrame(
        {
            "task": table["task"].str.replace("_", " "),
            "AUROC": [f"{value:.3f}" for value in table["auroc"]],
            "mean with permuted labels": [
                interval_text(*row) for row in table[["permuted_mean", "mean_low", "mean_high"]].itertuples(index=False)
            ],
            "lowest to highest": [f"{low:.3f} to {high:.3f}" for low, high in zip(table["lowest"], table["highest"])],
            "p of the true labels": [f"{value:.3f}" for value in table["p"]],
            "permutations": table["permutations"],
            "warning": table["warning"],
        }
    )
    return shown.style.hide(axis="index")


def joint_figure(table: pd.DataFrame) -> Figure:
    """AUROC of the control and of the encoders in both designs of the joint task (from `compare_designs`)."""
    title = "Eight diseases in one task (simulated images)"
    return interval_plot(table, "auroc", "low", "high", "design", "who", title, "AUROC, mean over diseases", 0.5)


def _texts(table: pd.DataFrame, name: str) -> list[str]:
    columns = [name, f"{name}_low", f"{name}_high"]
    return [interval_text(*row) for row in table[columns].astype(float).itertuples(index=False)]
