"""Words that all figures of this room share."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from ultrafm.reporting.figures import new_figure


def kind_of(images: Sequence[str]) -> str:
    """ " (real images)", for the end of a title."""
    kinds = set(images)
    return f" ({' and '.join(sorted(kinds))} images)"


def words(name: str) -> str:
    """A name of a task or encoder as it is read."""
    return name.replace("_", " ")


def nothing(title: str, why: str = "no task could be evaluated; see the table of tasks for the reason") -> Figure:
    """A figure that says that there is nothing to show, and why."""
    figure = new_figure(7, 1.2, f"{title}: nothing to show, {why}")
    figure.text(0.02, 0.5, f"{title}: {why}.", va="center")
    return figure
