"""Figures in one calm style: safe for colour-blind readers, axes with units, and a description in words."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ultrafm.errors import UltraFMError
from ultrafm.reporting.records import interval_text

# Okabe and Ito's colours without yellow, which is too pale on white; the first is the one for the main subject.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#555555")
ENCODERS = ("federated", "pooled", "one site", "random", "pixels")  # in the order of their colours
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
LINES = ("-", "--", ":", "-.")
INK, QUIET = "#222222", "#8a8a8a"
STYLE = {
    "axes.edgecolor": QUIET,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.family": ["DejaVu Sans"],
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "legend.frameon": False,
}


class ReportFigure(Figure):
    """A matplotlib figure that is not registered with pyplot and carries a description (`alt`) into the notebook."""

    alt: str = ""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        """PNG at twice the screen's resolution, with its size on the page and its description as metadata."""
        data = base64.b64encode(figure_png(self)).decode()
        width, height = (round(side * 100) for side in self.get_size_inches())
        about = {"width": width, "height": height, "alt": self.alt}
        return {"image/png": data, "text/plain": self.alt or "figure"}, {"image/png": about}


def house_style() -> None:
    """Set the look of all figures of this process: seaborn's quiet ticks with colours safe for colour-blind readers."""
    seaborn.set_theme(context="notebook", style="ticks", palette=list(PALETTE), rc=STYLE)


def figure_png(figure: Figure, dpi: int = 200) -> bytes:
    """The figure as PNG; the same figure always gives the same bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None})
    return stream.getvalue()


def new_figure(width: float, height: float, alt: str) -> ReportFigure:
    """An empty figure of `width` x `height` inches with its description."""
    figure = ReportFigure(figsize=(width, height), layout="constrained")
    figure.alt = alt
    return figure


def interval_plot(
    table: pd.DataFrame,
    estimate: str,
    low: str,
    high: str,
    label: str,
    group: str | None,
    title: str,
    unit: str,
    reference: float | None = None,
) -> Figure:
    """Estimates with their intervals, one line each: dots from left to right, the numbers written at the right.

    `estimate`, `low`, `high`, `label` and `group` name columns of `table`. Rows with the same label stand together;
    the group (None: no groups) gives colour and marker, see `colour_places`. `unit` labels the horizontal axis.
    `reference` draws a vertical line (chance, or no difference). An estimate of NaN is written "not defined"; an end of
    NaN leaves that side open.
    Raises UltraFMError when a column is missing or the table is empty.
    """
    _need_columns(table, [name for name in (estimate, low, high, label, group) if name], title)
    rows = _positions(table, label, group)
    places = colour_places(list(dict.fromkeys(rows["group"])))
    values = pd.DataFrame({"estimate": rows[estimate], "low": rows[low], "high": rows[high]}).astype(float)
    with matplotlib.rc_context(_context()):
        figure = new_figure(8, 1.1 + 0.3 * (rows["place"].max() + 1) + 0.25 * (len(places) > 1), "")
        axes = figure.add_subplot()
        if reference is not None:
            axes.axvline(reference, color=QUIET, linestyle="--", linewidth=1, zorder=0)
        for place, name, row in zip(rows["place"], rows["group"], values.itertuples(index=False), strict=True):
            _draw_interval(axes, place, row, places[name])
        _label_rows(axes, rows)
        axes.set(xlabel=unit, title=title)
        _group_legend(figure, places)
    figure.alt = _describe(title, unit, rows, values)
    return figure


def colour_places(groups: Sequence[str]) -> dict[str, int]:
    """Group -> its place in PALETTE and MARKERS. An encoder has the same one in every figure of a study.

    "federated − random" has that of random, since federated is in all differences. Other groups go by their order.
    """
    subjects = [name.replace("_", " ").rsplit(" − ", 1)[-1] for name in groups]
    if set(subjects) <= set(ENCODERS):
        return {name: ENCODERS.index(subject) for name, subject in zip(groups, subjects)}
    return {name: place for place, name in enumerate(groups)}


def picture_grid(
    images: Sequence[np.ndarray], titles: Sequence[str], title: str, columns: int, height: float = 2.1
) -> Figure:
    """Pictures side by side, in rows of `columns`; `height` is one picture's height in inches.

    Each picture is (H, W) grey or (H, W, 3) colour: unsigned 8-bit 0..255, or float or bool 0..1 (clipped).
    Raises UltraFMError when there is no picture, or not one title for each.
    """
    if not images or len(images) != len(titles) or columns < 1:
        found = f"{len(images)} pictures, {len(titles)} titles, {columns} columns"
        raise UltraFMError(f"picture grid {title!r}", found, "at least one picture and one title for each")
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    aspect = float(np.median([picture.shape[1] / picture.shape[0] for picture in images]))
    extra = 0.24 * max(text.count("\n") + 1 for text in titles)
    with matplotlib.rc_context(_context()):
        width = max(columns * height * aspect, 0.085 * len(title))
        figure = new_figure(width, lines * (height + extra) + 0.4, f"{title}: {'; '.join(titles)}")
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, picture, text in zip(grid, images, titles, strict=False):
            axes.imshow(_shown(picture), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(text, fontsize="small", loc="center", color=INK)
        figure.suptitle(title, x=0.01, ha="left", fontsize="medium", color=INK)
    return figure


def loss_curves(table: pd.DataFrame, title: str) -> Figure:
    """Training loss by round: a thin line for each site and a thick one for the federation.

    `table` has the columns round, site and loss, one row per site and round; the thick line is the mean weighted by the
    column weight (pictures of a site) when there is one, else the plain mean, and the legend says which. Sites that did
    not take part in a round have no row. Raises UltraFMError when a column is missing or the table is empty.
    """
    _need_columns(table, ["round", "site", "loss"], title)
    mean = _round_means(table)
    sites = sorted(table["site"].unique())
    with matplotlib.rc_context(_context()):
        figure = new_figure(8, 4.2, "")
        axes = figure.add_subplot()
        for number, site in enumerate(sites):
            curve = table[table["site"] == site].sort_values("round")
            style = {"color": PALETTE[number % len(PALETTE)], "linestyle": LINES[number // len(PALETTE) % len(LINES)]}
            axes.plot(curve["round"], curve["loss"], linewidth=0.9, alpha=0.75, label=site, **style)
        weighted = "weighted by pictures" if "weight" in table else "unweighted"
        axes.plot(mean.index, mean, color=INK, linewidth=2.6, label=f"all sites ({weighted})")
        axes.set(xlabel="round", ylabel="loss (1: guessing the mean)", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside right upper", fontsize="x-small")
    change = f"from {mean.iloc[0]:.3f} in round {mean.index[0]} to {mean.iloc[-1]:.3f} in round {mean.index[-1]}"
    figure.alt = f"{title}: loss by round for {len(sites)} sites; the mean of all sites goes {change}."
    return figure


def _context() -> dict:
    """The house style's settings for one figure, so that figures look the same when nobody called house_style."""
    return {**seaborn.axes_style("ticks"), **seaborn.plotting_context("notebook", font_scale=0.9), **STYLE}


