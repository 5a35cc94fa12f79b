"""Small charts as SVG that take colours and type from the page: no library to load, and the same bytes every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup, escape

from ultrafm.curation.sheets.counting import Measure

WIDTH, LEFT, RIGHT = 440, 46, 12
HEIGHT, FOOT, HEAD = 190, 46, 12
ROW, NAMES, TRACK = 46, 200, 195
BAR_ROW, BAR_NAMES, BAR_TRACK = 24, 150, 200


def svg(drawn: str, width: float, height: float, alt: str, kind: str = "") -> Markup:
    """A drawing with its description for those who cannot see it; it shrinks with the page."""
    head = f'<svg class="chart {escape(kind)}" role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
    return Markup(f'{head} aria-label="{escape(alt)}"><title>{escape(alt)}</title>{drawn}</svg>')


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Words at a place; `kind` names classes of the style sheet ("end", "middle", "strong", "quiet")."""
    return f'<text class="{escape(kind)}" x="{x:g}" y="{y:g}">{escape(words)}</text>'


def histogram_chart(start: float, step: float, counts: Sequence[float], along: str, up: str, alt: str) -> Markup:
    """Bars of equal width from `start` on, each `step` wide; the highest is labelled, the axis has round numbers."""
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - FOOT - HEAD
    highest = max(counts, default=0) or 1
    each = width / max(1, len(counts))
    bars = [
        f'<rect class="bar" x="{LEFT + each * number + 0.5:.2f}" y="{HEAD + height * (1 - count / highest):.2f}"'
        f' width="{max(each - 1, 0.5):.2f}" height="{height * count / highest:.2f}"/>'
        for number, count in enumerate(counts)
    ]
    base = HEAD + height
    axis = f'<path class="line" d="M{LEFT} {base}H{LEFT + width}M{LEFT} {HEAD}V{base}"/>'
    ticks = [
        f'<path class="line" d="M{LEFT + each * number:.2f} {base}v4"/>'
        + text(LEFT + each * number, base + 17, f"{start + step * number:g}", "middle quiet")
        for number in range(0, len(counts) + 1, max(1, len(counts) // 4))
    ]
    labels = [
        text(LEFT - 5, HEAD + 9, f"{highest:.4g}", "end quiet"), text(LEFT - 5, base, "0", "end quiet"),
        text(LEFT + width / 2, HEIGHT - 7, along, "middle"),
        f'<g transform="rotate(-90 12 {HEAD + height / 2:g})">{text(12, HEAD + height / 2, up, "middle")}</g>',
    ]  # fmt: skip
    return svg("".join([*bars, axis, *ticks, *labels]), WIDTH, HEIGHT, alt)


def spread_chart(spreads: Mapping[str, Mapping[str, float]], measures: Mapping[str, Measure], alt: str) -> Markup:
    """A line for each measure on its own scale: thin from lowest to highest, thick the middle half, dot the median."""
    drawn = []
    for number, (name, found) in enumerate(spreads.items()):
        measure, y = measures[name], ROW * number + 18
        low = found["lowest"] if measure.low is None else measure.low
        high = found["highest"] if measure.high is None else measure.high
        at = {key: NAMES + TRACK * _share(value, low, high) for key, value in found.items()}
        drawn += [
            text(0, y + 1, measure.words), text(0, y + 16, measure.unit, "quiet small"),
            f'<path class="track" d="M{NAMES} {y}h{TRACK}"/>',
            f'<path class="thin" d="M{at["lowest"]:.2f} {y}H{at["highest"]:.2f}"/>',
            f'<path class="thick" d="M{at["lower_quartile"]:.2f} {y}H{at["upper_quartile"]:.2f}"/>',
            f'<circle class="dot" cx="{at["median"]:.2f}" cy="{y}" r="5"/>',
            text(NAMES, y + 18, f"{low:.4g}", "quiet small"),
            text(NAMES + TRACK, y + 18, f"{high:.4g}", "end quiet small"),
            text(NAMES + TRACK + 14, y + 4, f"{found['median']:.4g}", "strong"),
        ]  # fmt: skip
    return svg("".join(drawn), NAMES + TRACK + 70, ROW * len(spreads) + 2, alt)


def _share(value: float, low: float, high: float) -> float:
    """Where a value lies between two ends, from 0 to 1; beyond them it is drawn at the end."""
    return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5


def stacked_chart(rows: Mapping[str, Mapping[str, int]], parts: Sequence[str], alt: str) -> Markup:
    """A bar for each row, made of its parts in the order of `parts`; the total stands behind it."""
    largest = max((sum(row.values()) for row in rows.values()), default=0) or 1
    drawn = []
    for number, (name, row) in enumerate(rows.items()):
        y = BAR_ROW * number
        ends = [0.0]
        for part in parts:
            ends.append(ends[-1] + BAR_TRACK * row.get(part, 0) / largest)
        drawn.append(text(BAR_NAMES - 8, y + 16, name, "end"))
        drawn += [
            f'<rect class="part{place}" x="{BAR_NAMES + begin:.2f}" y="{y + 4}" width="{end - begin:.2f}" height="16"/>'
            for place, (begin, end) in enumerate(pairwise(ends))
            if end > begin
        ]
        drawn.append(text(BAR_NAMES + ends[-1] + 6, y + 16, f"{sum(row.values()):,}", "quiet"))
    y, x = BAR_ROW * len(rows) + 16, float(BAR_NAMES)
    for place, part in enumerate(parts):
        drawn.append(f'<rect class="part{place}" x="{x:g}" y="{y - 9}" width="10" height="10"/>')
        drawn.append(text(x + 14, y, part))
        x += 28 + 7.2 * len(part)
    return svg("".join(drawn), max(WIDTH, x), y + 8, alt)
