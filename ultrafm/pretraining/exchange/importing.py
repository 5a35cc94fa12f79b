"""From a checkpoint of another project to a folder that this one, and timm, can load."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer

from ultrafm.files import replacing
from ultrafm.pretraining.exchange import autoencoder, grey, layouts
from ultrafm.pretraining.exchange.beside import Told, told_beside
from ultrafm.pretraining.exchange.card import write_card
from ultrafm.pretraining.exchange.layouts import Found
from ultrafm.pretraining.exchange.places import open_encoder, refuse_full
from ultrafm.pretraining.exchange.reading import Checkpoint, read_checkpoint
from ultrafm.pretraining.exchange.sizes import Problem, Sizes, expected_shapes, problem_error, read_sizes
from ultrafm.pretraining.exchange.telling import Imported, tell_ignored, tell_matches, tell_new, tell_notes
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder, sine_positions
from ultrafm.pretraining.weights import save_encoder

NOT_STATED = "not stated: ask the authors"


@dataclass(frozen=True)
class Wanted:
    """What the person who imports says; what is None is read off the file or what lies beside it.

    `layout` is "auto" or one of LAYOUTS. `colours`: the normalisation that the network was trained with.
    """

    layout: str = "auto"
    grey_mean: float | None = None
    grey_deviation: float | None = None
    colours: grey.Colours | None = None
    heads: int | None = None
    decoder_heads: int | None = None
    licence: str = NOT_STATED


def import_checkpoint(file: Path, folder: Path, wanted: Wanted | None = None) -> Imported:
    """Read the checkpoint `file` and write it into `folder`: encoder, decoder if it has one, model card.

    The encoder is a timm folder (see `save_encoder`), the whole network `autoencoder.safetensors`. Features of grey
    pictures are those that the original has for them repeated in three colours. Raises UltraFMError, and leaves no
    folder, for whatever is wrong with the file or does not fit a plain Vision Transformer.
    """
    wanted = wanted or Wanted()
    refuse_full(folder)
    checkpoint = read_checkpoint(file)
    layout = choose_layout(checkpoint, wanted.layout)
    told = with_wishes(told_beside(checkpoint.path, layout), wanted)
    named = layouts.plain_names(checkpoint.tensors, layout)
    decoder = layout == "mae" or (layout == "vitmae" and layouts.has_decoder(named))
    needed, ignored = sort_out(named, decoder)
    try:
        sizes = read_sizes(needed, decoder, told.heads, told.decoder_heads)
        folded = fold_layer_scale(needed)
        check_tensors(folded, sizes)
    except Problem as problem:
        raise problem_error(checkpoint.path, problem, shown_name(problem.name, named, layout)) from problem
    colours = grey.choose_colours(sizes.channels, told.colours)
    grey_scale = grey.choose_grey(colours, wanted.grey_mean, wanted.grey_deviation)
    ready = make_grey(place_tokens(folded, sizes), sizes, colours, grey_scale)
    origin = {
        "file": checkpoint.path.name, "sha256": checkpoint.sha256, "layout": layout, "licence": wanted.licence,
        "colours": sizes.channels, "colour mean": list(colours.mean), "colour deviation": list(colours.deviation),
        "decoder": decoder, "settings": checkpoint.settings | told.settings,
    }  # fmt: skip
    write(folder, build(sizes, ready), grey_scale, {"imported from": origin})
    matches, notes = tell_matches(ready, folded, sizes), tell_notes(sizes, told, colours, grey_scale)
    left = tell_ignored(ignored, checkpoint.other)
    return Imported(folder, layout, sizes, grey_scale, matches, left, tell_new(sizes), notes)


def with_wishes(told: Told, wanted: Wanted) -> Told:
    """What is told beside a file, with what the person who imports says put in its place."""
    return replace(
        told,
        heads=wanted.heads or told.heads,
        decoder_heads=wanted.decoder_heads or told.decoder_heads,
        colours=wanted.colours or told.colours,
    )


def choose_layout(checkpoint: Checkpoint, asked: str) -> str:
    """The layout as asked, else as the names tell. Raises UltraFMError when they tell of no ViT."""
    layout = layouts.detect_layout(checkpoint.tensors)
    if layout is None:
        raise layouts.unknown_layout(checkpoint.path, checkpoint.tensors)
    return layout if asked == "auto" else asked


def sort_out(named: Mapping[str, Found], decoder: bool) -> tuple[dict[str, Found], dict[str, str]]:
    """The tensors that are needed, and why the others are not: their name in the file -> the reason."""
    needed, ignored = {}, {}
    for name, found in named.items():
        if why := layouts.left_behind(name, decoder):
            ignored |= dict.fromkeys(found.names, why)
        else:
            needed[name] = found
    return needed, ignored


def fold_layer_scale(tensors: Mapping[str, Found]) -> dict[str, Found]:
    """The tensors with each block's layer scale multiplied into the linear layer before it.

    Raises Problem when a scale does not fit its layer.
    """
    folded = {name: found for name, found in tensors.items() if not re.search(r"\.ls[12]\.gamma$", name)}
    for name in tensors.keys() - folded.keys():
        block, scale = name.rsplit(".", 2)[0], tensors[name]
        layer = f"{block}.attn.proj" if ".ls1." in name else f"{block}.mlp.fc2"
        weight, bias = folded.get(f"{layer}.weight"), folded.get(f"{layer}.bias")
        if weight is None or bias is None or not len(weight.tensor) == len(bias.tensor) == scale.tensor.numel():
            raise Problem(name, f"shape {tuple(scale.tensor.shape)}", f"one number per output of {layer}",
                          "import a plain ViT")  # fmt: skip
        check_numbers(name, scale.tensor)
        changed = grey.with_layer_scale(weight.tensor, bias.tensor, scale.tensor.flatten())
        for end, before, tensor in zip(("weight", "bias"), (weight, bias), changed):
            folded[f"{layer}.{end}"] = Found(tensor, (*before.names, *scale.names))
    return folded


def check_tensors(tensors: Mapping[str, Found], sizes: Sizes) -> None:
    """Raise Problem unless exactly the expected tensors are there, with their shapes and finite numbers."""
    shapes = expected_shapes(sizes)
    missing, unknown = [name for name in shapes if name not in tensors], sorted(tensors.keys() - shapes.keys())
    if missing:
        more = f", nor {len(missing) - 1} more" if len(missing) > 1 else ""
        mend = "fetch the file again, or another one; --layout timm leaves a decoder out"
        raise Problem(missing[0], f"no such tensor{more}", f"one of shape {shapes[missing[0]]}", mend)
    if unknown:
        more = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        mend = "import a plain Vision Transformer: class token, learned or fixed positions, standard blocks"
        raise Problem(unknown[0], f"a tensor that a plain ViT has no place for{more}", "none such", mend)
    for name, shape in shapes.items():
        tensor = tensors[name].tensor
        if tuple(tensor.shape) != shape:
            mend = "choose another file, or say --heads and --layout if they were guessed wrongly"
            raise Problem(name, f"shape {tuple(tensor.shape)}", f"shape {shape}", mend)
        check_numbers(name, tensor)


def check_numbers(name: str, tensor: torch.Tensor) -> None:
    """Raise Problem unless a tensor holds plain floating-point numbers, all of them finite."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or not tensor.is_floating_point():
        raise Problem(name, f"{tensor.dtype}, {tensor.layout}", "plain floating-point numbers", "save it in float32")
    if bad := int((~torch.isfinite(tensor)).sum()):
        found = f"{bad} of {tensor.numel()} numbers not finite (NaN or infinite)"
        raise Problem(name, found, "finite numbers", "take a checkpoint from before training broke down")


