"""From an encoder of this project to the forms that other projects load."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ultrafm.errors import UltraFMError
from ultrafm.files import read_json, replacing, write_bytes, write_json, write_text
from ultrafm.pretraining.exchange.autoencoder import FILE, load_autoencoder
from ultrafm.pretraining.exchange.card import CARD, model_card, write_card
from ultrafm.pretraining.exchange.layouts import plain_name, vitmae_names
from ultrafm.pretraining.exchange.places import open_encoder, refuse_full
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder, take

ONNX_FILE = "encoder.onnx"
ONNX_LIMIT = 2_000_000_000  # bytes that one ONNX file may hold
TOLERANCE = 1e-4  # largest difference between what an export computes and what torch does here


@dataclass(frozen=True)
class Exported:
    """Where an export lies, and what was checked, in a sentence."""

    place: Path
    checked: str


def export_weights(folder: Path, form: str, place: Path) -> Exported:
    """Write the weights in `folder`, as `save_encoder` or an import left them, to `place` in another form.

    "timm": a folder for `timm.create_model`. "vitmae": a folder for Hugging Face's `ViTMAEForPreTraining`; needs the
    decoder (autoencoder.safetensors). "onnx": a folder with encoder.onnx, or that file alone when `place` ends with
    .onnx. A model card goes with each. Raises UltraFMError for what cannot be exported; nothing is left then.
    """
    writers: dict[str, Callable[[Path, Path, VisionTransformer], str]] = {
        "timm": to_timm,
        "vitmae": to_vitmae,
        "onnx": to_onnx,
    }
    if form not in writers:
        raise UltraFMError("--form", repr(form), f"one of {', '.join(writers)}")
    folder, place = Path(folder), Path(place)
    refuse_full(place)
    return Exported(place, writers[form](folder, place, open_encoder(folder)))


def grey_scale_of(folder: Path) -> GreyScale:
    """The grey normalisation of the encoder in `folder`."""
    told = read_json(folder / "config.json")["pretrained_cfg"]
    return GreyScale(told["mean"][0], told["std"][0])


def to_timm(folder: Path, place: Path, encoder: VisionTransformer) -> str:
    """Copy a timm folder, bit by bit; the decoder goes with it if there is one."""
    with replacing(place) as temporary:
        temporary.mkdir()
        for name in ("config.json", "model.safetensors", FILE):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, temporary / name)
        write_card(temporary)
        if not same_weights(open_encoder(temporary), encoder):
            found = "other weights than in the original"
            raise UltraFMError(str(place), found, "the same, bit by bit", "export again; if that fails, check the disk")
    return f"timm loads it; {len(encoder.state_dict())} tensors are the same bit by bit"


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Have two networks the same tensors, bit by bit?"""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(second[name], tensor) for name, tensor in first.items())


def to_vitmae(folder: Path, place: Path, encoder: VisionTransformer) -> str:
    """Write encoder and decoder as a Hugging Face folder, and compare predictions before it is put in place.

    Raises UltraFMError without a decoder, and for an encoder with registers, which that form has no place for.
    """
    model = open_autoencoder(folder, encoder)
    config = read_json(folder / "config.json")
    with replacing(place) as temporary:
        temporary.mkdir()
        write_json(temporary / "config.json", vitmae_config(model, config.get("ultrafm") or {}))
        write_json(temporary / "preprocessor_config.json", vitmae_preprocessor(model, grey_scale_of(folder)))
        write_bytes(temporary / "model.safetensors", save(vitmae_tensors(model), metadata={"format": "pt"}))
        write_text(temporary / CARD, model_card(config, "vitmae"))
        difference = vitmae_difference(model, temporary)
        refuse_difference(place, "predicted pixels", difference)
    return f"predictions of transformers and of UltraFM differ by {difference:.1e} at most (allowed: {TOLERANCE:.0e})"


def open_autoencoder(folder: Path, encoder: VisionTransformer) -> MaskedAutoencoder:
    """The autoencoder in `folder`. Raises UltraFMError unless it is there, without registers, and of this encoder."""
    if not (folder / FILE).is_file():
        found = f"no {FILE}: an encoder alone"
        mend = "export as timm or onnx, or import a checkpoint that holds a decoder"
        raise UltraFMError(str(folder), found, "an encoder with its decoder", mend)
    model = load_autoencoder(folder / FILE)
    if model.encoder.reg_token is not None:
        raise UltraFMError(
            str(folder), "register tokens", "none: ViTMAE has no place for them", "export as timm or onnx"
        )
    if not same_weights(model.encoder, encoder):
        found, expected = "another encoder than in model.safetensors", "the decoder of the same model"
        raise UltraFMError(str(folder / FILE), found, expected, "write both again")
    return model


