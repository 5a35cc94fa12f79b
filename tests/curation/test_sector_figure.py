"""The figure of the scan conversion has four labelled panels and says in words what it shows."""

from __future__ import annotations

import numpy as np
import pytest
from made_archives import fan

from ultrafm.curation.sector import find_scan_area
from ultrafm.curation.sector_figure import conversion_figure
from ultrafm.errors import UltraFMError
from ultrafm.reporting.figures import figure_png


def test_four_panels_with_labels_and_a_description():
    picture, _inside = fan(1)
    figure = conversion_figure(picture, find_scan_area(picture).geometry)
    assert [axes.get_title()[0] for axes in figure.axes] == ["A", "B", "C", "D"]
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)
    assert "from -34 to 34 degrees" in figure.alt
    assert figure_png(figure, 50).startswith(b"\x89PNG")


def test_a_picture_without_a_sector_is_refused():
    picture = np.zeros((50, 60), np.uint8)
    with pytest.raises(UltraFMError, match="no sector"):
        conversion_figure(picture, find_scan_area(picture).geometry)
