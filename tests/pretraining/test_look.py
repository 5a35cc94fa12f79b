"""What is looked at is what it says: masks of the policies, colours of patch tokens, attention of the class token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from ultrafm.errors import UltraFMError
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.look import (
    attention_weights,
    class_attention,
    hidden_by,
    patch_colours,
    principal_components,
    spread_evenly,
)
from ultrafm.pretraining.masking import POLICIES
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.scans import as_scans

GREY = GreyScale(0.5, 0.25)
SIZES = {"image_size": 32, "patch_size": 8, "width": 64, "depth": 2, "heads": 2, "decoder_width": 16}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def encoder_with(seed=0, **changes):
    return build_model(Recipe(**{**SIZES, **changes}), seed).encoder


@pytest.fixture
def encoder():
    return encoder_with()


@pytest.fixture
def scans():
    """Five pictures of noise; the left quarter of each is outside the scan."""
    images = np.random.default_rng(0).integers(30, 220, (5, 32, 32)).astype(np.uint8)
    sectors = np.ones(images.shape, bool)
    sectors[:, :, :8] = False
    images[~sectors] = 0
    return as_scans(images, sectors)


def nowhere(scans):
    """The same pictures, of which nothing is inside the scan."""
    return as_scans(scans.images, np.zeros_like(scans.sectors))


# Masks


@pytest.mark.parametrize("name", POLICIES)
def test_whole_patches_are_hidden_and_as_many_as_asked(scans, name):
    hidden = hidden_by(scans, name, 0.75, 8, seeded())
    assert hidden.shape == (5, 32, 32) and hidden.dtype == bool
    tiles = hidden.reshape(5, 4, 8, 4, 8)
    assert (tiles == tiles[:, :, :1, :, :1]).all()
    counted = tiles[:, :, 0, :, 0].sum(axis=(1, 2))
    assert (counted == (9 if name == "sector" else 12)).all(), "three quarters, of 12 patches inside or of all 16"
    assert np.array_equal(hidden, hidden_by(scans, name, 0.75, 8, seeded()))
    assert not np.array_equal(hidden, hidden_by(scans, name, 0.75, 8, seeded(1)))


def test_patches_outside_the_sector_are_not_hidden_by_its_policy(scans):
    assert not hidden_by(scans, "sector", 0.75, 8, seeded())[:, :, :8].any()
    assert not hidden_by(nowhere(scans), "sector", 0.75, 8, seeded()).any()


def test_a_textured_patch_is_hidden_where_the_policy_follows_texture():
    images = np.full((200, 32, 32), 100, np.uint8)
    images[:, 8:16, 16:24] = np.indices((8, 8)).sum(axis=0) % 2 * 255
    hidden = hidden_by(as_scans(images, np.ones(images.shape, bool)), "texture", 0.5, 8, seeded())
    assert hidden[:, 8, 16].all() and 0.3 < hidden[:, 0, 0].mean() < 0.6


def test_an_unknown_policy_is_refused(scans):
    with pytest.raises(UltraFMError, match="texture"):
        hidden_by(scans, "textur", 0.75, 8, seeded())


# Colours


def test_colours_are_shares_and_black_outside_the_sector(encoder, scans):
    colours = patch_colours(encoder, scans, GREY)
    assert colours.shape == (5, 4, 4, 3) and colours.dtype == np.float32
    assert colours.min() == 0 and colours.max() == 1
    assert not colours[:, :, 0].any() and (colours[:, :, 1:].std(axis=(0, 1, 2)) > 0.1).all()
    assert np.array_equal(colours, patch_colours(encoder, scans, GREY))


@pytest.mark.parametrize("seed", range(4))
def test_even_an_untrained_encoder_tells_two_tissues_apart(seed):
    images = np.full((1, 32, 32), 60, np.uint8)
    images[:, :, 16:] = 190
    scans = as_scans(images, np.ones(images.shape, bool))
    left, right = np.split(patch_colours(encoder_with(seed), scans, GREY)[0], 2, axis=1)
    channel = np.abs(left.mean(axis=(0, 1)) - right.mean(axis=(0, 1))).argmax()
    low, high = sorted((left[..., channel].ravel(), right[..., channel].ravel()), key=np.mean)
    assert low.max() < high.min(), "all patches of one half before all of the other"


def test_all_pictures_are_coloured_by_the_same_components(encoder, scans):
    twice = patch_colours(encoder, scans.rows(np.array([0, 1, 0])), GREY)
    assert np.allclose(twice[0], twice[2], atol=1e-6) and not np.allclose(twice[0], twice[1], atol=0.05)


def test_what_is_outside_has_no_say_in_the_components(encoder, scans):
    with_another = as_scans(scans.images[:2], scans.sectors[:2].copy())
    with_another.sectors[1] = False
    alone, beside = (patch_colours(encoder, one, GREY) for one in (scans.rows(np.array([0])), with_another))
    assert np.allclose(alone[0], beside[0], atol=1e-6) and not beside[1].any()


def test_one_picture_and_no_sector_at_all(encoder, scans):
    assert patch_colours(encoder, scans.rows(np.array([3])), GREY).shape == (1, 4, 4, 3)
    assert not patch_colours(encoder, nowhere(scans), GREY).any()


def test_a_single_patch_inside_is_grey(encoder, scans):
    one = nowhere(scans)
    one.sectors[2, 8:16, 8:16] = True
    colours = patch_colours(encoder, one, GREY)
    assert colours[2, 1, 1].tolist() == [0.5] * 3 and colours.sum() == 1.5


def test_components_are_those_of_scikit_learn_but_for_signs():
    tokens = torch.randn(40, 6, generator=seeded(), dtype=torch.float64) * torch.arange(1, 7)
    found, fitted = principal_components(tokens, 3).numpy(), PCA(3).fit(tokens.numpy())
    for place, loadings in enumerate(fitted.components_):
        sign = np.sign(loadings[np.abs(loadings).argmax()])
        assert np.allclose(found[:, place], sign * fitted.transform(tokens.numpy())[:, place])


def test_components_by_hand_and_zeros_for_those_that_are_not_there():
    tokens = torch.tensor([[0.0, 0], [3, 4], [6, 8]])  # on a line, five units apart
    expected = torch.tensor([[-5.0, 0, 0], [0, 0, 0], [5, 0, 0]])
    assert torch.allclose(principal_components(tokens, 3), expected, atol=1e-5)


def test_percentiles_become_black_and_white():
    spread = spread_evenly(torch.stack([torch.arange(101.0), torch.full((101,), 7.0)], dim=1))
    assert spread[[0, 2, 50, 98, 100], 0].tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    assert (spread[:, 1] == 0.5).all()


# Attention


def attention_by_timm(encoder, scans):
    """What timm's own unfused attention of the last block gives the class token, mean over heads: (N, T)."""
    attention, seen = encoder.blocks[-1].attn, []
    attention.fused_attn = False
    hook = attention.attn_drop.register_forward_hook(lambda _module, _arguments, result: seen.append(result))
    pictures = (torch.from_numpy(scans.images).float() / 255 - GREY.mean) / GREY.deviation
    with torch.inference_mode():
        encoder(pictures[:, None])
    hook.remove()
    return seen[0].mean(dim=1)[:, 0, encoder.num_prefix_tokens :].numpy()


