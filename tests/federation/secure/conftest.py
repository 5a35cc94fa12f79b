"""Pictures in place of stores on disk."""

import pytest

from tests.federation.secure.striped_sites import striped
from ultrafm.federation import site as site_room


@pytest.fixture
def images(monkeypatch):
    """Five sites' striped pictures."""
    monkeypatch.setattr(site_room, "site_scans", striped)
