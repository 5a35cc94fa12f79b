"""Modalities: three of them, one reader, agreement with the exact variance of the difference, bad shapes."""

from __future__ import annotations

import numpy as np
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.readers.two_treatments import compare_modalities


def positive(size: int, seed: int) -> np.ndarray:
    """A random covariance matrix."""
    factor = np.random.default_rng(seed).normal(size=(size, 2 * size)) * 0.01
    return factor @ factor.T


def test_van_dyke_from_its_printed_parts() -> None:
    """AUROCs and jackknife components of Van Dyke as MRMCaov prints them: F 4.45632, df 15.2597, p .0516657."""
    aucs = np.array(
        [
            [0.919645732689211, 0.85877616747182, 0.903864734299517, 0.973107890499195, 0.829790660225443],
            [0.947826086956522, 0.905314009661836, 0.921739130434783, 0.999355877616747, 0.929951690821256],
        ]
    )
    variance, cov1, cov2, cov3 = 8.02288265572061e-4, 3.46613709440729e-4, 3.44074828860886e-4, 2.39028370892152e-4
    same = np.full((5, 5), cov2) + (variance - cov2) * np.eye(5)
    other = np.full((5, 5), cov3) + (cov1 - cov3) * np.eye(5)
    found = compare_modalities(aucs, np.block([[same, other], [other, same]]))
    assert found.random.equality.statistic == pytest.approx(4.45631869315726, rel=1e-9)
    assert found.random.equality.df2 == pytest.approx(15.2596745891416, rel=1e-9)
    assert found.random.equality.p_value == pytest.approx(0.0516656858192943, abs=1e-12)
    assert found.fixed_readers.equality.statistic == pytest.approx(5.47595324247719, rel=1e-9)
    assert found.fixed_cases.equality.p_value == pytest.approx(0.041958752494639, abs=1e-12)
    assert found.variances.reader == pytest.approx(0.00153499934513392, rel=1e-9)
    assert found.random.differences[0].ci_low == pytest.approx(-0.0879594985665545, rel=1e-9)


def test_fixed_reader_variance_is_exact() -> None:
    """Without a floor the chi-squared denominator is w'Cw of the mean difference, even where Cov2 < Cov3."""
    aucs, matrix = np.array([[0.8, 0.9, 0.7], [0.75, 0.85, 0.72]]), positive(6, 2)
    found = compare_modalities(aucs, matrix)
    weights = np.repeat([1, -1], 3) / 3
    assert found.fixed_readers.differences[0].standard_error == pytest.approx(np.sqrt(weights @ matrix @ weights))


def test_one_reader_two_modalities_is_delongs_test() -> None:
    matrix = positive(2, 3)
    found = compare_modalities(np.array([[0.8], [0.9]]), matrix)
    variance = matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1]
    assert found.fixed_readers.differences[0].standard_error == pytest.approx(np.sqrt(variance))
    assert found.random.equality.p_value is None
    assert "one reader" in found.random.differences[0].status


def test_fixed_cases_is_the_paired_t_test() -> None:
    from scipy import stats

    first, second = np.array([0.8, 0.9, 0.7, 0.85]), np.array([0.75, 0.85, 0.72, 0.8])
    found = compare_modalities(np.array([first, second]), positive(8, 4)).fixed_cases
    wanted = stats.ttest_rel(first, second)
    assert found.differences[0].statistic == pytest.approx(wanted.statistic)
    assert found.equality.p_value == pytest.approx(wanted.pvalue)


def test_three_modalities_have_three_pairs() -> None:
    aucs = np.array([[0.8, 0.9], [0.7, 0.8], [0.75, 0.88]])
    found = compare_modalities(aucs, positive(6, 5))
    assert [pair.estimate for pair in found.random.differences] == pytest.approx([0.1, 0.035, -0.065])
    assert found.random.equality.df1 == 2
    assert found.fixed_cases.equality.df2 == 2


def test_three_modalities_by_loops() -> None:
    """Mean squares and mean covariances written as sums over modalities i, k and readers j, l."""
    generator = np.random.default_rng(9)
    aucs, matrix = 0.8 + 0.05 * generator.normal(size=(3, 4)), positive(12, 9)
    found, cells = compare_modalities(aucs, matrix), matrix.reshape(3, 4, 3, 4)
    kinds: dict[tuple[bool, bool], list[float]] = {}
    for i in range(3):
        for j in range(4):
            for k in range(3):
                for m in range(4):
                    kinds.setdefault((i == k, j == m), []).append(cells[i, j, k, m])
    cov2, cov3 = np.mean(kinds[True, False]), np.mean(kinds[False, False])
    parts = found.variances
    assert [parts.variance, parts.cov1] == pytest.approx([np.mean(kinds[True, True]), np.mean(kinds[False, True])])
    assert [parts.cov2, parts.cov3] == pytest.approx([cov2, cov3])
    rows, columns, mean = aucs.mean(axis=1), aucs.mean(axis=0), aucs.mean()
    between = sum(4 * (rows[i] - mean) ** 2 for i in range(3)) / 2
    inner = sum((aucs[i, j] - rows[i] - columns[j] + mean) ** 2 for i in range(3) for j in range(4)) / 6
    denominator = inner + 4 * max(cov2 - cov3, 0)
    equality = found.random.equality
    assert equality.statistic == pytest.approx(between / denominator)
    assert equality.df2 == pytest.approx(6 * (denominator / inner) ** 2)
    assert found.random.differences[1].standard_error == pytest.approx(np.sqrt(2 * denominator / 4))


def test_identical_modalities_have_no_spread() -> None:
    aucs = np.array([[0.8, 0.9], [0.8, 0.9]])
    found = compare_modalities(aucs, np.full((4, 4), 1e-4))
    assert found.variances.ms_interaction == 0
    assert found.random.equality.p_value is None
    assert "variance is zero" in found.fixed_cases.equality.status


@pytest.mark.parametrize(("aucs", "size"), [(np.ones((1, 3)), 3), (np.ones((2, 3)), 5)])
def test_bad_shapes(aucs: np.ndarray, size: int) -> None:
    with pytest.raises(UltraFMError, match="modalities"):
        compare_modalities(aucs, np.eye(size))
