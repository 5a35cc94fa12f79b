"""The gate of the distance: a planted effect is found with its true size, a planted null is not."""

import numpy as np
import pytest

from ultrafm.downstream.controls import gate
from ultrafm.downstream.designs.distance import gain, seed_values, share_closed
from ultrafm.downstream.designs.distance_figures import gate_style


def as_they_are(features, truth, turn):
    """The one feature itself: what a probe of it ranks by, without the cost of fitting one."""
    return features[turn.predict, 0]


def test_planted_numbers_are_those_of_the_made_features():
    generator = np.random.default_rng(0)
    strengths = generator.normal(gate.STRENGTHS["random"], gate.SEED_SPREAD, 400_000)
    ranked = strengths + generator.normal(size=400_000) > generator.normal(size=400_000)
    assert ranked.mean() == pytest.approx(gate.planted_auroc("random"), abs=0.003)
    assert gate.planted_auroc("pooled") == gate.planted_auroc("federated")
    assert gate.planted_share() == pytest.approx(0.631, abs=0.001)


def test_a_planted_effect_is_found_through_the_whole_way_and_the_null_is_not():
    found = seed_values([gate.made_scores(5, 0.1, 0, 0)])
    share, effect = share_closed(found, "federated"), gain(found, "federated", "random")
    assert share.ci_low <= gate.planted_share() <= share.ci_high and share.ci_low > 0
    assert effect.ci_low > 0
    null = gain(found, "pooled", "federated")
    assert null.ci_low < 0 < null.ci_high


def test_the_gate_counts_by_hand():
    studies = [seed_values([gate.made_scores(3, 0.1, 0, number, as_they_are)]) for number in range(4)]
    table = gate.gate_table(studies).set_index("planted")
    null = [gain(one, "pooled", "federated") for one in studies]
    held = sum(one.ci_low <= 0 <= one.ci_high for one in null) / 4
    row = table.loc["null: pooled − federated"]
    assert (row["covered"], row["detected"], row["studies"]) == (held, 1 - held, 4)
    assert "made studies" in gate_style(table.reset_index()).to_html()
    assert all(row["images"] == "simulated" for row in gate.gate_records(table.reset_index()))


def test_the_gate_fails_where_the_truth_is_another(monkeypatch):
    """Were the design to claim another effect than there is, the gate would say so."""
    studies = [seed_values([gate.made_scores(5, 0.1, 0, number, as_they_are)]) for number in range(8)]
    monkeypatch.setattr(gate, "planted_share", lambda: 0.0)
    assert gate.gate_table(studies).set_index("planted").loc["effect: share closed, federated", "covered"] < 0.1


@pytest.mark.parametrize(("hits", "low", "high"), [(0, 0.0, 0.0362), (50, 0.3983, 0.6017), (100, 0.9638, 1.0)])
def test_exact_limits(hits, low, high):
    assert gate.exact_limits(hits, 100) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    """1,000 made studies of five seeds: Monte-Carlo error of a coverage of 95 % is 0.7 %."""
    table = gate.run_gate(5, 0.1, 1000, seed=1, probe=as_they_are).set_index("planted")
    assert table["covered"].between(0.925, 0.975).all()
    assert 0.025 <= table.loc["null: pooled − federated", "detected"] <= 0.075
    assert table.loc["effect: share closed, federated", "detected"] > 0.9
