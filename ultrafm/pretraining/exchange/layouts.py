"""Names of tensors: how other projects call what a masked autoencoder has.

Whatever the layout, tensors are first given the names of the masked autoencoder's paper code ("plain names"), which
timm shares for the encoder; from there they go to the names of `MaskedAutoencoder`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from ultrafm.errors import UltraFMError

LAYOUTS = ("mae", "timm", "dino", "vitmae")
# Of Hugging Face's ViTMAE: outside the blocks, and inside one; newer names first where there are two.
VITMAE_ROOTS = (
    (r"(?:vit\.)?embeddings\.cls_token$", "cls_token"),
    (r"(?:vit\.)?embeddings\.position_embeddings$", "pos_embed"),
    (r"(?:vit\.)?embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"(?:vit\.)?(?:layers|encoder\.layer)\.(\d+)\.", r"blocks.\1."),
    (r"(?:vit\.)?layernorm\.", "norm."),
    (r"decoder\.decoder_(?:layers|encoder\.layer)\.(\d+)\.", r"decoder_blocks.\1."),
    (r"decoder\.(?=mask_token$|decoder_)", ""),
)
VITMAE_BLOCK = (
    (r"attention\.(?:q_proj|attention\.query)\.", "attn.q."),
    (r"attention\.(?:k_proj|attention\.key)\.", "attn.k."),
    (r"attention\.(?:v_proj|attention\.value)\.", "attn.v."),
    (r"attention\.(?:o_proj|output\.dense)\.", "attn.proj."),
    (r"(?:mlp\.fc1|intermediate\.dense)\.", "mlp.fc1."),
    (r"(?:mlp\.fc2|output\.dense)\.", "mlp.fc2."),
    (r"layernorm_before\.", "norm1."),
    (r"layernorm_after\.", "norm2."),
)
# What is no part of an encoder or of its decoder, and why it stays behind.
NOT_NEEDED = (
    (r"(head|head_dist|fc|classifier|dino_head|ibot_head|pooler|vit\.pooler)\.", "a head of another task"),
    (r"fc_norm\.", "the norm of a classifier"),
)
DECODER = r"decoder_(embed|pos_embed|blocks|norm|pred)\b|mask_token$"
OURS = {
    "decoder_embed": "to_decoder", "decoder_pos_embed": "decoder_positions", "decoder_blocks": "decoder",
    "decoder_norm": "decoder_norm", "decoder_pred": "to_pixels", "mask_token": "mask_token",
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A tensor under its plain name, with the names in the file of what it was made of."""

    tensor: torch.Tensor
    names: tuple[str, ...]


def detect_layout(names: Iterable[str]) -> str | None:
    """One of LAYOUTS, or None for names of no Vision Transformer that is known here."""
    names = set(names)
    if any("embeddings.patch_embeddings.projection." in name for name in names):
        return "vitmae"
    if not any(re.match(r"blocks\.(\d+\.)+attn\.qkv\.weight$", name) for name in names):
        return None
    if has_decoder(names):
        return "mae"
    dino = r"register_tokens$|mask_token$|(dino_|ibot_)head\.|head\.(mlp|last_layer)\.|blocks\.\d+\.\d+\."
    return "dino" if any(re.match(dino, name) for name in names) else "timm"


def has_decoder(names: Iterable[str]) -> bool:
    """Is there more of a decoder than the mask token, which DINOv2's encoder has too? By plain names."""
    return any(name.startswith("decoder_") for name in names)


def plain_names(tensors: dict[str, torch.Tensor], layout: str) -> dict[str, Found]:
    """Plain name -> tensor. Names that the layout does not know stay as they are."""
    rename = {"vitmae": plain_from_vitmae, "dino": plain_from_dino}.get(layout, str)
    found = {rename(name): Found(tensor, (name,)) for name, tensor in tensors.items()}
    return with_joined_attention(found) if layout == "vitmae" else found


def plain_from_vitmae(name: str) -> str:
    """A name of Hugging Face's ViTMAE as a plain one; query, key and value are `attn.q`, `attn.k` and `attn.v`."""
    for pattern, root in VITMAE_ROOTS:
        match = re.match(pattern, name)
        if not match:
            continue
        start, rest = match.expand(root), name[match.end() :]
        for inner, plain in VITMAE_BLOCK if "blocks." in start else ():
            if part := re.match(inner, rest):
                return start + plain + rest[part.end() :]
        return start + rest
    return name


