"""Figures of leakage: recovered pictures, attacks' curves at low false-positive rates, and leakage against privacy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ultrafm.federation.leakage.rates import roc_points
from ultrafm.federation.leakage.trials import Example
from ultrafm.reporting.figures import INK, LINES, MARKERS, PALETTE, QUIET, interval_plot, new_figure, picture_grid

LOWEST_RATE = 1e-3


def inversion_figure(examples: Sequence[Example], images: str) -> Figure:
    """What was shown in training and what was recovered from the update, one column pair per case.

    images: "real" or "simulated", which the title says. Real pictures are shown only where their owner may see them.
    """
    pictures, titles = [], []
    for one in examples:
        pictures += [one.original, one.recovered]
        titles += [f"{one.case}\nas shown in training", f"recovered\nSSIM {one.ssim:.2f}"]
    title = f"Pictures recovered from an update ({images} images)"
    return picture_grid(pictures, titles, title, columns=4 if len(examples) > 1 else 2, height=1.9)


def roc_figure(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], images: str) -> Figure:
    """True- against false-positive rate, both on logarithmic axes, where an attack that is sure of a few shows.

    curves: scores (M, N) and members (M, N) of each attack; its curve is that of all models' pictures together.
    """
    title = f"Membership inference at low false-positive rates ({images} images)"
    figure = new_figure(6.4, 5, "")
    axes = figure.add_subplot()
    told = []
    for number, (name, (scores, members)) in enumerate(curves.items()):
        false, true = roc_points(np.ravel(scores), np.ravel(members))
        style = {"color": PALETTE[number % len(PALETTE)], "linestyle": LINES[number % len(LINES)]}
        axes.step(
            np.maximum(false, LOWEST_RATE / 10), np.maximum(true, LOWEST_RATE / 10), where="post", label=name, **style
        )
        told.append(f"{name} finds {true[false <= 0.01].max():.3f} of the members at 0.01")
    line = np.geomspace(LOWEST_RATE, 1, 50)
    axes.plot(line, line, color=QUIET, linewidth=1, label="guessing")
    axes.set(xscale="log", yscale="log", xlim=(LOWEST_RATE, 1), ylim=(LOWEST_RATE, 1), title=title)
    axes.set(xlabel="false-positive rate (others called members)", ylabel="true-positive rate (members found)")
    axes.legend(loc="lower right", fontsize="small")
    figure.alt = f"{title}: {'; '.join(told)}."
    return figure


def privacy_figure(table: pd.DataFrame, images: str) -> Figure:
    """AUROC of attacks against epsilon, with intervals, on a logarithmic axis; infinity stands at the right.

    table: columns epsilon (above 0, inf without protection), attack, estimate, low and high.
    """
    title = f"Membership inference under differential privacy ({images} images)"
    figure = new_figure(7, 4.2, "")
    axes = figure.add_subplot()
    finite = np.sort(table.loc[np.isfinite(table["epsilon"]), "epsilon"].unique())
    end = 10 * finite.max() if len(finite) else 10.0
    for number, (name, part) in enumerate(table.groupby("attack", sort=False)):
        part = part.sort_values("epsilon")
        places = part["epsilon"].replace(np.inf, end).to_numpy() * 1.06 ** (number - 0.5)
        errors = np.abs(part[["low", "high"]].to_numpy().T - part["estimate"].to_numpy())
        style = {"color": PALETTE[number % len(PALETTE)], "marker": MARKERS[number % len(MARKERS)]}
        axes.errorbar(places, part["estimate"], yerr=errors, label=name, capsize=3, linewidth=1.5, **style)
    axes.axhline(0.5, color=QUIET, linestyle="--", linewidth=1)
    axes.set(xscale="log", ylabel="AUROC (0.5: nothing learnt)", title=title)
    axes.set_xlabel("epsilon (smaller: stronger protection)")
    axes.set_xticks([*finite, end], [*(f"{one:g}" for one in finite), "none"], color=INK)
    axes.minorticks_off()
    axes.legend(fontsize="small")
    rows = [f"{row.attack} at {row.epsilon:g}: {row.estimate:.3f}" for row in table.itertuples()]
    figure.alt = f"{title}: {'; '.join(rows)}."
    return figure


def membership_figure(table: pd.DataFrame, images: str) -> Figure | None:
    """AUROC of telling training images from held-out ones, by site; None when no site has enough patients."""
    if table.empty:
        return None
    title = f"Membership inference by loss ({images} images)"
    return interval_plot(
        table, "auroc", "low", "high", "site", None, title, "AUROC (0.5: nothing learnt)", reference=0.5
    )


def game_figure(table: pd.DataFrame, images: str) -> Figure:
    """AUROC of every attack of the membership game with intervals; `table` may have a column protection."""
    title = f"Membership inference on shadow models ({images} images)"
    rows = table[table["metric"] == "auroc"]
    group = "protection" if "protection" in rows else None
    return interval_plot(
        rows, "estimate", "low", "high", "attack", group, title, "AUROC (0.5: nothing learnt)", reference=0.5
    )


def origin_figure(summary: pd.DataFrame, chance: float, images: str) -> Figure:
    """How often the organ that a site mainly scans is told from its update, by case, beside chance."""
    title = f"Which organ does a site scan? ({images} images)"
    return interval_plot(
        summary, "estimate", "low", "high", "case", None, title, f"share guessed right (chance: {chance:.3f})", chance
    )