def shown_name(plain: str, named: Mapping[str, Found], layout: str) -> str:
    """What a tensor is called in the file, or would be."""
    if plain in named:
        return layouts.joined_name(named[plain].names)
    return ", ".join(layouts.vitmae_names(plain)) if layout == "vitmae" and "*" not in plain else plain


def place_tokens(tensors: Mapping[str, Found], sizes: Sizes) -> dict[str, Found]:
    """The tensors with a position for each token before the patches; zeros where the file has none for it."""
    positions = tensors["pos_embed"].tensor.float()
    placed, patches = positions[:, : sizes.placed], positions[:, sizes.placed :]
    zeros = torch.zeros(1, 1 + sizes.registers - sizes.placed, sizes.width)
    everything = torch.cat([placed, zeros, patches], dim=1)
    return dict(tensors) | {"pos_embed": Found(everything, tensors["pos_embed"].names)}


def make_grey(
    tensors: Mapping[str, Found], sizes: Sizes, colours: grey.Colours, grey_scale: GreyScale
) -> dict[str, Found]:
    """The tensors of the same network for grey pictures."""
    ready, first = dict(tensors), "patch_embed.proj"
    weight, bias = ready[f"{first}.weight"], ready[f"{first}.bias"]
    kernel, shift = grey.grey_patch_embedding(weight.tensor, bias.tensor, colours, grey_scale)
    ready |= {f"{first}.weight": Found(kernel, weight.names), f"{first}.bias": Found(shift, bias.names)}
    for name in ("decoder_pred.weight", "decoder_pred.bias") if sizes.decoder_width and sizes.channels > 1 else ():
        ready[name] = Found(grey.grey_pixels(ready[name].tensor, sizes.channels), ready[name].names)
    return ready


