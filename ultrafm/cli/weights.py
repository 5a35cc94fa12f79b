"""`ultrafm weights`: take over weights of other projects, and give ours in the forms that they load."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_weights(commands) -> None:
    """`ultrafm weights import` and `export`."""
    weights = commands.add_parser("weights", help="exchange weights with other projects")
    actions = weights.add_subparsers(required=True, metavar="ACTION")
    add_import(actions)
    export = actions.add_parser("export", help="write an encoder in a form that other projects load")
    export.add_argument("folder", type=Path, help="an encoder of a study, or what `weights import` wrote")
    export.add_argument("--form", choices=("timm", "vitmae", "onnx"), required=True, help="vitmae needs the decoder")
    export.add_argument("--out", type=Path, required=True, help="new folder; for onnx also a file that ends with .onnx")
    export.set_defaults(run=run_weights_export)


def add_import(actions) -> None:
    """`ultrafm weights import`."""
    borrow = actions.add_parser("import", help="turn a checkpoint of a Vision Transformer into a grey one of ours")
    borrow.add_argument("file", type=Path, help="checkpoint (.pth, .pt, .bin, .safetensors), or a folder with one")
    borrow.add_argument("--out", type=Path, required=True, help="new folder")
    layouts = ("auto", "mae", "timm", "dino", "vitmae")
    borrow.add_argument("--layout", choices=layouts, default="auto", help="who named the tensors (default: auto)")
    average = "0 to 1 (default: average of the colours')"
    borrow.add_argument("--grey-mean", type=float, help=f"mean that grey pictures are normalised with, {average}")
    borrow.add_argument("--grey-deviation", type=float, help=f"their deviation, {average}")
    imagenet = "as told beside the file, else ImageNet's"
    borrow.add_argument(
        "--colour-mean", type=numbers, metavar="R,G,B", help=f"mean of each colour in training ({imagenet})"
    )
    borrow.add_argument("--colour-deviation", type=numbers, metavar="R,G,B", help=f"deviation of each ({imagenet})")
    borrow.add_argument("--heads", type=int, help="attention heads of the encoder (default: as usual for its width)")
    borrow.add_argument("--decoder-heads", type=int, help="attention heads of the decoder (default: width / 32)")
    borrow.add_argument("--licence", help="licence of the weights, as its publisher states it; kept with them")
    borrow.set_defaults(run=run_weights_import)


def numbers(text: str) -> tuple[float, ...]:
    """Numbers parted by commas."""
    return tuple(float(part) for part in text.split(","))


def run_weights_import(options: argparse.Namespace) -> int:
    """Import a checkpoint; print which tensor went where, what was ignored, what is new."""
    from ultrafm.errors import UltraFMError
    from ultrafm.pretraining.exchange.grey import Colours
    from ultrafm.pretraining.exchange.importing import NOT_STATED, Wanted, import_checkpoint
    from ultrafm.pretraining.exchange.telling import import_table

    mean, deviation = options.colour_mean, options.colour_deviation
    if (mean is None) != (deviation is None):
        raise UltraFMError("--colour-mean and --colour-deviation", "one without the other", "both or neither")
    wanted = Wanted(
        options.layout, options.grey_mean, options.grey_deviation, Colours(mean, deviation) if mean else None,
        options.heads, options.decoder_heads, options.licence or NOT_STATED,
    )  # fmt: skip
    print(import_table(import_checkpoint(options.file, options.out, wanted)))
    if not options.licence:
        print("Licence: not stated; say it with --licence, so that it is kept with the weights")
    print(f"Weights: {options.out}")
    return 0


def run_weights_export(options: argparse.Namespace) -> int:
    """Export an encoder; print what was checked and where it is."""
    from ultrafm.pretraining.exchange.exporting import export_weights

    exported = export_weights(options.folder, options.form, options.out)
    print(f"Checked: {exported.checked}")
    print(f"Weights: {exported.place}")
    return 0
