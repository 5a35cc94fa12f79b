from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ultrafm.downstream.methods.attentive import AttentiveProbe, fit_attentive, start_probe
from ultrafm.downstream.methods.probe import fit_probe
from ultrafm.downstream.tasks import Turn
from ultrafm.errors import UltraFMError

TURN = Turn(np.arange(80), ((np.arange(80), np.arange(80, 120)),), np.arange(120, 160), "test")


def hidden_sign(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (160, 17, 8) of which one, at a random place, points one way in half of the images and back in the rest.

    Two features tell which token it is, one tells the way; the mean over tokens drowns it in noise.
    """
    tokens, answers = generator.normal(size=(160, 17, 8)), np.arange(160) % 2
    place = generator.integers(1, 17, size=160)
    tokens[np.arange(160), place, :2] += 6
    tokens[np.arange(160), place, 2] = 3.0 * (2 * answers - 1)
    return tokens.astype(np.float32), answers[:, None]


def test_it_finds_what_the_mean_drowns():
    tokens, answers = hidden_sign(np.random.default_rng(0))
    inside = np.ones(tokens.shape[:2], dtype=bool)
    probe = fit_attentive(tokens, inside, answers, TURN, torch.Generator().manual_seed(0))
    found = roc_auc_score(answers[120:], probe.score(tokens[120:], inside[120:]))
    means = tokens.mean(axis=1)
    line = fit_probe(means[:80], answers[:80], 1e-3).score(means[120:])
    assert found > roc_auc_score(answers[120:], line) + 0.05


def test_it_starts_as_the_linear_probe_of_the_mean_token_that_may_be_looked_at():
    generator = np.random.default_rng(1)
    tokens, answers = generator.normal(2, 3, size=(160, 5, 8)).astype(np.float32), (np.arange(160) % 2)[:, None]
    inside = generator.random((160, 5)) < 0.6
    inside[:, 0] = True
    network = start_probe(tokens, inside, answers, TURN, torch.Generator(), False, False)
    with torch.inference_mode():
        scores = network(torch.from_numpy(tokens), torch.from_numpy(inside)).sigmoid().numpy()
    mean, deviation = tokens[:80][inside[:80]].mean(axis=0), tokens[:80][inside[:80]].std(axis=0)
    means = np.stack([(row[look].mean(axis=0) - mean) / deviation for row, look in zip(tokens, inside)])
    assert scores == pytest.approx(fit_probe(means[:80], answers[:80], 1e-3).score(means), abs=1e-4)


def test_tokens_outside_the_scan_sector_change_nothing():
    tokens, answers = hidden_sign(np.random.default_rng(0))
    inside = np.ones(tokens.shape[:2], dtype=bool)
    inside[:, 12:] = False
    scores = []
    for filling in (0.0, 100.0):
        tokens[:, 12:] = filling
        probe = fit_attentive(tokens, inside, answers, TURN, torch.Generator().manual_seed(0))
        scores.append(probe.score(tokens[120:], inside[120:]))
    assert (scores[0] == scores[1]).all()


def test_it_is_deterministic_and_blind_to_test_answers_and_draws_from_no_global_generator():
    tokens, answers = hidden_sign(np.random.default_rng(0))
    inside, flipped = np.ones(tokens.shape[:2], dtype=bool), answers.copy()
    flipped[120:] = 1 - flipped[120:]
    scores = []
    for seed, truth in ((1, answers), (2, flipped)):
        torch.manual_seed(seed)
        probe = fit_attentive(tokens, inside, truth, TURN, torch.Generator().manual_seed(0))
        scores.append(probe.score(tokens[120:], inside[120:]))
    assert (scores[0] == scores[1]).all()


def test_classes_add_up_grades_never_rise_and_it_stays_small():
    generator = np.random.default_rng(0)
    tokens, number = generator.normal(size=(160, 5, 8)).astype(np.float32), np.arange(160) % 3
    inside = np.ones((160, 5), dtype=bool)
    classes = fit_attentive(tokens, inside, np.eye(3)[number], TURN, torch.Generator(), exclusive=True)
    assert classes.score(tokens, inside).sum(axis=1) == pytest.approx(1)
    grades = fit_attentive(
        tokens, inside, (number[:, None] >= [1, 2]).astype(int), TURN, torch.Generator(), ordered=True
    )
    assert (np.diff(grades.score(tokens, inside), axis=1) <= 0).all()
    probe = AttentiveProbe(torch.zeros(128), torch.ones(128), 1)
    assert sum(weight.numel() for weight in probe.parameters()) == 128 + 2 * 128 * 129 + 129


def test_one_class_and_nan_are_clear_errors():
    tokens, inside = np.zeros((160, 3, 4), np.float32), np.ones((160, 3), dtype=bool)
    with pytest.raises(UltraFMError, match="one class only"):
        fit_attentive(tokens, inside, np.zeros((160, 1), dtype=int), TURN, torch.Generator())
    tokens[5] = np.nan
    with pytest.raises(UltraFMError, match="found NaN"):
        fit_attentive(tokens, inside, (np.arange(160) % 2)[:, None], TURN, torch.Generator())
