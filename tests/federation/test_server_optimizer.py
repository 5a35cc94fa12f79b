"""Server optimizers with numbers that can be checked on paper."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.federation.server_optimizer import adam, average


def weights(*values):
    return {"w": np.array(values, np.float32)}


def updates(*values):
    return {"w": np.array(values, np.float64)}


def test_averaging_adds_the_mean_update():
    new, state = average(weights(1, 2), updates(0.5, -1), {}, 1.0, 1)
    assert new["w"].tolist() == [1.5, 1.0] and state == {}


def test_adam_makes_a_first_step_of_its_rate_whatever_the_updates_size():
    new, _ = adam(weights(0, 0, 0), updates(1e-3, -20, 0), {}, 0.1, 1)
    assert new["w"] == pytest.approx([0.1, -0.1, 0.0], rel=1e-4)


def test_adam_is_torchs_with_the_update_as_falling_gradient():
    """Over ten rounds; torch adds its epsilon to the same root, so that the two agree closely."""
    generator = np.random.default_rng(0)
    changes = generator.normal(size=(10, 4))
    weight = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.05, betas=(0.9, 0.95), eps=1e-8)
    new, state = weights(0, 0, 0, 0), {}
    for number, change in enumerate(changes, start=1):
        weight.grad = torch.tensor(-change, dtype=torch.float32)
        optimizer.step()
        new, state = adam(new, {"w": change}, state, 0.05, number)
    assert new["w"] == pytest.approx(weight.detach().numpy(), rel=1e-4, abs=1e-6)


@given(st.sampled_from([average, adam]), st.integers(1, 5))
def test_what_no_site_changes_stays_exactly_and_types_are_kept(optimize, rounds):
    new, state = weights(0.1, 1e-7), {}
    for number in range(1, rounds + 1):
        new, state = optimize(new, updates(0.0, 0.3), state, 0.01, number)
    assert new["w"][0] == np.float32(0.1) and new["w"][1] > 1e-7
    assert new["w"].dtype == np.float32
