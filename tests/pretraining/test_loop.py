import numpy as np
import pytest
import torch

from ultrafm.pretraining.augmentation import random_crop_and_flip, random_gain
from ultrafm.pretraining.central import batches_per_round, pretrain_centrally, round_batches
from ultrafm.pretraining.loop import (
    GreyScale,
    LearningRate,
    choose_precision,
    epoch_batches,
    image_losses,
    make_optimizer,
    with_content,
)
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.pretraining.reconstruct import reconstruct
from ultrafm.pretraining.weights import load_encoder, load_state, save_encoder, save_state

TINY = Recipe(image_size=32, width=32, depth=1, heads=2, decoder_width=16, decoder_depth=1, batch_size=4)
GREY = GreyScale(0.5, 0.25)


@pytest.fixture(scope="module")
def stripes():
    """Twelve pictures of stripes at different angles: easy to learn, so that a loss must fall."""
    y, x = np.mgrid[:32, :32]
    angles = np.linspace(0, np.pi, 12, endpoint=False)
    waves = [np.sin((x * np.cos(angle) + y * np.sin(angle)) / 2) for angle in angles]
    return ((np.stack(waves) + 1) * 127).astype(np.uint8), np.ones((12, 32, 32), bool)


def test_rate_rises_to_its_peak_and_falls_to_zero():
    rate = LearningRate(peak=2.0, warmup=0.25)
    assert [rate.at(0), rate.at(0.125), rate.at(0.25)] == [0, 1, 2]
    assert rate.at(0.625) == pytest.approx(1.0) and rate.at(1.0) == pytest.approx(0, abs=1e-12)


def test_an_epoch_shows_every_image_once():
    batches = list(epoch_batches(10, 4, 2, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    assert sorted(np.concatenate(batches[:3])) == list(range(10))


@pytest.mark.parametrize(("images", "pictures"), [(10, 25), (10, 10), (3, 40), (50, 20)])
def test_a_central_round_shows_the_pictures_it_should(images, pictures):
    batches = list(round_batches(images, 4, pictures, np.random.default_rng(0)))
    assert len(batches) == batches_per_round(images, 4, pictures)
    assert pictures <= sum(map(len, batches)) < pictures + 4


def test_crop_and_flip_moves_picture_and_sector_together():
    pictures = torch.rand(6, 1, 32, 32)
    cropped, sectors = random_crop_and_flip(pictures, pictures.clone(), 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(cropped, sectors)


def test_depth_stays_downwards_and_half_the_pictures_are_mirrored():
    ramp = torch.linspace(0, 1, 32)
    depth = ramp[:, None].expand(64, 1, 32, 32)
    across = ramp[None, :].expand(64, 1, 32, 32)
    deep, wide = random_crop_and_flip(depth, across, 0.5, torch.Generator().manual_seed(0))
    assert (deep[:, 0, 24].mean(dim=-1) > deep[:, 0, 8].mean(dim=-1)).all()
    mirrored = (wide[:, 0, :, 24].mean(dim=-1) < wide[:, 0, :, 8].mean(dim=-1)).float().mean()
    assert 0.3 < mirrored < 0.7


def test_gain_keeps_the_range():
    louder = random_gain(torch.rand(8, 1, 4, 4), 0.5, torch.Generator().manual_seed(0))
    assert louder.min() >= 0 and louder.max() <= 1


def test_content_needs_half_a_patch():
    sectors = torch.zeros(1, 1, 16, 16)
    sectors[..., :4] = 1  # half of the left patches
    assert with_content(sectors, 8).tolist() == [[True, False, True, False]]


def test_biases_and_norms_are_not_decayed():
    model = build_model(TINY, 0)
    decayed, spared = make_optimizer(model, 0.05).param_groups
    assert decayed["weight_decay"] == 0.05 and spared["weight_decay"] == 0
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert len(decayed["params"]) + len(spared["params"]) == len(trained)
    assert all(weight.ndim == 2 for weight in decayed["params"])


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="fp16"):
        choose_precision("fp16")


def test_same_seed_same_weights_and_torchs_generator_untouched():
    before = torch.get_rng_state()
    first, again, other = build_model(TINY, 1), build_model(TINY, 1), build_model(TINY, 2)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.to_pixels.weight, again.to_pixels.weight)
    assert not torch.equal(first.to_pixels.weight, other.to_pixels.weight)


def train_centrally(folder, stripes, rounds):
    return pretrain_centrally("pooled", folder, TINY, *stripes, stripes, GREY, rounds, 60, seed=3)


def test_training_lowers_the_loss(tmp_path, stripes):
    _, history = train_centrally(tmp_path, stripes, 8)
    assert history[-1]["validation_loss"] < 0.9 * history[0]["validation_loss"]


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path, stripes):
    class Interrupted(Exception):
        pass

    def stop_after_two(number, _loss):
        if number == 2:
            raise Interrupted

    whole, _ = train_centrally(tmp_path / "whole", stripes, 4)
    with pytest.raises(Interrupted):
        pretrain_centrally("pooled", tmp_path / "cut", TINY, *stripes, stripes, GREY, 4, 60, 3, on_round=stop_after_two)
    assert load_state(tmp_path / "cut" / "state.safetensors")[1]["round"] == 2
    resumed, _ = train_centrally(tmp_path / "cut", stripes, 4)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_a_state_of_other_settings_is_not_continued(tmp_path, stripes):
    train_centrally(tmp_path, stripes, 2)
    _, history = train_centrally(tmp_path, stripes, 3)
    assert [row["round"] for row in history] == [0, 1, 2, 3]
    fresh, _ = train_centrally(tmp_path / "fresh", stripes, 3)
    again, _ = train_centrally(tmp_path, stripes, 3)
    assert torch.equal(fresh.to_pixels.weight, again.to_pixels.weight)


