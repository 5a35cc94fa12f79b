"""The coordinator's side of the federation as a Flower ServerApp: the driver of the notebooks, over sites elsewhere.

The run's configuration names the `plan`, a file on the coordinator's machine, which says where everything goes.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from ultrafm.federation.deployment.coordinate import coordinate
from ultrafm.federation.deployment.plans import read_plan

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Pre-train one model over the sites of the plan; continues from the checkpoints of an earlier run."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    coordinate(grid, read_plan(Path(str(context.run_config["plan"]))))
