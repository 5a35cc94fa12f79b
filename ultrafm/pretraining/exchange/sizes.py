"""Sizes of a network, read off the shapes of its tensors, and the shapes that must then be there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from ultrafm.errors import UltraFMError
from ultrafm.pretraining.exchange.layouts import Found

HEADS = {1280: 16, 1408: 16, 1664: 16, 1536: 24}  # by encoder width, where a head is not 64 wide


@dataclass(frozen=True)
class Sizes:
    """All that shapes tell. `placed`: how many of the tokens before the patches have a position in the file."""

    image_size: int
    patch_size: int
    channels: int
    width: int
    depth: int
    heads: int
    registers: int
    placed: int
    decoder_width: int = 0
    decoder_depth: int = 0
    decoder_heads: int = 0

    @property
    def patches(self) -> int:
        """Number of patches of a picture."""
        return (self.image_size // self.patch_size) ** 2


class Problem(Exception):
    """Something wrong with one tensor, not knowing yet what it is called in the file."""

    def __init__(self, name: str, found: str, expected: str, mend: str) -> None:
        super().__init__(name, found, expected, mend)
        self.name, self.found, self.expected, self.mend = name, found, expected, mend


def read_sizes(tensors: Mapping[str, Found], decoder: bool, heads: int | None, decoder_heads: int | None) -> Sizes:
    """The sizes of a network from its plainly named tensors; `heads` stand for what shapes do not tell.

    Raises Problem when a tensor that tells a size is missing or has an impossible shape.
    """
    width, channels, patch, other = shape_of(tensors, "patch_embed.proj.weight", 4)
    if patch != other or channels not in (1, 3):
        found, expected = f"{channels} colours and patches of {patch} x {other}", "1 or 3 colours and square patches"
        raise Problem("patch_embed.proj.weight", found, expected, "import a model of grey or coloured pictures")
    registers = shape_of(tensors, "reg_token", 3)[1] if "reg_token" in tensors else 0
    _, places, _ = shape_of(tensors, "pos_embed", 3)
    grid, placed = split_places(places, registers)
    sizes = Sizes(grid * patch, patch, channels, width, count_blocks(tensors, "blocks"),
                  choose_heads(width, heads), registers, placed)  # fmt: skip
    if not decoder:
        return sizes
    decoder_width = shape_of(tensors, "decoder_embed.weight", 2)[0]
    return replace(
        sizes,
        decoder_width=decoder_width,
        decoder_depth=count_blocks(tensors, "decoder_blocks"),
        decoder_heads=choose_decoder_heads(decoder_width, decoder_heads),
    )


def shape_of(tensors: Mapping[str, Found], name: str, dimensions: int) -> torch.Size:
    """Shape of a tensor that has to be there with so many dimensions, none of them empty."""
    if name not in tensors:
        raise Problem(name, "no such tensor", f"one with {dimensions} dimensions", "choose another --layout or file")
    shape = tensors[name].tensor.shape
    if len(shape) != dimensions or 0 in shape:
        raise Problem(name, f"shape {tuple(shape)}", f"{dimensions} dimensions, none empty", "import a plain ViT")
    return shape


def split_places(places: int, registers: int) -> tuple[int, int]:
    """(Side of the grid of patches, tokens before them) of `places` positions: a class token, or none, or all."""
    for placed in (1, 0, 1 + registers):
        grid = round(max(places - placed, 0) ** 0.5)
        if grid and grid**2 == places - placed:
            return grid, placed
    raise Problem("pos_embed", f"{places} positions", "a square number of patches, with or without a class token",
                  "import a model of square pictures")  # fmt: skip


def count_blocks(tensors: Mapping[str, Found], stem: str) -> int:
    """How many numbered blocks there are. Raises Problem when a number is left out."""
    numbers = {int(match[1]) for name in tensors if (match := re.match(rf"{stem}\.(\d{{1,6}})\.", name))}
    for number in range(len(numbers)):
        if number not in numbers:
            raise Problem(f"{stem}.{number}.*", "no such block", f"blocks 0 to {max(numbers)}", "fetch the file again")
    return len(numbers)


def choose_heads(width: int, asked: int | None) -> int:
    """Attention heads of an encoder: as asked, else as is usual for its width. Raises Problem when that cannot be."""
    heads = asked or HEADS.get(width, width // 64 if width % 64 == 0 else 0)
    if not heads or width % heads or (width // heads) % 4:
        found = f"a width of {width}" + (f" for {heads} heads" if heads else ", which has no usual number of heads")
        raise Problem(
            "blocks.0.attn.qkv.weight", found, "heads that are 4, 8, 12 ... wide", "say how many with --heads"
        )
    return heads


def choose_decoder_heads(width: int, asked: int | None) -> int:
    """Attention heads of a decoder: as asked, else as wide as in the paper (32, so 16 heads for a width of 512)."""
    heads = asked or (width // 32 if width % 32 == 0 else 0)
    if not heads or width % heads or width % 4:
        found = f"a width of {width}" + (f" for {heads} heads" if heads else ", which has no usual number of heads")
        raise Problem("decoder_embed.weight", found, "a width that the heads divide", "say how many: --decoder-heads")
    return heads


def expected_shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Plain name -> shape of every tensor that a file with a network of these sizes has to hold."""
    width, pixels = sizes.width, sizes.patch_size**2 * sizes.channels
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, sizes.placed + sizes.patches, width),
        "patch_embed.proj.weight": (width, sizes.channels, sizes.patch_size, sizes.patch_size),
        "patch_embed.proj.bias": (width,),
        **stack_shapes("blocks", sizes.depth, width),
        **norm_shapes("norm", width),
    }
    if sizes.registers:
        shapes["reg_token"] = (1, sizes.registers, width)
    if not sizes.decoder_width:
        return shapes
    decoder = sizes.decoder_width
    return shapes | {
        **linear_shapes("decoder_embed", decoder, width),
        "mask_token": (1, 1, decoder),
        "decoder_pos_embed": (1, 1 + sizes.patches, decoder),
        **stack_shapes("decoder_blocks", sizes.decoder_depth, decoder),
        **norm_shapes("decoder_norm", decoder),
        **linear_shapes("decoder_pred", pixels, decoder),
    }


def stack_shapes(stem: str, depth: int, width: int) -> dict[str, tuple[int, ...]]:
    """The shapes in `depth` Transformer blocks."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number in range(depth):
        block = f"{stem}.{number}"
        shapes |= norm_shapes(f"{block}.norm1", width) | linear_shapes(f"{block}.attn.qkv", 3 * width, width)
        shapes |= linear_shapes(f"{block}.attn.proj", width, width) | norm_shapes(f"{block}.norm2", width)
        shapes |= linear_shapes(f"{block}.mlp.fc1", 4 * width, width) | linear_shapes(
            f"{block}.mlp.fc2", width, 4 * width
        )
    return shapes


def linear_shapes(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a linear layer."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a layer norm."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def problem_error(path: object, problem: Problem, shown: str) -> UltraFMError:
    """A Problem as an error of the file `path`, whose name for the tensor is `shown`."""
    return UltraFMError(f"{path}, tensor {shown}", problem.found, problem.expected, problem.mend)
