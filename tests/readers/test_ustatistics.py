"""U-statistics of incomplete designs: numbers of iMRMC, loops, and what has no result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtr

from ultrafm.downstream.auc import auc_covariance
from ultrafm.errors import UltraFMError
from ultrafm.readers import analyse, study
from ultrafm.readers.two_treatments import compare_modalities
from ultrafm.readers.ustatistics import kernel, one_kernel, paired_kernel, two_kernels


def kernels(path: Path) -> list:
    table, found = pd.read_csv(path), []
    for modality in (1, 2):
        scores = table[table["modality"] == modality].pivot(index="reader", columns="case", values="rating")
        truth = table.drop_duplicates("case").set_index("case")["truth"].loc[scores.columns].to_numpy() == 1
        found.append(kernel(scores.to_numpy(float), truth))
    return found


def test_u_statistics_of_van_dyke(reader_data: Path) -> None:
    """iMRMC 2.1.2: variance 4.27313e-4, df 12.8134, and p .0556467, for which it rounds df down to 12."""
    found = two_kernels(*kernels(reader_data / "vandyke.csv"))
    assert found.standard_error**2 == pytest.approx(4.27313e-4, abs=5e-10)
    assert found.df == pytest.approx(12.8134, abs=5e-5)
    assert 2 * stdtr(12, -abs(found.statistic)) == pytest.approx(0.0556467, abs=5e-8)


def test_u_statistics_say_when_their_variance_is_negative(reader_data: Path) -> None:
    """Franken: -3.2e-5, so neither df nor p."""
    found = two_kernels(*kernels(reader_data / "franken.csv"))
    assert found.p_value is None and found.df is None
    assert "not positive" in found.status


def test_u_statistics_of_one_reader_give_a_reason() -> None:
    truth = np.array([1, 1, 0, 0], dtype=bool)
    one = kernel(np.array([[3.0, np.nan, 1, 2]]), truth)
    assert two_kernels(one, one).p_value is None and "one reader" in one_kernel(one).status
    nothing = kernel(np.full((2, 4), np.nan), truth)
    assert np.isnan(one_kernel(nothing).estimate) and one_kernel(nothing).p_value is None


def test_u_statistics_by_brute_force() -> None:
    """Pairs of kernels that share neither reader nor case, written as loops, with holes."""
    generator = np.random.default_rng(3)
    truth = np.array([1, 1, 1, 0, 0, 0, 0], dtype=bool)
    scores = generator.integers(0, 4, (3, 7)).astype(float)
    scores[0, 1] = scores[2, 5] = np.nan
    found, total, pairs = kernel(scores, truth), 0.0, 0.0
    cells = np.argwhere(found.seen == 1)
    for first in cells:
        for second in cells:
            if (first != second).all():
                total += found.values[tuple(first)] * found.values[tuple(second)]
                pairs += 1
    variance = found.mean**2 - total / pairs
    result = one_kernel(found)
    assert variance > 0 and result.standard_error**2 == pytest.approx(variance)
    assert result.estimate == pytest.approx(found.values.sum() / found.seen.sum())


def test_u_statistics_of_too_many_pairs_are_refused() -> None:
    truth = np.arange(30_000) % 2 == 0
    with pytest.raises(UltraFMError, match="225,000,000 triples"):
        kernel(np.zeros((1, 30_000)), truth)


def test_paired_kernels_count_what_both_saw() -> None:
    truth = np.array([1, 0], dtype=bool)
    first, second = kernel(np.array([[2.0, 1.0], [2.0, 1.0]]), truth), kernel(np.array([[1.0, 2], [np.nan, 1]]), truth)
    found = paired_kernel(first, second)
    assert found.values.tolist() == [[[1.0]], [[0.0]]] and found.seen.tolist() == [[[1.0]], [[0.0]]]


def test_crossed_u_statistics_are_near_obuchowski_rockette() -> None:
    generator, truth = np.random.default_rng(8), np.arange(60) % 2 == 1
    scores = [truth * shift + np.round(generator.normal(size=(6, 60)), 1) for shift in (1.0, 1.3)]
    found = two_kernels(*(kernel(one, truth) for one in scores))
    aucs, covariance = auc_covariance(np.vstack(scores), truth)
    other = compare_modalities(aucs.reshape(2, 6), covariance).random.differences[0]
    assert found.estimate == pytest.approx(other.estimate)
    assert found.standard_error == pytest.approx(other.standard_error, rel=0.25)


def test_three_modalities_with_a_hole_have_pairs_and_the_names_of_a_test(reader_data: Path) -> None:
    table = pd.read_csv(reader_data / "vandyke.csv")
    third = table[table["modality"] == 1].assign(modality=3).iloc[1:]
    test = analyse(pd.concat([table, third]))["tests"]["random_readers_random_cases"]
    assert {"difference", "se", "df", "statistic", "p", "ci_low", "ci_high"} <= set(test)
    assert test["difference"] is None and "only of pairs" in test["status"] and len(test["pairs"]) == 3


def test_too_many_triples_leave_the_available_cases(reader_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.read_csv(reader_data / "vandyke.csv").iloc[1:]
    few = analyse(table)["tests"]
    monkeypatch.setattr(study, "MOST_TRIPLES", 1000)
    found = analyse(table)
    assert found["tests"]["random_readers_random_cases"] == few["available_cases"]
    assert "each curve on the cases that it has" in found["model"] and "available_cases" not in found["tests"]
