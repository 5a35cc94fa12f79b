"""Aggregation with numbers that can be checked on paper."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.federation.grid import identify_process
from ultrafm.federation.site import grey_scale_of
from ultrafm.federation.strategy import (
    StreamingAverage,
    apply_average,
    apply_momentum,
    choose_sites,
    last_round_of,
)

SITES = {2: "site_a", 3: "site_b", 4: "site_c"}


def record(value):
    return ArrayRecord({"w": Array(np.full((2,), value, np.float32))})


def replies(strategy, values, images=(1, 1, 1), start=0.0):
    """Ask the three sites in round 1 and let them answer with `values` of `images` images."""
    identify_process()
    asked = list(strategy.configure_train(1, record(start), ConfigRecord({"recipe/width": 8, "plan/seed": 0}), None))
    answers = []
    for message, value, count in zip(asked, values, images):
        metrics = MetricRecord({"images": count, "loss": float(count), "validation_images": 0, "validation_loss": 0.0})
        content = RecordDict({"arrays": record(value), "metrics": metrics})
        answers.append(Message(content, reply_to=message))
    return answers


def test_mean_is_weighted_by_images():
    strategy = StreamingAverage(SITES)
    arrays, losses = strategy.aggregate_train(1, replies(strategy, (1.0, 2.0, 6.0), images=(1, 1, 2)))
    assert arrays["w"].numpy().tolist() == [3.75, 3.75]  # (1 + 2 + 2 * 6) / 4
    assert losses["loss"] == pytest.approx((1 + 1 + 2 * 2) / 4)


def test_equal_weighting_ignores_images():
    strategy = StreamingAverage(SITES, weighting="equal")
    arrays, _ = strategy.aggregate_train(1, replies(strategy, (1.0, 2.0, 6.0), images=(1, 1, 200)))
    assert arrays["w"].numpy().tolist() == [3, 3]


def test_momentum_accumulates_the_mean_update():
    old = {"w": np.array([1.0], np.float32)}
    new, speed = apply_momentum(old, {"w": np.array([2.0])}, {}, 0.5)
    assert (new["w"][0], speed["w"][0]) == (2.0, 1.0)
    new, speed = apply_momentum(new, {"w": np.array([3.0])}, speed, 0.5)
    assert (new["w"][0], speed["w"][0]) == (3.5, 1.5)  # update 1, plus half of the last speed


def test_the_type_of_weights_is_kept():
    assert apply_average({"w": np.zeros(2, np.float32)}, {"w": np.ones(2)})["w"].dtype == np.float32


def test_constants_survive_averaging_exactly():
    value = float(np.float32(0.1))
    strategy = StreamingAverage(SITES)
    arrays, _ = strategy.aggregate_train(1, replies(strategy, (value, value, value), images=(3, 7, 11)))
    assert (arrays["w"].numpy() == np.float32(0.1)).all()


def test_every_message_carries_recipe_plan_and_round():
    strategy = StreamingAverage(SITES)
    identify_process()
    messages = list(strategy.configure_train(5, record(0), ConfigRecord({"recipe/width": 8, "plan/seed": 3}), None))
    assert [message.metadata.dst_node_id for message in messages] == [2, 3, 4]
    assert dict(messages[0].content["recipe"]) == {"width": 8}
    assert dict(messages[0].content["plan"]) == {"seed": 3, "round": 5, "last_round": 4}


def test_a_failed_site_is_named():
    strategy = StreamingAverage(SITES)
    answers = replies(strategy, (1.0, 2.0, 3.0))
    answers[1] = Message(Error(code=0, reason="disk full"), reply_to=answers[1])
    with pytest.raises(UltraFMError, match=r"round 1, site site_b: found disk full"):
        strategy.aggregate_train(1, answers)


@pytest.mark.parametrize("bad", [np.array([1.0, np.nan], np.float32), np.ones(3, np.float32)])
def test_bad_weights_are_refused_with_the_sites_name(bad):
    strategy = StreamingAverage(SITES)
    answers = replies(strategy, (1.0, 2.0, 3.0))
    answers[2].content["arrays"] = ArrayRecord({"w": Array(bad)})
    with pytest.raises(UltraFMError, match="site site_c, weight w"):
        strategy.aggregate_train(1, answers)


@pytest.mark.parametrize(("weighting", "momentum"), [("size", 0.0), ("images", 1.0), ("images", -0.1)])
def test_settings_out_of_range_are_refused(weighting, momentum):
    with pytest.raises(UltraFMError):
        StreamingAverage(SITES, weighting, momentum)


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_grey_scale_is_that_of_all_images_together(rows):
    """Images of one grey value each: count, sum and sum of squares pool to the plain mean and deviation."""
    described = [(count, count * grey, count * grey**2) for count, grey, _ in rows]
    values = np.concatenate([np.full(count, grey) for count, grey, _ in rows])
    scale = grey_scale_of(described)
    assert scale.mean == pytest.approx(values.mean(), abs=1e-5)
    assert scale.deviation == pytest.approx(max(values.std(), 1e-3), abs=1e-3)


@given(st.integers(1, 20), st.integers(0, 21), st.integers(0, 99))
def test_each_pass_deals_every_site_into_one_round(count, per_round, seed):
    nodes = list(range(2, 2 + count))
    groups = -(-count // per_round) if 0 < per_round < count else 1
    for start in (1, 1 + groups):
        dealt = [choose_sites(nodes, per_round, seed, number) for number in range(start, start + groups)]
        assert sorted(node for group in dealt for node in group) == nodes
        assert all(
            group == sorted(group) and len(group) <= max(per_round, count if groups == 1 else 0) for group in dealt
        )


def test_the_last_round_of_a_site_is_one_in_which_it_took_part():
    nodes = list(range(2, 10))
    for number in range(1, 20):
        last = last_round_of(5, nodes, 3, 0, number)
        assert last < number
        assert last == 0 or 5 in choose_sites(nodes, 3, 0, last)
        assert all(5 not in choose_sites(nodes, 3, 0, between) for between in range(last + 1, number))
