"""Figures of the review, in the house style of `ultrafm.reporting.figures`; each says whether images are simulated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ultrafm.downstream.figures import enlarge
from ultrafm.downstream.heads.overlays import saliency_overlay
from ultrafm.downstream.review.mistakes import FALSE_ALARM, MISSED
from ultrafm.downstream.tasks import TaskData
from ultrafm.reporting.figures import interval_plot, new_figure, picture_grid


def kind_of(data: TaskData) -> str:
    """The words that every title ends with."""
    return "simulated images" if data.simulated else "real images"


def draw_mistakes(data: TaskData, mistakes: pd.DataFrame, about: str) -> Figure:
    """The surest mistakes of `mistakes.surest_mistakes`, one patient each: false alarms, then missed cases."""
    title = f"{_words(data.task.name)}: surest mistakes of {about} ({kind_of(data)})"
    if mistakes.empty:
        return _said(title, "no mistake to show")
    order = pd.concat([mistakes[mistakes["direction"] == name] for name in (FALSE_ALARM, MISSED)])
    places = pd.Index(data.table["image_id"]).get_indexer(order["image_id"])
    titles = [_mistake_words(row) for row in order.itertuples()]
    most = int(order.groupby("direction").size().max())
    images = [enlarge(data.images[place]) for place in places]
    return picture_grid(*_in_lines(images, titles, order["direction"].tolist(), most), title, most)


def draw_saliency(
    images: Sequence[np.ndarray], maps: dict[str, Sequence[np.ndarray]], titles: Sequence[str], title: str
) -> Figure:
    """Pictures (S, S) uint8, one a row of the grid, and beside each its maps (S, S); red speaks for the call."""
    title = f"{title}; red speaks for the call, blue against it"
    pictures, words = [], []
    for number, (image, text) in enumerate(zip(images, titles, strict=True)):
        pictures += [enlarge(image), *(saliency_overlay(image, rows[number]) for rows in maps.values())]
        words += [text, *maps]
    return picture_grid(pictures, words, title, 2 * (1 + len(maps)))


def draw_tests(tests: pd.DataFrame, title: str) -> Figure:
    """By how much maps beat random orders (deletion, insertion), for each map and task; 0 is no better."""
    rows = tests[tests["test"].isin(["deletion", "insertion"])] if len(tests) else tests
    if rows.empty:
        return _said(title, "no picture to test")
    unit = "area between the curves (logit); above 0 the map beats random orders"
    rows = rows.assign(line=rows["task"].map(_words) + ", " + rows["test"]).astype({"ci_low": float, "ci_high": float})
    return interval_plot(rows, "estimate", "ci_low", "ci_high", "line", "map", title, unit, 0.0)


def draw_themes(themes: pd.DataFrame, title: str, most: int = 12) -> Figure:
    """Standardised differences between wrong and right pictures, the most telling first; intervals by patient."""
    rows = themes[themes["difference"].notna()].head(most)
    if rows.empty:
        return _said(title, "too few patients with an error to compare")
    rows = rows.astype({"difference": float, "ci_low": float, "ci_high": float})
    stars = np.where(rows["holm_p"].astype(float) < 0.05, " *", "")
    rows = rows.assign(line=rows["property"] + stars)
    unit = "wrong minus right (SD); * Holm p < 0.05"
    return interval_plot(rows, "difference", "ci_low", "ci_high", "line", None, title, unit, 0.0)


def draw_dice_by(parts: dict[str, pd.DataFrame], title: str) -> Figure:
    """Mean Dice in parts of the pictures by size and by contrast of the structure (`themes.dice_by`)."""
    tables = [table.assign(by=name) for name, table in parts.items() if len(table)]
    if not tables:
        return _said(title, "no outlined picture")
    rows = pd.concat(tables).astype({"estimate": float, "ci_low": float, "ci_high": float})
    rows["line"] = [f"{row['from']:.2f} to {row['to']:.2f} ({row['n']} images)" for _, row in rows.iterrows()]
    rows["line"] = rows["by"] + " " + rows["line"]
    return interval_plot(rows, "estimate", "ci_low", "ci_high", "line", None, title, "mean Dice", None)


def _mistake_words(row: tuple) -> str:
    truth = "positive" if row.truth else "negative"
    difficulty = "" if pd.isna(row.difficulty) else f"\ndifficulty {row.difficulty:.2f}"
    score = f"score {row.score:.2f}, called from {row.threshold:.2f}"
    return f"{row.direction}, truth {truth}\n{score}{difficulty}\n{row.site}"


def _in_lines(images: list, titles: list, directions: list[str], most: int) -> tuple[list, list]:
    """Each direction begins a line of its own: a shorter one is filled with empty places."""
    out_images, out_titles = [], []
    for name in (FALSE_ALARM, MISSED):
        chosen = [number for number, found in enumerate(directions) if found == name]
        if not chosen:
            continue
        empty = most - len(chosen)
        out_images += [images[number] for number in chosen] + [np.full_like(images[0], 255)] * empty
        out_titles += [titles[number] for number in chosen] + ["\n\n"] * empty
    return out_images, out_titles


def _words(name: str) -> str:
    return name.replace("_", " ")


def _said(title: str, words: str) -> Figure:
    figure = new_figure(7, 1.2, f"{title}: {words}")
    figure.text(0.02, 0.5, f"{title}: {words}.", va="center")
    return figure
