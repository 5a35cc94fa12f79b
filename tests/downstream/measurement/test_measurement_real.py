"""Lines in real muscle pictures against three observers: the pictures that constants were chosen on, and others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ultrafm.curation.reading.decode import read_picture
from ultrafm.curation.sector import find_scan_area
from ultrafm.downstream.measurement.muscle import measure_muscle

COLUMNS = {"fascicle_angle": "fascicle_angle_deg", "muscle_thickness": "thickness_px"}


def measured(real_data, folder: str, every: int) -> pd.DataFrame:
    """What lines and the mean of three observers say of every n-th picture of a folder."""
    table = pd.read_csv(real_data / "muscle_timtrack" / "manual_by_3_observers.csv")
    means = table[table["file"].str.contains(folder)].groupby("file")[list(COLUMNS.values())].mean()
    rows = []
    for name, told in means.iloc[::every].iterrows():
        picture = read_picture((real_data / name).with_suffix(".jpg")).grey
        left, top, right, bottom = find_scan_area(picture).box
        found = measure_muscle(picture[top:bottom, left:right])
        lines = {f"{key}_lines": found[key].value for key in COLUMNS}
        rows.append(lines | {key: told[column] for key, column in COLUMNS.items()})
    return pd.DataFrame(rows, dtype=float)


@pytest.mark.slow
def test_angles_of_the_gastrocnemius(real_data):
    found = measured(real_data, "gl_ge", 4)
    error = found["fascicle_angle_lines"] - found["fascicle_angle"]
    assert error.notna().all() and error.abs().mean() < 1.5
    assert np.corrcoef(found["fascicle_angle_lines"], found["fascicle_angle"])[0, 1] > 0.95


@pytest.mark.slow
def test_angles_of_the_vastus_which_took_no_part_in_any_choice(real_data):
    found = measured(real_data, "vl_ge", 5)
    error = (found["fascicle_angle_lines"] - found["fascicle_angle"]).dropna()
    assert len(error) >= 0.9 * len(found) and error.abs().mean() < 3.5
    thickness = (found["muscle_thickness_lines"] - found["muscle_thickness"]).dropna()
    assert thickness.abs().median() < 25  # pixels; a tenth of the muscle, four times what observers differ by
