"""What an import did, in words: which tensor went where, what stayed behind, what was assumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ultrafm.pretraining.exchange import layouts
from ultrafm.pretraining.exchange.beside import EPSILON, Told
from ultrafm.pretraining.exchange.grey import Colours
from ultrafm.pretraining.exchange.layouts import Found
from ultrafm.pretraining.exchange.sizes import Sizes, expected_shapes
from ultrafm.pretraining.grey import GreyScale


@dataclass(frozen=True)
class Match:
    """One line of the table of an import: a tensor's name in the file, its name here, its shape here, what was done."""

    in_file: str
    here: str
    shape: tuple[int, ...]
    note: str


@dataclass(frozen=True)
class Imported:
    """What an import has written, and what became of each tensor. `ignored`: name -> why or what it is."""

    folder: Path
    layout: str
    sizes: Sizes
    grey_scale: GreyScale
    matches: list[Match]
    ignored: dict[str, str]
    new: list[str]
    notes: list[str]


def tell_matches(ready: Mapping[str, Found], before: Mapping[str, Found], sizes: Sizes) -> list[Match]:
    """One line per tensor, those of all blocks as one."""
    lines: dict[tuple[str, str], list[Match]] = {}
    for name in expected_shapes(sizes):
        found = ready[name]
        note = tell_change(name, before[name], sizes)
        match = Match(layouts.joined_name(found.names), layouts.our_name(name), tuple(found.tensor.shape), note)
        key = (layouts.pattern_of(match.in_file), layouts.pattern_of(match.here))
        lines.setdefault(key, []).append(match)
    return [
        Match(*key, same[0].shape, "; ".join(filter(None, [f"x {len(same)}" if len(same) > 1 else "", same[0].note])))
        for key, same in lines.items()
    ]


def tell_change(name: str, found: Found, sizes: Sizes) -> str:
    """What was done to a tensor besides giving it another name."""
    if name.startswith("patch_embed") and sizes.channels > 1:
        return "colours to grey, exact" if name.endswith("weight") else "takes up the normalisation, exact"
    if name.startswith("decoder_pred") and sizes.channels > 1:
        return "mean of the colours, approximate"
    if name == "pos_embed" and sizes.placed < 1 + sizes.registers:
        return "tokens without a position get zeros, exact"
    return "layer scale multiplied in, exact" if any(".gamma" in source for source in found.names) else ""


def tell_ignored(tensors: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """What stayed behind, tensors of all blocks as one: name -> why, or what it is."""
    return {layouts.pattern_of(name): why for name, why in tensors.items()} | dict(other)


def tell_new(sizes: Sizes) -> list[str]:
    """What the file did not hold."""
    if sizes.decoder_width:
        return []
    return ["no decoder: the file has none, and none is made up"]


def tell_notes(sizes: Sizes, told: Told, colours: Colours, grey_scale: GreyScale) -> list[str]:
    """What was assumed or is only nearly so, in sentences."""
    how = ["as told" if heads else "as usual for the width" for heads in (told.heads, told.decoder_heads)]
    notes = [
        f"Encoder: {sizes.image_size} pixels, patches of {sizes.patch_size}, width {sizes.width}, "
        f"{sizes.depth} blocks, {sizes.heads} heads ({how[0]})"
    ]
    if sizes.decoder_width:
        heads = f"{sizes.decoder_heads} heads ({how[1]})"
        notes.append(f"Decoder: width {sizes.decoder_width}, {sizes.decoder_depth} blocks, {heads}")
    before = f"mean {listed(colours.mean)} and deviation {listed(colours.deviation)} in the file's network"
    now = f"{listed([grey_scale.mean])} and {listed([grey_scale.deviation])} here"
    notes.append(f"Normalisation: {before}, {now}")
    if told.epsilon != EPSILON:
        notes.append(f"Layer norms add {told.epsilon:g} to variances in the file's network and {EPSILON:g} here")
    return notes


def listed(values: Iterable[float]) -> str:
    """Numbers for a sentence."""
    return ", ".join(f"{value:.4g}" for value in values)


def import_table(imported: Imported) -> str:
    """What an import did, as the command prints it: a line per tensor, then what was ignored, what is new, notes."""
    rows = [("in the file", "here", "shape", "")]
    rows += [(line.in_file, line.here, " x ".join(map(str, line.shape)), line.note) for line in imported.matches]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0])).rstrip() for row in rows]
    lines += [f"ignored: {name} ({why})" for name, why in imported.ignored.items()]
    lines += [f"new: {what}" for what in imported.new]
    return "\n".join([f"Layout: {imported.layout}", *lines, *imported.notes])
