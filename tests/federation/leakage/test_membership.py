"""The loss threshold finds what a model learned by heart, site by site, and nothing in a model that never saw it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.federation.leakage.small import GREY, SMALL, make_scans
from ultrafm.federation.leakage.membership import mean_losses, membership_records, membership_table
from ultrafm.federation.leakage.shadows import Pool, train_plainly
from ultrafm.pretraining.recipe import build_model

SCANS = make_scans(24, 6)


def losses_table(model):
    losses = mean_losses(model, SCANS, GREY, SMALL, 0, 8, "test")
    patients = [f"p{number}" for number in range(24)]
    return pd.DataFrame({"site": "one", "patient": patients, "member": np.arange(24) < 8, "loss": losses})


def test_a_model_that_learned_eight_pictures_by_heart_gives_them_away():
    recipe = replace(SMALL, learning_rate=5e-3)
    trained = train_plainly(Pool(SCANS, np.arange(24), GREY, recipe, 120, 1), np.arange(8), 0)
    assert membership_table(losses_table(trained))["low"].min() > 0.6


def test_a_model_that_was_never_trained_does_not():
    row = membership_table(losses_table(build_model(SMALL, 0))).iloc[0]
    assert row["low"] < 0.5 < row["high"]


def test_sites_with_few_patients_are_left_out_and_the_mean_is_over_the_others():
    rows = [("a", f"p{n}", n < 4, float(n < 4)) for n in range(8)] + [("b", f"p{n}", n < 4, -n) for n in range(8)]
    rows += [("c", f"p{n}", n < 2, 0.0) for n in range(5)]
    found = membership_table(pd.DataFrame(rows, columns=["site", "patient", "member", "loss"])).set_index("site")
    assert found["auroc"].to_dict() == {"a": 0.0, "b": 0.0, "mean over sites": 0.0}
    assert found.loc["mean over sites", "images"] == 16


def test_records_carry_every_row():
    table = membership_table(losses_table(build_model(SMALL, 0)))
    records = membership_records(table, "simulated")
    assert [one["level"] for one in records] == ["one", "mean over sites"]
    assert records[0]["estimate"] == pytest.approx(table["auroc"].iloc[0]) and records[0]["n_patients"] == 24
