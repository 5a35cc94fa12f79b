"""Checkpoints as other projects write them, with random weights, and what they compute, written out by hand."""

from __future__ import annotations

import argparse
import math

import torch

MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)


def random_block(name, width, draw):
    """The tensors of one Transformer block, by their published names."""
    tensors = {}
    for part, outputs, inputs in (
        ("attn.qkv", 3 * width, width), ("attn.proj", width, width), ("mlp.fc1", 4 * width, width),
        ("mlp.fc2", width, 4 * width),
    ):  # fmt: skip
        tensors[f"{name}.{part}.weight"] = draw(outputs, inputs) / inputs**0.5
        tensors[f"{name}.{part}.bias"] = draw(outputs) * 0.1
    for part in ("norm1", "norm2"):
        tensors[f"{name}.{part}.weight"] = 1 + draw(width) * 0.1
        tensors[f"{name}.{part}.bias"] = draw(width) * 0.1
    return tensors


def random_mae(side=32, patch=8, width=64, depth=2, decoder_width=32, decoder_depth=1, colours=3, seed=0):
    """The tensors of a masked autoencoder by their published names; learned positions, one for the class token too."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    patches = (side // patch) ** 2
    tensors = {
        "cls_token": draw(1, 1, width),
        "pos_embed": draw(1, 1 + patches, width) * 0.5,
        "patch_embed.proj.weight": draw(width, colours, patch, patch) / (colours**0.5 * patch),
        "patch_embed.proj.bias": draw(width) * 0.1,
        "norm.weight": 1 + draw(width) * 0.1,
        "norm.bias": draw(width) * 0.1,
    }
    for number in range(depth):
        tensors |= random_block(f"blocks.{number}", width, draw)
    if not decoder_depth:
        return tensors
    tensors |= {
        "decoder_embed.weight": draw(decoder_width, width) / width**0.5,
        "decoder_embed.bias": draw(decoder_width) * 0.1,
        "mask_token": draw(1, 1, decoder_width),
        "decoder_pos_embed": draw(1, 1 + patches, decoder_width),
        "decoder_norm.weight": 1 + draw(decoder_width) * 0.1,
        "decoder_norm.bias": draw(decoder_width) * 0.1,
        "decoder_pred.weight": draw(patch * patch * colours, decoder_width) / decoder_width**0.5,
        "decoder_pred.bias": draw(patch * patch * colours) * 0.1,
    }
    for number in range(decoder_depth):
        tensors |= random_block(f"decoder_blocks.{number}", decoder_width, draw)
    return tensors


def save_published(path, tensors):
    """Write tensors as UltraFedFM's training program does: beside them optimizer, epoch, scaler and arguments."""
    arguments = argparse.Namespace(
        model="mae_vit_tiny", mask_ratio=0.75, norm_pix_loss=True, data_path="/private/scans"
    )
    moments = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    content = {"model": tensors, "optimizer": moments, "epoch": 7, "scaler": {"scale": 65536.0}, "args": arguments}
    torch.save(content, path)
    return path


def in_colours(grey):
    """(B, 1, S, S) grey values from 0 to 1 as the (B, 3, S, S) that networks trained on ImageNet expect."""
    return (grey.repeat(1, 3, 1, 1) - MEAN) / DEVIATION


def norm(rows, weight, bias):
    """Layer norm over the last dimension."""
    centred = rows - rows.mean(dim=-1, keepdim=True)
    return centred / (centred.pow(2).mean(dim=-1, keepdim=True) + 1e-6).sqrt() * weight + bias


def gelu(rows):
    """x times the probability that a normal number is below x."""
    return rows * 0.5 * (1 + torch.erf(rows / math.sqrt(2)))


def block(rows, name, tensors, heads):
    """One Transformer block on (B, N, D) rows, head by head."""

    def linear(values, part):
        return values @ tensors[f"{name}.{part}.weight"].T + tensors[f"{name}.{part}.bias"]

    def normed(values, part):
        return norm(values, tensors[f"{name}.{part}.weight"], tensors[f"{name}.{part}.bias"])

    query, key, value = linear(normed(rows, "norm1"), "attn.qkv").chunk(3, dim=-1)
    size = rows.shape[-1] // heads
    mixed = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(size)
        shares = (scores - scores.amax(dim=-1, keepdim=True)).exp()
        mixed.append(shares / shares.sum(dim=-1, keepdim=True) @ value[..., part])
    rows = rows + linear(torch.cat(mixed, dim=-1), "attn.proj")
    return rows + linear(gelu(linear(normed(rows, "norm2"), "mlp.fc1")), "mlp.fc2")


def stack(rows, stem, tensors, heads):
    """All the blocks whose names begin with `stem`."""
    for number in range(len([name for name in tensors if name.startswith(stem) and name.endswith("norm1.weight")])):
        rows = block(rows, f"{stem}.{number}", tensors, heads)
    return rows


def encoded(tensors, pictures, heads, keep=None):
    """Tokens (B, 1 + K, D) of the class and of the patches `keep` (B, K) of (B, C, S, S) pictures; all without it."""
    kernel = tensors["patch_embed.proj.weight"]
    patch, grid = kernel.shape[-1], pictures.shape[-1] // kernel.shape[-1]
    rows = []
    for index in range(grid * grid):
        top, left = index // grid * patch, index % grid * patch
        pixels = pictures[:, :, top : top + patch, left : left + patch].flatten(1)
        rows.append(
            pixels @ kernel.flatten(1).T + tensors["patch_embed.proj.bias"] + tensors["pos_embed"][0, 1 + index]
        )
    rows = torch.stack(rows, dim=1)
    if keep is not None:
        rows = torch.stack([picture[chosen] for picture, chosen in zip(rows, keep)])
    first = (tensors["cls_token"] + tensors["pos_embed"][:, :1]).expand(len(pictures), -1, -1)
    rows = stack(torch.cat([first, rows], dim=1), "blocks", tensors, heads)
    return norm(rows, tensors["norm.weight"], tensors["norm.bias"])


def decoded(tensors, tokens, heads, keep):
    """What the decoder predicts of every patch, (B, T, P * P * C), from `encoded` tokens of the patches `keep`."""
    known = tokens @ tensors["decoder_embed.weight"].T + tensors["decoder_embed.bias"]
    places = tensors["decoder_pos_embed"]
    rows = tensors["mask_token"].repeat(len(tokens), places.shape[1] - 1, 1)
    for picture, chosen in enumerate(keep):
        rows[picture, chosen] = known[picture, 1:]
    rows = torch.cat([known[:, :1], rows], dim=1) + places
    rows = norm(
        stack(rows, "decoder_blocks", tensors, heads), tensors["decoder_norm.weight"], tensors["decoder_norm.bias"]
    )
    return rows[:, 1:] @ tensors["decoder_pred.weight"].T + tensors["decoder_pred.bias"]
