"""Keys and a plan of two sites in a temporary folder."""

import numpy as np
import pytest
import yaml

from ultrafm import __version__
from ultrafm.federation import client_app
from ultrafm.federation import site as site_room
from ultrafm.federation.deployment.keys import make_coordinator_keys, make_site_keys
from ultrafm.pretraining.scans import as_scans

SITES = ("site_01_a", "site_02_b")
LICENCE = {
    "publisher": "A clinic", "licence": "CC BY-NC 4.0", "conditions": ["attribution", "non-commercial"],
    "checked": True, "citation": "Doe 2020", "simulated": False,
}  # fmt: skip


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """A folder with the coordinator's keys and those of both sites."""
    folder = tmp_path_factory.mktemp("keys")
    make_coordinator_keys("localhost", folder)
    for site in SITES:
        make_site_keys(site, folder)
    return folder


@pytest.fixture
def plan_values(keys):
    """The fields of a plan that is as it should be."""
    return {
        "name": "trial", "ultrafm": __version__, "address": "localhost:18443", "keys": str(keys),
        "network": {"size": "micro", "image_size": 32}, "training": {"passes": 2}, "seed": 5,
        "sites": [{"site": site, "key": f"{keys}/{site}.pub"} for site in SITES],
    }  # fmt: skip


@pytest.fixture
def write_plan(tmp_path, plan_values):
    """Writes the plan, with some fields changed (None: left out); returns its path."""

    def write(**changes):
        values = {name: value for name, value in (plan_values | changes).items() if value is not None}
        path = tmp_path / "plan.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


@pytest.fixture
def images(monkeypatch):
    """Stripes at each site in place of stores on disk: 8 and 12 training images, 2 for validation; of one licence."""

    def pictures(_curated, site, fold):
        count = {"train": 8 + 4 * SITES.index(site), "validation": 2}[fold]
        y, x = np.mgrid[:32, :32]
        waves = np.sin((x + y * SITES.index(site)) / 2 + np.arange(count)[:, None, None])
        return as_scans(((waves + 1) * 127).astype(np.uint8), np.ones((count, 32, 32), bool))

    monkeypatch.setattr(site_room, "site_scans", pictures)
    monkeypatch.setattr(client_app, "site_licence", lambda _curated, _site: dict(LICENCE))
