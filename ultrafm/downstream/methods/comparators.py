"""Comparators: every encoder that a study can put beside its own, and what each of them is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ultrafm.downstream.methods.encoders import FILES, open_encoder
from ultrafm.errors import UltraFMError
from ultrafm.files import read_json

FIRST = ("random", "one_site", "pooled", "federated")  # the study's own, in this order
ROLES = {
    "random": "untrained network, the same sizes",
    "one_site": "pre-trained at one site alone",
    "pooled": "pre-trained on all sites' images in one place",
    "federated": "pre-trained by all sites, images staying there",
}


def comparators(study: Path, extra: Sequence[Path] = ()) -> dict[str, Path]:
    """Name -> folder of every encoder of a study's step 20, then of the `extra` folders.

    An extra folder is one encoder, such as `ultrafm weights import` writes, or holds several, one a folder. All
    encoders face the same images, folds, methods and budget. Raises UltraFMError when a folder holds none, or two have
    one name.
    """
    own = _encoders_in(Path(study) / "20_pretrain" / "encoders")
    names = [name for name in FIRST if name in own] + sorted(own.keys() - set(FIRST))
    found = {name: own[name] for name in names}
    for folder in map(Path, extra):
        for name, place in _encoders_in(folder).items():
            if name in found:
                mend = "rename the folder: an encoder is called by its folder's name"
                raise UltraFMError(str(place), f"a second encoder called {name!r}", "names that occur once", mend)
            found[name] = place
    return found


def describe_comparators(folders: Mapping[str, Path]) -> pd.DataFrame:
    """A table for reading: encoder, what it is, sites, images it was trained on, picture and patch size, weights."""
    return pd.DataFrame([_described(name, folder) for name, folder in folders.items()])


def _encoders_in(folder: Path) -> dict[str, Path]:
    """Encoders by their folders' names: the folder itself, or those directly inside it."""
    if all((folder / file).is_file() for file in FILES):
        return {folder.name: folder}
    inside = sorted(file.parent for file in folder.glob(f"*/{FILES[0]}") if (file.parent / FILES[1]).is_file())
    if not inside:
        mend = "run 20_pretrain, or name a folder that `ultrafm weights import` wrote"
        raise UltraFMError(str(folder), "no encoder", f"{' and '.join(FILES)}, in it or one folder below", mend)
    return {place.name: place for place in inside}


def _described(name: str, folder: Path) -> dict[str, Any]:
    encoder = open_encoder(folder)
    about = read_json(folder / FILES[0]).get("ultrafm", {})
    side, patch = encoder.patch_embed.img_size[0], encoder.patch_embed.patch_size[0]
    return {
        "encoder": name.replace("_", " "), "what": _role(about, name), "sites": len(about.get("sites", [])),
        "trained on": about.get("images", "–"), "picture": f"{side} pixels", "patch": f"{patch} pixels",
        "weights": sum(weight.numel() for weight in encoder.parameters()),
    }  # fmt: skip


def _role(about: Mapping[str, Any], name: str) -> str:
    if "imported from" in about:
        origin = about["imported from"]
        return f"imported: {origin['file']} ({origin['layout']} layout; licence: {origin['licence']})"
    arm = about.get("arm", name)
    return ROLES.get(arm, f"pre-trained as {arm!r}" if "arm" in about else "origin not told")