def build(sizes: Sizes, tensors: Mapping[str, Found]) -> MaskedAutoencoder | SimpleNamespace:
    """The network with these weights, in evaluation mode: an autoencoder, or something with an `encoder` alone."""
    state = {layouts.our_name(name): found.tensor.float() for name, found in tensors.items()}
    with torch.random.fork_rng(devices=[]):
        if sizes.decoder_width:
            model = build_autoencoder(sizes, state["encoder.pos_embed"][0, 1:])
            model.load_state_dict(state)
            return model.eval()
        encoder = VisionTransformer(
            img_size=sizes.image_size, patch_size=sizes.patch_size, in_chans=1, num_classes=0, embed_dim=sizes.width,
            depth=sizes.depth, num_heads=sizes.heads, global_pool="token", reg_tokens=sizes.registers,
        )  # fmt: skip
    encoder.load_state_dict({name.removeprefix("encoder."): tensor for name, tensor in state.items()})
    return SimpleNamespace(encoder=encoder.eval())


def build_autoencoder(sizes: Sizes, places: torch.Tensor) -> MaskedAutoencoder:
    """A masked autoencoder of these sizes; fixed positions when those of the file, `places` (T, D), are sines."""
    sines = sine_positions(sizes.width, sizes.image_size // sizes.patch_size)
    swapped = sines.roll(sizes.width // 2, dims=1)  # columns before rows, as in the paper's code
    fixed = any(torch.allclose(places, known, atol=1e-4) for known in (sines, swapped))
    return MaskedAutoencoder(
        image_size=sizes.image_size, patch_size=sizes.patch_size, width=sizes.width, depth=sizes.depth,
        heads=sizes.heads, decoder_width=sizes.decoder_width, decoder_depth=sizes.decoder_depth,
        decoder_heads=sizes.decoder_heads, positions="sine" if fixed else "learned",
    )  # fmt: skip


def write(folder: Path, model: Any, grey_scale: GreyScale, description: dict[str, Any]) -> None:
    """Write encoder, autoencoder and model card into a new `folder`, all or nothing."""
    with replacing(folder) as temporary:
        save_encoder(model, temporary, grey_scale, description)
        if isinstance(model, MaskedAutoencoder):
            autoencoder.save_autoencoder(model, temporary / autoencoder.FILE)
        write_card(temporary)
        open_encoder(temporary)  # whatever timm cannot load is not put in place
