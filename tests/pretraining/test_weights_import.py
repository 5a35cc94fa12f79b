import io
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from made_checkpoints import MEAN, decoded, encoded, in_colours, random_mae, save_published
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from ultrafm.cli import main
from ultrafm.errors import UltraFMError
from ultrafm.files import hash_file, read_json
from ultrafm.pretraining.exchange.autoencoder import load_autoencoder, save_autoencoder
from ultrafm.pretraining.exchange.grey import Colours
from ultrafm.pretraining.exchange.importing import Wanted, import_checkpoint
from ultrafm.pretraining.exchange.telling import import_table
from ultrafm.pretraining.model import MaskedAutoencoder, sine_positions
from ultrafm.pretraining.weights import encoder_settings, load_encoder

SMALL = Wanted(heads=4, decoder_heads=2)  # of what `random_mae` makes


def grey_pictures(count=3, side=32):
    """Grey values from 0 to 1."""
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(5))


def features(folder, grey):
    """Tokens of an imported encoder, as whoever loads it with timm gets them."""
    encoder = load_encoder(folder)
    mean, deviation = encoder.pretrained_cfg["mean"][0], encoder.pretrained_cfg["std"][0]
    with torch.inference_mode():
        return encoder.forward_features((grey - mean) / deviation)


def without(tensors, *names):
    return {name: tensor for name, tensor in tensors.items() if name not in names}


# Features


