"""Measurements that are taken from the outlines of structures: by which measure of `ultrafm.downstream.measurement`."""

from __future__ import annotations

import numpy as np

from ultrafm.manifests.question import FROM_MASKS


def measure_masks(masks: np.ndarray, measure: str) -> np.ndarray:
    """(N,) what a measure of FROM_MASKS says of numbered structures (N, S, S), in degrees or pixels of these masks.

    The structures are numbered in the order that the measure wants them in: 1, 2, ... NaN where it gives no number.
    """
    take = _function(measure)
    numbers = range(1, FROM_MASKS[measure].structures + 1)
    found = [take(*((mask == number).astype(np.uint8) for number in numbers)).value for mask in masks]
    return np.array([np.nan if value is None else value for value in found], dtype=float)


def _function(measure: str):
    """The function of the room for measurement that has this name."""
    from ultrafm.downstream.measurement.head import HEAD_MEASURES, head_measure
    from ultrafm.downstream.measurement.lesion import longest_diameter, perpendicular_diameter
    from ultrafm.downstream.measurement.progression import angle_of_progression
    from ultrafm.downstream.measurement.thickness import muscle_thickness

    if measure in HEAD_MEASURES:
        return lambda mask: head_measure(mask, measure)
    return {
        "angle_of_progression": angle_of_progression,
        "longest_diameter": longest_diameter,
        "muscle_thickness": muscle_thickness,
        "perpendicular_diameter": perpendicular_diameter,
    }[measure]
