"""Figures of the curation notebook. Each title says whether the images are real or simulated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from scipy import ndimage

from ultrafm.curation.close_look import Look
from ultrafm.curation.sector_figure import conversion_figure
from ultrafm.curation.store import decode_png, read_table
from ultrafm.files import read_json
from ultrafm.reporting.figures import PALETTE, new_figure, picture_grid

FOLDS = ("train", "validation", "test", "evaluation")
STEPS = {"kept": "kept", "duplicates": "duplicate", "low_quality": "low quality", "quarantined": "quarantined"}
MEASURES = {
    "blur": "sharpness: variance of\nthe Laplacian (log scale)",
    "contrast": "contrast: standard deviation\n(grey values)",
    "entropy": "entropy of the histogram\n(bits)",
}
OUTLINE = (0.84, 0.37, 0.0)


def image_kind(table: pd.DataFrame) -> str:
    """ "simulated" or "real", or "real and simulated" when a study mixes them; from the table of `curate_sites`."""
    return " and ".join(sorted(table["images"].unique()))


def flow_figure(table: pd.DataFrame) -> Figure:
    """What became of the rows of each site's table: a bar of images for each site, from the table of `curate_sites`."""
    rows = table.sort_values("site", ascending=False)
    title = f"What became of each site's images ({image_kind(table)})"
    figure = new_figure(8, 1.3 + 0.27 * len(rows), f"{title}: {_flow_text(table)}.")
    axes = figure.add_subplot()
    start = np.zeros(len(rows))
    for colour, (column, name) in zip((PALETTE[0], PALETTE[5], PALETTE[3], PALETTE[1]), STEPS.items()):
        axes.barh(rows["site"], rows[column], left=start, color=colour, label=name)
        start = start + rows[column].to_numpy()
    for place, (kept, listed) in enumerate(zip(rows["kept"], rows["rows"])):
        axes.text(listed, place, f"  {kept} of {listed}", va="center", fontsize="small")
    axes.set(xlabel="images (rows of the site's table)", title=title, xlim=(0, 1.15 * start.max()))
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower center", ncols=len(STEPS), fontsize="small")
    return figure


def _flow_text(table: pd.DataFrame) -> str:
    return ", ".join(f"{int(table[column].sum())} {name}" for column, name in STEPS.items())


def gallery_figure(curated: Path, table: pd.DataFrame, columns: int = 4) -> Figure:
    """One curated picture of each site, with the outline of its scan sector."""
    images, titles = [], []
    for site, kind in zip(table["site"], table["images"]):
        about = read_table(Path(curated), site).slice(0, 1).to_pylist()[0]
        picture, sector = (decode_png(about[name]["bytes"]) for name in ("image", "sector"))
        images.append(_outlined(picture, sector > 0))
        titles.append(f"{site}\n{about['organ']}, {about['scan_mode']}, {kind}")
    return picture_grid(images, titles, f"One curated picture of each site ({image_kind(table)})", columns)


def _outlined(image: np.ndarray, sector: np.ndarray, zoom: int = 4) -> np.ndarray:
    """A grey picture (S, S) as colours (zoom S, zoom S, 3) with a thin line around its sector."""
    large = np.kron(image, np.ones((zoom, zoom))) / 255
    inside = np.kron(sector, np.ones((zoom, zoom))) > 0
    border = inside & ~ndimage.binary_erosion(inside, iterations=2, border_value=0)
    colours = np.repeat(large[:, :, None], 3, axis=2)
    colours[border] = OUTLINE
    return colours


def look_figure(looks: Sequence[Look]) -> Figure:
    """Pictures as the scanner wrote them, with scan area and marks; beside each, what goes into the store."""
    kind = "simulated" if any(look.simulated for look in looks) else "real"
    found = "; ".join(f"{look.area.kind}, {look.area.scan_mode}, {len(look.marks)} marks" for look in looks)
    figure = new_figure(7, 3.2 * len(looks) + 0.4, f"Pictures before and after curation ({kind}): {found}.")
    for row, look in zip(figure.subplots(len(looks), 2, squeeze=False, width_ratios=(3, 2)), looks):
        row[0].imshow(look.grey, cmap="gray", vmin=0, vmax=255)
        row[0].contour(look.scanned, levels=[0.5], colors=[OUTLINE], linewidths=1.2)
        for mark in look.marks:
            left, top, right, bottom = mark.box
            size = (right - left, bottom - top)
            row[0].add_patch(Rectangle((left, top), *size, fill=False, edgecolor=PALETTE[4], linewidth=1))
        row[0].set_title(f"{look.area.kind}, read as {look.area.scan_mode} ({look.area.confidence:.2f}); {kind}")
        row[1].imshow(look.stored, cmap="gray", vmin=0, vmax=255)
        row[1].set_title(f"in the store, {len(look.stored)} x {len(look.stored)} pixels")
        for axes in row:
            axes.set_axis_off()
    return figure