def _need_columns(table: pd.DataFrame, columns: Sequence[str], title: str) -> None:
    missing = [name for name in columns if name not in table]
    if missing or table.empty:
        found = f"no column {', '.join(missing)}" if missing else "an empty table"
        raise UltraFMError(f"figure {title!r}", found, f"rows with the columns {', '.join(columns)}")


def _positions(table: pd.DataFrame, label: str, group: str | None) -> pd.DataFrame:
    """The rows as drawn: labels in order of appearance, `place` counted from the top with a gap between labels."""
    rows = table.assign(row_label=table[label].astype(str), group=table[group].astype(str) if group else "")
    order = {name: place for place, name in enumerate(dict.fromkeys(rows["row_label"]))}
    rows = rows.sort_values("row_label", key=lambda names: names.map(order), kind="stable")
    block = rows["row_label"].map(order)
    gap = 0.9 if rows["row_label"].duplicated().any() else 0.25
    return rows.assign(place=np.arange(len(rows)) + gap * block.to_numpy()).reset_index(drop=True)


def _draw_interval(axes: Axes, place: float, row: tuple, group: int) -> None:
    colour, marker = PALETTE[group % len(PALETTE)], MARKERS[group % len(MARKERS)]
    estimate, low, high = row
    if not np.isnan(estimate):
        ends = [estimate if np.isnan(end) else end for end in (low, high)]
        axes.plot(ends, [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([estimate], [place], color=colour, marker=marker, markersize=6.5, markeredgecolor="white")
    text, beside = interval_text(estimate, low, high), axes.get_yaxis_transform()
    axes.text(1.02, place, text, transform=beside, va="center", fontsize="small", color=INK)


def _label_rows(axes: Axes, rows: pd.DataFrame) -> None:
    middles = rows.groupby("row_label", sort=False)["place"].mean()
    axes.set_yticks(middles.to_numpy(), middles.index.to_list())
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(rows["place"].max() + 0.7, -0.7)


def _group_legend(figure: Figure, places: Mapping[str, int]) -> None:
    if len(places) < 2:
        return
    handles = [
        Line2D([], [], color=PALETTE[number % len(PALETTE)], marker=MARKERS[number % len(MARKERS)])
        for number in places.values()
    ]
    figure.legend(handles, list(places), loc="outside lower center", ncols=min(4, len(places)), fontsize="small")


def _describe(title: str, unit: str, rows: pd.DataFrame, values: pd.DataFrame) -> str:
    names = [" ".join(filter(None, pair)) for pair in zip(rows["row_label"], rows["group"], strict=True)]
    lines = [f"{name} {interval_text(*row)}" for name, row in zip(names, values.to_numpy(), strict=True)]
    more = f"; and {len(lines) - 12} more" if len(lines) > 12 else ""
    return f"{title} ({unit}): {'; '.join(lines[:12])}{more}."


def _shown(picture: np.ndarray) -> np.ndarray:
    scale = 255.0 if picture.dtype == np.uint8 else 1.0
    return np.clip(np.asarray(picture, dtype=float) / scale, 0, 1)


def _round_means(table: pd.DataFrame) -> pd.Series:
    weight = table["weight"].astype(float) if "weight" in table else pd.Series(1.0, index=table.index)
    weighted = pd.DataFrame({"round": table["round"], "top": table["loss"] * weight, "weight": weight})
    sums = weighted.dropna().groupby("round").sum()
    return sums["top"] / sums["weight"]
