"""A gradient for each patient, against a plain loop; clipping, and what one patient can change."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ultrafm.federation.privacy.gradients import clipped_sum, gradient_lengths, patient_gradients
from ultrafm.federation.privacy.training import sum_of_patients
from ultrafm.federation.privacy.views import Roster, patient_view
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import Acquisition, mean_where, reconstruction_errors
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.scans import as_scans
from ultrafm.seeds import spawn_torch

SMALL = {"image_size": 32, "width": 32, "depth": 2, "heads": 2, "decoder_width": 32, "decoder_depth": 1}
GREY = GreyScale(0.3, 0.2)
CPU = torch.device("cpu")
RECIPES = [
    {},
    {"masking": "sector"},
    {"positions": "learned", "registers": True, "decoded_share": 0.5},
    {"masking": "polar", "degraded_share": 1.0, "scan_conversion": "correct"},
    {"masking": "texture", "width": 48, "heads": 3, "depth": 1},
]


def scans_of_patients(images_of, size=32):
    """Random pictures with a sector of another height each, and the roster of patients with so many images."""
    draws = np.random.default_rng(3)
    count = sum(images_of)
    sectors = np.zeros((count, size, size), bool)
    for number in range(count):
        sectors[number, : size - 4 * (number % 5)] = True
    ends = np.cumsum([0, *images_of])
    rows = {f"patient {number}": np.arange(ends[number], ends[number + 1]) for number in range(len(images_of))}
    return as_scans(draws.integers(0, 256, (count, size, size)).astype(np.uint8), sectors), Roster(rows, True)


def look(recipe, images_of, images=3, step=0):
    scans, roster = scans_of_patients(images_of)
    return lambda patients: patient_view(
        scans, roster, patients, images, recipe, lambda one: spawn_torch(1, f"view of {one}", round=step), CPU
    )


def loop_gradients(model, view, patient):
    """The gradient of one patient's mean loss, by backward over the patient's real images, one image at a time."""
    model.zero_grad()
    tensors = {name: one[patient] for name, one in view.tensors.items()}
    real = tensors["counted"].nonzero()[:, 0]
    for image in real:
        one = {name: tensor[image : image + 1] for name, tensor in tensors.items()}
        made = Acquisition(one["scan_mode"], one["pixel_mm"])
        predicted = model(GREY.apply(one["shown"]), one["keep"], one["wanted"], made)
        errors = reconstruction_errors(predicted, GREY.apply(one["clean"]), one["wanted"], model.patch_size)
        (mean_where(errors, one["scored"]) / len(real)).backward()
    return {
        name: torch.zeros_like(one) if one.grad is None else one.grad.clone()
        for name, one in model.named_parameters()
        if one.requires_grad
    }


@pytest.mark.parametrize("changes", RECIPES, ids=str)
def test_every_weight_has_the_gradient_that_a_loop_gives(changes):
    recipe = Recipe(**SMALL | changes)
    model = build_model(recipe, 2).double()
    view = look(recipe, [1, 2, 3, 7])(["patient 0", "patient 1", "patient 2", "patient 3"])
    view.tensors.update({name: one.double() for name, one in view.tensors.items() if one.dtype == torch.float32})
    found = patient_gradients(model, view, GREY)
    assert set(found) == {name for name, one in model.named_parameters() if one.requires_grad}
    for patient in range(4):
        for name, one in loop_gradients(model, view, patient).items():
            assert (found[name][patient] - one).norm() <= 1e-6 * one.norm() + 1e-12, name


def test_gradients_in_single_precision_are_those_of_a_loop():
    recipe = Recipe(**SMALL)
    model = build_model(recipe, 2)
    view = look(recipe, [2, 1])(["patient 0", "patient 1"])
    found = patient_gradients(model, view, GREY)
    for patient in range(2):
        expected = loop_gradients(model, view, patient)
        length = torch.stack([one.norm() for one in expected.values()]).norm()
        for name, one in expected.items():
            assert (found[name][patient] - one).norm() <= 2e-6 * max(one.norm(), 1e-2 * length), name


def test_a_patient_with_many_images_weighs_as_one_with_one():
    recipe = Recipe(**SMALL)
    view = look(recipe, [40, 1], images=3)(["patient 0", "patient 1"])
    assert view.tensors["counted"].tolist() == [[1, 1, 1], [1, 0, 0]]
    lengths = gradient_lengths(patient_gradients(build_model(recipe, 2), view, GREY))
    assert 0.2 < lengths[0] / lengths[1] < 5


def test_what_is_shown_of_a_patient_does_not_depend_on_the_others():
    recipe = Recipe(**SMALL | {"masking": "sector"})
    together, alone = look(recipe, [2, 3, 1])(["patient 0", "patient 1"]), look(recipe, [2, 3, 1])(["patient 1"])
    assert torch.equal(together.tensors["shown"][1], alone.tensors["shown"][0])
    assert not torch.equal(look(recipe, [2, 3, 1], step=1)(["patient 1"]).tensors["shown"], alone.tensors["shown"])
    model = build_model(recipe, 2)
    one, other = (patient_gradients(model, view, GREY) for view in (together, alone))
    for name, gradient in one.items():
        torch.testing.assert_close(gradient[1], other[name][0], rtol=1e-4, atol=1e-6)


@given(st.integers(0, 3), st.sampled_from([1e-3, 0.1, 1.0, 100.0]))
@settings(max_examples=12, deadline=None)
def test_one_patient_changes_the_sum_by_at_most_the_clip(taken, clip):
    recipe = Recipe(**SMALL | {"depth": 1})
    model, seen = build_model(recipe, 2), look(recipe, [2, 1, 5, 3])
    everyone = [f"patient {number}" for number in range(4)]
    others = [name for name in everyone if name != f"patient {taken}"]
    whole = sum_of_patients(model, everyone, seen, GREY, clip)
    less = sum_of_patients(model, others, seen, GREY, clip)
    change = torch.cat([(whole[name] - less[name]).flatten() for name in whole]).norm().item()
    assert 0 < change <= clip
    [length] = gradient_lengths(patient_gradients(model, seen([f"patient {taken}"]), GREY)).tolist()
    assert change == pytest.approx(min(length, clip), rel=3e-4)


@given(
    st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=1, max_size=6),
    st.floats(1e-3, 1e3),
)
def test_no_clipped_gradient_is_longer_than_the_clip(rows, clip):
    gradients = {"a": torch.tensor(rows)[:, :1], "b": torch.tensor(rows)[:, 1:]}
    for row in range(len(rows)):
        one = clipped_sum({name: part[row : row + 1] for name, part in gradients.items()}, clip)
        assert torch.cat([part.double() for part in one.values()]).norm() <= clip
    total = torch.cat([*clipped_sum(gradients, clip).values()])
    assert total.norm() <= clip * len(rows) * (1 + 1e-5)


def test_short_gradients_keep_their_length_and_zeros_stay_zeros():
    gradients = {"w": torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.3, 0.4]])}
    found = clipped_sum(gradients, 1.0)["w"]
    torch.testing.assert_close(found, torch.tensor([0.9, 1.2], dtype=torch.float64), rtol=2e-4, atol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_a_gradient_that_is_not_finite_counts_as_none(bad):
    gradients = {"w": torch.tensor([[bad, 1.0], [0.6, 0.0]])}
    torch.testing.assert_close(
        clipped_sum(gradients, 1.0)["w"], torch.tensor([0.6, 0.0], dtype=torch.float64), rtol=2e-6, atol=0
    )


def test_a_step_without_patients_sums_to_zeros():
    recipe = Recipe(**SMALL)
    model = build_model(recipe, 2)
    total = sum_of_patients(model, [], look(recipe, [1]), GREY, 1.0)
    trained = {name: one.shape for name, one in model.named_parameters() if one.requires_grad}
    assert {name: one.shape for name, one in total.items()} == trained
    assert not any(one.any() for one in total.values())


def test_buffers_of_whole_numbers_are_left_as_they_are():
    recipe = Recipe(**SMALL)
    model = build_model(recipe, 2)
    model.register_buffer("count", torch.tensor([7, 8]))
    found = patient_gradients(model, look(recipe, [1])(["patient 0"]), GREY)
    assert "count" not in found and model.count.tolist() == [7, 8] and gradient_lengths(found) > 0
