"""Aggregation with numbers that can be checked on paper."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.federation.grid import identify_process
from ultrafm.federation.schedule import Schedule
from ultrafm.federation.server_optimizer import average
from ultrafm.federation.strategy import StreamingAverage
from ultrafm.pretraining.grey import grey_scale_of

SITES = {2: "site_a", 3: "site_b", 4: "site_c"}
ALL = Schedule(len(SITES), passes=9)


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
    strategy = StreamingAverage(SITES, ALL)
    arrays, losses = strategy.aggregate_train(1, replies(strategy, (1.0, 2.0, 6.0), images=(1, 1, 2)))
    assert arrays["w"].numpy().tolist() == [3.75, 3.75]  # (1 + 2 + 2 * 6) / 4
    assert losses["loss"] == pytest.approx((1 + 1 + 2 * 2) / 4)


def test_equal_weighting_ignores_images():
    strategy = StreamingAverage(SITES, ALL, "equal")
    arrays, _ = strategy.aggregate_train(1, replies(strategy, (1.0, 2.0, 6.0), images=(1, 1, 200)))
    assert arrays["w"].numpy().tolist() == [3, 3]


def test_constants_survive_averaging_exactly():
    value = float(np.float32(0.1))
    strategy = StreamingAverage(SITES, ALL)
    arrays, _ = strategy.aggregate_train(1, replies(strategy, (value, value, value), images=(3, 7, 11)))
    assert (arrays["w"].numpy() == np.float32(0.1)).all()


def test_every_message_carries_recipe_plan_and_round():
    strategy = StreamingAverage(SITES, ALL)
    identify_process()
    messages = list(strategy.configure_train(5, record(0), ConfigRecord({"recipe/width": 8, "plan/seed": 3}), None))
    assert [message.metadata.dst_node_id for message in messages] == [2, 3, 4]
    assert dict(messages[0].content["recipe"]) == {"width": 8}
    expected = {"seed": 3, "round": 5, "last_round": 4, "kept_rounds": [3, 4], "pass_number": 5, "share": 1}
    assert dict(messages[0].content["plan"]) == expected


def test_a_failed_site_is_named():
    strategy = StreamingAverage(SITES, ALL)
    answers = replies(strategy, (1.0, 2.0, 3.0))
    answers[1] = Message(Error(code=0, reason="disk full"), reply_to=answers[1])
    with pytest.raises(UltraFMError, match=r"round 1, site site_b: found disk full"):
        strategy.aggregate_train(1, answers)


@pytest.mark.parametrize("bad", [np.array([1.0, np.nan], np.float32), np.ones(3, np.float32)])
def test_bad_weights_are_refused_with_the_sites_name(bad):
    strategy = StreamingAverage(SITES, ALL)
    answers = replies(strategy, (1.0, 2.0, 3.0))
    answers[2].content["arrays"] = ArrayRecord({"w": Array(bad)})
    with pytest.raises(UltraFMError, match="site site_c, weight w"):
        strategy.aggregate_train(1, answers)


def test_an_unknown_weighting_names_the_nearest():
    with pytest.raises(UltraFMError, match="did you mean 'images'"):
        StreamingAverage(SITES, ALL, "image")


@pytest.mark.parametrize("weighting", ["images", "equal"])
def test_a_site_that_sits_a_round_out_does_not_count(weighting):
    strategy = StreamingAverage(SITES, ALL, weighting)
    arrays, _ = strategy.aggregate_train(1, replies(strategy, (4.0, 2.0, 0.0), images=(1, 1, 0)))
    assert arrays["w"].numpy().tolist() == [3, 3]
    arrays, _ = strategy.aggregate_train(1, replies(strategy, (1.0, 1.0, 1.0), images=(0, 0, 0), start=1.0))
    assert arrays["w"].numpy().tolist() == [1, 1]


def test_the_server_optimizer_gets_the_mean_update_the_rounds_rate_and_its_state():
    def remember(old, update, state, rate, number):
        new, _ = average(old, update, {}, rate, number)
        return new, {"seen": {"w": state.get("seen", {"w": 0.0})["w"] + update["w"]}}

    strategy = StreamingAverage(SITES, ALL, optimize=remember, rate=lambda number: 0.5 * number)
    for _ in range(2):
        arrays, _ = strategy.aggregate_train(1, replies(strategy, (2.0, 3.0, 4.0), start=1.0))
        assert arrays["w"].numpy().tolist() == [2, 2]  # 1 + 0.5 x (3 - 1)
    assert strategy.state["seen"]["w"].tolist() == [4, 4]


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_grey_scale_is_that_of_all_images_together(rows):
    """Images of one grey value each: count, sum and sum of squares pool to the plain mean and deviation."""
    described = [(count, count * grey, count * grey**2) for count, grey, _ in rows]
    values = np.concatenate([np.full(count, grey) for count, grey, _ in rows])
    scale = grey_scale_of(described)
    assert scale.mean == pytest.approx(values.mean(), abs=1e-5)
    assert scale.deviation == pytest.approx(max(values.std(), 1e-3), abs=1e-3)
