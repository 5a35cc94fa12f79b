"""What a reader reads next: training, then every part in an order of her own, with the washout between. No store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from ultrafm.readers.room.protocol import AIDED, TRAINING
from ultrafm.readers.room.registered import Study
from ultrafm.seeds import spawn

DAY = 86_400.0


@dataclass(frozen=True)
class Step:
    """kind: a case of `part` to read (its name, and its place from 1 of `of`); waiting `until`; or all done."""

    kind: Literal["case", "washout", "done"]
    part: str = ""
    item: str = ""
    place: int = 0
    of: int = 0
    until: float = 0.0


def order_of(study: Study, code: str, part: str) -> list[str]:
    """Names of the cases in the order of one reader and part. Training keeps the order of registration.

    The order depends on the seed, the reader and the part alone, and not on who reads when.
    """
    if part == TRAINING:
        return [*study.training]
    names = sorted(study.cases)
    generator = spawn(study.protocol.seed, f"reading room, {part}", code)
    return [names[place] for place in generator.permutation(len(names))]


def next_step(
    study: Study, code: str, done: Collection[tuple[str, str]], unaided_end: float | None, now: float
) -> Step:
    """The step after what is `done` (part, item). unaided_end: when the reader's last unaided reading was kept."""
    for part in parts_of(study):
        order = order_of(study, code, part)
        left = [item for item in order if (part, item) not in done]
        if not left:
            continue
        until = washout_ends(study, unaided_end) if part == AIDED else None
        if until is not None and now < until:
            return Step("washout", part, until=until)
        return Step("case", part, left[0], len(order) - len(left) + 1, len(order))
    return Step("done")


def parts_of(study: Study) -> Sequence[str]:
    """Training (where there is some) and the parts of the design."""
    return (TRAINING, *study.protocol.design.parts) if study.training else study.protocol.design.parts


def washout_ends(study: Study, unaided_end: float | None) -> float | None:
    """When aided reading may begin after the last unaided reading; None where there is nothing to wait for."""
    days = study.protocol.design.washout_days
    if unaided_end is None or not days or AIDED not in study.protocol.design.parts:
        return None
    return unaided_end + days * DAY
