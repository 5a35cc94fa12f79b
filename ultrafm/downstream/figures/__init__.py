"""Figures of diagnosis and segmentation, in the house style of `ultrafm.reporting.figures`."""

from ultrafm.downstream.figures.forests import draw_all_subgroups, draw_forest, draw_subgroups
from ultrafm.downstream.figures.pictures import (
    draw_dice,
    draw_intervals,
    draw_outlines,
    draw_roc,
    draw_scored,
    enlarge,
    models,
    outlined,
)
from ultrafm.downstream.figures.probabilities import draw_calibration, draw_decision_curve

__all__ = [
    "draw_all_subgroups",
    "draw_calibration",
    "draw_decision_curve",
    "draw_dice",
    "draw_forest",
    "draw_intervals",
    "draw_outlines",
    "draw_roc",
    "draw_scored",
    "draw_subgroups",
    "enlarge",
    "models",
    "outlined",
]
