"""How far long work is, with the time left: a bar in a notebook or a terminal, a line for the runner of a study."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from tqdm.std import tqdm

NOTE = "ULTRAFM_PROGRESS"  # names the file that the runner reads a kernel's progress from
LINE = "{desc}: {n_fmt} of {total_fmt} {unit}s, {remaining} left"
Item = TypeVar("Item")


class LastLine:
    """A text stream that keeps only what was written last, in a file; losing it loses nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str) -> None:
        """Replace the file's line, unless the text is only spacing."""
        if line := text.strip():
            self.path.write_text(line)

    def flush(self) -> None:
        """Every write is already in the file."""


def progress(
    work: Iterable[Item] | None = None, *, total: int, title: str, unit: str, passing: bool = False
) -> tqdm:  # fmt: skip
    """A progress bar over `work`, or, without it, one whose `update` is called; `total` units in all.

    In a study that is run as a whole, the bar is the line that `ultrafm study` shows on a terminal. A `passing` one
    comes after three seconds and goes when it is full; one of several processes shows none.
    """
    if passing and multiprocessing.parent_process() is not None:
        return tqdm(work, total=total, disable=True)
    if note := os.environ.get(NOTE):
        return tqdm(
            work, total=total, desc=title, unit=unit, mininterval=1, disable=False, file=LastLine(Path(note)),
            bar_format=LINE,
        )  # fmt: skip
    from tqdm.auto import tqdm as bar_in_notebook  # a widget where there is one; slow to import

    late = {"delay": 3, "leave": False} if passing else {}
    return bar_in_notebook(work, total=total, desc=title, unit=unit, mininterval=2, **late)
