"""Pictures with scores and outlines, ROC curves, and intervals of encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.ndimage import binary_erosion
from sklearn.metrics import roc_curve

from ultrafm.downstream.figures.words import kind_of, nothing, words
from ultrafm.downstream.tasks import TaskData
from ultrafm.reporting.figures import (
    LINES,
    MARKERS,
    PALETTE,
    QUIET,
    colour_places,
    interval_plot,
    new_figure,
    picture_grid,
)

TRUTH_COLOUR, DRAWN_COLOUR = (0.0, 0.85, 0.45), (1.0, 0.45, 0.0)
ENLARGED = 4


def models(table: pd.DataFrame) -> list[str]:
    """The models of a `records_table` in their order; at least one name, so that there is a figure to say "nothing"."""
    return list(dict.fromkeys(table["model"])) if len(table) else ["no model"]


def draw_intervals(table: pd.DataFrame, model: str, title: str, unit: str, reference: float | None) -> Figure:
    """Intervals of `records_table` rows of one model ("linear probe"): a block of lines a task, encoders in colour."""
    rows = table[table["model"] == model] if len(table) else table
    if rows.empty:
        return nothing(title)
    title = f"{title}, {model}{kind_of(rows['images'])}"
    return interval_plot(rows, "estimate", "ci_low", "ci_high", "task", "encoder", title, unit, reference)


def draw_roc(predictions: pd.DataFrame, described: Mapping[str, Mapping[str, str]], method: str) -> Figure:
    """ROC curves of each task, one curve an encoder, for one method; out-of-sample scores.

    A task with several answers has a panel for each: one against the rest.
    """
    rows = predictions[predictions["method"] == method]
    if rows.empty:
        return nothing("ROC curves")
    panels, encoders = _panels(rows), list(dict.fromkeys(rows["encoder"]))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    tasks = dict.fromkeys(task for task, _, _ in panels)
    figure = new_figure(3.2 * columns + 0.3, 3.6 * lines + 0.6, f"ROC curves of {', '.join(tasks)}")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (task, name, part) in zip(grid, panels):
        axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=1)
        for encoder, number in colour_places(encoders).items():
            found = part[part["encoder"] == encoder]
            share, hits, _ = roc_curve(found["truth"].astype(int), found["score"], drop_intermediate=False)
            axes.plot(share, hits, color=PALETTE[number], linestyle=LINES[number % len(LINES)], label=words(encoder))
        axes.set_title(f"{name}\n({described[task]['images']} images)", fontsize="small")
        axes.set_xlabel("1 − specificity", fontsize="small")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    grid[0].set_ylabel("sensitivity", fontsize="small")
    grid[0].legend(loc="lower right", fontsize="x-small", title="encoder", title_fontsize="x-small")
    figure.suptitle(f"ROC curves, {words(method)}\n", x=0.01, ha="left", fontsize="medium")
    return figure


def draw_scored(
    data: TaskData, predictions: pd.DataFrame, method: str, encoder: str, generator: np.random.Generator, count: int = 8
) -> Figure:
    """`count` test images of one task, half of them positive where there are enough, with truth and score."""
    rows = _chosen(predictions, data, method, encoder)
    title = f"{words(data.task.name)}: scores by the {words(encoder)} encoder, {words(method)}"
    if rows.empty:
        return nothing(title)
    halves = [rows[rows["truth"] == answer] for answer in (1, 0)]
    picked = [half.iloc[np.sort(generator.permutation(len(half))[: count // 2])] for half in halves]
    shown = pd.concat(picked)
    images = [enlarge(data.images[row]) for row in _places(data, shown["image_id"])]
    said = {1: "positive", 0: "negative"}
    titles = [f"{said[int(row.truth)]}, score {row.score:.2f}" for row in shown.itertuples()]
    return picture_grid(images, titles, f"{title}{kind_of(['simulated' if data.simulated else 'real'])}", count // 2)


def draw_outlines(
    data: TaskData, scores: pd.DataFrame, masks: np.ndarray, method: str, encoder: str, each: int = 3
) -> Figure:
    """The `each` best, middle and worst test images of one task: true outline green, drawn outline orange.

    masks: (N, S, S) of all rows of `scores`, in their order. Of several structures each is a drawing of its own.
    """
    rows = _chosen(scores.reset_index(drop=True), data, method, encoder).sort_values("dice", ascending=False)
    title = f"{words(data.task.name)}: {words(encoder)} encoder, {words(method)}; truth green, drawn orange"
    if rows.empty:
        return nothing(title)
    each = max(1, min(each, len(rows) // 3))
    middle = len(rows) // 2 - each // 2
    parts = {"best": rows.iloc[:each], "middle": rows.iloc[middle : middle + each], "worst": rows.iloc[-each:]}
    images, titles = [], []
    for name, part in parts.items():
        for place, row in zip(_places(data, part["image_id"]), part.itertuples()):
            truth = data.truth[place] == data.answers.index(row.answer) + 1
            images.append(outlined(data.images[place], truth, masks[row.Index]))
            of = f" ({words(row.answer)})" if len(data.answers) > 1 else ""
            titles.append(f"{name}{of}, Dice {row.dice:.2f}")
    return picture_grid(images, titles, title + kind_of(["simulated" if data.simulated else "real"]), each)


def draw_dice(scores: pd.DataFrame, described: Mapping[str, Mapping[str, str]], method: str) -> Figure:
    """Dice of every image as a dot, one line of dots an encoder, one panel a task and structure; for one method."""
    rows = scores[scores["method"] == method]
    if rows.empty:
        return nothing("Dice of single images")
    panels, encoders = _panels(rows), list(dict.fromkeys(rows["encoder"]))
    tasks = dict.fromkeys(task for task, _, _ in panels)
    figure = new_figure(max(7.0, 3.2 * len(panels)), 3.6, f"distribution of Dice in {', '.join(tasks)}")
    for axes, (task, name, found) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        for number, (encoder, colour) in enumerate(colour_places(encoders).items()):
            values = found.loc[found["encoder"] == encoder, "dice"].to_numpy(dtype=float)
            places = number + np.linspace(0.25, -0.25, len(values))
            axes.scatter(np.sort(values), places, s=9, alpha=0.6, color=PALETTE[colour], marker=MARKERS[colour])
            axes.plot([np.median(values)] * 2, [number - 0.36, number + 0.36], color="#222222", linewidth=2)
        axes.set_yticks(range(len(encoders)), [words(encoder) for encoder in encoders])
        axes.invert_yaxis()
        axes.set(xlim=(-0.02, 1.02), xlabel="Dice of one image")
        axes.set_title(f"{name}\n({described[task]['images']} images)", fontsize="small")
    figure.suptitle(
        f"Dice of single images, {words(method)}; the bar is the median", x=0.01, ha="left", fontsize="medium"
    )
    return figure


def outlined(image: np.ndarray, truth: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """A (S, S) uint8 image, enlarged, as (H, W, 3) floats with the outlines of two 0/1 masks in colour."""
    picture = np.repeat(enlarge(image)[..., None] / 255.0, 3, axis=2)
    for mask, colour in ((truth, TRUTH_COLOUR), (drawn, DRAWN_COLOUR)):
        inside = enlarge(mask).astype(bool)
        picture[inside & ~binary_erosion(inside, iterations=1, border_value=0)] = colour
    return picture


def enlarge(image: np.ndarray) -> np.ndarray:
    """Each pixel of (S, S) repeated ENLARGED x ENLARGED times."""
    return np.repeat(np.repeat(image, ENLARGED, axis=0), ENLARGED, axis=1)


def _panels(rows: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """(task, title, rows) of each task and answer, tasks in the order of the alphabet."""
    found = []
    for task, of_task in rows.groupby("task", sort=True):
        answers = of_task.groupby("answer", sort=False)
        for answer, part in answers:
            title = words(task) if len(answers) == 1 else f"{words(task)}: {words(answer)}"
            found.append((str(task), title, part))
    return found


def _chosen(table: pd.DataFrame, data: TaskData, method: str, encoder: str) -> pd.DataFrame:
    wanted = (table["task"] == data.task.name) & (table["method"] == method) & (table["encoder"] == encoder)
    return table[wanted]


def _places(data: TaskData, names: Sequence[str]) -> np.ndarray:
    return pd.Index(data.table["image_id"]).get_indexer(list(names))
