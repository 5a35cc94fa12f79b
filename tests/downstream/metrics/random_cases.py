"""Random cases for comparisons with other implementations: ties, one class and one patient are among them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ultrafm.downstream.metrics import Cases

# 40 cases in every run, 1,000 in the slow one; each is an assertion against another implementation.
few_and_many = pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])


def random_cases(seed: int, count: int) -> Iterator[tuple[Cases, np.ndarray]]:
    """One encoder's probabilities with ties for 2 to 60 images, and (1, K) weights as a bootstrap draw would give."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        images = int(generator.integers(2, 61))
        truth = (generator.random(images) < generator.random()).astype(int)
        steps = int(generator.choice([2, 5, 20, 10**9]))
        scores = np.round(generator.random((1, images)) * steps) / steps
        patients = np.array([f"a/{one:02d}" for one in generator.integers(0, max(1, images // 3), images)])
        if number % 20 == 0:
            patients[:] = "a/00"
        yield Cases(scores, truth, patients), generator.multinomial(images, np.full(images, 1 / images), 1)
