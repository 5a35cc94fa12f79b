"""Pictures are recovered from the gradient of one, and from an update that tells nothing none is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.federation.leakage.small import GREY, SMALL, make_scans, make_view
from ultrafm.errors import UltraFMError
from ultrafm.federation.leakage.assembly import Masks, assemble
from ultrafm.federation.leakage.inversion import match_patches, match_pictures
from ultrafm.federation.leakage.similarity import structural_similarity
from ultrafm.federation.leakage.trials import masks_of, random_update
from ultrafm.federation.leakage.updates import loss_gradients
from ultrafm.pretraining.loop import epoch_batches, make_optimizer, train
from ultrafm.pretraining.model import patch_statistics, patchify, take
from ultrafm.pretraining.recipe import build_model

SCANS = make_scans(32, 2, smoothness=1.0)
RECIPE = replace(SMALL, width=64, depth=2, heads=2)


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


def trained_model():
    """After a few steps of training, since a fresh model's gradient is blind to much of a picture."""
    model = build_model(RECIPE, 0)
    batches = list(epoch_batches(len(SCANS), 8, 40, np.random.default_rng(0)))
    train(model, make_optimizer(model, 0.05), SCANS, batches, lambda step: 3e-3, GREY, RECIPE, dice(3))
    return model


@pytest.fixture(scope="module")
def trial():
    model, view = trained_model(), make_view(SCANS, [0], RECIPE)
    return model, view, masks_of([view]), loss_gradients(model, view, GREY)


def visible(view):
    return take(patchify(GREY.apply(view.shown), 8), view.keep)


def test_one_picture_is_recovered_from_its_gradient(trial):
    model, view, masks, seen = trial
    found = match_patches(model, seen, masks, GREY, 130, dice())
    truth = visible(view)
    assert found.distance < 5e-3
    assert (found.visible - truth).square().mean() < 0.1 * truth.var()
    alike = structural_similarity(found.pictures[0, 0].numpy(), view.clean[0, 0].numpy())
    assert alike > 0.5


@pytest.mark.slow
def test_the_length_of_the_gradient_does_not_matter_to_visible_patches(trial):
    model, view, masks, seen = trial
    found = match_patches(model, {name: 0.2 * one for name, one in seen.items()}, masks, GREY, 130, dice())
    assert (found.visible - visible(view)).square().mean() < 0.1 * visible(view).var()


def test_from_an_update_that_tells_nothing_nothing_is_recovered(trial):
    model, view, masks, seen = trial
    found = match_patches(model, random_update(seen, dice(7)), masks, GREY, 40, dice())
    truth = visible(view)
    assert found.distance > 0.5
    assert (found.visible - truth).square().mean() > 0.8 * truth.var()


@pytest.mark.slow
@pytest.mark.parametrize("distance", ["squared", "cosine"])
def test_the_general_attack_comes_nearer_to_the_gradient(trial, distance):
    model, _view, masks, seen = trial
    far, near = (match_pictures(model, seen, masks, GREY, steps, dice(), distance).distance for steps in (1, 40))
    assert near < 0.5 * far


def test_an_update_without_change_and_unequal_masks_are_refused(trial):
    model, _view, masks, seen = trial
    with pytest.raises(UltraFMError, match="without any change"):
        match_patches(model, {name: 0 * one for name, one in seen.items()}, masks, GREY, 1, dice())
    ragged = Masks(torch.where(masks.keep == masks.keep[0, -1], -1, masks.keep), masks.wanted, masks.scored)
    with pytest.raises(UltraFMError, match="unequal numbers"):
        match_patches(model, seen, ragged, GREY, 1, dice())
    with pytest.raises(UltraFMError, match="not decoded"):
        match_patches(model, seen, Masks(masks.keep, masks.wanted[:, 1:], masks.scored[:, 1:]), GREY, 1, dice())


def test_known_textures_are_fitted_in_by_their_borders():
    """On a ramp every patch has the same texture, and only one level and contrast go on over the borders."""
    ramp = torch.linspace(0.1, 0.9, 32).expand(32, 32).clone()[None, None]
    patches = patchify(GREY.apply(ramp), 8)
    keep, wanted = torch.tensor([[0, 3, 9, 14]]), torch.tensor([[one for one in range(16) if one not in (0, 3, 9, 14)]])
    hidden = take(patches, wanted)
    mean, deviation = patch_statistics(hidden)
    masks = Masks(keep, wanted, torch.ones(1, 12, dtype=torch.bool))
    found = assemble(take(patches, keep), (hidden - mean) / deviation, masks, GREY)
    assert (found - ramp).abs().max() < 0.12
    assert (found - ramp).abs().mean() < 0.03


def test_patches_outside_the_scan_are_black():
    masks = Masks(torch.tensor([[0, 1, 2, 3]]), torch.arange(4, 16)[None], torch.zeros(1, 12, dtype=torch.bool))
    found = assemble(torch.ones(1, 4, 64), torch.zeros(1, 12, 64), masks, GREY)
    assert found[0, 0, 8:].max() == 0 and found[0, 0, :8].min() == pytest.approx(0.75)
