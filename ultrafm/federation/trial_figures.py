"""Federations side by side, as figures and tables for reading."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ultrafm.reporting.figures import interval_plot
from ultrafm.reporting.records import interval_text


def difference_figure(compared: pd.DataFrame, reference: str, title: str, images: str) -> Figure:
    """Difference of each mean loss from the reference's, with intervals over seeds; left of zero is better."""
    rows = compared[compared["choices"] != reference]
    return interval_plot(
        rows, "difference", "difference_low", "difference_high", "choices", None, f"{title} ({images} images)",
        f"validation loss less that of '{reference}', in patch variances", 0.0,
    )  # fmt: skip


def comparison_style(compared: pd.DataFrame, name: str, outcomes: pd.DataFrame) -> Styler:
    """The same as a table, with what the sites sent and what was dropped."""
    sums = outcomes.groupby("name")[["megabytes", "dropped"]].mean()
    shown = pd.DataFrame(
        {
            name: compared["choices"],
            "seeds": compared["seeds"],
            "mean loss (range)": [
                f"{row.mean:.3f} ({row.lowest:.3f} to {row.highest:.3f})" for row in compared.itertuples(name="Row")
            ],
            "difference over seeds": [
                "–" if np.isnan(row[0]) else interval_text(*row)
                for row in compared[["difference", "difference_low", "difference_high"]].to_numpy()
            ],
            "MB sent by sites": [f"{sums.loc[one, 'megabytes']:.0f}" for one in compared["choices"]],
            "answers dropped": [f"{sums.loc[one, 'dropped']:g}" for one in compared["choices"]],
        }
    )
    return shown.style.hide(axis="index")


def attack_style(outcomes: pd.DataFrame) -> Styler:
    """How much each attack raises the loss under each rule, in percent of the same rule's with honest sites.

    A training that stopped is told as such.
    """
    words = outcomes["name"].str.split(", ", n=1)
    table = outcomes.assign(rule=words.str[0], attack=words.str[1])
    wide = table.pivot_table(index=["rule", "seed"], columns="attack", values="loss", sort=False, dropna=False)
    raised = (wide.div(wide["all honest"], axis=0) - 1) * 100
    attacks = [name for name in dict.fromkeys(table["attack"]) if name != "all honest"]
    rows = []
    for rule, part in raised.groupby("rule", sort=False):
        row = {"rule": rule, "loss with honest sites": f"{wide.loc[rule, 'all honest'].mean():.3f}"}
        for attack in attacks:
            values = part[attack] if attack in part else pd.Series(dtype=float)
            row[attack] = rise_text(values.to_numpy())
        rows.append(row)
    return pd.DataFrame(rows).style.hide(axis="index")


def rise_text(values: np.ndarray) -> str:
    """The range of rises in percent, and how many trainings stopped (NaN)."""
    stopped = int(np.isnan(values).sum())
    if stopped == len(values):
        return "training stopped"
    told = f"{np.nanmin(values):+.1f} to {np.nanmax(values):+.1f} %"
    return f"{told}; {stopped} of {len(values)} stopped" if stopped else told
