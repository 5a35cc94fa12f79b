"""AI against readers: edges of the formula, levels, Holm, non-inferiority."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ultrafm.readers.design import Design
from ultrafm.readers.inference import holm, infer, non_inferiority
from ultrafm.readers.levels import by_level, every_reader
from ultrafm.readers.one_treatment import ai_versus_readers, paired_differences, reader_differences
from ultrafm.readers.study import Options, Study


def covariance(readers: int, variance: float = 4e-4, shared: float = 1e-4) -> np.ndarray:
    """AI and readers with one variance and one covariance."""
    return np.full((readers + 1, readers + 1), shared) + (variance - shared) * np.eye(readers + 1)


def study(aucs: np.ndarray, matrix: np.ndarray) -> Study:
    """A crossed study of one disease with these AUROCs."""
    curves = tuple((f"reader {place}", "unaided") for place in range(aucs.size))
    design = Design("fully crossed", None, 0, None)
    return Study(curves, (), design, aucs[None], matrix[None, :, None], aucs, matrix)


def test_three_readers_by_hand() -> None:
    """d = .00, .02, .04: MS = 4e-4. Cov of differences: 1e-4 + 4e-4 - 2e-4 = 3e-4. D = 4e-4 + 9e-4."""
    found = ai_versus_readers(np.array([0.90, 0.90, 0.88, 0.86]), covariance(3))
    assert found.components.mean_square == pytest.approx(4e-4)
    assert found.components.variance == pytest.approx(6e-4)
    assert found.components.cov2 == pytest.approx(3e-4)
    assert found.random.estimate == pytest.approx(0.02)
    assert found.random.standard_error == pytest.approx(np.sqrt(13e-4 / 3))
    assert found.random.df == pytest.approx(2 * (13 / 4) ** 2)
    t = 0.02 / np.sqrt(13e-4 / 3)
    assert found.random.p_value == pytest.approx(2 * stats.t.sf(t, 2 * (13 / 4) ** 2))
    # fixed readers: w'Cw = 4e-4 + (4e-4 + 2 * 1e-4) / 3 - 2e-4
    assert found.fixed_readers.standard_error == pytest.approx(np.sqrt(4e-4 + 2e-4 - 2e-4))
    assert found.fixed_readers.df is None
    assert found.fixed_cases.df == 2
    assert found.fixed_cases.statistic == pytest.approx(0.02 / np.sqrt(4e-4 / 3))


def test_differences_alone_give_the_same_test() -> None:
    aucs, matrix = np.array([0.90, 0.90, 0.88, 0.86]), covariance(3)
    whole = ai_versus_readers(aucs, matrix)
    alone = paired_differences(*reader_differences(aucs, matrix), (whole.auc_ai, whole.auc_readers))
    assert alone.random == whole.random
    assert alone.fixed_readers.standard_error == pytest.approx(whole.fixed_readers.standard_error)


def test_one_reader_is_delongs_test() -> None:
    found = ai_versus_readers(np.array([0.9, 0.8]), covariance(1))
    assert found.random == found.fixed_readers
    assert found.random.model.startswith("fixed readers")
    assert found.random.standard_error == pytest.approx(np.sqrt(4e-4 + 4e-4 - 2e-4))
    assert found.fixed_cases.p_value is None
    assert "one reader" in found.fixed_cases.status


def test_two_readers_have_one_degree_of_freedom_at_least() -> None:
    found = ai_versus_readers(np.array([0.9, 0.8, 0.7]), covariance(2))
    assert found.random.df >= 1
    assert found.random.ci_low < 0.15 < found.random.ci_high


def test_readers_who_agree_exactly_give_a_normal_test() -> None:
    found = ai_versus_readers(np.array([0.9, 0.8, 0.8, 0.8]), covariance(3))
    assert found.components.mean_square == 0
    assert found.random.df is None
    assert found.random.p_value == pytest.approx(2 * stats.norm.sf(0.1 / np.sqrt(3e-4)))
    assert found.fixed_cases.p_value is None


def test_negative_covariance_between_readers_counts_as_zero() -> None:
    matrix = covariance(3, 4e-4, 3.9e-4)
    matrix[0, 1:] = matrix[1:, 0] = 3.98e-4
    found = ai_versus_readers(np.array([0.9, 0.8, 0.7, 0.6]), matrix)
    assert found.components.cov2 < 0
    assert found.components.denominator == found.components.mean_square
    assert found.random.df == pytest.approx(2)


def test_perfect_scores_give_a_status_not_a_number() -> None:
    found = ai_versus_readers(np.ones(4), np.zeros((4, 4)))
    assert found.random.p_value is None
    assert found.random.ci_low is None
    assert "variance is zero" in found.random.status
    assert non_inferiority(found.random, 0.05).non_inferior is None


@pytest.mark.parametrize("estimate", [-0.10, -0.05, -0.0108, -0.0107, 0.0, 0.05])
def test_non_inferiority_agrees_with_the_interval(estimate: float) -> None:
    """SE .02, df 20: the lower limit is estimate - 2.086 * .02, so -.0108 does not reach -.05 and -.0082 would."""
    difference = infer("test", estimate, 4e-4, 20.0)
    found = non_inferiority(difference, 0.05)
    assert found.sidedness == "one-sided"
    assert found.alpha == 0.025
    assert found.non_inferior == (difference.ci_low > -0.05)
    assert found.p_value == pytest.approx(stats.t.sf((estimate + 0.05) / 0.02, 20))


def test_holm_by_hand() -> None:
    """.01, .04, .03 of three: .03, then 2 * .03 = .06, then max(.06, .04)."""
    assert holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06])
    assert holm([None, None]) == [None, None]


def test_holm_is_that_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    values = np.random.default_rng(1).uniform(0, 0.2, 30)
    assert holm(values.tolist()) == pytest.approx(multipletests(values, method="holm")[1], rel=1e-14)


def test_levels_in_order_of_experience_with_warning() -> None:
    levels = ["expert", "junior", "junior", "junior", "junior", "junior", "expert"]
    aucs = np.array([0.9, 0.92, 0.7, 0.72, 0.71, 0.69, 0.73, 0.93])
    found = by_level(study(aucs, covariance(7)), None, levels, Options(margin=0.05))
    assert [level.level for level in found] == ["junior", "expert"]
    assert found[0].warning is None
    assert "2 readers" in found[1].warning
    assert found[0].against.random.estimate == pytest.approx(0.19)
    assert found[0].p_holm >= found[0].against.random.p_value
    assert found[1].non_inferiority.margin == 0.05


def test_every_reader_alone() -> None:
    found = every_reader(study(np.array([0.9, 0.8, 1.0]), covariance(2, 0.01, 0.0)), None, Options())
    assert [one.difference.estimate for one in found] == pytest.approx([0.1, -0.1])
    assert found[1].auc.ci_high == 1.0
    assert found[0].auc.ci_low == pytest.approx(0.8 - 1.959963984540054 * 0.1)


def type_one_error(readers: int, repeats: int, seed: int) -> float:
    """Share of p < .05 when AI and readers have the same expected AUROC; 100 cases, readers differ by sd .2 in d'."""
    from ultrafm.downstream.auc import auc_covariance

    generator = np.random.default_rng(seed)
    truth = np.arange(100) % 2 == 0
    rejected = 0
    for _ in range(repeats):
        skills = 1.5 + 0.2 * generator.standard_normal(readers + 1)
        skills[0] = 1.5
        noise = np.sqrt(0.4) * generator.standard_normal(100) + np.sqrt(0.6) * generator.standard_normal(
            (readers + 1, 100)
        )
        aucs, matrix = auc_covariance(truth * skills[:, None] + noise, truth)
        rejected += ai_versus_readers(aucs, matrix).random.p_value < 0.05
    return rejected / repeats


@pytest.mark.slow
def test_type_one_error_is_near_five_percent_with_six_readers() -> None:
    """4000 replicates: standard error .0034, so .05 within three of them, and the known half percent too liberal."""
    assert 0.035 < type_one_error(6, 4000, 11) < 0.065
