import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from made_checkpoints import random_mae, save_published
from transformers import ViTMAEForPreTraining

from ultrafm.cli import main
from ultrafm.errors import UltraFMError
from ultrafm.files import read_json
from ultrafm.pretraining.exchange import exporting
from ultrafm.pretraining.exchange.autoencoder import load_autoencoder, save_autoencoder
from ultrafm.pretraining.exchange.exporting import export_weights
from ultrafm.pretraining.exchange.importing import Wanted, import_checkpoint
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.weights import load_encoder, save_encoder

GREY = GreyScale(0.3, 0.2)


def made_folder(folder, decoder=True, **settings):
    """An encoder, with its decoder if asked for, as a study leaves it."""
    torch.manual_seed(1)
    model = MaskedAutoencoder(**{"image_size": 32, "width": 32, "depth": 2, "heads": 2, "decoder_width": 16} | settings)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    save_encoder(model, folder, GREY, {"arm": "federated", "sites": ["site_01"], "recipe": {"mask_ratio": 0.6}})
    if decoder:
        save_autoencoder(model, folder / "autoencoder.safetensors")
    return model.eval()


def test_timm_loads_what_was_exported_bit_by_bit(tmp_path):
    model = made_folder(tmp_path / "ours")
    export_weights(tmp_path / "ours", "timm", tmp_path / "timm")
    loaded = timm.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True)
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in model.encoder.state_dict().items())
    assert loaded.pretrained_cfg["mean"] == [0.3] or loaded.pretrained_cfg["mean"] == (0.3,)
    assert "# Ultrasound encoder" in (tmp_path / "timm" / "README.md").read_text()
    assert load_autoencoder(tmp_path / "timm" / "autoencoder.safetensors").patch_size == 8


