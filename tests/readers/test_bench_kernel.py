"""The plain kernel of the benchmark computes what the analysis computes, so that the two may be compared in speed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench_readers import crossed_table, plain_bootstrap, plain_kernel
from ultrafm.readers import analyse
from ultrafm.readers.resampling import weighted_auc


def test_plain_kernel_has_the_same_difference_and_standard_error() -> None:
    table = crossed_table(5, 2, 60)
    truth = table["truth"].to_numpy()[:60] == 1
    difference, variance = plain_kernel(table["rating"].to_numpy().reshape(10, 60), truth, 2)
    test = analyse(table)["tests"]["random_readers_random_cases"]
    assert (test["difference"], test["se"] ** 2) == pytest.approx((difference, variance), rel=1e-10)


def test_plain_bootstrap_has_the_same_areas() -> None:
    generator = np.random.default_rng(0)
    truth, codes = np.arange(20) % 2 == 0, np.arange(20) // 4
    scores, draws = np.round(generator.normal(size=(3, 20))), generator.integers(1, 3, (5, 6)).astype(float)
    found = plain_bootstrap(scores, truth, codes, draws)
    assert found == pytest.approx(np.array([weighted_auc(row, truth, draws[codes]) for row in scores]), abs=1e-12)
