"""Noise at the sites and sums alone at the coordinator, together: the same model as with noise alone."""

from dataclasses import replace

import numpy as np
import pytest

from tests.federation.privacy.striped_patients import PRIVATE, RECIPE, SITES
from ultrafm.errors import UltraFMError
from ultrafm.federation.driver import federate
from ultrafm.federation.plan import Federation
from ultrafm.federation.privacy.ledger import ledger_path, read_ledger
from ultrafm.federation.site import build_model
from ultrafm.federation.vector import to_vector


def run(folder, federation):
    return federate(folder / "curated", SITES, folder, RECIPE, federation, seed=5)


def test_noisy_updates_in_secure_sums_are_those_of_noise_alone(tmp_path, stripes):
    alone = run(tmp_path / "alone", PRIVATE)
    both = run(tmp_path / "both", replace(PRIVATE, secure_aggregation=True, guarded=False))
    started, one, other = (to_vector(model) for model in (build_model(RECIPE, 5), alone.model, both.model))
    assert np.abs(one - other).max() < 1e-5 < 1e-3 < np.abs(one - started).max()
    for site in SITES:
        spent = [
            [
                (entry.round, entry.steps, entry.noise)
                for entry in read_ledger(ledger_path(str(folder / "curated"), site))
            ]
            for folder in (tmp_path / "alone", tmp_path / "both")
        ]
        assert spent[0] == spent[1] and spent[0]
    assert {row["loss"] for row in both.history} == {None} == {row["validation_loss"] for row in both.history}


def test_noise_at_the_coordinator_needs_to_see_updates():
    with pytest.raises(UltraFMError, match=r"privacy.*cannot shorten"):
        Federation(
            1, privacy="sites", noise=1.0, clip=1.0, delta=0.01, weighting="equal", secure_aggregation=True,
            guarded=False,
        )  # fmt: skip
