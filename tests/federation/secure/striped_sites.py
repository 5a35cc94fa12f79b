"""Sites of striped pictures in place of stores on disk, and a grid on which messages get lost, changed or cut off."""

from dataclasses import dataclass, field

import numpy as np
import torch
from flwr.app import Error, Message

from ultrafm.federation.client_app import REFERENCE
from ultrafm.federation.driver import drive
from ultrafm.federation.grid import CRASHED, LocalGrid
from ultrafm.federation.plan import Federation
from ultrafm.federation.secure.keys import prepare_keys
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import as_scans

RECIPE = Recipe(image_size=32, width=32, depth=1, heads=1, decoder_width=32, decoder_depth=1, batch_size=4)
SITES = ["site_01_a", "site_02_b", "site_03_c", "site_04_d", "site_05_e"]
STAGES = ("query.keys", "query.shares", "train", "query.consent", "query.unmask")


class Killed(Exception):
    """Stands for the end of the coordinator's process."""


def striped(_curated, site, fold):
    """Stripes of another angle at each site; 6, 8, 10, 12, 14 training images, 2 for validation."""
    number = SITES.index(site)
    count = {"train": 6 + 2 * number, "validation": 2}[fold]
    y, x = np.mgrid[:32, :32]
    waves = np.sin((x * np.cos(number) + y * np.sin(number)) / 2 + np.arange(count)[:, None, None])
    return as_scans(((waves + 1) * 127).astype(np.uint8), np.ones((count, 32, 32), bool))


@dataclass
class Trouble:
    """What happens to messages: `lost` (kind, site) come to nothing, at `killed` (kind, how many of it) the run ends.

    `crashed` (kind, site): the site's process ends, once, when it has done its work, and its answer is lost.
    `answers` keeps every reply.
    """

    lost: set = field(default_factory=set)
    killed: tuple = ()
    crashed: set = field(default_factory=set)
    answers: list = field(default_factory=list)


class TroubledGrid(LocalGrid):
    """A grid in this process, with trouble."""

    def __init__(self, nodes, trouble):
        super().__init__(REFERENCE, nodes)
        self.trouble, self._names = trouble, dict(enumerate((node["site"] for node in nodes), 2))

    def _work(self, message):
        kind, site = message.metadata.message_type, self._names[message.metadata.dst_node_id]
        trouble = self.trouble
        if trouble.killed and kind == trouble.killed[0]:
            if trouble.killed[1] == 0:
                raise Killed
            trouble.killed = (kind, trouble.killed[1] - 1)
        if (kind, site) in trouble.lost:
            return Message(Error(code=2, reason="power cut"), reply_to=message)
        reply = super()._work(message)
        if (kind, site) in trouble.crashed or (reply.has_error() and "site died" in reply.error.reason):
            trouble.crashed.discard((kind, site))
            return Message(Error(code=CRASHED, reason="process ended"), reply_to=message)
        trouble.answers.append((kind, site, message, reply))
        return reply


def nodes_of(folder, sites=SITES):
    keys = prepare_keys(folder / "sites", sites)
    return [{"site": one, "curated": "", "folder": str(folder / "sites" / one), **keys[one]} for one in sites]


def run(folder, trouble=None, sites=SITES, on_round=None, **changes):
    """Two rounds of averaging, in sums; by default four of the five sites must remain."""
    chosen = {"passes": 2, "adaptive": "reset", "site_batch_size": 4, "guarded": False, "secure_aggregation": True}
    federation = Federation(**chosen | changes)
    grid = TroubledGrid(nodes_of(folder, sites), trouble or Trouble())
    return drive(grid, sites, folder, RECIPE, federation, seed=5, on_round=on_round)


def weights(made):
    return torch.cat([weight.flatten() for weight in made.model.state_dict().values()])
