"""The way from the files read to the pictures kept: how many leave at each step, and why. After CONSORT diagrams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from ultrafm.curation.reasons import LeftOut
from ultrafm.curation.sheets.charts import svg, text
from ultrafm.errors import UltraFMError

# Stage at which pictures leave -> what the rest of them are. The first four are always shown.
STEPS = {
    "quarantined": "decoded",
    "identity": "de-identified",
    "duplicates": "no duplicates",
    "low_quality": "good enough",
    "withdrawn": "not withdrawn",
}
ALWAYS = 4
BOX_WIDTH, BOX_HEIGHT, LINE, LEAST_GAP, REASONS_AT = 230, 46, 19, 34, 300
MOST_REASONS = 8


class Step(NamedTuple):
    """A box of the diagram: what it holds, how many images, and how many left before it for which reason."""

    name: str
    images: int
    leaving: tuple[tuple[str, int], ...]


def count_left_out(left_out: Iterable[LeftOut]) -> list[dict[str, Any]]:
    """Images of each stage and kind of reason, sorted; names of files do not get into it."""
    kinds = Counter((entry.stage, entry.kind) for entry in left_out)
    return [{"stage": stage, "kind": kind, "images": kinds[stage, kind]} for stage, kind in sorted(kinds)]


def flow_steps(flow: Mapping[str, int], left_out: Sequence[Mapping[str, Any]]) -> list[Step]:
    """The boxes from all rows to the pictures kept; `left_out` as in the data sheet (stage, kind, images).

    Raises UltraFMError when the numbers do not add up.
    """
    stages = [*STEPS, *sorted({entry["stage"] for entry in left_out} - set(STEPS))]
    steps, images = [Step("listed", flow["rows"], ())], flow["rows"]
    for number, stage in enumerate(stages):
        leaving = tuple((entry["kind"], entry["images"]) for entry in left_out if entry["stage"] == stage)
        if leaving or number < ALWAYS:
            images -= sum(count for _kind, count in leaving)
            name = STEPS.get(stage, f"not {stage.replace('_', ' ')}")
            steps.append(Step(name, images, tuple(sorted(leaving, key=lambda pair: (-pair[1], pair[0])))))
    if images != flow["kept"]:
        raise UltraFMError("data sheet", f"{flow['kept']} images kept", f"{images}: rows less those that were left out")
    return [*steps, Step("kept in the store", images, ())]


def flow_chart(steps: Sequence[Step], images: str) -> Markup:
    """The diagram as SVG; `images` is "real" or "simulated"."""
    drawn, top = [], 0
    for number, step in enumerate(steps):
        if number:
            reasons = _shortened(step.leaving)
            gap = max(LEAST_GAP, LINE * len(reasons) + 16)
            drawn.append(_arrow(top, gap))
            drawn.extend(_reasons(reasons, top, gap))
            top += gap
        drawn.append(_box(step, top, last=number == len(steps) - 1))
        top += BOX_HEIGHT
    told = "; ".join(f"{step.images:,} {step.name}" for step in steps)
    return svg("".join(drawn), 640, top + 2, f"Flow of {images} images: {told}.", "flow")


def _shortened(leaving: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    rest = leaving[MOST_REASONS:]
    more = [(f"{len(rest)} more reasons", sum(count for _kind, count in rest))] if rest else []
    return [*leaving[:MOST_REASONS], *more]


def _box(step: Step, top: int, last: bool) -> str:
    kind = "box last" if last else "box"
    frame = f'<rect class="{kind}" x="1" y="{top + 1}" width="{BOX_WIDTH}" height="{BOX_HEIGHT - 2}" rx="4"/>'
    return frame + text(16, top + 28, step.name) + text(BOX_WIDTH - 14, top + 28, f"{step.images:,}", "end strong")


def _arrow(top: int, gap: int) -> str:
    middle, end = BOX_WIDTH // 2, top + gap
    head = f'<path class="head" d="M{middle - 5} {end - 7}h10l-5 7z"/>'
    return f'<path class="line" d="M{middle} {top}V{end - 6}"/>{head}'


def _reasons(reasons: Sequence[tuple[str, int]], top: int, gap: int) -> list[str]:
    if not reasons:
        return []
    middle = top + gap / 2
    drawn = [
        f'<path class="line" d="M{BOX_WIDTH // 2} {middle:g}H{REASONS_AT - 18}"/>',
        f'<path class="head" d="M{REASONS_AT - 18} {middle - 5:g}v10l7 -5z"/>',
    ]
    first = middle - LINE * (len(reasons) - 1) / 2 + 4
    for number, (kind, count) in enumerate(reasons):
        drawn.append(text(REASONS_AT + 44, first + LINE * number, f"{count:,}", "end strong"))
        drawn.append(text(REASONS_AT + 54, first + LINE * number, kind))
    return drawn
