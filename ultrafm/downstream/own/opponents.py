"""Which encoders own weights are put beside: the study's, and always the same network without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors.torch import save

from ultrafm.downstream.methods.comparators import comparators
from ultrafm.downstream.methods.encoders import encoder_hash, open_encoder
from ultrafm.files import read_json, replacing, write_bytes, write_json
from ultrafm.pretraining.model import sine_positions
from ultrafm.seeds import spawn_integer

OWN, RANDOM, UNTRAINED = "own", "random", "untrained"


@dataclass(frozen=True)
class Opponents:
    """own: what the own weights are called. folders: name -> folder of every encoder, the own one first."""

    own: str
    folders: dict[str, Path]


def gather_opponents(weights: Path, study: Path | None, out: Path, seed: int) -> Opponents:
    """The own weights, an untrained network of the same sizes, and the encoders of a study, if one is given.

    An encoder of the study itself keeps its name. The study's own "random" serves as the untrained network where its
    sizes are the same; else one is written below `out`. Raises UltraFMError when a folder holds no encoder.
    """
    weights = Path(weights)
    open_encoder(weights)  # tells what is wrong with it before anything else is done
    found = comparators(study) if study else {}
    own = next((name for name, folder in found.items() if encoder_hash(folder) == encoder_hash(weights)), None)
    name = own or (OWN if weights.name in found else weights.name)
    rest = {other: folder for other, folder in found.items() if other != name}
    if not any(_sizes(folder) == _sizes(weights) for other, folder in found.items() if other == RANDOM):
        rest = {UNTRAINED: untrained_twin(weights, out / UNTRAINED, seed), **rest}
    return Opponents(name, {name: weights, **rest})


def untrained_twin(encoder: Path, folder: Path, seed: int) -> Path:
    """Write a network of the same sizes with weights drawn as before pre-training; the same seed, the same weights.

    Positions are the fixed sines of this project's networks, and the grey normalisation is that of `encoder`.
    """
    config = read_json(Path(encoder) / "config.json")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spawn_integer(seed, "untrained network"))
        made = timm.create_model(f"local-dir:{encoder}", pretrained=False)
    grid, width = made.patch_embed.grid_size[0], made.embed_dim
    if made.pos_embed is not None and width % 4 == 0:
        with torch.no_grad():
            made.pos_embed.zero_()
            made.pos_embed[0, -grid * grid :] = sine_positions(width, grid)
    config["ultrafm"] = {"arm": RANDOM, "seed": seed, "sites": []}
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_json(temporary / "config.json", config)
        write_bytes(temporary / "model.safetensors", save(dict(made.state_dict()), metadata={"format": "pt"}))
    return folder


def _sizes(folder: Path) -> dict[str, object]:
    config = read_json(Path(folder) / "config.json")
    return {name: config.get(name) for name in ("architecture", "model_args")}
