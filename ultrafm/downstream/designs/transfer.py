"""Encoders of one study on the pictures of another: what was learnt there, tested here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ultrafm.downstream.tasks import TaskData
from ultrafm.errors import UltraFMError
from ultrafm.files import read_json
from ultrafm.pretraining.weights import describe_encoder, load_encoder

ENCODERS = ("random", "one_site", "pooled", "federated")


def borrowed_encoders(study: Path, asked: Mapping[str, TaskData]) -> dict[str, Path]:
    """Name -> folder of the encoders that the study in folder `study` has trained.

    Raises UltraFMError when it has none, or when they read pictures of another size than those of the tasks.
    """
    image_size = next(data.images.shape[1] for data in asked.values() if data.skipped is None)
    folders = {name: study / "20_pretrain" / "encoders" / name for name in ENCODERS}
    for folder in folders.values():
        side = load_encoder(folder).patch_embed.img_size[0]
        if side != image_size:
            found, expected = f"an encoder of {side}-pixel pictures", f"{image_size} pixels, as the curated ones here"
            raise UltraFMError(str(folder), found, expected, "curate with that image_size, or train anew with this one")
    return folders


def describe_borrowed(study: Path) -> pd.DataFrame:
    """Where each encoder comes from: encoder, trained on (simulated or real images, how many sites), seed."""
    kind = read_json(study / "20_pretrain" / "records.json")[0]["images"]
    rows = []
    for name in ENCODERS:
        about = describe_encoder(study / "20_pretrain" / "encoders" / name)
        sites = len(about["sites"])
        trained = f"{kind} images of {sites} site{'s' * (sites != 1)}" if sites else "nothing"
        rows.append({"encoder": name.replace("_", " "), "trained on": trained, "seed": about["seed"]})
    return pd.DataFrame(rows)
