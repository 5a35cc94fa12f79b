import numpy as np
import pytest
import torch

from ultrafm.errors import UltraFMError
from ultrafm.pretraining import loop as loop_room
from ultrafm.pretraining.augmentation import random_crop_and_flip, random_gain
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.loop import (
    LearningRate,
    accumulate_gradients,
    epoch_batches,
    image_losses,
    make_optimizer,
    train,
)
from ultrafm.pretraining.masking import POLICIES
from ultrafm.pretraining.precision import choose_precision
from ultrafm.pretraining.recipe import SIZES, Recipe, build_model, recipe_of_size
from ultrafm.pretraining.reconstruct import reconstruct
from ultrafm.pretraining.scans import as_batch, as_scans, load_batches
from ultrafm.pretraining.views import training_view, with_content
from ultrafm.pretraining.weights import load_encoder, load_state, save_encoder, save_state

TINY = Recipe(image_size=32, width=32, depth=1, heads=2, decoder_width=16, decoder_depth=1, batch_size=4)
GREY = GreyScale(0.5, 0.25)


def tiny(**changes):
    return Recipe(**{**TINY.settings(), **changes})


def seeded(number=0):
    return torch.Generator().manual_seed(number)


@pytest.fixture(scope="module")
def stripes():
    """Twelve pictures of stripes at different angles: easy to learn, so that a loss must fall."""
    y, x = np.mgrid[:32, :32]
    angles = np.linspace(0, np.pi, 12, endpoint=False)
    waves = [np.sin((x * np.cos(angle) + y * np.sin(angle)) / 2) for angle in angles]
    return as_scans(((np.stack(waves) + 1) * 127).astype(np.uint8), np.ones((12, 32, 32), bool))


def run(scans, recipe=TINY, steps=4, rate=lambda step: 1e-3, seed=0, model=None):
    model = model or build_model(recipe, 0)
    optimizer = make_optimizer(model, recipe.weight_decay)
    batches = [*epoch_batches(len(scans), recipe.batch_size, steps, np.random.default_rng(0))][:steps]
    return model, train(model, optimizer, scans, batches, rate, GREY, recipe, seeded(seed))


def test_rate_rises_to_its_peak_and_falls_to_zero():
    rate = LearningRate(peak=2.0, warmup=0.25)
    assert [rate.at(0), rate.at(0.125), rate.at(0.25)] == [0, 1, 2]
    assert rate.at(0.625) == pytest.approx(1.0) and rate.at(1.0) == pytest.approx(0, abs=1e-12)


def test_the_rate_of_the_paper_grows_with_the_step():
    paper = recipe_of_size("base", batch_size=64, learning_rate=1.5e-4, scale_rate=True)
    assert paper.peak_rate == pytest.approx(3.75e-5)
    assert Recipe(learning_rate=1e-3, batch_size=64).peak_rate == 1e-3