def straightened_figure(looks: Sequence[Look]) -> Figure | None:
    """The first fan-shaped scan in the probe's coordinates and back, beside the published conversion; None without."""
    fans = [look for look in looks if look.area.geometry is not None]
    return conversion_figure(fans[0].grey, fans[0].area.geometry) if fans else None


def quality_figure(curated: Path, table: pd.DataFrame) -> Figure:
    """How sharp, contrasty and rich the kept pictures of each site are: median, middle half and extremes.

    The numbers come from the data sheets; they describe the scanner as much as the care of the examination.
    """
    title = f"Quality inside the scan sector, kept images ({image_kind(table)})"
    spreads = {site: read_json(Path(curated) / site / "datasheet.json")["quality"] for site in table["site"]}
    figure = new_figure(9, 1.6 + 0.25 * len(table), f"{title}: {_quality_text(spreads)}.")
    grid = figure.subplots(1, len(MEASURES), sharey=True)
    places = np.arange(len(table))[::-1]
    for axes, (name, label) in zip(grid, MEASURES.items()):
        values = pd.DataFrame([spreads[site][name] for site in table["site"]])
        axes.hlines(places, values["lowest"], values["highest"], color="#c8c8c8", linewidth=1.5)
        axes.hlines(places, values["lower_quartile"], values["upper_quartile"], color=PALETTE[0], linewidth=4)
        axes.plot(values["median"], places, "o", color="white", markeredgecolor=PALETTE[0], markersize=5)
        axes.set(xscale="log" if name == "blur" else "linear")
        axes.set_xlabel(label, fontsize="small")
        axes.tick_params(axis="x", labelsize="small")
        axes.tick_params(axis="y", length=0)
    grid[0].xaxis.set_major_locator(LogLocator(subs=(1,) if np.ptp(np.log10(grid[0].get_xlim())) > 1.5 else (1, 2, 5)))
    grid[0].xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    grid[0].xaxis.set_minor_formatter(NullFormatter())
    grid[0].set_yticks(places, table["site"])
    figure.suptitle(f"{title}\nthin: all, thick: middle half, circle: median", x=0.01, ha="left", fontsize="medium")
    return figure


def _quality_text(spreads: dict[str, dict[str, dict[str, float]]]) -> str:
    return "; ".join(f"{site} median contrast {spread['contrast']['median']:.0f}" for site, spread in spreads.items())


def left_out_table(curated: Path, sites: Sequence[str]) -> pd.DataFrame:
    """Why images were left out, from the data sheets: site, stage, reason, images. No file or patient is named."""
    rows = [
        {"site": site, "stage": entry["stage"].replace("_", " "), "reason": entry["kind"], "images": entry["images"]}
        for site in sites
        for entry in read_json(Path(curated) / site / "datasheet.json")["left_out"]
    ]
    return pd.DataFrame(rows, columns=["site", "stage", "reason", "images"])


def left_out_figure(curated: Path, table: pd.DataFrame) -> Figure:
    """How many images of all sites were left out for each reason."""
    counts = left_out_table(curated, list(table["site"])).groupby("reason")["images"].sum().sort_values()
    title = f"Images left out, by reason, all sites ({image_kind(table)})"
    told = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
    figure = new_figure(7, 1.2 + 0.3 * max(1, len(counts)), f"{title}: {told}.")
    axes = figure.add_subplot()
    bars = axes.barh(counts.index, counts.to_numpy(), color=PALETTE[1])
    axes.bar_label(bars, padding=3, fontsize="small")
    axes.set(xlabel="images", title=title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if counts.empty:
        axes.set(xlim=(0, 1), yticks=[])
        axes.text(0.5, 0.5, "none was left out", transform=axes.transAxes, ha="center")
    return figure


def folds_table(table: pd.DataFrame) -> pd.DataFrame:
    """Images and patients of each fold and site, as "images (patients)"; empty where a site has no such fold."""
    told = {"site": table["site"]}
    for fold in FOLDS:
        pairs = zip(table[f"{fold}_images"], table[f"{fold}_patients"])
        told[fold] = [f"{images} ({patients})" if images else "" for images, patients in pairs]
    return pd.DataFrame(told)
