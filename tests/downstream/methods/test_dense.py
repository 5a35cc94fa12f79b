from __future__ import annotations

import made_tasks
import numpy as np
import pytest
import torch
from segmentation_models_pytorch.encoders.timm_vit import TimmViTEncoder

from ultrafm.downstream.methods import dense
from ultrafm.downstream.methods.dense import DenseNetwork, draw_densely
from ultrafm.downstream.methods.drawing import mean_dice
from ultrafm.downstream.methods.features import as_input
from ultrafm.downstream.tasks import turns
from ultrafm.errors import UltraFMError


def made_network(structures: int = 1, **changes: int) -> tuple[torch.nn.Module, DenseNetwork]:
    encoder = made_tasks.tiny_encoder(**{"img_size": 64, "depth": 4} | changes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return encoder, DenseNetwork(encoder, structures).eval()


def test_the_tokens_inside_are_those_of_our_encoder():
    encoder, network = made_network(depth=8)
    pictures = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        patches, prefixes = network.levels(pictures)
        ours = encoder.forward_intermediates(
            as_input(encoder, pictures), indices=[1, 3, 5, 7], intermediates_only=True, return_prefix_tokens=True
        )
    assert len(patches) == 4 and patches[0].shape == (2, 24, 8, 8)
    for level, (own, prefix) in enumerate(ours):
        assert torch.allclose(patches[level], own, atol=1e-5) and torch.allclose(prefixes[level], prefix, atol=1e-5)


def test_the_decoder_is_fed_as_the_library_feeds_it():
    encoder, network = made_network(depth=12)
    settings = {"img_size": 64, "patch_size": 8, "embed_dim": 24, "num_heads": 2, "num_classes": 0}
    with torch.random.fork_rng():
        theirs = TimmViTEncoder("vit_tiny_patch16_224", pretrained=False, in_channels=1, depth=4, **settings).eval()
    theirs.model.load_state_dict(encoder.state_dict())
    pictures = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        expected, found = theirs(as_input(encoder, pictures)), network.levels(pictures)
    for one, other in zip((*expected[0], *expected[1]), (*found[0], *found[1]), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    "changes", [{}, {"img_size": 32, "depth": 2}, {"patch_size": 16, "in_chans": 3}, {"img_size": 96, "reg_tokens": 2}]
)
def test_logits_have_the_size_of_the_pictures_whatever_the_encoder_reads(changes):
    _, network = made_network(structures=3, **changes)
    if "in_chans" in changes:
        network.encoder.pretrained_cfg |= {"mean": (0.3,) * 3, "std": (0.2,) * 3}
    assert network.logits(torch.rand(2, 1, 64, 64), "fp32").shape == (2, 3, 64, 64)
    assert network.shares(np.zeros((2, 64, 64), np.uint8)).shape == (2, 3, 64, 64)


def test_patches_that_cannot_be_scaled_by_two_are_a_clear_error():
    with pytest.raises(UltraFMError, match="5 x 5 patches of 14 pixels"):
        made_network(img_size=70, patch_size=14)
    with pytest.raises(UltraFMError, match="pictures of a multiple of 32 pixels"):
        made_network(img_size=80)


@pytest.mark.parametrize("frozen", [True, False])
def test_discs_are_drawn_and_only_what_may_learn_does(frozen, monkeypatch):
    data, encoder = made_tasks.made_segmentation(np.random.default_rng(0)), made_tasks.tiny_encoder()
    (turn,), networks = turns(data), []

    def caught(*settings: object) -> DenseNetwork:
        networks.append(DenseNetwork(*settings))
        return networks[-1]

    monkeypatch.setattr(dense, "DenseNetwork", caught)
    masks = [
        dense.draw_densely(encoder, data, turn, 3, "fp32", torch.Generator().manual_seed(0), frozen).masks for _ in "ab"
    ]
    assert (masks[0] == masks[1]).all()  # dropout and first weights come from the generator
    assert mean_dice(masks[0], data.truth[turn.predict], 1) > 0.6
    inside = networks[0].encoder.state_dict()
    same = [(weight == inside[name]).all() for name, weight in encoder.state_dict().items()]
    assert all(same) if frozen else not all(same)


def test_test_masks_change_nothing():
    data, encoder = made_tasks.made_structures(np.random.default_rng(0)), made_tasks.tiny_encoder()
    (turn,) = turns(data)
    hidden = data.truth.copy()
    hidden[turn.predict] = 0
    blind = type(data)(**{**vars(data), "truth": hidden})
    masks = [
        draw_densely(encoder, one, turn, 1, "fp32", torch.Generator().manual_seed(0), True).masks
        for one in (data, blind)
    ]
    assert (masks[0] == masks[1]).all() and masks[0].max() <= 2