@pytest.mark.parametrize("registers", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_attention_is_that_of_timm(scans, fused, registers):
    encoder = encoder_with(registers=registers)
    encoder.blocks[-1].attn.fused_attn = fused
    found, expected = class_attention(encoder, scans, GREY), attention_by_timm(encoder, scans)
    assert found.shape == (5, 4, 4) and found.dtype == np.float32
    assert np.allclose(found.reshape(5, 16), expected / expected.max(axis=1, keepdims=True), atol=1e-5)
    assert (expected.sum(axis=1) < 1).all()


def test_attention_is_shared_out_among_all_tokens(encoder):
    weights = attention_weights(encoder, torch.randn(3, 1, 32, 32, generator=seeded()))
    assert weights.shape == (3, 2, 17) and (weights > 0).all()
    assert torch.allclose(weights.sum(dim=-1), torch.ones(3, 2)) and (weights[:, :, 1:].sum(dim=-1) < 1).all()


def test_attention_is_a_share_of_the_most_attended_patch(encoder, scans):
    found = class_attention(encoder, scans, GREY)
    assert (found > 0).all() and (found.max(axis=(1, 2)) == 1).all()
    assert np.array_equal(found, class_attention(encoder, scans, GREY))


def test_attention_of_one_picture_and_of_no_sector(encoder, scans):
    whole = class_attention(encoder, scans, GREY)
    assert np.allclose(class_attention(encoder, scans.rows(np.array([3])), GREY)[0], whole[3], atol=1e-6)
    assert np.array_equal(class_attention(encoder, nowhere(scans), GREY), whole), "the sector decides nothing"


def test_looking_changes_nothing(encoder, scans):
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    patch_colours(encoder, scans, GREY)
    class_attention(encoder, scans, GREY)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
    assert not encoder.blocks[-1].attn._forward_pre_hooks


def test_an_encoder_that_fails_keeps_no_hook(encoder):
    with pytest.raises(AssertionError):
        attention_weights(encoder, torch.zeros(1, 1, 16, 16))
    assert not encoder.blocks[-1].attn._forward_pre_hooks