def test_encoders_survive_the_disk_and_keep_their_grey_scale(tmp_path):
    model = build_model(TINY, 0).eval()
    save_encoder(model, tmp_path / "encoder", GREY, {"arm": "federated"})
    loaded = load_encoder(tmp_path / "encoder")
    picture = torch.randn(2, 1, 32, 32)
    assert torch.equal(loaded.forward_features(picture), model.encoder.forward_features(picture))
    assert list(loaded.pretrained_cfg["mean"]) == [0.5] and list(loaded.pretrained_cfg["std"]) == [0.25]
    assert loaded.num_prefix_tokens == 1 and loaded.patch_embed.patch_size == (8, 8)


def test_half_written_state_is_never_seen(tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    save_state(path, {"a": torch.zeros(2)}, {"round": 1})
    monkeypatch.setattr("ultrafm.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        save_state(path, {"a": torch.ones(2)}, {"round": 2})
    assert load_state(path)[1] == {"round": 1} and list(tmp_path.iterdir()) == [path]


def test_reconstruction_leaves_visible_patches_and_the_surroundings_alone(stripes):
    images, sectors = stripes[0][:3], stripes[1][:3].copy()
    sectors[:, :, :8] = False
    made = reconstruct(build_model(TINY, 0), images, sectors, GREY, 0.5, torch.Generator().manual_seed(0))
    seen = made.visible == made.original
    assert np.allclose(made.completed[seen], made.original[seen], atol=1e-5)
    assert seen[:, :, :8].all() and not seen.all()
    assert made.completed.min() >= 0 and made.completed.max() <= 1


def test_image_losses_do_not_depend_on_the_batch(stripes):
    model = build_model(TINY, 0)
    losses = image_losses(model, *stripes, GREY, 0.5, "fp32", torch.Generator().manual_seed(0))
    assert losses.shape == (12,) and np.isfinite(losses).all() and (losses > 0).all()
    assert image_losses(model, stripes[0][:0], stripes[1][:0], GREY, 0.5, "fp32", torch.Generator()).shape == (0,)
