"""Joining the answers of a round, with numbers that can be checked on paper."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.grid import identify_process
from ultrafm.federation.plan import Federation, SiteDescription, site_weights
from ultrafm.federation.strategy import FederatedRounds
from ultrafm.federation.vector import WEIGHTS
from ultrafm.pretraining.grey import grey_scale_of
from ultrafm.pretraining.recipe import Recipe

NAMES = ("site_a", "site_b", "site_c")


def strategy_of(images=(1, 1, 1), **changes):
    """Three sites of so many images, whose weights are averaged in one round a pass."""
    nodes = {2 + place: SiteDescription(name, count, 0, 0) for place, (name, count) in enumerate(zip(NAMES, images))}
    federation = Federation(**{"passes": 9, "adaptive": "reset", "site_batch_size": 300, "guarded": False} | changes)
    return FederatedRounds(nodes, Recipe(learning_rate=100.0), federation)


def record(value):
    return to_record({WEIGHTS: np.full(2, value, np.float32)})


def replies(strategy, values, images=None, start=0.0, number=1):
    """Ask the three sites and let them answer with `values`, and as many images as they have."""
    identify_process()
    config = ConfigRecord({"recipe/width": 8, "plan/seed": 0})
    asked = list(strategy.configure_train(number, record(start), config, None))
    counts = images or [one.images for one in strategy.sites]
    answers = []
    for message, value, count in zip(asked, values, counts):
        metrics = MetricRecord({"images": count, "loss": float(count), "round": number})
        answers.append(Message(RecordDict({"arrays": record(value), "metrics": metrics}), reply_to=message))
    return answers


def joined(strategy, values, **changes):
    arrays, _ = strategy.aggregate_train(changes.get("number", 1), replies(strategy, values, **changes))
    return from_record(arrays)[WEIGHTS].tolist()


def test_mean_is_weighted_by_images():
    strategy = strategy_of(images=(1, 1, 2))
    arrays, losses = strategy.aggregate_train(1, replies(strategy, (1.0, 2.0, 6.0)))
    assert from_record(arrays)[WEIGHTS].tolist() == [3.75, 3.75]  # (1 + 2 + 2 * 6) / 4
    assert losses["loss"] == pytest.approx((1 + 1 + 2 * 2) / 4)


def test_equal_weighting_ignores_images_and_root_dampens_them():
    assert joined(strategy_of((1, 1, 200), weighting="equal"), (1.0, 2.0, 6.0)) == [3, 3]
    assert joined(strategy_of((1, 1, 4), weighting="root"), (1.0, 2.0, 6.0)) == [3.75, 3.75]  # (1 + 2 + 2 * 6) / 4


def test_by_organs_every_organ_counts_the_same_wherever_it_was_scanned():
    """Livers: 30 at a, 10 at b. Hearts: 5 at c. a: 3/4, b: 1/4, c: 1, for all their images together."""
    organs = ({"liver": 30}, {"liver": 10}, {"heart": 5})
    sites = [SiteDescription(name, sum(one.values()), 0, 0, one) for name, one in zip(NAMES, organs)]
    weights = [weight * one.images for weight, one in zip(site_weights(sites, "organs"), sites)]
    assert weights == pytest.approx([0.75, 0.25, 1])
    strategy = FederatedRounds(
        dict(enumerate(sites, 2)), Recipe(learning_rate=100.0),
        Federation(1, adaptive="reset", site_batch_size=99, weighting="organs"),
    )  # fmt: skip
    assert joined(strategy, (4.0, 8.0, 1.0)) == pytest.approx([(3 + 2 + 1) / 2] * 2)


def test_constants_survive_averaging_exactly():
    value = float(np.float32(0.1))
    assert joined(strategy_of((3, 7, 11)), (value, value, value)) == [value, value]


def test_every_message_carries_recipe_plan_and_round():
    strategy = strategy_of()
    strategy.taken = {name: [3, 4] for name in NAMES}
    identify_process()
    messages = list(strategy.configure_train(5, record(0), ConfigRecord({"recipe/width": 8, "plan/seed": 3}), None))
    assert [message.metadata.dst_node_id for message in messages] == [2, 3, 4]
    assert dict(messages[0].content["recipe"]) == {"width": 8}
    expected = {"seed": 3, "round": 5, "last_round": 4, "kept_rounds": [3, 4], "pass_number": 5, "share": 1}
    assert dict(messages[0].content["plan"]) == expected


def failed(answers, place):
    answers[place] = Message(Error(code=0, reason="disk full"), reply_to=answers[place])
    return answers


def test_a_failed_site_is_named():
    strategy = strategy_of()
    with pytest.raises(UltraFMError, match=r"round 1, site site_b: found disk full"):
        strategy.aggregate_train(1, failed(replies(strategy, (1.0, 2.0, 3.0)), 1))


def test_a_failed_site_is_dropped_and_recorded_when_asked():
    strategy = strategy_of(on_fault="drop")
    arrays, losses = strategy.aggregate_train(1, failed(replies(strategy, (1.0, 2.0, 4.0)), 1))
    assert from_record(arrays)[WEIGHTS].tolist() == [2.5, 2.5] and losses["loss"] == 1
    [incident] = strategy.incidents
    assert (incident.round, incident.site, incident.kind, incident.action) == (1, "site_b", "error", "dropped")
    assert incident.found == "disk full" and strategy.taken == {"site_a": [1], "site_b": [], "site_c": [1]}


def test_too_few_sites_end_the_run_with_all_reasons():
    strategy = strategy_of(on_fault="drop", least_sites=3)
    with pytest.raises(UltraFMError, match=r"round 1: found usable answers of 2 sites \(site_b: disk full\).*least 3"):
        strategy.aggregate_train(1, failed(replies(strategy, (1.0, 2.0, 3.0)), 1))


FAULTS = {
    "not finite": lambda content: content.update(arrays=to_record({WEIGHTS: np.array([1, np.nan], np.float32)})),
    "other weights": lambda content: content.update(arrays=to_record({WEIGHTS: np.ones(3, np.float32)})),
    "too long": lambda content: content.update(arrays=record(1e9)),
    "stale round": lambda content: content["metrics"].update(round=7),
    "image count": lambda content: content["metrics"].update(images=1000),
    "unreadable": lambda content: content.pop("metrics"),
    "unreadable, no weights": lambda content: content.pop("arrays"),
    "unreadable, no loss": lambda content: content["metrics"].pop("loss"),
    "unreadable, a list": lambda content: content["metrics"].update(loss=[1.0]),
    "unreadable, half an image": lambda content: content["metrics"].update(images=0.5),
    "unreadable, unknown type": lambda content: content.update(arrays=damaged(dtype="float33")),
    "unreadable, cut short": lambda content: content.update(arrays=damaged(data=b"nothing")),
}


def damaged(**changes):
    """A record whose array says other than it holds."""
    [array] = record(1.0).values()
    told = {"dtype": array.dtype, "shape": array.shape, "stype": array.stype, "data": array.data} | changes
    return ArrayRecord({WEIGHTS: Array(**told)})


@pytest.mark.parametrize("kind", FAULTS)
def test_answers_that_training_cannot_have_given_are_dropped(kind):
    strategy = strategy_of(on_fault="drop", guarded=True)
    answers = replies(strategy, (1.0, 2.0, 4.0))
    FAULTS[kind](answers[1].content)
    arrays, _ = strategy.aggregate_train(1, answers)
    assert from_record(arrays)[WEIGHTS].tolist() == [2.5, 2.5]
    assert [(one.site, one.kind) for one in strategy.incidents] == [("site_b", kind.split(",")[0])]


@pytest.mark.parametrize("kind", FAULTS)
def test_or_they_end_the_run_with_the_sites_name(kind):
    strategy = strategy_of(guarded=True)
    answers = replies(strategy, (1.0, 2.0, 4.0))
    FAULTS[kind](answers[2].content)
    with pytest.raises(UltraFMError, match="round 1, site site_c"):
        strategy.aggregate_train(1, answers)


def test_a_loss_that_is_not_finite_is_a_fault():
    strategy = strategy_of(on_fault="drop")
    answers = replies(strategy, (1.0, 2.0, 4.0))
    answers[0].content["metrics"]["loss"] = float("nan")
    strategy.aggregate_train(1, answers)
    assert [(one.site, one.kind) for one in strategy.incidents] == [("site_a", "not finite")]


@pytest.mark.parametrize("weighting", ["images", "equal", "root"])
def test_a_site_that_sits_a_round_out_does_not_count(weighting):
    strategy = strategy_of(weighting=weighting)
    assert joined(strategy, (4.0, 2.0, 0.0), images=(1, 1, 0)) == [3, 3]
    assert joined(strategy, (1.0, 1.0, 1.0), images=(0, 0, 0), start=1.0) == [1, 1]


def test_the_median_withstands_what_the_mean_does_not():
    values = (1.0, 2.0, -900.0)
    assert joined(strategy_of(), values) == pytest.approx([-299, -299])
    assert joined(strategy_of(aggregation="median"), values) == [1, 1]


def test_the_servers_optimizer_gets_the_joined_update_and_its_memory():
    strategy = strategy_of(server_optimizer="momentum", server_rate=0.5)
    assert joined(strategy, (2.0, 3.0, 4.0), start=1.0) == [2, 2]  # 1 + 0.5 x (3 - 1)
    assert strategy.state["velocity"][WEIGHTS].tolist() == [2, 2]
    assert joined(strategy, (2.0, 3.0, 4.0), start=1.0, number=2) == pytest.approx([2.9, 2.9])  # 1 + 0.5 (0.9 x 2 + 2)


def test_an_images_share_of_a_round_is_known_beforehand():
    """10 images in steps of 4 are 3 steps: of two shares, the first has 1 step of 4, the second 2 of 6."""
    strategy = strategy_of((10, 10, 10), shares=2, site_batch_size=4)
    assert [strategy.expected_share(0, number) for number in (1, 2)] == [(1, 4), (2, 6)]


@given(st.lists(st.booleans(), min_size=1, max_size=24), st.integers(1, 3), st.integers(0, 3))
def test_a_site_keeps_what_it_may_be_asked_for_again(counted, shares, sites_per_round):
    """Whatever answers counted: after a return to the end of a pass, the round before it that counted is at hand."""
    strategy = strategy_of(passes=30, shares=shares, sites_per_round=sites_per_round)
    site, place, at_hand, states = "site_a", 0, {0}, {}
    for number, counts in enumerate(counted, start=1):
        if place in strategy.schedule.sites_of(number):
            last, kept = strategy.last_taken(site), strategy.rounds_to_keep(site, number)
            assert last in at_hand
            at_hand = (at_hand & set(kept)) | {number, 0}
            if counts:
                strategy.taken[site] = [one for one in strategy.taken[site] if one in kept] + [number]
        states[number] = strategy.last_taken(site)
        assert all(states[end] in at_hand for end in strategy.schedule.ends_before(number))


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_grey_scale_is_that_of_all_images_together(rows):
    """Images of one grey value each: count, sum and sum of squares pool to the plain mean and deviation."""
    described = [(count, count * grey, count * grey**2) for count, grey, _ in rows]
    values = np.concatenate([np.full(count, grey) for count, grey, _ in rows])
    scale = grey_scale_of(described)
    assert scale.mean == pytest.approx(values.mean(), abs=1e-5)
    assert scale.deviation == pytest.approx(max(values.std(), 1e-3), abs=1e-3)


def test_validation_losses_are_averaged_over_images_and_a_lost_site_is_recorded():
    strategy = strategy_of(on_fault="drop")
    identify_process()
    asked = list(strategy.configure_evaluate(0, record(0), ConfigRecord({"plan/seed": 0}), None))
    counts = ((1, 2.0), (3, 4.0))
    answers = [
        Message(RecordDict({"metrics": MetricRecord({"images": n, "loss": loss, "round": 0})}), reply_to=one)
        for one, (n, loss) in zip(asked, counts)
    ]
    mean = strategy.aggregate_evaluate(0, [*answers, Message(Error(code=5, reason="gone"), reply_to=asked[2])])
    assert mean["loss"] == 3.5 and list(strategy.site_validation) == ["site_a", "site_b"]
    assert [one.site for one in strategy.incidents] == ["site_c"]


def test_a_record_of_several_arrays_is_refused():
    strategy = strategy_of()
    answers = replies(strategy, (1.0, 2.0, 3.0))
    answers[0].content["arrays"] = ArrayRecord({**record(1.0), **to_record({"more": np.ones(1)})})
    with pytest.raises(UltraFMError, match="more"):
        strategy.aggregate_train(1, answers)
