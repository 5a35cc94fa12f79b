"""Figures: labelled, described, the same bytes each time, and never left open."""

from __future__ import annotations

import base64

import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.reporting.figures import PALETTE, colour_places, figure_png, interval_plot, loss_curves, picture_grid

ROWS = pd.DataFrame(
    {
        "task": ["liver", "breast", "liver", "breast"],
        "encoder": ["federated", "federated", "random", "random"],
        "value": [0.8, 0.7, np.nan, 0.6],
        "low": [0.7, np.nan, np.nan, 0.5],
        "high": [0.9, 0.8, np.nan, 0.65],
    }
)
LOSSES = pd.DataFrame(
    {"round": [1, 1, 2, 2], "site": ["a", "b", "a", "b"], "loss": [1.0, 2.0, 0.5, 1.5], "weight": [3, 1, 3, 1]}
)


def draw_intervals(**changes: object):
    named = {"estimate": "value", "low": "low", "high": "high", "label": "task", "group": "encoder"}
    return interval_plot(ROWS, **(named | {"title": "Tasks (simulated)", "unit": "AUROC", "reference": 0.5} | changes))


def test_interval_plot_groups_labels_and_writes_numbers() -> None:
    figure = draw_intervals()
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["liver", "breast"]
    assert axes.get_xlabel() == "AUROC" and axes.get_title(loc="left") == "Tasks (simulated)"
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["0.800 [0.700, 0.900]", "not defined", "0.700 […, 0.800]", "0.600 [0.500, 0.650]"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["federated", "random"]
    assert "liver federated 0.800 [0.700, 0.900]" in figure.alt


def test_an_open_side_is_drawn_to_the_estimate_only() -> None:
    spans = [line.get_xdata() for line in draw_intervals().axes[0].lines if len(line.get_xdata()) == 2]
    assert any(np.allclose(span, [0.7, 0.8]) for span in spans)


def test_an_encoder_keeps_its_colour_in_all_figures() -> None:
    places = colour_places(["federated", "pooled", "one site", "random", "pixels"])
    assert list(places.values()) == [0, 1, 2, 3, 4]
    assert colour_places(["random", "one_site"]) == {"random": places["random"], "one_site": places["one site"]}
    assert colour_places(["federated − pixels"]) == {"federated − pixels": places["pixels"]}
    assert colour_places(["junior", "expert", "AI"]) == {"junior": 0, "expert": 1, "AI": 2}
    figure = draw_intervals(reference=None)
    assert {line.get_color() for line in figure.axes[0].lines} == {PALETTE[0], PALETTE[3]}


def test_missing_column_and_empty_table_are_errors() -> None:
    with pytest.raises(UltraFMError, match="no column score"):
        draw_intervals(estimate="score")
    with pytest.raises(UltraFMError, match="empty table"):
        interval_plot(ROWS[:0], "value", "low", "high", "task", None, "Nothing", "AUROC")


def test_loss_curve_of_all_sites_is_weighted() -> None:
    figure = loss_curves(LOSSES, "Loss")
    thick = max(figure.axes[0].lines, key=lambda line: line.get_linewidth())
    assert np.allclose(thick.get_ydata(), [1.25, 0.75])
    assert "1.250 in round 1 to 0.750 in round 2" in figure.alt
    plain = loss_curves(LOSSES.drop(columns="weight"), "Loss")
    assert np.allclose(max(plain.axes[0].lines, key=lambda line: line.get_linewidth()).get_ydata(), [1.5, 1.0])


def test_picture_grid_shows_grey_values_as_they_are() -> None:
    dark, bright = np.zeros((4, 6), np.uint8), np.full((4, 6), 255, np.uint8)
    figure = picture_grid([dark, bright, bright.astype(bool)], ["a", "b", "c"], "Three", columns=2)
    shown = [axes.images[0] for axes in figure.axes if axes.images]
    assert [float(image.get_array().max()) for image in shown] == [0, 1, 1]
    assert all(image.get_clim() == (0, 1) for image in shown)
    with pytest.raises(UltraFMError, match="0 pictures"):
        picture_grid([], [], "None", columns=2)


def test_figures_repeat_byte_for_byte_and_pyplot_holds_none() -> None:
    assert figure_png(draw_intervals(), 50) == figure_png(draw_intervals(), 50)
    assert matplotlib.pyplot.get_fignums() == []


def test_a_notebook_gets_picture_size_and_description() -> None:
    data, about = loss_curves(LOSSES, "Loss")._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert about["image/png"]["alt"].startswith("Loss: loss by round for 2 sites")
    assert about["image/png"]["width"] == 800
