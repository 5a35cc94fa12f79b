"""Pictures in place of stores on disk."""

import pytest

from tests.federation.secure.striped_sites import striped
from ultrafm.federation import client_app
from ultrafm.federation import site as site_room


@pytest.fixture
def images(monkeypatch):
    """Five sites' striped pictures, of one licence."""
    told = {"publisher": "A clinic", "licence": "CC BY 4.0", "conditions": ["attribution"], "checked": True}
    monkeypatch.setattr(
        client_app, "site_licence", lambda _curated, _site: told | {"citation": "Doe 2020", "simulated": True}
    )
    monkeypatch.setattr(site_room, "site_scans", striped)
