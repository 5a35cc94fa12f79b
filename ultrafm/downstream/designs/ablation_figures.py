"""Figures and tables of the ablation of pre-training."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ultrafm.downstream.designs.ablation import CHOICES, RANDOM
from ultrafm.reporting.figures import PALETTE, QUIET, interval_plot, new_figure


def ablation_figure(table: pd.DataFrame) -> Figure:
    """Difference of every arm's macro AUROC from the reference, with its interval, best first."""
    rows = table.dropna(subset=["difference"])
    title = f"Difference from plain ({_images(table)} images)"
    limits = ("difference", "difference_low", "difference_high")
    return interval_plot(rows, *limits, "choices", None, title, "difference of macro AUROC", 0.0)


def ablation_style(table: pd.DataFrame) -> Styler:
    """The screening as a table for reading."""
    shown = pd.DataFrame(
        {
            "masking, conversion, degradation": table["choices"],
            "AUROC": _with_interval(table, "estimate", "ci_low", "ci_high"),
            "difference": _with_interval(table, "difference", "difference_low", "difference_high"),
            "fold": table["fold"],
        }
    )
    return shown.style.hide(axis="index")


def main_effects_style(effects: pd.DataFrame) -> Styler:
    """The main effects as a table for reading."""
    shown = pd.DataFrame(
        {
            "choice": effects["choice"],
            "option": effects["option"],
            "arms": effects["arms"],
            "mean AUROC": [f"{value:.3f}" for value in effects["mean"]],
            "difference from the first": _with_interval(effects, "difference", "low", "high"),
        }
    )
    return shown.style.hide(axis="index")


def main_effects_figure(table: pd.DataFrame) -> Figure:
    """AUROC of all arms by each choice alone: every arm a dot, their mean a line."""
    rows = table[table["choices"] != RANDOM]
    words = rows["choices"].str.split(", ", expand=True).set_axis(CHOICES, axis=1)
    figure = new_figure(9, 3.6, f"AUROC by masking, scan conversion and degradation, {len(rows)} arms")
    for axes, choice in zip(figure.subplots(1, len(CHOICES), sharey=True), CHOICES):
        options = list(dict.fromkeys(words[choice].sort_values()))
        for place, option in enumerate(options):
            values = rows["estimate"][words[choice] == option]
            axes.plot([place] * len(values), values, "o", color=PALETTE[0], alpha=0.6, markersize=4)
            axes.hlines(values.mean(), place - 0.3, place + 0.3, color=PALETTE[1], linewidth=2)
        if (table["choices"] == RANDOM).any():
            untrained = table.loc[table["choices"] == RANDOM, "estimate"].iloc[0]
            axes.axhline(untrained, color=QUIET, linestyle="--", linewidth=1)
        axes.set_xticks(range(len(options)), options, rotation=35, ha="right", fontsize="small")
        axes.set_xlim(-0.6, len(options) - 0.4)
        axes.set_title(choice)
    figure.axes[0].set_ylabel("macro AUROC")
    figure.suptitle(f"Every arm a dot, means as lines; dashed: untrained ({_images(table)} images)", x=0.01, ha="left")
    return figure


def seeds_style(by_seed: pd.DataFrame) -> Styler:
    """The repeats as a table for reading."""
    shown = pd.DataFrame(
        {
            "masking, conversion, degradation": by_seed["choices"],
            "seeds": by_seed["seeds"],
            "mean AUROC (range)": [
                f"{row.mean:.3f} ({row.lowest:.3f} to {row.highest:.3f})" for row in by_seed.itertuples(name="Row")
            ],
            "difference over seeds": _with_interval(by_seed, "difference", "difference_low", "difference_high"),
        }
    )
    return shown.style.hide(axis="index")


def _with_interval(table: pd.DataFrame, value: str, low: str, high: str) -> list[str]:
    return [
        "–" if pd.isna(a) else f"{a:.3f}" if pd.isna(b) else f"{a:.3f} [{b:.3f}, {c:.3f}]".replace("-", "−")
        for a, b, c in zip(table[value], table[low], table[high])
    ]


def _images(table: pd.DataFrame) -> str:
    return " and ".join(sorted(table["images"].unique()))
