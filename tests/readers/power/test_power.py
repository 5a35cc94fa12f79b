"""Power and sample size: numbers of RJafroc, limits, and planning from an analysis."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from ultrafm.errors import UltraFMError
from ultrafm.readers import analyse, analyse_file
from ultrafm.readers.power import (
    AgainstPilot,
    ModalityPilot,
    cases_needed,
    pilot_from,
    power_against,
    power_figure,
    power_modalities,
    power_table,
    readers_needed,
    size_table,
)

VAN_DYKE = ModalityPilot(
    8.02288265572061e-4, 3.46613709440729e-4, 3.44074828860886e-4, 2.39028370892152e-4, 2.00402523581461e-4, 114
)
STEADY_AI = AgainstPilot(8.8e-4, 1.4e-3, 9.2e-4, 200)
PILOT_AI = AgainstPilot(8e-4, 1.4e-3, 9e-4, 200)


def test_power_of_van_dyke() -> None:
    """RJafroc, six readers, 251 cases, difference .05: .892282."""
    assert power_modalities(VAN_DYKE, 0.05, 6, 251) == pytest.approx(0.892282, abs=5e-7)


@pytest.mark.parametrize(("readers", "cases"), [(5, 213), (6, 170), (8, 134), (10, 119), (12, 110), (3, None)])
def test_cases_for_eighty_percent(readers: int, cases: int | None) -> None:
    """RJafroc; three readers never reach it by 2000 cases."""
    assert cases_needed(VAN_DYKE, 0.05, readers, most=2000) == cases


def test_cases_needed_are_the_fewest() -> None:
    for readers in (5, 9):
        needed = cases_needed(PILOT_AI, 0.08, readers)
        assert power_against(PILOT_AI, 0.08, readers, needed) >= 0.8
        assert power_against(PILOT_AI, 0.08, readers, needed - 1) < 0.8
    readers = readers_needed(PILOT_AI, 0.08, 300)
    assert power_against(PILOT_AI, 0.08, readers, 300) >= 0.8 > power_against(PILOT_AI, 0.08, readers - 1, 300)


def test_no_difference_has_the_power_of_alpha() -> None:
    for model in ("random_readers_random_cases", "fixed_readers", "fixed_cases"):
        assert power_modalities(VAN_DYKE, 0.0, 6, 200, model) == pytest.approx(0.05, abs=1e-9)
        assert power_against(PILOT_AI, 0.0, 6, 200, model) == pytest.approx(0.05, abs=1e-9)
        assert power_against(PILOT_AI, -0.05, 6, 200, model, margin=0.05) == pytest.approx(0.025, abs=1e-9)


def test_fixed_readers_by_hand() -> None:
    """Variance of the mean of 4 differences, 200 of 200 cases: (.0014 + 3 * .0009) / 4; normal."""
    error = np.sqrt((0.0014 + 3 * 0.0009) / 4)
    wanted = norm.sf(1.959964 - 0.1 / error) + norm.cdf(-1.959964 - 0.1 / error)
    assert power_against(PILOT_AI, 0.1, 4, 200, "fixed_readers") == pytest.approx(wanted, abs=1e-6)


def test_denominator_is_that_of_the_analysis(reader_data: Path) -> None:
    """With the pilot's own readers and cases, power rests on the pilot's own standard error (spread not negative)."""
    found = analyse_file(reader_data / "vandyke.csv", covariance="jackknife")
    pilot, test = pilot_from(found), found["tests"]["random_readers_random_cases"]
    from scipy.stats import ncf

    strength = (0.04 / test["se"]) ** 2
    free = test["df"]
    wanted = ncf.sf(ncf.isf(0.05, 1, free, 0), 1, free, strength)
    assert power_modalities(pilot, 0.04, 5, 114) == pytest.approx(wanted, rel=1e-6)


def test_pilots_come_from_analyses(reader_data: Path) -> None:
    found = pilot_from(analyse_file(reader_data / "vandyke.csv", covariance="jackknife"))
    assert asdict(found) == pytest.approx(asdict(VAN_DYKE), rel=1e-9)
    found = pilot_from(analyse_file(reader_data / "nico_ai.csv", ai="AI"))
    assert isinstance(found, AgainstPilot) and found.cases == 200


def test_pilot_of_one_level(small_study: pd.DataFrame) -> None:
    found = analyse(small_study, ai="AI", cluster="patient", by="level")
    experts = small_study[small_study["reader"].isin(["AI", "cem", "dan"])]
    alone = pilot_from(analyse(experts, ai="AI", cluster="patient"))
    assert asdict(pilot_from(found, "expert")) == pytest.approx(asdict(alone))
    with pytest.raises(UltraFMError, match="did you mean 'expert'"):
        pilot_from(found, "experts")


def test_pilots_without_components_are_refused(small_study: pd.DataFrame) -> None:
    with pytest.raises(UltraFMError, match="no variance components"):
        pilot_from(analyse(small_study[small_study["reader"] != "AI"]))
    with pytest.raises(UltraFMError, match="no variance components"):
        pilot_from(analyse(small_study[small_study["reader"].isin(["AI", "bob"])], ai="AI"))


def test_power_rises_with_readers_and_cases() -> None:
    table = power_table(PILOT_AI, 0.06, (3, 6, 12), (100, 200, 400))
    assert (table.diff().iloc[1:] > 0).all(axis=None) and (table.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    sizes = size_table(PILOT_AI, 0.06, (8, 12, 30), most=1000).iloc[:, 1]
    assert sizes.notna().all() and sizes.is_monotonic_decreasing


def test_cases_are_found_where_still_more_cases_have_less_power() -> None:
    """Three readers: the degrees of freedom fall to two as cases grow, and power with them."""
    few, many = (power_against(STEADY_AI, 0.05, 3, cases) for cases in (5000, 100_000))
    assert few > 0.7 > many
    needed = cases_needed(STEADY_AI, 0.05, 3, power=0.7)
    assert power_against(STEADY_AI, 0.05, 3, needed) >= 0.7 > power_against(STEADY_AI, 0.05, 3, needed - 1)
    assert cases_needed(STEADY_AI, 0.05, 3, power=0.8) is None


def test_negative_components_count_as_zero() -> None:
    low = AgainstPilot(1e-5, 1.4e-3, -9e-4, 200)
    assert power_against(low, 0.05, 5, 200) == power_against(AgainstPilot(0.0, 1.4e-3, -9e-4, 200), 0.05, 5, 200)
    assert 0.05 < power_against(low, 0.05, 5, 200) < 1


@pytest.mark.parametrize(
    ("readers", "cases", "options"),
    [(1, 100, {}), (5, 2, {}), (5, 100, {"model": "random"}), (5, 100, {"alpha": 0.0})],
)
def test_studies_that_cannot_be_are_refused(readers: int, cases: int, options: dict) -> None:
    with pytest.raises(UltraFMError, match="power"):
        power_against(PILOT_AI, 0.05, readers, cases, **options)


def test_figure_says_what_it_shows() -> None:
    figure = power_figure(PILOT_AI, 0.0, (3, 5, 9), 400, label="simulated readers", margin=0.05)
    assert "pilot: simulated readers" in figure.axes[0].get_title(loc="left") and "simulated readers" in figure.alt
    assert "non-inferiority, margin 0.05" in figure.axes[0].get_title(loc="left")
    assert len(figure.axes[0].lines) == 4
    assert "9 readers" in figure.alt
