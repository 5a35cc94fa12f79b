"""Measured against true numbers: the plot of Bland and Altman."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ultrafm.downstream.figures.words import nothing
from ultrafm.downstream.metrics import limits_of_agreement
from ultrafm.reporting.figures import PALETTE, new_figure
from ultrafm.reporting.records import interval_text


def draw_bland_altman(
    measured: np.ndarray, truth: np.ndarray, patients: np.ndarray, unit: str, title: str, images: str
) -> Figure:
    """Difference against mean of each image, with bias and 95 % limits of agreement; bands are their 95 % intervals.

    measured, truth and patients: (K,); images: "real" or "simulated". Images of one patient are joined by a line.
    """
    measured, truth, names = np.asarray(measured, dtype=float), np.asarray(truth, dtype=float), np.asarray(patients)
    if len(np.unique(names)) < 2:
        return nothing(f"{title}: limits of agreement need two patients")
    found = limits_of_agreement(measured, truth, names)
    middle, apart = (measured + truth) / 2, measured - truth
    figure = new_figure(7.5, 4.4, "")
    axes = figure.add_subplot()
    for name in np.unique(names):
        inside = names == name
        axes.plot(middle[inside], apart[inside], color=PALETTE[0], alpha=0.35, linewidth=0.8, marker="o", markersize=4)
    lines = {
        "bias": (found.bias, found.bias_low, found.bias_high),
        "upper limit": (found.upper, found.upper_low, found.upper_high),
        "lower limit": (found.lower, found.lower_low, found.lower_high),
    }
    for name, (value, low, high) in lines.items():
        colour = PALETTE[1] if name == "bias" else PALETTE[6]
        axes.axhline(value, color=colour, linestyle="-" if name == "bias" else "--", linewidth=1.5)
        axes.axhspan(low, high, color=colour, alpha=0.12, linewidth=0)
        axes.text(1.01, value, f"{name}\n{interval_text(value, low, high, 2)}", va="center", fontsize="small",
                  transform=axes.get_yaxis_transform())  # fmt: skip
    axes.set(xlabel=f"mean of measured and true ({unit})", ylabel=f"measured minus true ({unit})")
    axes.set_title(f"{title} ({images} images)\n{found.cases} images of {found.clusters} patients")
    said = [f"{name} {interval_text(*ends, 2)}" for name, ends in lines.items()]
    figure.alt = f"{title}, in {unit}: {'; '.join(said)}."
    return figure