def test_an_epoch_shows_every_image_once():
    batches = list(epoch_batches(10, 4, 2, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    assert sorted(np.concatenate(batches[:3])) == list(range(10))


def test_crop_and_flip_moves_picture_and_sector_together():
    pictures = torch.rand(6, 1, 32, 32)
    cropped, sectors = random_crop_and_flip(pictures, pictures.clone(), 0.5, seeded())
    assert torch.equal(cropped, sectors)


def test_depth_stays_downwards_and_half_the_pictures_are_mirrored():
    ramp = torch.linspace(0, 1, 32)
    depth = ramp[:, None].expand(64, 1, 32, 32)
    across = ramp[None, :].expand(64, 1, 32, 32)
    deep, wide = random_crop_and_flip(depth, across, 0.5, seeded())
    assert (deep[:, 0, 24].mean(dim=-1) > deep[:, 0, 8].mean(dim=-1)).all()
    mirrored = (wide[:, 0, :, 24].mean(dim=-1) < wide[:, 0, :, 8].mean(dim=-1)).float().mean()
    assert 0.3 < mirrored < 0.7


def test_gain_keeps_the_range():
    louder = random_gain(torch.rand(8, 1, 4, 4), 0.5, seeded())
    assert louder.min() >= 0 and louder.max() <= 1


def test_content_needs_half_a_patch():
    sectors = torch.zeros(1, 1, 16, 16)
    sectors[..., :4] = 1  # half of the left patches
    assert with_content(sectors, 8).tolist() == [[True, False, True, False]]


def test_biases_norms_tokens_and_positions_are_not_decayed():
    model = build_model(tiny(positions="learned", registers=True), 0)
    decayed, spared = make_optimizer(model, 0.05).param_groups
    assert decayed["weight_decay"] == 0.05 and spared["weight_decay"] == 0
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert len(decayed["params"]) + len(spared["params"]) == len(trained)
    names = {id(weight): name for name, weight in model.named_parameters()}
    spared = {names[id(weight)] for weight in spared["params"]}
    assert {"encoder.pos_embed", "encoder.cls_token", "encoder.reg_token", "mask_token"} <= spared
    others = {name for name in spared if name.count(".") > 1 and not name.startswith("acquisition.")}
    assert others and all(name.endswith("bias") or "norm" in name for name in others)
    assert {name for name in names.values() if name.startswith("acquisition.")} <= spared
    assert "encoder.patch_embed.proj.weight" in {names[id(weight)] for weight in decayed["params"]}


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="fp16"):
        choose_precision("fp16")


def test_small_steps_stay_in_full_precision(monkeypatch):
    monkeypatch.setattr("ultrafm.pretraining.precision.processor_has_bf16", lambda: True)
    assert choose_precision("auto", numbers=1000) == "fp32" and choose_precision("fp32", numbers=10**9) == "fp32"
    assert choose_precision("auto", numbers=recipe_of_size("base", image_size=224, batch_size=8).step_numbers) == "bf16"
    monkeypatch.setattr("ultrafm.pretraining.precision.processor_has_bf16", lambda: False)
    assert choose_precision("auto") == "fp32" and choose_precision("bf16") == "bf16"


def test_same_seed_same_weights_and_torchs_generator_untouched():
    before = torch.get_rng_state()
    first, again, other = build_model(TINY, 1), build_model(TINY, 1), build_model(TINY, 2)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.to_pixels.weight, again.to_pixels.weight)
    assert not torch.equal(first.to_pixels.weight, other.to_pixels.weight)


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_those_of_known_networks(size):
    recipe = recipe_of_size(size)
    assert recipe.width % (4 * recipe.heads) == 0
    if size == "base":
        with torch.device("meta"):
            model = build_model(recipe_of_size("base", image_size=224, patch_size=16), 0)
        assert sum(one.numel() for one in model.parameters()) == 111_907_840 - 2 * 256 * (768 + 512) - 512
        # the published 111,907,840 read and predict three equal colours where ours has one


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"masking": "textur"}, "did you mean 'texture'"),
        ({"mask_ratio": 1.0}, "mask ratio"),
        ({"mask_ratio": 0.0}, "mask ratio"),
        ({"mask_ratio": 0.99}, "keeps and hides a patch"),
        ({"scan_conversion": "corect"}, "did you mean 'correct'"),
        ({"precision": "fp16"}, "precision"),
        ({"decoded_share": 0.0}, "decoded_share"),
        ({"degraded_share": 1.5}, "degraded_share"),
        ({"accumulate": 5}, "at most one a picture"),
        ({"image_size": 30}, "a multiple of patch_size"),
        ({"warmup": 1.0}, "warmup"),
        ({"clip": 0.0}, "clip"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"depth": 0}, "depth: found 0"),
        ({"width": 30}, "multiple of 4 x heads"),
        ({"positions": "rotary"}, "positions"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(changes, says):
    with pytest.raises(UltraFMError, match=says):
        tiny(**changes)


def test_an_unknown_size_is_refused_with_a_hint():
    with pytest.raises(UltraFMError, match="did you mean 'base'"):
        recipe_of_size("bas")


@pytest.mark.parametrize("masking", POLICIES)
@pytest.mark.parametrize("conversion", ["none", "correct", "published"])
def test_every_recipe_trains_and_repeats_to_the_bit(stripes, masking, conversion):
    recipe = tiny(masking=masking, scan_conversion=conversion, degraded_share=0.5, decoded_share=0.5)
    first, loss = run(stripes, recipe)
    again, _ = run(stripes, recipe)
    assert np.isfinite(loss) and 0 < loss < 3
    assert torch.equal(first.to_pixels.weight, again.to_pixels.weight)


def test_the_clean_picture_is_the_target(stripes):
    view = training_view(as_batch(stripes, np.arange(8)), tiny(degraded_share=1.0), seeded())
    plain = training_view(as_batch(stripes, np.arange(8)), tiny(), seeded())
    assert torch.equal(view.clean, plain.clean) and torch.equal(view.keep, plain.keep)
    assert all((shown != clean).any() for shown, clean in zip(view.shown, view.clean))


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_parts_of_a_step_give_the_gradients_of_the_whole(stripes, parts):
    scans = as_scans(stripes.images, stripes.sectors.copy())
    scans.sectors[:3, :, :20] = False  # pictures with different numbers of scored patches
    view = training_view(as_batch(scans, np.arange(4)), tiny(masking="sector"), seeded())
    found = []
    for accumulate in (1, parts):
        model = build_model(TINY, 0)
        loss = accumulate_gradients(model, view, GREY, tiny(accumulate=accumulate))
        found.append((loss, model.to_pixels.weight.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-7)


def test_clipping_clips(stripes, monkeypatch):
    norms = []
    honest = torch.nn.utils.clip_grad_norm_

    def spy(parameters, largest):
        parameters = list(parameters)
        honest(parameters, largest)
        grads = [one.grad for one in parameters if one.grad is not None]
        norms.append(torch.cat([grad.flatten() for grad in grads]).norm().item())
        return torch.tensor(1.0)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spy)
    run(stripes, tiny(clip=0.01))
    assert len(norms) == 4 and max(norms) <= 0.01 * 1.001


def test_a_loss_that_is_not_finite_stops_before_any_weight_takes_harm(stripes, monkeypatch):
    model = build_model(TINY, 0)
    before = model.to_pixels.weight.clone()
    monkeypatch.setattr(loop_room, "accumulate_gradients", lambda *_: float("nan"))
    with pytest.raises(UltraFMError, match=r"step 1, pictures \d+, \d+, \d+, \d+: found a loss of nan"):
        run(stripes, model=model)
    assert torch.equal(before, model.to_pixels.weight)


def test_a_gradient_that_is_not_finite_stops_before_any_weight_takes_harm(stripes, monkeypatch):
    model = build_model(TINY, 0)
    before = model.to_pixels.weight.clone()

    def poison(model, *_):
        model.to_pixels.bias.grad = torch.full_like(model.to_pixels.bias, torch.inf)
        return 1.0

    monkeypatch.setattr(loop_room, "accumulate_gradients", poison)
    with pytest.raises(UltraFMError, match=r"found a gradient of (inf|nan); expected a gradient that is finite"):
        run(stripes, model=model)
    assert torch.equal(before, model.to_pixels.weight)


def test_pictures_of_another_size_are_named(stripes):
    with pytest.raises(UltraFMError, match="found pictures of 32x32 pixels; expected 64x64"):
        run(stripes, tiny(image_size=64))


def test_no_picture_at_all_is_an_error_and_one_is_enough(stripes):
    with pytest.raises(UltraFMError, match="no picture"):
        run(stripes.rows(np.arange(0)))
    _, loss = run(stripes.rows(np.arange(1)), tiny(batch_size=16), steps=2)
    assert loss > 0


def test_batches_larger_than_the_site_are_its_pictures(stripes):
    batches = list(epoch_batches(12, 64, 1, np.random.default_rng(0)))
    assert [len(one) for one in batches] == [12]
    assert run(stripes, tiny(batch_size=64), steps=1)[1] > 0


def test_batches_come_in_order_from_the_thread_too(stripes):
    rows = [np.array([3, 1]), np.array([0]), np.array([5, 6, 7])]
    device = torch.device("meta")  # stands for a card: batches are gathered in a thread
    found = [batch.rows.tolist() for batch in load_batches(stripes, rows, device)]
    assert found == [[3, 1], [0], [5, 6, 7]]
    with pytest.raises(IndexError):
        list(load_batches(stripes, [np.array([99])], device))


def test_registers_are_told_and_change_what_is_learnt(stripes):
    recipe = tiny(registers=True, batch_size=12)
    known = as_scans(stripes.images, stripes.sectors)
    known.scan_mode[:] = 1
    unknown, _ = run(stripes, recipe)
    told, _ = run(known, recipe)
    assert not torch.equal(unknown.to_pixels.weight, told.to_pixels.weight)
    assert told.acquisition.scan_mode.weight[1].any() and not unknown.acquisition.scan_mode.weight.any()


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


@pytest.mark.parametrize("masking", POLICIES)
def test_reconstruction_leaves_visible_patches_and_the_surroundings_alone(stripes, masking):
    scans = as_scans(stripes.images[:3], stripes.sectors[:3].copy())
    scans.sectors[:, :, :8] = False
    made = reconstruct(build_model(TINY, 0), scans, GREY, 0.5, seeded(), masking)
    seen = made.visible == made.original
    assert np.allclose(made.completed[seen], made.original[seen], atol=1e-5)
    assert seen[:, :, :8].all() and not seen.all()
    assert made.completed.min() >= 0 and made.completed.max() <= 1


def test_image_losses_do_not_depend_on_the_batch_or_on_the_training_masks(stripes):
    model = build_model(TINY, 0)
    losses = image_losses(model, stripes, GREY, TINY, seeded())
    assert losses.shape == (12,) and np.isfinite(losses).all() and (losses > 0).all()
    other = image_losses(model, stripes, GREY, tiny(masking="texture", degraded_share=0.5), seeded())
    assert np.array_equal(losses, other)
    in_turn = image_losses(model, stripes, GREY, tiny(decoded_share=0.5), seeded())
    assert in_turn == pytest.approx(losses, rel=0.1) and not np.array_equal(losses, in_turn)
    assert image_losses(model, stripes.rows(np.arange(0)), GREY, TINY, seeded()).shape == (0,)
