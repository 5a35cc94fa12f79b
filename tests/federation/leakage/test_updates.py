"""What an update tells of gradients is what training computed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.federation.leakage.small import GREY, SMALL, make_model, make_scans, make_view
from ultrafm.errors import UltraFMError
from ultrafm.federation.leakage.updates import (
    Case,
    descend,
    gradients_of_update,
    length,
    loss_gradients,
    noisy_mean,
    read_case,
    seen_gradients,
)
from ultrafm.federation.vector import to_vector
from ultrafm.pretraining.loop import train

SCANS = make_scans(6, 0)


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_update_of_a_real_training_step_tells_its_gradient():
    model, recipe = make_model(), replace(SMALL, clip=1e9)
    before, start = to_vector(model), make_model()
    plain = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.0)
    train(model, plain, SCANS, [np.array([0, 1, 2])], lambda step: 0.1, GREY, recipe, dice(5))
    told = gradients_of_update(start, to_vector(model) - before, 0.1)
    true = loss_gradients(start, make_view(SCANS, [0, 1, 2], seed=5), GREY)
    assert set(told) == set(true) and length(true) > 0.01
    assert length({name: told[name] - true[name] for name in true}) < 1e-4 * length(true)


def test_an_update_of_another_length_is_refused():
    with pytest.raises(UltraFMError, match="one for each weight"):
        gradients_of_update(make_model(), np.zeros(7, np.float32), 0.1)


def test_a_sum_over_sites_is_the_mean_of_what_each_would_show():
    model = make_model()
    views = [make_view(SCANS, [row], seed=row) for row in range(3)]
    joined = seen_gradients(model, views, GREY, Case("sum", sites=3), dice())
    alone = [loss_gradients(model, view, GREY) for view in views]
    for name, one in joined.items():
        assert torch.allclose(one, sum(each[name] for each in alone) / 3, atol=1e-7)


def test_later_steps_are_taken_from_changed_weights():
    model = make_model()
    views = [make_view(SCANS, [row], seed=row) for row in range(2)]
    seen = seen_gradients(model, views, GREY, Case("two steps", steps=2), dice())
    first = loss_gradients(model, views[0], GREY)
    descend(model, first)
    second = loss_gradients(model, views[1], GREY)
    assert all(torch.allclose(seen[name], (first[name] + second[name]) / 2, atol=1e-7) for name in seen)


def test_every_picture_is_clipped_and_noise_has_its_size():
    each = [{"a": torch.tensor([3.0, 4.0])}, {"a": torch.tensor([0.0, 0.5])}]
    assert torch.allclose(noisy_mean(each, 1.0, 0.0, dice())["a"], torch.tensor([0.3, 0.65]))
    still = [{"a": torch.zeros(20000)}] * 4
    assert float(noisy_mean(still, 2.0, 3.0, dice())["a"].std()) == pytest.approx(2.0 * 3.0 / 4, rel=0.03)


def test_the_number_of_views_must_fit_the_case():
    with pytest.raises(UltraFMError, match="expected 4"):
        seen_gradients(make_model(), [make_view(SCANS, [0])], GREY, Case("many", steps=2, sites=2), dice())


def test_cases_in_words():
    assert read_case("a sum: pictures 2, sites 16") == Case("a sum", pictures=2, sites=16)
    assert read_case("noisy: noise 0.5, clip 2").shown == 1


@pytest.mark.parametrize("text", ["no colon", "a: picture 3", "a: pictures many", "a: pictures 0", "a: noise -1"])
def test_words_that_are_no_case_are_refused(text):
    with pytest.raises(UltraFMError, match="update"):
        read_case(text)
