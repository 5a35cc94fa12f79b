"""Figures of a reader study: forests of values and differences, ROC curves with readers as points, paired lines."""

from ultrafm.readers.figures.forest import difference_plot, modality_plot, reader_forest
from ultrafm.readers.figures.lines import paired_lines
from ultrafm.readers.figures.roc import roc_curve, roc_figure

__all__ = ["difference_plot", "modality_plot", "paired_lines", "reader_forest", "roc_curve", "roc_figure"]
