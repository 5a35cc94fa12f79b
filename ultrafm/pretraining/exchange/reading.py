"""Checkpoints of others, read without running anything that is in them."""

from __future__ import annotations

import argparse
import re
import struct
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ultrafm.errors import UltraFMError
from ultrafm.files import hash_file

PARTS = ("model", "state_dict", "teacher", "student")  # where training programs keep weights; the first there is read
PREFIXES = ("module.", "_orig_mod.", "backbone.")  # what wrappers put before a name
IN_A_FOLDER = ("model.safetensors", "pytorch_model.bin")
# Of the arguments of a training program those that are of use, and their types; others may be private paths.
TOLD = {"model": str, "input_size": int, "mask_ratio": float, "norm_pix_loss": bool, "epochs": int}
A_CHECKPOINT = "a checkpoint: .safetensors, or what torch.save writes (.pth, .pt, .bin)"
ASK_AGAIN = "fetch or copy the file again, and compare its size and checksum with the publisher's"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: named tensors, the settings that it tells, and what else lies in it (name -> what it is)."""

    path: Path
    sha256: str
    tensors: dict[str, torch.Tensor]
    settings: dict[str, Any]
    other: dict[str, str]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, or the one of a folder as Hugging Face and timm write it.

    Only tensors, plain values and `argparse.Namespace` are ever made of a file. Raises UltraFMError for a file that
    holds other code, is cut short, is no checkpoint or has no tensor in it.
    """
    path = find_file(Path(path))
    content = read_safetensors(path) if is_safetensors(path) else read_pickle(path)
    if not isinstance(content, dict):
        raise UltraFMError(str(path), f"a {type(content).__name__}", "a dict of named tensors", "save a state_dict")
    part, named = choose_part(content)
    tensors = {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        found = "an empty dict" if not content else f"no tensor in it, only {', '.join(map(str, content))}"
        expected = f"named tensors, alone or under {', '.join(PARTS)}"
        raise UltraFMError(str(path), found, expected, "look for the file that holds the weights")
    other = {name: what_it_is(value) for name, value in named.items() if name not in tensors}
    if part:
        other |= {str(name): what_it_is(value) for name, value in content.items() if name != part}
    return Checkpoint(path, hash_file(path), without_prefixes(path, tensors), told_settings(content), other)


def find_file(path: Path) -> Path:
    """`path`, or the file of weights in it when it is a folder. Raises UltraFMError when there is none."""
    if not path.exists():
        raise UltraFMError(str(path), "no such file", A_CHECKPOINT, "check the name")
    if not path.is_dir():
        return path
    for name in IN_A_FOLDER:
        if (path / name).is_file():
            return path / name
    raise UltraFMError(str(path), "a folder without weights", " or ".join(IN_A_FOLDER) + " in it", "name the file")


def is_safetensors(path: Path) -> bool:
    """Does the file begin as safetensors do, with the length of a JSON header? Its name does not matter."""
    with path.open("rb") as handle:
        start = handle.read(9)
    return len(start) == 9 and start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < 100_000_000


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file. Raises UltraFMError when it is damaged."""
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        found = f"a safetensors file that is cut short or damaged ({error})"
        raise UltraFMError(str(path), found, "a whole file", ASK_AGAIN) from error


def read_pickle(path: Path) -> Any:
    """What torch.save wrote, with no other class than argparse.Namespace.

    Raises UltraFMError: for other code, naming what it would have called; for a damaged file; for any other file.
    """
    with path.open("rb") as handle:
        start = handle.read(2)
    archive = zipfile.is_zipfile(path)
    if start == b"PK" and not archive:
        raise UltraFMError(str(path), "a checkpoint that is cut short", "a whole file", ASK_AGAIN)
    if not archive and start[:1] != b"\x80":
        found = f"a file that begins with {start!r}" if start else "an empty file"
        raise UltraFMError(str(path), found, A_CHECKPOINT, "look for the file that holds the weights")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that torch did not write; they end in an error anyway
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except OSError:
        raise
    except Exception as error:  # whatever a damaged or hostile file makes the reader stumble over
        raise refusal(path, error) from error


def refusal(path: Path, error: Exception) -> UltraFMError:
    """Why torch would not read a file, in words."""
    code = re.search(r"GLOBAL ([\w.]+)", str(error))
    if code:
        mend = (
            "do not load it by other means unless you trust who made it; there, "
            "`safetensors.torch.save_file(model.state_dict(), FILE)` writes one that anyone can read"
        )
        expected = "tensors, plain values and argparse.Namespace; nothing of this file was run"
        return UltraFMError(str(path), f"pickled code: {code[1]}", expected, mend)
    said = re.sub(r"\s+", " ", str(error)).strip()[:160]
    return UltraFMError(str(path), f"a file that torch cannot read ({type(error).__name__}: {said})", A_CHECKPOINT,
                        ASK_AGAIN)  # fmt: skip


def choose_part(content: dict[Any, Any]) -> tuple[str, dict[str, Any]]:
    """Where the weights are: the name of a part and the part, or "" and the whole."""
    for part in PARTS:
        value = content.get(part)
        if isinstance(value, dict) and any(isinstance(entry, torch.Tensor) for entry in value.values()):
            return part, {str(name): entry for name, entry in value.items()}
    return "", {str(name): entry for name, entry in content.items()}


def without_prefixes(path: Path, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors by the names that they have without PREFIXES. Raises UltraFMError when two then have one name."""
    plain: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        short = name
        while short.startswith(PREFIXES):
            short = short.split(".", 1)[1]
        if short in plain:
            raise UltraFMError(
                f"{path}, tensor {short}", "two of that name, as in two wrappers", "one", "save one model"
            )
        plain[short] = tensor
    return plain


def told_settings(content: dict[Any, Any]) -> dict[str, Any]:
    """Plain values among the arguments that the training program was called with; no paths, they are private."""
    arguments = content.get("args")
    known = vars(arguments) if isinstance(arguments, argparse.Namespace) else {}
    told = {name: known[name] for name, kind in TOLD.items() if isinstance(known.get(name), kind)}
    if isinstance(content.get("epoch"), int):
        told["epoch"] = content["epoch"]
    return told


def what_it_is(value: Any) -> str:
    """A value in a word or two, for the list of what was ignored."""
    if isinstance(value, dict | list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    return "settings" if isinstance(value, argparse.Namespace) else type(value).__name__