def test_transformers_predicts_what_we_predict(tmp_path):
    model = made_folder(tmp_path / "ours")
    export_weights(tmp_path / "ours", "vitmae", tmp_path / "vitmae")
    theirs, info = ViTMAEForPreTraining.from_pretrained(tmp_path / "vitmae", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert (theirs.config.num_channels, theirs.config.norm_pix_loss, theirs.config.mask_ratio) == (1, True, 0.6)
    pictures, noise = torch.randn(3, 1, 32, 32), torch.rand(3, 16)
    with torch.inference_mode():
        output = theirs.eval()(pictures, noise=noise)
        keep, hidden = noise.argsort(dim=1).split([6, 10], dim=1)
        ours = model(pictures, keep, hidden)
    expected = torch.stack([row[chosen] for row, chosen in zip(output.logits, hidden)])
    assert output.mask.sum() == 30 and (ours - expected).abs().max() < 5e-5


def test_hugging_faces_processor_prepares_grey_pictures(tmp_path):
    from transformers import AutoImageProcessor

    made_folder(tmp_path / "ours")
    export_weights(tmp_path / "ours", "vitmae", tmp_path / "vitmae")
    processor = AutoImageProcessor.from_pretrained(tmp_path / "vitmae")
    picture = np.full((1, 32, 32), 128, np.uint8)
    prepared = processor(picture, input_data_format="channels_first", return_tensors="pt")["pixel_values"]
    assert prepared.shape == (1, 1, 32, 32) and prepared.mean().item() == pytest.approx(
        (128 / 255 - 0.3) / 0.2, abs=1e-4
    )


def test_an_imported_checkpoint_goes_on_to_transformers_and_back(tmp_path):
    path = save_published(tmp_path / "checkpoint.pth", random_mae())
    import_checkpoint(path, tmp_path / "ours", Wanted(heads=4, decoder_heads=2))
    export_weights(tmp_path / "ours", "vitmae", tmp_path / "vitmae")
    back = import_checkpoint(tmp_path / "vitmae", tmp_path / "back")
    assert (back.sizes.heads, back.sizes.decoder_heads, back.sizes.channels) == (4, 2, 1)
    for name in ("ours", "back"):
        assert (tmp_path / name / "autoencoder.safetensors").exists()
    ours, again = (
        load_autoencoder(tmp_path / name / "autoencoder.safetensors").state_dict() for name in ("ours", "back")
    )
    assert all(torch.equal(again[name], tensor) for name, tensor in ours.items())


def test_onnx_computes_the_same_tokens_for_any_number_of_pictures(tmp_path, capsys):
    model = made_folder(tmp_path / "ours", decoder=False)
    assert main(["weights", "export", str(tmp_path / "ours"), "--form", "onnx", "--out", str(tmp_path / "onnx")]) == 0
    assert "onnxruntime and torch differ by" in capsys.readouterr().out
    onnx.checker.check_model(tmp_path / "onnx" / "encoder.onnx", full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "encoder.onnx")
    assert [entry.name for entry in (*session.get_inputs(), *session.get_outputs())] == ["pictures", "tokens"]
    for count in (1, 5):
        pictures = torch.rand(count, 1, 32, 32)
        (tokens,) = session.run(None, {"pictures": pictures.numpy()})
        with torch.inference_mode():
            expected = model.encoder.forward_features(GREY.apply(pictures))
        assert tokens.shape == (count, 17, 32) and np.abs(tokens - expected.numpy()).max() < 1e-4
    assert "library_name: onnx" in (tmp_path / "onnx" / "README.md").read_text()


def test_onnx_as_one_file_has_its_card_beside_it(tmp_path):
    made_folder(tmp_path / "ours", decoder=False)
    export_weights(tmp_path / "ours", "onnx", tmp_path / "new" / "encoder.onnx")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["encoder.md", "encoder.onnx"]


@pytest.mark.parametrize(("form", "place"), [("onnx", "out"), ("onnx", "out.onnx"), ("vitmae", "out")])
def test_an_export_that_computes_something_else_is_not_put_in_place(form, place, tmp_path, monkeypatch):
    made_folder(tmp_path / "ours")
    monkeypatch.setattr(exporting, "TOLERANCE", 0.0)
    with pytest.raises(UltraFMError, match="differ from ours"):
        export_weights(tmp_path / "ours", form, tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


def test_more_than_one_onnx_file_may_hold_is_refused(tmp_path, monkeypatch):
    made_folder(tmp_path / "ours", decoder=False)
    monkeypatch.setattr(exporting, "ONNX_LIMIT", 10)
    with pytest.raises(UltraFMError, match="as one ONNX file may hold"):
        export_weights(tmp_path / "ours", "onnx", tmp_path / "out")


def test_vitmae_needs_the_decoder(tmp_path, capsys):
    made_folder(tmp_path / "ours", decoder=False)
    assert main(["weights", "export", str(tmp_path / "ours"), "--form", "vitmae", "--out", str(tmp_path / "out")]) == 1
    assert "no autoencoder.safetensors" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_vitmae_has_no_place_for_registers(tmp_path):
    made_folder(tmp_path / "ours")
    save_autoencoder(MaskedAutoencoder(32, registers=True), tmp_path / "ours" / "autoencoder.safetensors")
    with pytest.raises(UltraFMError, match="register tokens"):
        export_weights(tmp_path / "ours", "vitmae", tmp_path / "out")


def test_a_decoder_of_another_model_is_not_exported(tmp_path):
    made_folder(tmp_path / "ours")
    made_folder(tmp_path / "other", depth=1)
    (tmp_path / "other" / "autoencoder.safetensors").replace(tmp_path / "ours" / "autoencoder.safetensors")
    with pytest.raises(UltraFMError, match="another encoder"):
        export_weights(tmp_path / "ours", "vitmae", tmp_path / "out")


def test_nothing_of_a_user_is_replaced_by_an_export(tmp_path):
    made_folder(tmp_path / "ours")
    before = read_json(tmp_path / "ours" / "config.json")
    with pytest.raises(UltraFMError, match="a new place"):
        export_weights(tmp_path / "ours", "timm", tmp_path / "ours")
    assert read_json(tmp_path / "ours" / "config.json") == before


@pytest.mark.parametrize("damage", ["missing", "no model", "cut short", "another form", "no JSON"])
def test_a_folder_without_an_encoder_is_told(damage, tmp_path):
    folder = tmp_path / "ours"
    if damage != "missing":
        made_folder(folder)
    weights = folder / "model.safetensors"
    if damage == "no model":
        weights.unlink()
    if damage == "cut short":
        weights.write_bytes(weights.read_bytes()[:500])
    if damage == "another form":
        (folder / "config.json").write_text('{"model_type": "vit_mae"}')
    if damage == "no JSON":
        (folder / "config.json").write_text("{")
    with pytest.raises(UltraFMError, match="ours"):
        export_weights(folder, "timm", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_form_is_told(tmp_path):
    with pytest.raises(UltraFMError, match="timm, vitmae, onnx"):
        export_weights(tmp_path, "keras", tmp_path / "out")


def test_load_encoder_and_export_agree_on_the_grey_scale(tmp_path):
    made_folder(tmp_path / "ours")
    export_weights(tmp_path / "ours", "vitmae", tmp_path / "vitmae")
    told = read_json(tmp_path / "vitmae" / "preprocessor_config.json")
    assert told["image_mean"] == list(load_encoder(tmp_path / "ours").pretrained_cfg["mean"])
