"""Noisy steps: sampling, noise and the length of a step, by hand; awkward sites."""

import numpy as np
import pytest
import torch
from scipy import stats

from tests.federation.privacy.test_gradients import CPU, GREY, SMALL, scans_of_patients
from ultrafm.errors import UltraFMError
from ultrafm.federation.privacy.draws import SeededDraws
from ultrafm.federation.privacy.gradients import clipped_sum, patient_gradients
from ultrafm.federation.privacy.protection import Protection
from ultrafm.federation.privacy.training import add_noise, sample_patients, train_privately
from ultrafm.federation.privacy.views import patient_view
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.seeds import spawn_torch

RECIPE = Recipe(**SMALL)
PROTECTION = Protection(
    privacy="patients", noise=1.5, clip=0.5, delta=1e-3, public_mean=GREY.mean, public_deviation=GREY.deviation
)


class NoNoise(SeededDraws):
    """Sampling as ever, noise of zero."""

    def normal(self, count):
        return torch.zeros(count, dtype=torch.float64)


def view_of(patient, step):
    return spawn_torch(3, f"view of {patient}", round=step)


def trained(images_of, steps=1, steps_of_pass=1, draws=None, protection=PROTECTION, size=32, adjust=None):
    """Weights before and after, as dictionaries, of plain steps of size 0.1."""
    model = build_model(RECIPE, 4)
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    scans, roster = scans_of_patients(images_of, size)
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.0)
    draws = draws or NoNoise(1, "site", 1)
    train_privately(
        model, optimizer, scans, roster, RECIPE, protection, steps, steps_of_pass, 0.1, draws, view_of, adjust
    )
    return before, {name: one.detach() for name, one in model.named_parameters()}


def test_a_step_without_noise_is_the_mean_of_clipped_gradients():
    before, after = trained([2, 1, 6])
    scans, roster = scans_of_patients([2, 1, 6])
    view = patient_view(scans, roster, list(roster.rows), 2, RECIPE, lambda one: view_of(one, 0), CPU)
    expected = clipped_sum(patient_gradients(build_model(RECIPE, 4), view, GREY), 0.5)
    assert sum((before[name] - after[name]).abs().sum() for name in before) > 0
    for name, total in expected.items():
        torch.testing.assert_close(before[name] - after[name], (0.1 * total / 3).float(), rtol=1e-3, atol=1e-7)


def test_the_sum_is_divided_by_the_expected_number_not_by_those_who_came():
    """Of 4 patients one in two is expected in a step of two a pass, so 2, whoever came."""
    scans, roster = scans_of_patients([1] * 4)
    for seed in range(4):
        came = sample_patients(list(roster.rows), 0.5, SeededDraws(seed, "site", 1))
        before, after = trained([1] * 4, steps_of_pass=2, draws=NoNoise(seed, "site", 1))
        moved = before["decoder_norm.weight"] - after["decoder_norm.weight"]
        if not came:
            assert not moved.any()
            continue
        view = patient_view(scans, roster, came, 2, RECIPE, lambda one: view_of(one, 0), CPU)
        total = clipped_sum(patient_gradients(build_model(RECIPE, 4), view, GREY), 0.5)
        torch.testing.assert_close(moved, (0.1 * total["decoder_norm.weight"] / 2).float(), rtol=1e-3, atol=1e-7)


def test_the_noise_of_a_step_has_the_deviation_that_was_planned():
    """Against the same steps without noise: deviation 0.1 x 1.5 x 0.5 / 3 for each of the weights."""
    images = [1, 1, 1]
    quiet, noisy = trained(images)[1], trained(images, draws=SeededDraws(1, "site", 1))[1]
    frozen = {name for name, one in build_model(RECIPE, 4).named_parameters() if not one.requires_grad}
    assert frozen and all(torch.equal(quiet[name], noisy[name]) for name in frozen)
    change = torch.cat([(noisy[name] - quiet[name]).double().flatten() for name in quiet if name not in frozen])
    deviation = 0.1 * PROTECTION.noise * PROTECTION.clip / 3
    low, high = stats.chi2(len(change)).ppf([1e-6, 1 - 1e-6])
    assert low < (change / deviation).square().sum() < high


def test_noise_is_added_once_to_every_number():
    total = {"a": torch.ones(50, 40, dtype=torch.float64), "b": torch.zeros(3, dtype=torch.float64)}
    add_noise(total, 2.0, SeededDraws(5, "site", 1))
    expected = 2.0 * SeededDraws(5, "site", 1).normal(2003)
    torch.testing.assert_close(total["a"], 1 + expected[:2000].view(50, 40))
    torch.testing.assert_close(total["b"], expected[2000:])


def test_patients_are_sampled_independently_with_the_rate():
    patients, draws = [str(number) for number in range(40)], SeededDraws(1, "site", 1)
    counts = [len(sample_patients(patients, 0.25, draws)) for _ in range(3000)]
    spread = np.var(counts) / (40 * 0.25 * 0.75)
    assert abs(np.mean(counts) - 10) < 5 * (7.5 / 3000) ** 0.5 and 0.87 < spread < 1.13
    assert sample_patients(patients, 1.0, draws) == patients


@pytest.mark.parametrize("images_of", [[1], [30], [1, 30]])
def test_few_patients_or_many_images_break_nothing(images_of):
    before, after = trained(images_of, steps=3, steps_of_pass=2, draws=SeededDraws(9, "site", 1))
    assert all(torch.isfinite(one).all() for one in after.values())
    assert not torch.equal(before["mask_token"], after["mask_token"])


def test_a_step_in_which_nobody_is_sampled_is_noise():
    draws = SeededDraws(2, "site", 1)
    draws.uniform = lambda count: np.ones(count)
    before, after = trained([1, 1], draws=draws)
    names = [name for name, one in build_model(RECIPE, 4).named_parameters() if one.requires_grad]
    moved = torch.cat([(before[name] - after[name]).flatten().double() for name in names])
    expected = SeededDraws(2, "site", 1).normal(len(moved))
    torch.testing.assert_close(moved, 0.1 * 1.5 * 0.5 / 2 * expected, rtol=1e-4, atol=1e-6)


def test_gradients_can_be_added_to_before_the_step():
    calls = []
    trained([1, 1], steps=2, adjust=lambda: calls.append(1))
    assert len(calls) == 2


def test_pictures_of_another_size_are_refused():
    with pytest.raises(UltraFMError, match="pictures of 40x40 pixels"):
        trained([1], size=40)
