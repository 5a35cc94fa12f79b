"""Do probabilities mean what they say, and is acting on them worth it: calibration and decision curves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ultrafm.downstream.figures.words import kind_of, nothing, words
from ultrafm.downstream.metrics import (
    Cases,
    Resampling,
    calibration_curve,
    calibration_error,
    decision_curve,
    draw_patients,
    interval,
)
from ultrafm.downstream.metrics.calibration import observed_intervals
from ultrafm.downstream.tasks import patient_names
from ultrafm.reporting.figures import LINES, MARKERS, PALETTE, QUIET, new_figure
from ultrafm.reporting.records import interval_text

FORMS = {
    "as predicted": "score", "after temperature scaling": "tempered", "after temperature and intercept": "recalibrated",
}  # fmt: skip


def draw_calibration(
    table: pd.DataFrame,
    described: Mapping[str, Mapping[str, str]],
    task: str,
    method: str,
    encoder: str,
    generator: np.random.Generator,
    answer: str | None = None,
    replicates: int = 500,
) -> Figure:
    """Share of diseased images against predicted probability, before and after recalibration on validation images.

    table: what `records.fixed_on_validation` gives. A panel each: as predicted, after temperature scaling, after
    temperature and intercept; ten bins of equally many images, bars are 95 % intervals over patients.
    """
    rows = _rows(table, task, method, encoder, answer)
    title = f"Calibration, {words(task)}{f', {words(answer)}' if answer else ''}: {words(encoder)}, {words(method)}"
    if why := _why_nothing(rows):
        return nothing(title, why)
    truth, patients = rows["truth"].to_numpy(dtype=int), patient_names(rows).astype(str)
    draws = draw_patients(patients, replicates, generator, truth)
    figure = new_figure(10.5, 4.3, title)
    said = []
    panels = figure.subplots(1, len(FORMS), sharex=True, sharey=True)
    for place, (axes, (name, column)) in enumerate(zip(panels, FORMS.items())):
        scores = rows[column].to_numpy(dtype=float)
        found = interval(calibration_error([Cases(scores[None], truth, patients)], draws), np.ones(1))
        said.append(f"{name}, ECE {interval_text(found.estimate, found.low, found.high, 2)}")
        _calibration_panel(axes, scores, truth, patients, draws, place)
        axes.set_title(f"{name}\nECE {interval_text(found.estimate, found.low, found.high, 2)}", fontsize="small")
        axes.set_xlabel("predicted probability")
    panels[0].set_ylabel("share of images with the disease")
    figure.suptitle(f"{title}{kind_of([described[task]['images']])}\n", x=0.01, ha="left", fontsize="medium")
    figure.alt = f"{title}: {'; '.join(said)}."
    return figure


def draw_decision_curve(
    table: pd.DataFrame,
    described: Mapping[str, Mapping[str, str]],
    task: str,
    method: str,
    encoders: list[str],
    generator: np.random.Generator,
    answer: str | None = None,
    replicates: int = 500,
) -> Figure:
    """Net benefit of acting on recalibrated probabilities, beside treating all images or none.

    table: what `records.fixed_on_validation` gives; the band is the first encoder's pointwise 95 % interval.
    """
    title = f"Decision curve, {words(task)}{f', {words(answer)}' if answer else ''}, {words(method)}"
    figure = new_figure(7.5, 4.4, title)
    axes = figure.add_subplot()
    for place, encoder in enumerate(encoders):
        rows = _rows(table, task, method, encoder, answer)
        if why := _why_nothing(rows):
            return nothing(title, f"{words(encoder)}: {why}")
        truth, patients = rows["truth"].to_numpy(dtype=int), patient_names(rows).astype(str)
        draws = draw_patients(patients, replicates, generator, truth)
        found = decision_curve(rows["recalibrated"].to_numpy(dtype=float), truth, patients, draws)
        style = {"color": PALETTE[place % len(PALETTE)], "linestyle": LINES[place % len(LINES)]}
        axes.plot(found.thresholds, found.model, label=words(encoder), linewidth=2, **style)
        if place == 0:
            axes.fill_between(found.thresholds, found.low, found.high, color=style["color"], alpha=0.15, linewidth=0)
    axes.plot(found.thresholds, found.treat_all, color=QUIET, linestyle="--", label="treat all")
    axes.axhline(0, color="#222222", linewidth=1, label="treat none")
    most = float(truth.mean())
    axes.set(
        xlabel="probability at which one would act", ylabel="net benefit per image", ylim=(-0.15 * most, 1.1 * most)
    )
    axes.set_title(
        f"{title}{kind_of([described[task]['images']])}\n{len(truth)} images, {most:.0%} diseased; band: 95 %"
    )
    axes.legend(fontsize="small")
    figure.alt = f"{title}: net benefit of {', '.join(encoders)}, of treating all and of treating none."
    return figure


def _calibration_panel(
    axes: Axes, scores: np.ndarray, truth: np.ndarray, patients: np.ndarray, draws: Resampling, place: int
) -> None:
    curve = calibration_curve(scores, truth)
    low, high = observed_intervals(curve, scores, truth, patients, draws)
    axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=1)
    axes.vlines(curve.predicted, low, high, color=PALETTE[place], alpha=0.5)
    axes.plot(curve.predicted, curve.observed, color=PALETTE[place], marker=MARKERS[place], linewidth=1.2)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))


def _rows(table: pd.DataFrame, task: str, method: str, encoder: str, answer: str | None) -> pd.DataFrame:
    wanted = (table["task"] == task) & (table["method"] == method) & (table["encoder"] == encoder)
    if answer is not None:
        wanted &= table["answer"] == answer
    return table[wanted]


def _why_nothing(rows: pd.DataFrame) -> str | None:
    """Why these rows cannot be drawn; what one turn could not fix, the images of the other turns do not stand for."""
    if rows.empty:
        return "not answered"
    if len(set(rows["truth"])) < 2:
        return "images of one class only"
    reasons = rows["unmeasurable"].dropna()
    return str(reasons.iloc[0]) if len(reasons) else None
