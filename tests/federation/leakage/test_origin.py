"""The organ of a site is told from updates where organs differ, and not where they do not, nor under noise."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.federation.leakage.small import GREY, SMALL, make_model, make_scans
from ultrafm.errors import UltraFMError
from ultrafm.federation.leakage.origin import (
    Sketches,
    deal_patients,
    draw_updates,
    guess_main_organ,
    guess_share,
    main_shares,
    random_shares,
    sketch_gradients,
    summary,
)
from ultrafm.federation.leakage.updates import Case
from ultrafm.pretraining.scans import as_scans

TABLE = pd.DataFrame({"organ": ["liver"] * 40 + ["breast"] * 40, "patient": np.repeat(np.arange(40), 2)})
ONE = Case("one site", pictures=8)


@pytest.fixture(scope="module")
def sketches():
    """Two organs whose patches get brighter downwards, or to the right."""
    plain = make_scans(80, 4)
    ramp = np.tile(np.linspace(-60, 60, 8), (32, 4))
    added = np.where(np.arange(80)[:, None, None] < 40, ramp, ramp.T)
    images = (0.5 * plain.images + 64 + added).clip(0, 255).astype(np.uint8)
    both = as_scans(images, plain.sectors)
    return sketch_gradients(make_model(), both, GREY, SMALL, torch.Generator().manual_seed(0), width=64)


def test_a_site_of_one_organ_is_recognised(sketches):
    found = guess_main_organ(sketches, TABLE, ONE, 3, 0, sites=60)
    assert found["accuracy"].min() > 0.8 and found["chance"].eq(0.5).all()
    assert guess_share(sketches, TABLE, ONE, "liver", 3, 0, sites=60)["correlation"].min() > 0.7


def test_organs_that_are_names_only_are_not(sketches):
    shuffled = TABLE.assign(organ=np.random.default_rng(0).permutation(40).repeat(2) < 20).astype({"organ": str})
    found = guess_main_organ(sketches, shuffled, ONE, 6, 0, sites=60)
    assert abs(found["accuracy"].mean() - 0.5) < 0.12
    assert abs(guess_share(sketches, shuffled, ONE, "True", 6, 0, sites=60)["correlation"].mean()) < 0.25


def test_noise_hides_the_organ(sketches):
    found = guess_main_organ(sketches, TABLE, Case("noisy", pictures=8, noise=10.0), 4, 0, sites=60)
    assert abs(found["accuracy"].mean() - 0.5) < 0.12


def test_a_sum_over_sites_tells_less_than_one(sketches):
    alone, joined = (
        guess_main_organ(sketches, TABLE, Case("x", pictures=8, sites=sites), 3, 0, sites=60)["accuracy"].mean()
        for sites in (1, 8)
    )
    assert joined < alone - 0.1


def test_sketches_keep_lengths_and_noise_has_its_size(sketches):
    model = make_model()
    assert len(sketches.sums) == 80 and (sketches.lengths > 0).all()
    count = sum(one.numel() for one in model.parameters() if one.requires_grad and one.ndim == 1)
    assert sketches.weights_a_sum == count / 64
    empty = Sketches(np.zeros((4, 5000)), np.ones(4), weights_a_sum=9.0)
    case = Case("noisy", pictures=2, noise=0.5, clip=2.0)
    drawn = draw_updates(empty, {"a": np.arange(4)}, np.ones((2, 1)), case, np.random.default_rng(0))
    assert drawn.std() == pytest.approx(2.0 * 0.5 * 3 / 2, rel=0.05)


def test_shares_of_organs_add_up():
    assert main_shares(np.array([0, 2]), 3).tolist() == pytest.approx(np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]]))
    drawn = random_shares(1, 3, 50, np.random.default_rng(0))
    assert drawn.sum(axis=1) == pytest.approx(np.ones(50)) and ((drawn > 0).sum(axis=1) == 2).all()


def test_attacker_and_victims_share_no_patient():
    ours, theirs = deal_patients(TABLE, np.random.default_rng(0))
    for organ in ("liver", "breast"):
        sides = [set(TABLE["patient"].iloc[side[organ]]) for side in (ours, theirs)]
        assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 20
    with pytest.raises(UltraFMError, match="two organs"):
        deal_patients(TABLE[TABLE["organ"] == "liver"], np.random.default_rng(0))


def test_unknown_organ_is_refused_and_repeats_are_summed_up(sketches):
    with pytest.raises(UltraFMError, match="'heart'"):
        guess_share(sketches, TABLE, ONE, "heart", 1, 0)
    table = pd.DataFrame({"case": ["a", "a"], "repeat": [0, 1], "accuracy": [0.4, 0.6]})
    row = summary(table, "accuracy").iloc[0]
    assert row["estimate"] == 0.5 and row["repeats"] == 2 and row["low"] < 0.4
