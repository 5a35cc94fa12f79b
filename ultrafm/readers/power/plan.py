"""Planning: pilot components from an analysis, how many cases or readers, tables and the figure of power."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ultrafm.errors import UltraFMError, one_of
from ultrafm.readers.power.formulas import RANDOM, AgainstPilot, ModalityPilot, power_against, power_modalities
from ultrafm.reporting.figures import INK, LINES, MARKERS, PALETTE, QUIET, new_figure

Pilot = ModalityPilot | AgainstPilot
MOST_CASES, MOST_READERS = 100_000, 200
GRID = 40
STEP = 1.2  # of the search for a size; power has one broad peak


def pilot_from(found: Mapping[str, Any], level: str | None = None) -> Pilot:
    """The components of what `analyse` returned, of AI against readers where there is an AI, else of two modalities.

    level: take only the readers of this level, which differ less than all readers together. Raises UltraFMError for a
    level without results, and where there are no components (one modality, one reader) or more than two modalities.
    """
    cases = found["counts"]["cases"]
    place = found if level is None else found["levels"][one_of("pilot study, level", level, found["levels"])]
    if found["kind"] == "ai_versus_readers":
        parts = place.get("ai_components") or place["components"]
        names = ("mean_square", "variance", "cov2")
        make = AgainstPilot
    else:
        parts, make = place.get("components") or {}, ModalityPilot
        names = ("variance", "cov1", "cov2", "cov3", "modality_reader")
        if len(found.get("modalities", [])) > 2:
            raise UltraFMError("pilot study", f"{len(found['modalities'])} modalities", "two", "keep two of them")
    if any(parts.get(name) is None for name in names):
        mend = "one modality alone compares nothing: name the AI with --ai, or add the readings of a second modality"
        wanted = "two or more readers who are compared, fully crossed"
        raise UltraFMError("pilot study", "no variance components", wanted, mend)
    return make(*(parts[name] for name in names), cases)


def power_of(pilot: Pilot, difference: float, readers: int, cases: int, **options: Any) -> float:
    """Power of the design that the pilot is of; options: model, alpha, and margin for AI against readers."""
    work = power_against if isinstance(pilot, AgainstPilot) else power_modalities
    return work(pilot, difference, readers, cases, **options)


def cases_needed(
    pilot: Pilot, difference: float, readers: int, power: float = 0.8, most: int = MOST_CASES, **options: Any
) -> int | None:
    """The fewest cases that reach `power` with so many readers; None when even `most` do not."""
    return _fewest(lambda cases: power_of(pilot, difference, readers, cases, **options), power, 4, most)


def readers_needed(
    pilot: Pilot, difference: float, cases: int, power: float = 0.8, most: int = MOST_READERS, **options: Any
) -> int | None:
    """The fewest readers that reach `power` with so many cases; None when even `most` do not."""
    return _fewest(lambda readers: power_of(pilot, difference, readers, cases, **options), power, 2, most)


def power_table(
    pilot: Pilot, difference: float, readers: Sequence[int], cases: Sequence[int], **options: Any
) -> pd.DataFrame:
    """Power for every number of readers (rows) and cases (columns)."""
    rows = {
        count: {number: power_of(pilot, difference, count, number, **options) for number in cases} for count in readers
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="readers", columns="cases")


def size_table(
    pilot: Pilot, difference: float, readers: Sequence[int], power: float = 0.8, most: int = MOST_CASES, **options: Any
) -> pd.DataFrame:
    """The cases that each number of readers needs for `power`; empty where no number up to `most` is enough."""
    needed = [cases_needed(pilot, difference, count, power, most, **options) for count in readers]
    return pd.DataFrame({"readers": list(readers), f"cases for {power:.0%} power": pd.array(needed, dtype="Int64")})


def power_figure(
    pilot: Pilot,
    difference: float,
    readers: Sequence[int],
    most_cases: int,
    power: float = 0.8,
    label: str = "",
    **options: Any,
) -> Figure:
    """Power by the number of cases, one curve for each number of readers; label: what the pilot is, such as simulated.

    Raises UltraFMError as `power_of` does.
    """
    against = isinstance(pilot, AgainstPilot)
    what = "AI minus readers" if against else "difference of two modalities"
    margin = options.get("margin")
    aim = f"non-inferiority, margin {margin:g}, if {what} is {difference:g}" if margin else f"{what} {difference:g}"
    title = f"Power of a planned study: {aim}"
    figure = new_figure(7.5, 4.6, "")
    axes = figure.add_subplot()
    cases = np.unique(np.linspace(20, most_cases, GRID).round().astype(int))
    told = []
    for place, count in enumerate(readers):
        values = [power_of(pilot, difference, count, int(number), **options) for number in cases]
        style = {"color": PALETTE[place % len(PALETTE)], "linestyle": LINES[place // len(PALETTE) % len(LINES)]}
        axes.plot(cases, values, marker=MARKERS[place % len(MARKERS)], markevery=8, label=f"{count} readers", **style)
        told.append(f"{count} readers {values[-1]:.2f} at {cases[-1]} cases")
    axes.axhline(power, color=QUIET, linestyle="--", linewidth=1)
    model = {RANDOM: "random readers and random cases"}.get(options.get("model", RANDOM), options.get("model"))
    axes.set(xlabel=f"cases (share of diseased as in the pilot study of {pilot.cases})", ylabel="power", ylim=(0, 1.02))
    model += f"; pilot: {label}" if label else ""
    axes.set_title(f"{title}\n{model}; dashed: {power:.0%}", loc="left", fontsize="medium", color=INK)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=5, fontsize="small", frameon=False)
    figure.alt = f"{title}, {model}: {'; '.join(told)}."
    return figure


def _fewest(reached: Callable[[int], float], power: float, least: int, most: int) -> int | None:
    """The smallest whole number whose power is enough: in growing steps up to the first that is, then by halving.

    Power may fall again: with more cases the spread of readers is all that is left, and with it few degrees of freedom.
    So that `most` is not enough does not mean that nothing is.
    """
    if not 0 < power < 1:
        raise UltraFMError("sample size", f"power {power}", "a probability above 0 and below 1, such as 0.8")
    low, high = least - 1, least
    while reached(high) < power:
        if high >= most:
            return None
        low, high = high, min(max(high + 1, int(STEP * high)), most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= power else (middle, high)
    return high
