"""Type-I error of the designs that are not fully crossed, on simulated trials of the model of Roe and Metz."""

from __future__ import annotations

import numpy as np
import pytest

from ultrafm.readers.covariance import joint_covariance
from ultrafm.readers.design import Crossed
from ultrafm.readers.nested import compare_nested
from ultrafm.readers.simulation.roe_metz import RoeMetz
from ultrafm.readers.simulation.trials import estimates
from ultrafm.readers.two_treatments import compare_modalities
from ultrafm.readers.ustatistics import kernel, one_kernel, paired_kernel
from ultrafm.seeds import spawn

CASES = np.arange(200)


def share_below(p_values: list[float | None]) -> tuple[float, float]:
    """Share of p below .05 and its Monte-Carlo error."""
    known = np.array([value for value in p_values if value is not None])
    share = float((known < 0.05).mean())
    return share, float(np.sqrt(share * (1 - share) / known.size))


@pytest.mark.slow
def test_readers_within_modalities() -> None:
    """Twelve readers, six in each modality, 120 cases, 2000 trials."""
    chosen = np.r_[0:6, 18:24]
    found = [
        compare_nested(aucs[chosen], spread[np.ix_(chosen, chosen)], [0] * 6 + [1] * 6).random.differences[0].p_value
        for aucs, spread in estimates(RoeMetz(readers=12, cases=120, aucs=(0.8, 0.8)), 2000, spawn(1, "nested"))
    ]
    share, error = share_below(found)
    assert 0.04 - 2 * error < share < 0.06 + 2 * error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("blocks", [[(CASES % 4 < 2) == (reader < 4) for reader in range(8)]] * 2),
        ("cases within readers", [[reader == CASES % 100 // 12.5 for reader in range(8)]] * 2),
        ("cases within modalities", [[CASES % 4 < 2] * 8, [CASES % 4 >= 2] * 8]),
    ],
)
def test_divided_cases(name: str, seen: list) -> None:
    """Eight readers, 200 cases, 1000 trials; every reader rates a part of the cases."""
    design, p_values = RoeMetz(readers=8, cases=200, aucs=(0.8, 0.8)), []
    names = np.array([f"c{case:03}" for case in CASES], dtype=object)
    for scores in design.scores(spawn(2, name), 1000):
        scores = np.where(np.concatenate(seen), scores, np.nan)
        values, joint = joint_covariance([Crossed("all", names, design.truth, scores, names)])
        found = compare_modalities(values[0].reshape(2, 8), joint[0, :, 0])
        p_values.append(found.random.differences[0].p_value)
    share, error = share_below(p_values)
    assert 0.04 - 2 * error < share < 0.06 + 2 * error


@pytest.mark.slow
def test_ai_against_readers_who_lack_a_fifth_of_the_cases() -> None:
    """U-statistics, six readers, 100 cases, 1000 trials."""
    design, generator, p_values = RoeMetz(readers=6, cases=100, ai_auc=0.85), spawn(3, "holes"), []
    for scores in design.scores(generator, 1000):
        readers = np.where(generator.random(scores[1:].shape) < 0.8, scores[1:], np.nan)
        ai = kernel(np.repeat(scores[:1], 6, axis=0), design.truth)
        p_values.append(one_kernel(paired_kernel(ai, kernel(readers, design.truth))).p_value)
    share, error = share_below(p_values)
    assert 0.03 - 2 * error < share < 0.06 + 2 * error