@torch.inference_mode()
def vitmae_difference(model: MaskedAutoencoder, folder: Path) -> float:
    """Largest difference between what `model` and the ViTMAE in `folder` predict of two half hidden pictures."""
    from transformers import ViTMAEForPreTraining
    from transformers.utils import logging

    logging.disable_progress_bar()
    theirs = ViTMAEForPreTraining.from_pretrained(folder, local_files_only=True, mask_ratio=0.5).eval()
    side, patches = model.encoder.patch_embed.img_size[0], model.encoder.patch_embed.num_patches
    generator = torch.Generator().manual_seed(0)
    pictures, noise = torch.randn(2, 1, side, side, generator=generator), torch.rand(2, patches, generator=generator)
    order = noise.argsort(dim=1)
    keep, hidden = order.split([patches // 2, patches - patches // 2], dim=1)
    return float((take(theirs(pictures, noise=noise).logits, hidden) - model(pictures, keep, hidden)).abs().max())


def refuse_difference(place: Path, what: str, difference: float) -> None:
    """Raise UltraFMError when an export computes something else than torch does here; NaN counts as such."""
    if not difference <= TOLERANCE:
        found = f"{what} that differ from ours by {difference:.1e}"
        mend = "export as timm, and report which versions were used"
        raise UltraFMError(str(place), found, f"at most {TOLERANCE:.0e}", mend)


def vitmae_tensors(model: MaskedAutoencoder) -> dict[str, torch.Tensor]:
    """The weights by their names in `ViTMAEForPreTraining`."""
    tensors = {}
    for ours, tensor in model.state_dict().items():
        names = vitmae_names(plain_name(ours))
        tensors |= {name: part.contiguous().clone() for name, part in zip(names, tensor.chunk(len(names)))}
    return tensors


def vitmae_config(model: MaskedAutoencoder, about: dict[str, Any]) -> dict[str, Any]:
    """The config.json of a ViTMAE folder; `about` is the encoder's description."""
    encoder, decoder = model.encoder, model.to_decoder.out_features
    told = about.get("imported from", {}).get("settings", {}) | (about.get("recipe") or {})
    return {
        "architectures": ["ViTMAEForPreTraining"],
        "model_type": "vit_mae",
        "hidden_size": encoder.embed_dim,
        "num_hidden_layers": len(encoder.blocks),
        "num_attention_heads": encoder.blocks[0].attn.num_heads,
        "intermediate_size": encoder.blocks[0].mlp.fc1.out_features,
        "hidden_act": "gelu",
        "layer_norm_eps": encoder.norm.eps,
        "image_size": encoder.patch_embed.img_size[0],
        "patch_size": model.patch_size,
        "num_channels": 1,
        "qkv_bias": True,
        "decoder_hidden_size": decoder,
        "decoder_num_hidden_layers": len(model.decoder),
        "decoder_num_attention_heads": model.decoder[0].attn.num_heads,
        "decoder_intermediate_size": 4 * decoder,
        "mask_ratio": told.get("mask_ratio", 0.75),
        "norm_pix_loss": bool(told.get("norm_pix_loss", True)),
        "dtype": "float32",
    }


def vitmae_preprocessor(model: MaskedAutoencoder, grey_scale: GreyScale) -> dict[str, Any]:
    """The preprocessor_config.json of a ViTMAE folder: how grey pictures are resized and normalised."""
    side = model.encoder.patch_embed.img_size[0]
    return {
        "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": side, "width": side},
        "resample": 2, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": [grey_scale.mean], "image_std": [grey_scale.deviation],
    }  # fmt: skip


class GreyEncoder(nn.Module):
    """An encoder with its grey normalisation: (B, 1, S, S) values from 0 to 1 -> (B, prefix + T, D) tokens."""

    def __init__(self, encoder: VisionTransformer, grey_scale: GreyScale) -> None:
        super().__init__()
        self.encoder, self.grey_scale = encoder, grey_scale

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """All tokens after the last norm."""
        return self.encoder.forward_features(self.grey_scale.apply(pictures))


def to_onnx(folder: Path, place: Path, encoder: VisionTransformer) -> str:
    """Write the encoder with its grey normalisation as ONNX, and compare it with torch before it is put in place.

    Raises UltraFMError when it is too large for one file, or when its tokens differ by more than TOLERANCE.
    """
    network = GreyEncoder(encoder, grey_scale_of(folder)).eval()
    size = sum(weight.numel() * weight.element_size() for weight in network.state_dict().values())
    if size > ONNX_LIMIT:
        raise UltraFMError(str(folder), f"{size / 1e9:.1f} GB of weights", "at most 2 GB, as one ONNX file may hold",
                           "export as timm")  # fmt: skip
    card = model_card(read_json(folder / "config.json"), "onnx")
    if place.suffix == ".onnx":
        refuse_full(place.with_suffix(".md"))
        with replacing(place) as temporary:
            difference = write_onnx(network, temporary, place)
        write_text(place.with_suffix(".md"), card)
    else:
        with replacing(place) as temporary:
            temporary.mkdir()
            difference = write_onnx(network, temporary / ONNX_FILE, place)
            write_text(temporary / CARD, card)
    return f"onnxruntime and torch differ by {difference:.1e} at most (allowed: {TOLERANCE:.0e})"


def write_onnx(network: GreyEncoder, path: Path, place: Path) -> float:
    """Write `network` to `path`, any number of pictures at a time; returns the largest difference from torch's tokens.

    Raises UltraFMError, which names `place`, when that is more than TOLERANCE.
    """
    side = network.encoder.patch_embed.img_size[0]
    pictures = torch.rand(3, 1, side, side, generator=torch.Generator().manual_seed(0))
    program = torch.onnx.export(
        network, (pictures[:2],), dynamo=True, verbose=False, input_names=["pictures"], output_names=["tokens"],
        dynamic_shapes={"pictures": {0: torch.export.Dim("batch")}},
    )  # fmt: skip
    program.save(path, external_data=False)
    difference = max(onnx_difference(network, path, pictures[:count]) for count in (1, 3))
    refuse_difference(place, "tokens", difference)
    return difference


@torch.inference_mode()
def onnx_difference(network: GreyEncoder, path: Path, pictures: torch.Tensor) -> float:
    """Largest difference between the tokens of the ONNX file `path` and those of `network`, for `pictures`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (tokens,) = session.run(["tokens"], {"pictures": pictures.numpy()})
    return float((torch.from_numpy(tokens) - network(pictures)).abs().max())
