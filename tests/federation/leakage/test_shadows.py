"""The membership game finds a model that learned few patients by heart, and nothing in one that never saw them."""

from dataclasses import replace

import numpy as np
import pytest

from tests.federation.leakage.small import GREY, SMALL, make_scans
from ultrafm.errors import UltraFMError
from ultrafm.federation.leakage.shadows import (
    Pool,
    epsilon_of_words,
    membership_game,
    shadow_losses,
    train_plainly,
    train_privately_in_one_place,
    trainer_named,
)
from ultrafm.pretraining.recipe import build_model

PATIENTS = np.repeat([f"p{number}" for number in range(12)], 2)


def pool(passes):
    return Pool(make_scans(24, 3), PATIENTS, GREY, replace(SMALL, learning_rate=5e-3), passes, draws=4)


def never_trained(pool, rows, seed):
    return build_model(pool.recipe, seed)


def rows_of(losses, members):
    table = membership_game(losses, members, PATIENTS, 0)
    return table[table["metric"] == "auroc"].set_index("attack")


@pytest.mark.slow
def test_training_by_heart_is_found_and_the_game_goes_on_where_it_stopped(tmp_path):
    losses, members = shadow_losses(pool(100), train_plainly, 6, tmp_path, 0, 1)
    found = rows_of(losses, members)
    assert found.loc["loss threshold", "low"] > 0.5
    assert found.loc["likelihood ratio, online", "low"] > 0.6
    kept = sorted(path.stat().st_mtime_ns for path in tmp_path.iterdir())
    again, _members = shadow_losses(pool(100), train_plainly, 6, tmp_path, 0, 1)
    assert np.array_equal(again, losses) and len(kept) == 6
    assert sorted(path.stat().st_mtime_ns for path in tmp_path.iterdir()) == kept


def test_models_that_never_saw_the_pictures_tell_nothing(tmp_path):
    found = rows_of(*shadow_losses(pool(1), never_trained, 8, tmp_path, 0, 1))
    assert (found["low"] < 0.5).all() and (found["high"] > 0.5).all()


@pytest.mark.slow
def test_with_privacy_what_was_learnt_by_heart_is_not_found(tmp_path):
    """The planted leak of above, trained as long: at a small epsilon no attack is better than guessing."""
    losses, members = shadow_losses(pool(100), trainer_named("epsilon 1"), 6, tmp_path, 0, 1)
    found = rows_of(losses, members)
    assert (found["low"] < 0.5).all() and (found["estimate"] < 0.6).all()


def test_noise_changes_training_and_is_drawn_from_the_seed(tmp_path):
    rows = np.arange(8)
    weak, strong, again = (train_privately_in_one_place(pool(3), rows, 0, epsilon) for epsilon in (50.0, 1.0, 1.0))
    kernels = [model.to_pixels.weight for model in (weak, strong, again)]
    assert kernels[1].equal(kernels[2]) and not kernels[0].equal(kernels[1])


def test_trainings_in_words():
    assert trainer_named("none") is train_plainly and epsilon_of_words("none") == np.inf
    assert epsilon_of_words("epsilon 0.5") == 0.5
    assert trainer_named("epsilon 0.5").keywords == {"epsilon": 0.5}
    for words in ("epsilon", "epsilon much", "epsilon -1", "epsilon 0", "hope"):
        with pytest.raises(UltraFMError, match="protection in training"):
            trainer_named(words)
