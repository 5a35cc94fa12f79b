import numpy as np
import pytest
import torch

from ultrafm.pretraining.model import (
    ABSENT,
    Acquisition,
    MaskedAutoencoder,
    mean_where,
    patch_statistics,
    patchify,
    reconstruction_errors,
    sine_positions,
    unpatchify,
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MaskedAutoencoder(
        image_size=32, patch_size=8, width=32, depth=2, heads=2, decoder_width=16, decoder_depth=1
    ).eval()


def test_patches_go_row_by_row():
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert patchify(picture, 2)[0, 1].tolist() == [2, 3, 6, 7]
    assert patchify(picture, 2)[0, 2].tolist() == [8, 9, 12, 13]


def test_unpatchify_is_the_inverse():
    picture = torch.randn(3, 1, 32, 32)
    assert torch.equal(unpatchify(patchify(picture, 8), 8), picture)


def loss_of(predicted, pictures, scored, patch):
    """Mean error over the scored ones of all patches."""
    everything = torch.arange(scored.shape[1]).expand(len(scored), -1)
    return mean_where(reconstruction_errors(predicted, pictures, everything, patch), scored)


def test_encoding_all_patches_equals_timms_own_forward(model):
    pictures, everything = torch.randn(2, 1, 32, 32), torch.arange(16).expand(2, -1)
    ours, theirs = model.encode(pictures, everything), model.encoder.forward_features(pictures)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_hidden_patches_do_not_reach_the_encoder(model):
    keep = torch.tensor([[0, 5, 9]])
    first, second = torch.randn(1, 1, 32, 32), torch.randn(1, 1, 32, 32)
    tiles = patchify(second, 8)
    tiles[:, [0, 5, 9]] = patchify(first, 8)[:, [0, 5, 9]]
    wanted = torch.tensor([[1, 2, 15]])
    assert torch.equal(model(first, keep, wanted), model(unpatchify(tiles, 8), keep, wanted))


def test_a_patch_is_placed_where_it_was(model):
    keep = torch.tensor([[3, 7]])
    moved = torch.tensor([[4, 7]])
    pictures, wanted = torch.randn(1, 1, 32, 32), torch.tensor([[0, 1]])
    assert not torch.allclose(model(pictures, keep, wanted), model(pictures, moved, wanted))


def test_a_place_without_patch_takes_no_part(model):
    pictures = torch.randn(2, 1, 32, 32)
    keep = torch.tensor([[0, 5, 9, ABSENT, ABSENT], [1, 2, 3, 4, 8]])
    wanted = torch.tensor([[1, 15, ABSENT], [0, 9, 10]])
    both = model(pictures, keep, wanted)
    alone = model(pictures[:1], keep[:1, :3], wanted[:1, :2])
    assert torch.allclose(both[:1, :2], alone, atol=1e-5)


def test_the_order_of_patches_does_not_matter(model):
    pictures, keep = torch.randn(1, 1, 32, 32), torch.tensor([[0, 5, 9]])
    forwards = model(pictures, keep, torch.tensor([[1, 2, 3]]))
    backwards = model(pictures, keep.flip(1), torch.tensor([[3, 2, 1]])).flip(1)
    assert torch.allclose(forwards, backwards, atol=1e-5)


def test_registers_start_as_if_they_were_not_there_and_then_tell():
    torch.manual_seed(0)
    model = MaskedAutoencoder(32, 8, 32, 2, 2, 16, 1, registers=True).eval()
    pictures, keep, wanted = torch.randn(2, 1, 32, 32), torch.tensor([[0, 5]] * 2), torch.tensor([[1, 2]] * 2)
    told = Acquisition(torch.tensor([1, 3]), torch.tensor([0.2, 0.0]))
    assert torch.equal(model(pictures, keep, wanted, told), model(pictures, keep, wanted))
    torch.nn.init.normal_(model.acquisition.spacing.weight)
    spoken = model(pictures, keep, wanted, told) != model(pictures, keep, wanted)
    assert spoken[0].any() and not spoken[1].any(), "only the first picture's spacing is known"
    assert model.encoder.forward_features(pictures).shape == (2, 3 + 16, 32)


def test_learned_positions_are_trained_and_fixed_ones_are_not():
    for positions, trained in (("sine", False), ("learned", True)):
        model = MaskedAutoencoder(32, 8, 32, 1, 2, 16, 1, positions=positions)
        assert model.encoder.pos_embed.requires_grad is trained
        assert model.decoder_positions.requires_grad is trained
    with pytest.raises(ValueError, match="rotary"):
        MaskedAutoencoder(32, 8, 32, 1, 2, 16, 1, positions="rotary")


def test_positions_are_all_different_and_bounded():
    positions = sine_positions(32, 8)
    distances = torch.cdist(positions, positions) + torch.eye(64) * 9
    assert positions.abs().max() <= 1 and distances.min() > 0.1


def test_perfect_prediction_costs_nothing_and_the_mean_costs_one():
    pictures = torch.randn(2, 1, 32, 32)
    target = patchify(pictures, 8)
    mean, deviation = patch_statistics(target)
    scored = torch.ones(2, 16, dtype=torch.bool)
    assert loss_of((target - mean) / deviation, pictures, scored, 8).item() == pytest.approx(0, abs=1e-9)
    guess = loss_of(torch.zeros_like(target), pictures, scored, 8).item()
    assert guess == pytest.approx(63 / 64, rel=2e-3)  # the biased variance over the unbiased one


def test_only_scored_patches_count():
    pictures = torch.randn(1, 1, 32, 32)
    predicted = torch.zeros(1, 16, 64)
    predicted[:, 3] = 100.0
    scored = torch.ones(1, 16, dtype=torch.bool)
    scored[:, 3] = False
    assert loss_of(predicted, pictures, scored, 8) < 1.1
    assert loss_of(predicted, pictures, torch.zeros_like(scored), 8) == 0


def test_flat_patches_give_finite_losses():
    predicted = torch.zeros(1, 16, 64)
    assert np.isfinite(loss_of(predicted, torch.zeros(1, 1, 32, 32), torch.ones(1, 16).bool(), 8).item())


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiple"):
        MaskedAutoencoder(image_size=30, patch_size=8)