@pytest.mark.slow
def test_a_published_vit_base_computes_what_the_paper_says(tmp_path):
    tensors = random_mae(224, 16, 768, 12, 512, 8)
    for name, tensor in tensors.items():
        if name.endswith("weight") and tensor.ndim == 2:
            tensor.mul_(0.5)
    assert sum(tensor.numel() for tensor in tensors.values()) == 111_907_840  # as published
    imported = import_checkpoint(save_published(tmp_path / "checkpoint.pth", tensors), tmp_path / "out")
    assert (imported.sizes.heads, imported.sizes.decoder_heads, imported.sizes.image_size) == (12, 16, 224)
    grey = grey_pictures(8, 224)
    with torch.inference_mode():
        expected = encoded(tensors, in_colours(grey), heads=12)
    assert (features(tmp_path / "out", grey) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("grey", [(None, None), (0.2, 0.31)])
def test_a_small_published_checkpoint_keeps_its_features(grey, tmp_path):
    tensors = random_mae()
    path = save_published(tmp_path / "checkpoint.pth", tensors)
    wanted = Wanted(heads=4, decoder_heads=2, grey_mean=grey[0], grey_deviation=grey[1])
    imported = import_checkpoint(path, tmp_path / "out", wanted)
    expected = encoded(tensors, in_colours(grey_pictures()), heads=4)
    assert (features(tmp_path / "out", grey_pictures()) - expected).abs().max() < 1e-5
    assert imported.layout == "mae"
    assert (imported.grey_scale.mean, imported.grey_scale.deviation) == pytest.approx((
        grey[0] or MEAN.mean().item(), grey[1] or 0.226
    ))  # fmt: skip


def test_the_decoder_predicts_the_mean_of_the_colours(tmp_path):
    tensors = random_mae(decoder_depth=2)
    import_checkpoint(save_published(tmp_path / "checkpoint.pth", tensors), tmp_path / "out", SMALL)
    model = load_autoencoder(tmp_path / "out" / "autoencoder.safetensors")
    assert model.decoder_norm.eps == 1e-6  # as in the paper's code
    order = torch.stack([torch.randperm(16, generator=torch.Generator().manual_seed(seed)) for seed in range(3)])
    keep, hidden = order.split([5, 11], dim=1)
    grey = grey_pictures()
    with torch.inference_mode():
        ours = model((grey - model_mean(tmp_path)) / model_deviation(tmp_path), keep, hidden)
    theirs = decoded(tensors, encoded(tensors, in_colours(grey), 4, keep), 2, keep)
    expected = torch.stack([picture[chosen] for picture, chosen in zip(theirs, hidden)])
    assert (ours - expected.reshape(3, 11, 64, 3).mean(dim=-1)).abs().max() < 1e-5


def model_mean(tmp_path):
    return read_json(tmp_path / "out" / "config.json")["pretrained_cfg"]["mean"][0]


def model_deviation(tmp_path):
    return read_json(tmp_path / "out" / "config.json")["pretrained_cfg"]["std"][0]


def small_vitmae(epsilon=1e-6):
    """Hugging Face's masked autoencoder with random weights that are not all nearly zero."""
    torch.manual_seed(3)
    config = ViTMAEConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=192, image_size=32, patch_size=8,
        decoder_hidden_size=24, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
        decoder_intermediate_size=96, layer_norm_eps=epsilon, mask_ratio=0.0, norm_pix_loss=True,
    )  # fmt: skip
    model = ViTMAEForPreTraining(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return model


def as_published(names):
    """Names as they are in the folders on the Hub, whatever the installed version writes."""
    return names.replace("decoder.decoder_encoder.layer.", "decoder.decoder_layers.")


@pytest.mark.parametrize("names", ["saved", "published", "in memory"])
def test_features_of_hugging_faces_vitmae(names, tmp_path):
    model, folder = small_vitmae(), tmp_path / "theirs"
    model.save_pretrained(folder)
    if names != "saved":
        from safetensors.torch import load_file

        tensors = load_file(folder / "model.safetensors") if names == "published" else model.state_dict()
        save_file({as_published(name): tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    imported = import_checkpoint(folder, tmp_path / "out")
    assert imported.layout == "vitmae" and imported.sizes.heads == 3 and imported.sizes.decoder_heads == 2
    in_order = torch.arange(16.0).expand(3, -1)
    with torch.inference_mode():
        expected = model.vit(in_colours(grey_pictures()), noise=in_order).last_hidden_state
    assert (features(tmp_path / "out", grey_pictures()) - expected).abs().max() < 1e-5
    assert (tmp_path / "out" / "autoencoder.safetensors").exists()
    assert read_json(tmp_path / "out" / "config.json")["ultrafm"]["imported from"]["settings"]["norm_pix_loss"] is True


def test_another_epsilon_in_layer_norms_is_told(tmp_path):
    small_vitmae(1e-12).save_pretrained(tmp_path / "theirs")
    assert "1e-12" in import_table(import_checkpoint(tmp_path / "theirs", tmp_path / "out"))


def small_timm(**changes):
    """A plain timm ViT of coloured pictures with a classifier."""
    torch.manual_seed(4)
    settings = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 1, "num_classes": 5}
    model = VisionTransformer(**settings | changes).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    return model


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_features_of_a_timm_model_with_its_own_normalisation(ending, tmp_path):
    model, path = small_timm(), tmp_path / f"model.{ending}"
    (save_file if ending == "safetensors" else torch.save)(dict(model.state_dict()), path)
    half = Colours((0.5,) * 3, (0.25,) * 3)
    imported = import_checkpoint(path, tmp_path / "out", Wanted(colours=half))
    expected = model.forward_features((grey_pictures().repeat(1, 3, 1, 1) - 0.5) / 0.25)
    assert (features(tmp_path / "out", grey_pictures()) - expected).abs().max() < 1e-5
    assert imported.layout == "timm" and not (tmp_path / "out" / "autoencoder.safetensors").exists()
    assert imported.ignored["head.weight"] == "a head of another task" and "decoder" in imported.new[0]


def test_a_position_for_each_patch_but_none_for_the_class_token(tmp_path):
    model = small_timm(no_embed_class=True)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    import_checkpoint(tmp_path / "model.pth", tmp_path / "out")
    expected = model.forward_features(in_colours(grey_pictures()))
    assert (features(tmp_path / "out", grey_pictures()) - expected).abs().max() < 1e-5


def test_a_timm_folder_of_ours_is_imported_bit_by_bit(tmp_path):
    path = save_published(tmp_path / "checkpoint.pth", random_mae())
    import_checkpoint(path, tmp_path / "first", Wanted(heads=4, decoder_heads=2, grey_mean=0.3))
    again = import_checkpoint(tmp_path / "first", tmp_path / "second")
    first, second = (load_encoder(tmp_path / name).state_dict() for name in ("first", "second"))
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
    assert again.grey_scale.mean == 0.3 and again.sizes.heads == 4


def test_dinos_teacher_is_taken_out_of_its_wrappers(tmp_path):
    model = small_timm()
    teacher = {f"backbone.{name}": tensor for name, tensor in model.state_dict().items()}
    student = {f"module.{name}": torch.zeros_like(tensor) for name, tensor in teacher.items()}
    torch.save({"student": student, "teacher": teacher, "epoch": 3}, tmp_path / "dino.pth")
    imported = import_checkpoint(tmp_path / "dino.pth", tmp_path / "out", Wanted(layout="dino"))
    expected = model.forward_features(in_colours(grey_pictures()))
    assert (features(tmp_path / "out", grey_pictures()) - expected).abs().max() < 1e-5
    assert imported.ignored["student"].startswith("dict") and imported.ignored["head.weight"]


def test_dinov2s_layer_scale_is_multiplied_in(tmp_path):
    model = small_timm(init_values=0.3)
    tensors = {name.replace("blocks.", "blocks.0."): tensor for name, tensor in model.state_dict().items()}
    torch.save(tensors | {"mask_token": torch.zeros(1, 64)}, tmp_path / "dinov2.pth")
    imported = import_checkpoint(tmp_path / "dinov2.pth", tmp_path / "out")
    expected = model.forward_features(in_colours(grey_pictures()))
    assert (features(tmp_path / "out", grey_pictures()) - expected).abs().max() < 1e-5
    assert imported.layout == "dino" and imported.ignored["mask_token"] == "no decoder is taken over"
    assert any("layer scale" in line.note for line in imported.matches)


def test_half_precision_is_widened(tmp_path):
    tensors = {name: tensor.half() for name, tensor in random_mae().items()}
    import_checkpoint(save_published(tmp_path / "checkpoint.pth", tensors), tmp_path / "out", SMALL)
    assert {weight.dtype for weight in load_encoder(tmp_path / "out").state_dict().values()} == {torch.float32}


def test_a_network_of_grey_pictures_stays_as_it_is(tmp_path):
    tensors = random_mae(colours=1)
    import_checkpoint(save_published(tmp_path / "checkpoint.pth", tensors), tmp_path / "out", SMALL)
    model = load_autoencoder(tmp_path / "out" / "autoencoder.safetensors")
    assert torch.equal(model.encoder.patch_embed.proj.weight, tensors["patch_embed.proj.weight"])
    assert torch.equal(model.to_pixels.weight, tensors["decoder_pred.weight"])
    assert model.encoder.pos_embed.requires_grad  # its positions are no sines


def test_register_tokens_stand_between_class_token_and_patches(tmp_path):
    model = small_timm(reg_tokens=4, no_embed_class=True)
    if "reg_tokens" not in encoder_settings(model):
        pytest.skip("save_encoder does not write register tokens")
    tensors = {name.replace("reg_token", "register_tokens"): tensor for name, tensor in model.state_dict().items()}
    place = torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(0))
    tensors["pos_embed"] = torch.cat([place, tensors["pos_embed"]], dim=1)  # as DINOv2 has it
    torch.save(tensors, tmp_path / "dinov2.pth")
    import_checkpoint(tmp_path / "dinov2.pth", tmp_path / "out")
    with torch.no_grad():
        model.cls_token.add_(place)
        expected = model.forward_features(in_colours(grey_pictures()))
    assert (features(tmp_path / "out", grey_pictures()) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("order", ["rows first", "columns first"])
def test_sine_positions_stay_fixed_when_training_goes_on(order, tmp_path):
    tensors = random_mae()
    sines = sine_positions(64, 4)
    tensors["pos_embed"][0, 1:] = sines if order == "rows first" else sines.roll(32, dims=1)
    import_checkpoint(save_published(tmp_path / "checkpoint.pth", tensors), tmp_path / "out", SMALL)
    model = load_autoencoder(tmp_path / "out" / "autoencoder.safetensors")
    assert not model.encoder.pos_embed.requires_grad and not model.decoder_positions.requires_grad
    assert torch.equal(model.encoder.pos_embed[0, 1:], tensors["pos_embed"][0, 1:])


# What is written and told


def test_where_weights_come_from_is_kept_with_them(tmp_path):
    path = save_published(tmp_path / "checkpoint.pth", random_mae())
    import_checkpoint(path, tmp_path / "out", Wanted(heads=4, decoder_heads=2, licence="CC BY-NC 4.0"))
    origin = read_json(tmp_path / "out" / "config.json")["ultrafm"]["imported from"]
    assert (origin["file"], origin["sha256"], origin["layout"]) == ("checkpoint.pth", hash_file(path), "mae")
    assert origin["licence"] == "CC BY-NC 4.0" and origin["settings"]["epoch"] == 7
    assert "/private" not in (tmp_path / "out" / "config.json").read_text()
    assert "license: cc-by-nc-4.0" in (tmp_path / "out" / "README.md").read_text()


def test_the_command_prints_what_became_of_each_tensor(tmp_path, capsys):
    path = save_published(tmp_path / "checkpoint.pth", random_mae())
    arguments = ["weights", "import", str(path), "--out", str(tmp_path / "out"), "--heads", "4", "--decoder-heads", "2"]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert "Layout: mae" in lines and "blocks.*.attn.qkv.weight encoder.blocks.*.attn.qkv.weight 192 x 64 x 2" in lines
    assert "decoder_pred.weight to_pixels.weight 64 x 32 mean of the colours, approximate" in lines
    assert "ignored: optimizer (dict of 2)" in lines and "ignored: args (settings)" in lines
    assert "--licence" in told and "not stated" in (tmp_path / "out" / "config.json").read_text()


def test_importing_draws_no_random_number(tmp_path):
    path = save_published(tmp_path / "checkpoint.pth", random_mae())
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    import_checkpoint(path, tmp_path / "out", SMALL)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("registers", [False, True])
def test_an_autoencoder_comes_back_as_it_was(registers, tmp_path):
    settings = {"positions": "learned", "decoder_heads": 4, "registers": registers}
    model = MaskedAutoencoder(32, 8, 32, 1, 2, 16, 1, **settings).eval()
    save_autoencoder(model, tmp_path / "a.safetensors")
    again = load_autoencoder(tmp_path / "a.safetensors")
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert again.encoder.pos_embed.requires_grad and again.decoder[0].attn.num_heads == 4
    pictures, order = torch.randn(2, 1, 32, 32), torch.arange(16).expand(2, -1)
    assert torch.equal(again(pictures, order[:, :4], order[:, 4:]), model(pictures, order[:, :4], order[:, 4:]))


@pytest.mark.parametrize("content", [b"", b"no tensors here", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_that_is_no_autoencoder_is_told(content, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(UltraFMError, match=r"a\.safetensors"):
        load_autoencoder(tmp_path / "a.safetensors")


# What is refused


def bad(change):
    """A small published checkpoint after a change."""
    tensors = random_mae()
    return change(tensors) or tensors


def with_nan(tensors):
    tensors["blocks.1.mlp.fc2.weight"][3, 5] = float("nan")


def with_infinity(tensors):
    tensors["norm.bias"][0] = float("inf")


def of_another_size(tensors):
    tensors["blocks.1.attn.proj.weight"] = torch.zeros(64, 32)


def too_many_pixels(tensors):
    tensors["decoder_pred.weight"] = torch.zeros(193, 32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_nan, ["tensor blocks.1.mlp.fc2.weight", "1 of 16384 numbers not finite", "finite numbers"]),
        (with_infinity, ["tensor norm.bias", "not finite"]),
        (of_another_size, ["tensor blocks.1.attn.proj.weight", "shape (64, 32)", "shape (64, 64)"]),
        (too_many_pixels, ["tensor decoder_pred.weight", "shape (193, 32)", "shape (192, 32)"]),
        (lambda t: without(t, "norm.weight"), ["tensor norm.weight", "no such tensor", "shape (64,)"]),
        (lambda t: without(t, "norm.weight", "norm.bias"), ["no such tensor, nor 1 more"]),
        (lambda t: without(t, "pos_embed"), ["tensor pos_embed", "no such tensor"]),
        (lambda t: without(t, "patch_embed.proj.weight"), ["tensor patch_embed.proj.weight", "no such tensor"]),
        (lambda t: without(t, *[n for n in t if n.startswith("blocks.0.mlp")]), ["tensor blocks.0.mlp.fc1.weight"]),
        (lambda t: {n.replace("blocks.1.", "blocks.8."): x for n, x in t.items()}, ["blocks.1.*", "blocks 0 to 8"]),
        (lambda t: t | {"dist_token": torch.zeros(1, 1, 64)}, ["tensor dist_token", "no place for"]),
        (lambda t: t | {"blocks.0.attn.q_norm.weight": torch.ones(16)}, ["blocks.0.attn.q_norm.weight"]),
        (lambda t: t | {"pos_embed": torch.zeros(1, 8, 64)}, ["8 positions", "square number"]),
        (lambda t: t | {"pos_embed": torch.zeros(17, 64)}, ["tensor pos_embed", "shape (17, 64)", "3 dimensions"]),
        (lambda t: t | {"patch_embed.proj.weight": torch.zeros(64, 4, 8, 8)}, ["4 colours"]),
        (lambda t: t | {"patch_embed.proj.weight": torch.zeros(64, 3, 8, 4)}, ["patches of 8 x 4"]),
        (lambda t: t | {"norm.bias": torch.zeros(64, dtype=torch.int64)}, ["tensor norm.bias", "int64"]),
        (lambda t: {"features.0.weight": torch.zeros(3)}, ["another network", "features.0.weight"]),
        (lambda t: t | {"module.norm.bias": t["norm.bias"]}, ["tensor norm.bias", "two of that name"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_tensor_is_told(change, words, tmp_path, capsys):
    path = save_published(tmp_path / "checkpoint.pth", bad(change))
    arguments = ["weights", "import", str(path), "--out", str(tmp_path / "out"), "--heads", "4", "--decoder-heads", "2"]
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert "checkpoint.pth" in told and "expected" in told
    for word in words:
        assert word in told
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_tensor_of_hugging_face_is_told_by_its_own_name(tmp_path):
    model = small_vitmae()
    tensors = without(model.state_dict(), "vit.layers.1.attention.o_proj.weight")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(
        UltraFMError, match=r"tensor vit\.encoder\.layer\.1\.attention\.output\.dense\.weight: found no"
    ):
        import_checkpoint(tmp_path, tmp_path / "out", Wanted(heads=3, decoder_heads=2))


def truncated(path, content):
    path.write_bytes(content[: len(content) // 2])


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def as_safetensors(tmp_path):
    save_file(random_mae(), tmp_path / "whole.safetensors")
    return (tmp_path / "whole.safetensors").read_bytes()


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_named_and_not_run(legacy, tmp_path):
    content = {"model": random_mae(), "hook": Harmful(tmp_path / "ran")}
    torch.save(content, tmp_path / "checkpoint.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UltraFMError, match=r"checkpoint\.pth: found pickled code: (posix|nt)\.system"):
        import_checkpoint(tmp_path / "checkpoint.pth", tmp_path / "out")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


def test_a_whole_pickled_network_is_refused(tmp_path):
    torch.save(small_timm(), tmp_path / "model.pth")
    with pytest.raises(UltraFMError, match=r"pickled code: timm\.models\.vision_transformer\.VisionTransformer"):
        import_checkpoint(tmp_path / "model.pth", tmp_path / "out")


def test_numpy_numbers_are_refused_by_name(tmp_path):
    torch.save({"model": random_mae(), "best": np.float64(0.9)}, tmp_path / "model.pth")
    with pytest.raises(UltraFMError, match=r"pickled code: numpy\."):
        import_checkpoint(tmp_path / "model.pth", tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda _: b"", "an empty file"),
        (lambda _: b"<!DOCTYPE html><title>Sign in</title>", "a file that begins with"),
        (lambda _: b"\x80\x02junk", "a file that torch cannot read"),
        (lambda _: pickle.dumps({"model": [1, 2]}), "a file that torch cannot read"),
        (lambda _: saved({}), "an empty dict"),
        (lambda _: saved({"model": {}}), "no tensor in it, only model"),
        (lambda _: saved({"epoch": 3}), "no tensor in it, only epoch"),
        (lambda _: saved([torch.zeros(2)]), "a list"),
        (lambda _: saved({"model": random_mae()})[:5000], "cut short"),
        (lambda path: as_safetensors(path)[:-100], "a safetensors file that is cut short or damaged"),
        (lambda path: as_safetensors(path)[:50], "a safetensors file that is cut short or damaged"),
    ],
)
def test_a_file_that_holds_no_weights_is_told(content, words, tmp_path):
    (tmp_path / "file.pth").write_bytes(content(tmp_path))
    with pytest.raises(UltraFMError) as told:
        import_checkpoint(tmp_path / "file.pth", tmp_path / "out")
    assert words in told.value.found and "file.pth" in told.value.where and told.value.mend
    assert not (tmp_path / "out").exists()


def test_a_missing_file_and_an_empty_folder_are_told(tmp_path):
    for place, words in ((tmp_path / "none.pth", "no such file"), (tmp_path, "a folder without weights")):
        with pytest.raises(UltraFMError, match=words):
            import_checkpoint(place, tmp_path / "out")


def test_nothing_of_a_user_is_replaced(tmp_path):
    path = save_published(tmp_path / "checkpoint.pth", random_mae())
    with pytest.raises(UltraFMError, match="a folder with something in it"):
        import_checkpoint(path, tmp_path, SMALL)
    with pytest.raises(UltraFMError, match="found a file"):
        import_checkpoint(path, path, SMALL)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(heads=7), "7 heads"),
        (Wanted(heads=4, decoder_heads=5), "5 heads"),
        (Wanted(heads=4, grey_deviation=0.0), "deviations above zero"),
        (Wanted(heads=4, grey_mean=float("nan")), "finite numbers"),
        (Wanted(heads=4, colours=Colours((0.5,), (0.5,))), "1 means and 1 deviations"),
        (Wanted(layout="vitmae", heads=4, decoder_heads=2), None),
    ],
)
def test_wishes_that_cannot_be_met_are_told(wanted, words, tmp_path):
    path = save_published(tmp_path / "checkpoint.pth", random_mae())
    if words is None:
        assert import_checkpoint(path, tmp_path / "out", wanted).sizes.decoder_width == 32
        return
    with pytest.raises(UltraFMError, match=words):
        import_checkpoint(path, tmp_path / "out", wanted)


def test_a_width_without_a_usual_number_of_heads_asks_for_one(tmp_path):
    path = save_published(tmp_path / "checkpoint.pth", random_mae(width=40))
    with pytest.raises(UltraFMError, match="--heads"):
        import_checkpoint(path, tmp_path / "out")


def test_a_decoder_is_left_out_when_asked(tmp_path):
    path = save_published(tmp_path / "checkpoint.pth", random_mae())
    imported = import_checkpoint(path, tmp_path / "out", Wanted(layout="timm", heads=4))
    assert imported.sizes.decoder_width == 0 and imported.ignored["decoder_pred.weight"] == "no decoder is taken over"


def test_another_programs_config_beside_the_file_is_not_believed(tmp_path):
    path = save_published(tmp_path / "checkpoint.pth", random_mae())
    config = {"pretrained_cfg": {"mean": [0.1] * 3, "std": "x"}, "model_args": {"num_heads": "many"}, "model_type": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    grey = import_checkpoint(path, tmp_path / "out", SMALL).grey_scale
    assert grey.mean == pytest.approx(0.449)
    assert import_checkpoint(path, tmp_path / "timm", Wanted(layout="timm", heads=4)).grey_scale == grey


def test_the_command_alone_imports_no_torch():
    code = "import sys; from ultrafm.cli import build_parser; build_parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_half_a_normalisation_is_refused(tmp_path, capsys):
    arguments = ["weights", "import", "x.pth", "--out", str(tmp_path / "out"), "--colour-mean", "0.5,0.5,0.5"]
    assert main(arguments) == 1
    assert "both or neither" in capsys.readouterr().err