def plain_from_dino(name: str) -> str:
    """A name of DINO or DINOv2 as a plain one: blocks may be numbered within chunks, registers are called as timm's."""
    return re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name).replace("register_tokens", "reg_token")


def with_joined_attention(found: dict[str, Found]) -> dict[str, Found]:
    """Query, key and value of each block put together, as in plain ViTs. One that lacks its fellows stays alone."""
    joined = dict(found)
    for name in found:
        if ".attn.q." not in name:
            continue
        three = [name.replace(".attn.q.", f".attn.{letter}.") for letter in "qkv"]
        if all(other in found for other in three) and len({found[other].tensor.shape[1:] for other in three}) == 1:
            parts = [joined.pop(other) for other in three]
            names = tuple(part.names[0] for part in parts)
            joined[name.replace(".attn.q.", ".attn.qkv.")] = Found(torch.cat([part.tensor for part in parts]), names)
    return joined


def vitmae_names(plain: str) -> list[str]:
    """The names of a plain tensor in a ViTMAE folder; three for `attn.qkv`, whose rows are query, key and value."""
    outside = {
        "cls_token": "vit.embeddings.cls_token", "pos_embed": "vit.embeddings.position_embeddings",
        "patch_embed.proj": "vit.embeddings.patch_embeddings.projection", "norm": "vit.layernorm",
    }  # fmt: skip
    inside = {
        "attn.proj": "attention.output.dense", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
        "norm1": "layernorm_before", "norm2": "layernorm_after",
    }  # fmt: skip
    block = re.match(r"(decoder_)?blocks\.(\d+)\.(.+)\.(weight|bias)$", plain)
    if not block:
        stem, dot, end = plain.rpartition(".") if plain.endswith((".weight", ".bias")) else (plain, "", "")
        return [outside.get(stem, f"decoder.{stem}") + dot + end]
    root = f"decoder.decoder_layers.{block[2]}" if block[1] else f"vit.encoder.layer.{block[2]}"
    if block[3] == "attn.qkv":
        return [f"{root}.attention.attention.{part}.{block[4]}" for part in ("query", "key", "value")]
    return [f"{root}.{inside[block[3]]}.{block[4]}"]


def our_name(plain: str) -> str:
    """A plain name as `MaskedAutoencoder` calls the tensor."""
    stem, dot, rest = plain.partition(".")
    return f"{OURS[stem]}{dot}{rest}" if stem in OURS else f"encoder.{plain}"


def plain_name(ours: str) -> str:
    """The inverse of `our_name`."""
    if ours.startswith("encoder."):
        return ours.removeprefix("encoder.")
    stem, dot, rest = ours.partition(".")
    return {mine: plain for plain, mine in OURS.items()}[stem] + dot + rest


def left_behind(name: str, decoder: bool) -> str | None:
    """Why a tensor of this plain name is not needed, or None when it is. `decoder`: is the decoder taken over?"""
    if not decoder and re.match(DECODER, name):
        return "no decoder is taken over"
    return next((why for pattern, why in NOT_NEEDED if re.match(pattern, name)), None)


def pattern_of(name: str) -> str:
    """A name with its block number left out, so that the same tensor of all blocks has one line in a table."""
    return re.sub(r"\.\d+\.", ".*.", name)


def joined_name(names: tuple[str, ...]) -> str:
    """Several names in one, as a shell would write them: `attention.{query,key,value}.weight`."""
    if len(names) == 1:
        return names[0]
    start = common_start(names)
    end = common_start([name[len(start) :][::-1] for name in names])[::-1]
    middles = [name[len(start) : len(name) - len(end)] for name in names]
    return f"{start}{{{','.join(middles)}}}{end}"


def common_start(words: Sequence[str]) -> str:
    """The letters that all words begin with."""
    same = 0
    while all(len(word) > same and word[same] == words[0][same] for word in words):
        same += 1
    return words[0][:same]


def unknown_layout(path: object, names: Iterable[str]) -> UltraFMError:
    """The error for a checkpoint of another kind of network."""
    some = ", ".join(sorted(names)[:3])
    expected = f"a Vision Transformer named as {', '.join(LAYOUTS)} do (cls_token, pos_embed, blocks.0.attn.qkv.weight)"
    return UltraFMError(str(path), f"tensors of another network ({some} ...)", expected, "import a plain ViT")
