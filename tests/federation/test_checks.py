"""How far training can lead: honest steps at their worst just pass, anything longer does not."""

import numpy as np
import pytest
import torch

from ultrafm.federation.checks import longest_update, plain, require_sound
from ultrafm.federation.compression import COMPRESSIONS, Update
from ultrafm.federation.incidents import Fault
from ultrafm.federation.plan import Federation
from ultrafm.federation.vector import WEIGHTS
from ultrafm.pretraining.recipe import Recipe

RECIPE = Recipe(learning_rate=0.01, clip=2.0, weight_decay=0.0)


def test_flowers_way_of_telling_an_error_is_put_into_plain_words():
    assert plain("<class 'ultrafm.errors.UltraFMError'>:<'plan: found 4; expected 2.'>") == "plan: found 4; expected 2."
    assert plain("RuntimeError: disk full") == "RuntimeError: disk full"


def update_of(length, numbers=100):
    """A change of this length from weights of zero."""
    change = np.zeros(numbers, np.float32)
    change[3] = length
    return Update(np.zeros(numbers, np.float32), {WEIGHTS: change})


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_plain_steps_reach_step_size_times_clipped_gradient_and_no_farther(compression):
    plan = Federation(1, site_step=0.1, compression=compression)
    longest = longest_update(RECIPE, plan, 5, np.zeros(100, np.float32))
    require_sound(update_of(5 * 0.1 * 2.0), longest)
    with pytest.raises(Fault, match=r"a change of length 1\.6"):
        require_sound(update_of(1.6 * 5 * 0.1 * 2.0), longest)


def test_the_worst_gradients_for_adamw_reach_nearly_its_bound():
    """Gradients that grow by beta2 / beta1 in each step move every weight by 1.165 times the rate."""
    weights = torch.zeros(100, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([weights], lr=0.01, betas=(0.9, 0.95), eps=0.0, weight_decay=0.0)
    for step in range(300):
        weights.grad = torch.full_like(weights, 1e-6 * (0.95 / 0.9) ** step)
        optimizer.step()
    longest = longest_update(RECIPE, Federation(1, adaptive="kept"), 300, np.zeros(100, np.float32))
    assert 0.9 < float(weights.detach().norm()) / longest < 1
    require_sound(update_of(float(weights.detach().norm())), longest)
    with pytest.raises(Fault, match="a change of length 4"):
        require_sound(update_of(1.1 * longest), longest)


def test_without_a_step_nothing_may_change():
    longest = longest_update(RECIPE, Federation(1), 0, np.zeros(100, np.float32))
    require_sound(update_of(0.0), longest)
    with pytest.raises(Fault, match="a change of length 1e-06"):
        require_sound(update_of(1e-6), longest)


def test_a_rate_that_grows_with_the_batch_is_that_of_the_sites_batch():
    """Sites train on batches of 64, whatever the recipe's own batch: their rate, and so the bound, is as large."""
    scaled = Recipe(learning_rate=0.01, weight_decay=0.0, scale_rate=True, batch_size=4)
    plan, old = Federation(1, adaptive="kept", site_batch_size=64), np.zeros(100, np.float32)
    fixed = Recipe(learning_rate=0.01 * 64 / 256, weight_decay=0.0)
    assert longest_update(scaled, plan, 3, old) == pytest.approx(longest_update(fixed, plan, 3, old))
