"""Figures show what the analysis found, say that readers are simulated, and describe themselves in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.readers import ReaderDesign, analyse, standalone_ratings
from ultrafm.readers.figures import difference_plot, modality_plot, paired_lines, reader_forest, roc_curve, roc_figure
from ultrafm.readers.figures.roc import operating_points
from ultrafm.readers.simulation import Aid, simulate_aided


@pytest.fixture(scope="module")
def aided() -> pd.DataFrame:
    """AI and 9 simulated readers, unaided and aided, 120 cases."""
    generator = np.random.default_rng(1)
    truth = np.arange(120) % 2
    cases = pd.DataFrame({"case": [f"c{place}" for place in range(120)], "truth": truth, "disease": "gout"})
    cases["patient"] = cases["case"]
    cases["score"] = 1.6 * truth + generator.normal(size=120)
    readers = simulate_aided(cases, ReaderDesign(readers_per_level=3), Aid(), np.random.default_rng(2))
    return pd.concat([readers, standalone_ratings(cases)], ignore_index=True)


def test_lines_go_from_unaided_to_aided(aided: pd.DataFrame) -> None:
    found = analyse(aided, ai="AI", by="level")
    figure = paired_lines(found, "simulated")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["junior (3)", "mid-level (3)", "expert (3)"]
    values = {(row["reader"], row["modality"]): row["auc"] for row in found["auc"]}
    drawn = figure.axes[0].lines[0].get_ydata()
    assert list(drawn) == [values["junior 1", "unaided"], values["junior 1", "aided"]]
    assert "Simulated readers, unaided to aided (simulated images)" in figure.alt
    harmed = sum(values[f"{level} {n}", "aided"] < values[f"{level} {n}", "unaided"]
                 for level in ("junior", "mid-level", "expert") for n in (1, 2, 3))  # fmt: skip
    assert f"{harmed} of 9 readers are lower with aided" in figure.alt


def test_lines_need_two_modalities(small_study: pd.DataFrame) -> None:
    with pytest.raises(UltraFMError, match="read by the same readers"):
        paired_lines({**analyse(small_study, ai="AI"), "reader_differences": []})


def test_forest_of_modalities(aided: pd.DataFrame) -> None:
    found = analyse(aided, ai="AI", by="level")
    figure = modality_plot(found, "simulated")
    assert len(figure.axes[0].get_yticks()) == 1 + 3 + 9
    assert "simulated readers: aided minus unaided" in figure.alt.lower()
    with pytest.raises(UltraFMError, match="two modalities"):
        modality_plot(analyse(aided[aided["modality"] != "aided"], ai="AI"))
    assert "simulated" in difference_plot(found).alt


def test_readers_are_points_where_a_threshold_is_given(aided: pd.DataFrame) -> None:
    unaided = aided[aided["modality"] != "aided"]
    figure = roc_figure(unaided, "AI", "simulated", "simulated", threshold=50)
    markers = [line for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in markers] == [3, 1] * 3
    assert markers[1].get_ydata()[0] == pytest.approx(np.mean(markers[0].get_ydata()))
    assert "large: mean of a level" in figure.alt


def test_operating_points_by_hand() -> None:
    scores, truth = np.array([[1.0, 2, 3, 4], [4, 3, 2, 1]]), np.array([False, True, False, True])
    alarms, hits = operating_points(scores, truth, 3)
    assert alarms.tolist() == [0.5, 0.5] and hits.tolist() == [0.5, 0.5]


def test_figures_say_simulated(small_study: pd.DataFrame) -> None:
    table = small_study.assign(simulated="yes")
    found = analyse(table, ai="AI", cluster="patient", margin=0.05, by="level")
    forest, differences = reader_forest(found, "simulated"), difference_plot(found, "simulated")
    curves = roc_figure(table, "AI", "simulated", "simulated")
    for figure in (forest, differences, curves):
        assert "simulated readers" in figure.alt
    assert "simulated readers (simulated images)" in forest.axes[0].get_title(loc="left")
    assert len(curves.axes) == 2
    assert "margin" in differences.axes[0].get_xlabel()


def test_roc_curve_has_the_area_of_the_auroc() -> None:
    alarms, hits = roc_curve([3.0, 2.0, 1.0, 2.0], [1, 1, 0, 0])
    assert alarms.tolist() == [0, 0, 0.5, 1]
    assert hits.tolist() == [0, 0.5, 1, 1]
    assert np.trapezoid(hits, alarms) == 0.875
