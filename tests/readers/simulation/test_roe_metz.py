"""The model of Roe and Metz has the AUROCs and variances that it states, and its trials are judged rightly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ultrafm.downstream.auc import auc_covariance
from ultrafm.errors import UltraFMError
from ultrafm.readers import analyse
from ultrafm.readers.power import AgainstPilot, ModalityPilot, power_against, power_modalities
from ultrafm.readers.simulation.roe_metz import RoeMetz
from ultrafm.readers.simulation.trials import estimates, pilot_components, run_trials
from ultrafm.seeds import spawn

FIVE_PERCENT = (0.04, 0.06)


def test_expected_aurocs_are_met() -> None:
    """800 trials: the standard error of the mean AUROC is about .002."""
    design = RoeMetz(readers=5, cases=80, aucs=(0.75, 0.9), ai_auc=0.85)
    aucs = np.array([found for found, _ in estimates(design, 800, spawn(0, "test"))])
    assert aucs[:, 0].mean() == pytest.approx(0.85, abs=0.008)
    assert aucs[:, 1:6].mean() == pytest.approx(0.75, abs=0.009)
    assert aucs[:, 6:].mean() == pytest.approx(0.9, abs=0.006)
    assert design.expected_auc(design.separations[1]) == pytest.approx(0.9)


def test_scores_have_the_stated_variance_and_correlation() -> None:
    """Two readers of one modality share case and modality x case: correlation .4 of the case part."""
    design = RoeMetz(readers=2, cases=4000, reader=0.0, modality_reader=0.0)
    (scores,) = design.scores(spawn(1, "test"))
    healthy = scores[:, ~design.truth]
    assert healthy.var(axis=1) == pytest.approx([1, 1], rel=0.1)
    assert np.corrcoef(healthy)[0, 1] == pytest.approx(0.4, abs=0.06)


def test_estimates_are_those_of_the_analysis() -> None:
    design = RoeMetz(readers=3, cases=30, aucs=(0.8, 0.85), ai_auc=0.8)
    scores = design.scores(spawn(2, "test"), 2)
    for (aucs, spread), own in zip(estimates(design, 2, spawn(2, "test")), scores, strict=True):
        wanted = auc_covariance(own, design.truth)
        assert aucs == pytest.approx(wanted[0], abs=1e-12)
        assert spread == pytest.approx(wanted[1], abs=1e-12)


def test_one_trial_as_a_table_is_marked_and_can_be_analysed() -> None:
    table = RoeMetz(readers=5, cases=40, aucs=(0.8, 0.85), ai_auc=0.8).table(spawn(3, "test"))
    found = analyse(table, ai="AI")
    assert (found["readers"], found["design"]) == ("simulated", "fully crossed")
    assert found["counts"]["cases"] == 40 and found["counts"]["diseased"] == 20
    assert found["tests"]["random_readers_random_cases"]["first"] == "modality 1"


@pytest.mark.parametrize(
    "change",
    [{"case": 0.9}, {"reader": -0.1}, {"aucs": (1.0,)}, {"cases": 3}, {"diseased_share": 0.005}, {"readers": 0}],
)
def test_senseless_models_are_refused(change: dict) -> None:
    with pytest.raises(UltraFMError, match="Roe-Metz"):
        RoeMetz(**change)


def test_trials_need_something_to_compare() -> None:
    with pytest.raises(UltraFMError, match="two modalities"):
        run_trials(RoeMetz(), 10, spawn(4, "test"))


@pytest.mark.slow
@pytest.mark.parametrize("readers", [5, 9])
@pytest.mark.parametrize("cases", [60, 200])
@pytest.mark.parametrize("auc", [0.75, 0.9])
def test_type_one_error_of_the_primary_test(readers: int, cases: int, auc: float) -> None:
    """AI as good as the readers, 3000 trials: 4 to 6%, within two Monte-Carlo errors (.004 each)."""
    design = RoeMetz(readers=readers, cases=cases, aucs=(auc,), ai_auc=auc)
    found = run_trials(design, 3000, spawn(5, f"{readers} {cases} {auc}"))
    low, high = FIVE_PERCENT
    assert low - 2 * found.standard_error < found.rejected < high + 2 * found.standard_error
    assert found.standard_error < 0.005
    assert 0.93 - 2 * found.standard_error < found.covered < 0.97 + 2 * found.standard_error


@pytest.mark.slow
def test_two_readers_reject_too_often_hence_the_warning() -> None:
    found = run_trials(RoeMetz(readers=2, cases=200, aucs=(0.75,), ai_auc=0.75), 2000, spawn(6, "two"))
    assert found.rejected > 0.065


@pytest.mark.slow
@pytest.mark.parametrize("readers", [5, 9])
def test_type_one_error_and_coverage_of_two_modalities(readers: int) -> None:
    none = run_trials(RoeMetz(readers=readers, cases=100, aucs=(0.8, 0.8)), 2000, spawn(7, f"none {readers}"))
    some = run_trials(RoeMetz(readers=readers, cases=100, aucs=(0.85, 0.8)), 2000, spawn(7, f"some {readers}"))
    assert 0.04 - 2 * none.standard_error < none.rejected < 0.06 + 2 * none.standard_error
    assert 0.93 - 0.01 < some.covered < 0.97 + 0.01
    assert abs(some.bias) < 0.005


@pytest.mark.slow
def test_power_formulas_against_simulation() -> None:
    """Components of a pilot without error, then another number of readers and cases; Monte-Carlo error .011."""
    pilot = RoeMetz(readers=20, cases=150, aucs=(0.8,), ai_auc=0.88)
    parts = pilot_components(pilot, 300, spawn(8, "pilot"))
    against = AgainstPilot(parts["mean_square"], parts["variance"], parts["cov2"], 150)
    seen = run_trials(replace(pilot, readers=6, cases=100), 2000, spawn(8, "seen"))
    assert seen.rejected == pytest.approx(power_against(against, 0.08, 6, 100), abs=0.05)
    pilot = RoeMetz(readers=20, cases=150, aucs=(0.86, 0.8))
    parts = pilot_components(pilot, 300, spawn(9, "pilot"))
    names = ("variance", "cov1", "cov2", "cov3", "modality_reader")
    modalities = ModalityPilot(*(parts[name] for name in names), 150)
    seen = run_trials(replace(pilot, readers=6, cases=100), 2000, spawn(9, "seen"))
    assert seen.rejected == pytest.approx(power_modalities(modalities, 0.06, 6, 100), abs=0.05)
