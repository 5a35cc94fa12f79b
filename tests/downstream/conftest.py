"""Small encoders and tasks, and what an evaluation makes of them, once for all tests of this folder.

Being here, this file also lets the folders below import `made_tasks`.
"""

from __future__ import annotations

from pathlib import Path

import made_tasks
import numpy as np
import pandas as pd
import pytest
import torch

from ultrafm.downstream.evaluate import Evaluation, evaluate_diagnosis
from ultrafm.downstream.tasks import CROSS_VALIDATION, TaskData
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.weights import save_encoder


@pytest.fixture(scope="session")
def encoders(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    for seed, name in enumerate(("random", "one_site", "pooled", "federated")):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = MaskedAutoencoder(made_tasks.SIDE, 8, width=24, depth=2, heads=2, decoder_width=8, decoder_depth=1)
        save_encoder(model, folder / name, GreyScale(0.3, 0.2), {})
    return {name: folder / name for name in ("random", "one_site", "pooled", "federated")}


def _renamed(data: TaskData, name: str, **changes: object) -> TaskData:
    task = data.task.model_copy(update={"name": name})
    return type(data)(**{**vars(data), "task": task, **changes})


@pytest.fixture(scope="session")
def tasks() -> dict[str, TaskData]:
    generator = np.random.default_rng(0)
    fixed = made_tasks.made_diagnosis(generator, brightness=12)
    crossed = made_tasks.made_diagnosis(generator, CROSS_VALIDATION, brightness=12)
    crossed = _renamed(crossed, "crossed", table=crossed.table.assign(site="site_02_b"))
    return {"fixed": _renamed(fixed, "fixed"), "crossed": crossed, "odd": _renamed(fixed, "odd", skipped="too few")}


@pytest.fixture(scope="session")
def evaluated(tasks, encoders) -> Evaluation:
    return evaluate_diagnosis(tasks, encoders, seed=1, epochs=1, precision="fp32")


@pytest.fixture(scope="session")
def predictions(evaluated) -> pd.DataFrame:
    return evaluated.predictions
