"""One measured number with its unit, or the reason why there is none; and the checks that all measures share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from inspect import signature
from typing import ParamSpec

import numpy as np

from ultrafm.errors import UltraFMError

Spacing = float | tuple[float, float] | None
Arguments = ParamSpec("Arguments")


class NoMeasure(Exception):
    """Raised inside this room when a picture or mask does not hold what is to be measured; its text is the reason."""


@dataclass(frozen=True)
class Measured:
    """A number in `unit` ("mm", "mm2", "degrees", or "pixels", "pixels2" without spacing), or None with the reason.

    notes: what a reader should know beside the number, such as "touches the border of the picture".
    drawn: name -> (K, 2) points (column, row) in pixels, counted from the middle of the first pixel, to draw over the
    picture; empty without a number.
    """

    value: float | None
    unit: str
    reason: str | None = None
    notes: tuple[str, ...] = ()
    drawn: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)


def measures(unit: str) -> Callable[[Callable[Arguments, Measured]], Callable[Arguments, Measured]]:
    """Decorate a measure: NoMeasure becomes a Measured without number. unit: "length", "area" or "degrees"."""

    def decorate(measure: Callable[Arguments, Measured]) -> Callable[Arguments, Measured]:
        shape = signature(measure)

        @wraps(measure)
        def measured(*arguments: Arguments.args, **named: Arguments.kwargs) -> Measured:
            try:
                return measure(*arguments, **named)
            except NoMeasure as reason:
                spacing = shape.bind(*arguments, **named).arguments.get("spacing")
                return Measured(None, unit_of(unit, spacing), str(reason))

        return measured

    return decorate


def unit_of(kind: str, spacing: Spacing) -> str:
    """ "degrees" as it is; "length" and "area" in millimetres where the spacing is known, else in pixels."""
    units = {"length": ("pixels", "mm"), "area": ("pixels2", "mm2")}
    return units[kind][spacing is not None] if kind in units else kind


def pixel_size(spacing: Spacing) -> np.ndarray:
    """(2,) width and height of a pixel, (1, 1) when unknown. `spacing`: mm per pixel, or (row, column) distances in mm.

    Raises UltraFMError for a spacing that is not positive and finite.
    """
    row, column = (1.0, 1.0) if spacing is None else np.broadcast_to(np.asarray(spacing, dtype=float), 2)
    if not (np.isfinite([row, column]).all() and row > 0 and column > 0):
        raise UltraFMError("spacing of a mask", repr(spacing), "positive millimetres per pixel, or None when unknown")
    return np.array([column, row])


def as_mask(mask: np.ndarray, what: str) -> np.ndarray:
    """The mask as (H, W) bool. Raises UltraFMError for another shape, and for values other than 0 and 1."""
    mask = np.asarray(mask)
    if mask.ndim != 2 or not np.isin(mask, (0, 1)).all():
        found = f"shape {mask.shape}" if mask.ndim != 2 else "values other than 0 and 1"
        raise UltraFMError(f"mask of the {what}", found, "one mask (height, width) of 0 and 1")
    return mask.astype(bool)
