"""What follows from linear layers' gradients without search, and what does not."""

from dataclasses import replace

import pytest
import torch

from tests.federation.leakage.small import GREY, SMALL, make_model, make_scans, make_view
from ultrafm.errors import UltraFMError
from ultrafm.federation.leakage.closed_form import average_patch, patch_span, patches_from_positions
from ultrafm.federation.leakage.updates import loss_gradients
from ultrafm.pretraining.model import patchify, take

SCANS = make_scans(4, 1)


def shown_patches(view):
    return take(patchify(GREY.apply(view.shown), 8), view.keep)


def test_one_visible_patch_is_weight_over_bias():
    recipe = replace(SMALL, mask_ratio=0.94)
    view = make_view(SCANS, [0], recipe)
    assert view.keep.shape == (1, 1)
    found = average_patch(loss_gradients(make_model(recipe), view, GREY))
    assert torch.allclose(found, shown_patches(view)[0, 0], atol=1e-3)


def test_of_several_visible_patches_only_a_mixture_is_told():
    view = make_view(SCANS, [0])
    found = average_patch(loss_gradients(make_model(), view, GREY))
    truth = shown_patches(view)[0]
    assert (truth - found).square().mean(dim=1).min() > 0.05 * truth.var()


def test_learned_positions_give_every_visible_patch_of_one_picture():
    recipe = replace(SMALL, positions="learned")
    view = make_view(SCANS, [2], recipe)
    model = make_model(recipe)
    places, patches = patches_from_positions(model, loss_gradients(model, view, GREY))
    assert places.tolist() == view.keep[0].tolist()
    assert torch.allclose(patches, shown_patches(view)[0], atol=1e-2)


def test_fixed_positions_do_not():
    model = make_model()
    with pytest.raises(UltraFMError, match="positions 'learned'"):
        patches_from_positions(model, loss_gradients(model, make_view(SCANS, [2]), GREY))


def test_visible_patches_lie_in_the_span_that_is_told_and_others_do_not():
    view, other = make_view(SCANS, [0]), make_view(SCANS, [1])
    basis = patch_span(loss_gradients(make_model(), view, GREY), view.keep.numel())
    assert basis.shape == (4, 64)
    left = [patches - patches @ basis.T @ basis for patches in (shown_patches(view), shown_patches(other))]
    assert left[0].square().mean() < 1e-6 < 0.1 < left[1].square().mean()
