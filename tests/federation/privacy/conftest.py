"""Pictures of patients in place of stores on disk."""

import pytest
import torch

from tests.federation.privacy.striped_patients import put_in_place


@pytest.fixture
def stripes(monkeypatch):
    """Striped patients, on one thread, as workers are."""
    put_in_place(monkeypatch.setattr)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
