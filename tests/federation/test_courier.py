"""Sites that stall, answer late or twice, or are lost: what the coordinator sees, and what it records."""

import time

import numpy as np
import pytest
from flwr.app import Error, Message, MetricRecord, RecordDict

from ultrafm.federation.arrays import to_record
from ultrafm.federation.courier import NO_REPLY, Courier
from ultrafm.federation.grid import LocalGrid, identify_process

NAMES = {2: "site_a", 3: "site_b"}


class MoodyGrid(LocalGrid):
    """Two sites that answer with the number of the message; `mood(node, attempt)` gives the replies to one pull."""

    def __init__(self, mood):
        super().__init__("none:none", [{"site": name} for name in NAMES.values()])
        self.mood, self.sent, self.pulled = mood, [], {}

    def push_messages(self, messages):
        names = [str(len(self.sent) + place) for place, _ in enumerate(messages)]
        self.sent += list(messages)
        return names

    def pull_messages(self, message_ids):
        [name] = message_ids
        message = self.sent[int(name)]
        self.pulled[name] = self.pulled.get(name, 0) + 1
        yield from self.mood(message, int(name), self.pulled[name])


def good(message, number):
    return Message(RecordDict({"metrics": MetricRecord({"number": number})}), reply_to=message)


def lost(message, code=5):
    return Message(Error(code=code, reason="node gone"), reply_to=message)


def messages(content=None):
    identify_process()
    return [Message(content or RecordDict(), node, "train") for node in NAMES]


WEIGHTS = RecordDict({"arrays": to_record({"weights": np.zeros(5, np.float32)})})
LENGTH = len(WEIGHTS["arrays"]["weights"].data)


def echo(message):
    return Message(WEIGHTS, reply_to=message)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("ultrafm.federation.courier.POLL_SECONDS", 0.0)


def test_replies_come_in_the_order_of_asking_whoever_is_first():
    slow_first = MoodyGrid(lambda message, name, pull: [good(message, name)] if name or pull > 3 else [])
    courier = Courier(slow_first, NAMES, timeout=60)
    assert [reply.content["metrics"]["number"] for reply in courier.ask(messages(), 1)] == [0, 1]
    assert courier.incidents == []


def test_a_site_that_stalls_costs_its_time_once_and_is_back_when_it_has_answered():
    awake = set()
    grid = MoodyGrid(
        lambda message, name, pull: [] if message.metadata.dst_node_id == 2 and not awake else [good(message, name)]
    )
    courier = Courier(grid, NAMES, timeout=0.01)
    first = list(courier.ask(messages(), 1))
    assert first[0].error.code == NO_REPLY and "0.01 s" in first[0].error.reason and not first[1].has_error()
    second = list(courier.ask(messages(), 2))
    assert "no reply yet to round 1" in second[0].error.reason and len(grid.sent) == 3, "site_a was not asked again"
    awake.add(2)
    third = list(courier.ask(messages(), 3))
    assert not third[0].has_error() and third[0].content["metrics"]["number"] == 3
    assert [(one.round, one.site, one.kind, one.action) for one in courier.incidents] == [
        (3, "site_a", "late reply", "ignored")
    ]


def test_of_two_replies_the_first_counts():
    grid = MoodyGrid(lambda message, name, pull: [good(message, name), good(message, 99)])
    courier = Courier(grid, NAMES, timeout=1)
    assert [reply.content["metrics"]["number"] for reply in courier.ask(messages(), 4)] == [0, 1]
    assert [(one.round, one.site, one.kind) for one in courier.incidents] == [
        (4, "site_a", "two replies"), (4, "site_b", "two replies"),
    ]  # fmt: skip


def test_a_message_that_was_lost_is_sent_again():
    grid = MoodyGrid(lambda message, name, pull: [lost(message)] if name == 0 else [good(message, name)])
    courier = Courier(grid, NAMES, timeout=1)
    assert [reply.content["metrics"]["number"] for reply in courier.ask(messages(), 1)] == [2, 1]
    assert [(one.site, one.kind, one.action) for one in courier.incidents] == [("site_a", "lost", "asked again")]


def test_but_not_for_ever():
    courier = Courier(MoodyGrid(lambda message, name, pull: [lost(message)]), NAMES, timeout=1, retries=2)
    assert [reply.error.reason for reply in courier.ask(messages(), 1)] == ["node gone", "node gone"]
    assert len(courier.incidents) == 4


def test_what_a_site_decided_is_not_asked_again():
    grid = MoodyGrid(lambda message, name, pull: [lost(message, code=2)])
    courier = Courier(grid, NAMES, timeout=1)
    assert all(reply.has_error() for reply in courier.ask(messages(), 1))
    assert len(grid.sent) == 2 and courier.incidents == []


def test_the_bytes_of_all_weights_that_travel_are_counted_once():
    """site_a's message is lost once, so it is sent twice."""
    grid = MoodyGrid(lambda message, name, pull: [lost(message)] if name == 0 else [echo(message)])
    courier = Courier(grid, NAMES, timeout=1)
    assert not any(reply.has_error() for reply in courier.ask(messages(WEIGHTS), 1)) and LENGTH > 20
    assert courier.take_traffic() == {"site_a": (2 * LENGTH, LENGTH), "site_b": (LENGTH, LENGTH)}
    assert courier.take_traffic() == {}


def test_a_site_that_is_not_asked_is_sent_nothing_and_its_late_weights_are_counted():
    awake = set()
    grid = MoodyGrid(
        lambda message, name, pull: [] if message.metadata.dst_node_id == 2 and not awake else [echo(message)]
    )
    courier = Courier(grid, NAMES, timeout=0.01)
    list(courier.ask(messages(WEIGHTS), 1))
    assert courier.take_traffic() == {"site_a": (LENGTH, 0), "site_b": (LENGTH, LENGTH)}
    list(courier.ask(messages(WEIGHTS), 2))
    assert courier.take_traffic() == {"site_b": (LENGTH, LENGTH)}
    awake.add(2)
    list(courier.ask(messages(WEIGHTS), 3))
    assert courier.take_traffic() == {"site_a": (LENGTH, 2 * LENGTH), "site_b": (LENGTH, LENGTH)}


def test_sites_that_stall_in_one_round_are_waited_for_together():
    courier = Courier(MoodyGrid(lambda message, name, pull: []), NAMES, timeout=1.0)
    begun = time.monotonic()
    assert all(reply.error.code == NO_REPLY for reply in courier.ask(messages(), 1))
    assert 1.0 <= time.monotonic() - begun < 1.8
