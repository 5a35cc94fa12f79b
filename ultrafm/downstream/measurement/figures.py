"""Figures of measurements: agreement with the observers, and lines drawn over the pictures that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ultrafm.downstream.measurement.agreement import Pair, error_table
from ultrafm.downstream.measurement.evaluate import LINES, ORIGINAL, PIXELS, RIDGE, quantity_of
from ultrafm.downstream.measurement.head import HEAD_MEASURES, head_measure
from ultrafm.downstream.measurement.muscle import measure_muscle
from ultrafm.downstream.measurement.originals import scan_area_pictures
from ultrafm.downstream.measurement.progression import angle_of_progression
from ultrafm.downstream.measurement.scenes import drawn_ellipse, drawn_labour, drawn_muscle
from ultrafm.downstream.metrics import limits_of_agreement
from ultrafm.downstream.tasks import TaskData
from ultrafm.errors import UltraFMError
from ultrafm.reporting.figures import INK, MARKERS, PALETTE, QUIET, interval_plot, new_figure

LINE_COLOURS = (
    "#F0E442",
    "#56B4E9",
    "#E69F00",
    "#CC79A7",
    "#009E73",
    "#D55E00",
    "#3C8DFF",
    "#B2DF8A",
)  # bright on grey pictures


def draw_agreement(found: Sequence[Pair], title: str, columns: int = 3) -> Figure:
    """Bland-Altman plots side by side, of pairs of one unit: difference against mean, bias and 95 % limits.

    Dots have one colour and marker a patient; bands are 95 % intervals of bias and limits, and heed that patients were
    measured repeatedly. Raises UltraFMError without a pair.
    """
    if not found:
        raise UltraFMError(f"figure {title!r}", "nothing measured", "at least one method")
    columns = min(columns, len(found))
    lines = -(-len(found) // columns)
    patients = sorted({name for pair in found for name in pair.patients.tolist()})
    figure = new_figure(3.3 * columns + 0.4, 3.0 * lines + 0.6, "")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes, pair in zip(grid.ravel(), found):
        _draw_pair(axes, pair, patients)
    for axes in grid.ravel()[len(found) :]:
        axes.set_axis_off()
    unit = found[0].unit
    figure.supxlabel(f"mean of method and reference ({unit})", fontsize="small")
    figure.supylabel(f"method minus reference ({unit})", fontsize="small")
    figure.suptitle(f"{title}; one colour a patient\n", x=0.01, ha="left", fontsize="medium", color=INK)
    figure.alt = f"{title} ({unit}): " + "; ".join(_words(pair) for pair in found)
    return figure


def draw_errors(records: Sequence[Mapping[str, Any]], task: str, differences: bool = False) -> Figure:
    """Mean absolute error of each method on one task with its interval; or ridge on `federated` minus each other."""
    rows = error_table([row for row in records if row["task"] == task], differences)
    unit = rows["unit"].iloc[0] if len(rows) else ""
    words = "mean absolute error"
    title = f"{task.replace('_', ' ')}: {'error of ridge on federated, minus others' if differences else words}"
    words = f"difference of {words}" if differences else words
    zero = 0.0 if differences else None
    return interval_plot(rows, "estimate", "ci_low", "ci_high", "method", None, title, f"{words} ({unit})", zero)


def shown_pairs(found: Sequence[Pair], task: str, encoder: str = "federated") -> list[Pair]:
    """The pairs of one task, without ridge regression on other encoders than this one and the pixels."""
    kept = (f"{RIDGE}/{encoder}", f"{RIDGE}/{PIXELS}")
    return [pair for pair in found if pair.task == task and (pair.method in kept or not pair.method.startswith(RIDGE))]


def draw_scenes(generator: np.random.Generator) -> Figure:
    """What is measured, on drawn scenes: a head with its ellipse, the angle of progression, a muscle. Simulated."""
    head = drawn_ellipse((200, 260), (130, 100), (100, 74), 12)
    around = [head_measure(head, name) for name in HEAD_MEASURES]
    labour = drawn_labour(200, 118)
    angle = angle_of_progression(labour.symphysis, labour.head)
    muscle = drawn_muscle((200, 260), 90, 18, -5, generator)
    lines = measure_muscle(muscle)
    titles = [
        f"head circumference {around[0].value:.0f} pixels",
        f"angle of progression {angle.value:.0f}° (drawn: {labour.angle:.0f}°)",
        f"thickness {lines['muscle_thickness'].value:.0f} pixels (90), fascicles "
        f"{lines['fascicle_angle'].value:.0f}° (18°)",
    ]
    drawn = [{name: points for one in around for name, points in one.drawn.items()}, angle.drawn]
    pictures = [head, labour.symphysis * 2 + labour.head, muscle]
    words = ("head circumference", "biparietal diameter", "occipitofrontal diameter")
    drawn[0] = {word: drawn[0][name] for word, name in zip(words, HEAD_MEASURES)}
    return draw_lines(pictures, [*drawn, lines["fascicle_angle"].drawn], titles, "Measures on drawn scenes (simulated)")


def draw_examples(data: TaskData, table: pd.DataFrame, pictures: Sequence[np.ndarray | None], each: int = 2) -> Figure:
    """Muscles where the lines found in the original come nearest to the observers, in the middle, and farthest off.

    And one without a number, where there is one. table: of `measure_task`, of this task. pictures: the originals of the
    task's images. Raises UltraFMError when no original was measured.
    """
    rows = table[(table["task"] == data.task.name) & (table["method"] == LINES) & (table["encoder"] == ORIGINAL)]
    rows = rows.assign(error=(rows["prediction"] - rows["truth"]).abs()).sort_values("error")
    picked = _picked(rows.dropna(subset="error"), each) | {"no number": rows[rows["error"].isna()][:1]}
    ids = data.table["image_id"].tolist()
    shown, drawn, titles = [], [], []
    for rank, part in picked.items():
        for row in part.itertuples():
            shown.append(pictures[ids.index(row.image_id)])
            drawn.append(measure_muscle(shown[-1])[quantity_of(data)].drawn)
            said = rank if np.isnan(row.prediction) else f"{rank}: {row.prediction:.1f}".replace("-", "−")
            titles.append(f"{said}\nobservers {row.truth:.1f}")
    title = f"{data.task.name.replace('_', ' ')}: lines found in original pictures ({data.task.measured_in})"
    return draw_lines(shown, drawn, titles, title, height=2.2)


def draw_all_examples(
    tasks: Mapping[str, TaskData], table: pd.DataFrame, curated: Path, folders: Mapping[str, Path]
) -> list[Figure]:
    """`draw_examples` of every task of which originals were measured; see `measure_tasks` for the arguments."""
    measured = table[(table["method"] == LINES) & (table["encoder"] == ORIGINAL)]
    return [
        draw_examples(tasks[name], rows, scan_area_pictures(curated, tasks[name].table, folders))
        for name, rows in measured.groupby("task", sort=True)
    ]


def _picked(rows: pd.DataFrame, each: int) -> dict[str, pd.DataFrame]:
    """`each` rows from the start, the middle and the end; fewer where there are not enough."""
    each = min(each, len(rows) // 3)
    middle = len(rows) // 2 - each // 2
    starts = {"nearest": 0, "middle": middle, "farthest": len(rows) - each}
    return {name: rows.iloc[start : start + each] for name, start in starts.items()}


def _draw_pair(axes: Axes, pair: Pair, patients: Sequence[str]) -> None:
    middle, difference = (pair.measured + pair.truth) / 2, pair.measured - pair.truth
    for number, patient in enumerate(patients):
        rows = pair.patients == patient
        style = {
            "color": PALETTE[number % len(PALETTE)],
            "marker": MARKERS[(number // len(PALETTE) + number) % len(MARKERS)],
        }
        axes.scatter(middle[rows], difference[rows], s=10, alpha=0.7, linewidths=0, **style)
    axes.axhline(0, color=QUIET, linewidth=0.8)
    limits = _limits(pair)
    if limits is not None:
        for value, low, high, dashes in limits:
            axes.axhline(value, color=INK, linewidth=1.2, linestyle=dashes)
            axes.axhspan(low, high, color=INK, alpha=0.08, linewidth=0)
    name = pair.method.replace("_", " ").replace("/", ", ")
    axes.set_title(f"{name}\n{_numbers(pair)}", fontsize="small")


def _limits(pair: Pair) -> list[tuple[float, float, float, str]] | None:
    if len(set(pair.patients.tolist())) < 2:
        return None
    found = limits_of_agreement(pair.measured, pair.truth, pair.patients)
    return [
        (found.bias, found.bias_low, found.bias_high, "-"), (found.lower, found.lower_low, found.lower_high, "--"),
        (found.upper, found.upper_low, found.upper_high, "--"),
    ]  # fmt: skip


def _numbers(pair: Pair) -> str:
    limits = _limits(pair)
    if limits is None:
        return f"n {len(pair.measured)}, one patient: no limits"
    bias, lower, upper = (value for value, *_ in limits)
    return f"bias {bias:.1f}, limits {lower:.1f} to {upper:.1f}, n {len(pair.measured)}".replace("-", "−")


def _words(pair: Pair) -> str:
    return f"{pair.task} {pair.method}: {_numbers(pair)}".replace("_", " ")


def draw_lines(
    pictures: Sequence[np.ndarray], lines: Sequence[Mapping[str, np.ndarray]], titles: Sequence[str], title: str,
    height: float = 2.6,
) -> Figure:  # fmt: skip
    """Grey pictures (H, W) with the lines that a measure drew (`Measured.drawn`), side by side, with one legend.

    Raises UltraFMError when there is no picture or not one title and one set of lines for each.
    """
    if not pictures or not len(pictures) == len(lines) == len(titles):
        found = f"{len(pictures)} pictures, {len(lines)} sets of lines, {len(titles)} titles"
        raise UltraFMError(f"figure {title!r}", found, "at least one picture, one set of lines and one title for each")
    names = list(dict.fromkeys(_kind(name) for one in lines for name in one))
    colours = {name: LINE_COLOURS[number % len(LINE_COLOURS)] for number, name in enumerate(names)}
    aspects = [picture.shape[1] / picture.shape[0] for picture in pictures]
    figure = new_figure(max(height * sum(aspects) + 0.3, 0.085 * len(title)), height + 1.1, "")
    grid = figure.subplots(1, len(pictures), squeeze=False, width_ratios=aspects)[0]
    for axes, picture, drawn, text in zip(grid, pictures, lines, titles):
        axes.imshow(picture, cmap="gray", interpolation="nearest")
        for name, points in drawn.items():
            axes.plot(*np.asarray(points).T, color=colours[_kind(name)], linewidth=1.8, label=_kind(name))
        axes.set(xlim=(-0.5, picture.shape[1] - 0.5), ylim=(picture.shape[0] - 0.5, -0.5))
        axes.set_axis_off()
        axes.set_title(text, fontsize="small", loc="center", color=INK)
    handles = [Line2D([], [], color=colours[name], linewidth=2.5) for name in names]
    if names:
        figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)), fontsize="small")
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium", color=INK)
    figure.alt = f"{title}: {'; '.join(titles)}; drawn: {', '.join(names) or 'nothing'}"
    return figure


def _kind(name: str) -> str:
    """ "thickness 3" and "thickness 4" are lines of one kind."""
    return name.rstrip("0123456789 ")
