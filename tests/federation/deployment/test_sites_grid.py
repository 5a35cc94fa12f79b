"""The coordinator's grid: only the plan's keys, in its order; a node that was started anew is asked again."""

import time
from types import SimpleNamespace

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import ErrorCode

from ultrafm.federation.deployment import sites_grid
from ultrafm.federation.deployment.sites_grid import RESENDINGS, SitesGrid
from ultrafm.federation.grid import LocalGrid, identify_process

KEYS = {"b": b"key of b", "a": b"key of a"}


class FakeGrid(LocalGrid):
    """Nodes and answers as a test sets them; remembers what was sent."""

    def __init__(self):
        identify_process()
        self.nodes, self.sent, self.answers = {}, [], {}
        self.start(2, b"key of a", "1")
        self.start(3, b"key of b", "1")
        self.start(4, b"a stranger's", "1")

    def start(self, node, key, time):
        self.nodes[node] = SimpleNamespace(node_id=node, public_key=key, last_activated_at=time)

    def get_nodes(self):
        return list(self.nodes.values())

    def push_messages(self, messages):
        self.sent += messages
        return [str(len(self.sent) - len(messages) + number) for number in range(len(messages))]

    def pull_messages(self, names):
        return [self.answers[name] for name in names if name in self.answers]


@pytest.fixture
def grid(monkeypatch):
    monkeypatch.setattr(sites_grid, "LOOK_SECONDS", -1.0)
    return FakeGrid()


def ask(sites, node=2):
    message = Message(RecordDict({"config": ConfigRecord({"x": 1})}), node, "train", group_id="3")
    [name] = sites.push_messages([message])
    return message, name


def error(message, code):
    return Message(Error(code=code, reason="away"), reply_to=message)


def test_only_nodes_with_a_planned_key_are_there_in_the_plans_order(grid):
    sites = SitesGrid(grid, KEYS, print)
    assert list(sites.get_node_ids()) == [3, 2] and sites.missing() == []
    del grid.nodes[3]
    assert list(sites.get_node_ids()) == [2] and sites.missing() == ["b"]


def test_an_answer_comes_once(grid):
    sites = SitesGrid(grid, KEYS, print)
    message, name = ask(sites)
    assert list(sites.pull_messages([name])) == []
    grid.answers["0"] = reply = Message(RecordDict(), reply_to=message)
    assert list(sites.pull_messages([name])) == [reply]


@pytest.mark.parametrize("told_while_away", [True, False])
def test_a_node_that_was_started_anew_is_asked_again(grid, told_while_away):
    notes = []
    sites = SitesGrid(grid, KEYS, notes.append)
    message, name = ask(sites)
    gone = grid.nodes.pop(2)
    if told_while_away:
        grid.answers["0"] = error(message, ErrorCode.NODE_UNAVAILABLE)
    assert list(sites.pull_messages([name])) == [] and len(grid.sent) == 1
    grid.start(2, gone.public_key, "2")
    assert list(sites.pull_messages([name])) == [] and len(grid.sent) == 2
    again = grid.sent[1]
    assert again.content == message.content and again.metadata.group_id == "3" and again.metadata.dst_node_id == 2
    grid.answers["1"] = reply = Message(RecordDict(), reply_to=again)
    assert list(sites.pull_messages([name])) == [reply]
    assert any("a was started anew" in note for note in notes)


def test_a_site_that_is_lost_every_time_becomes_an_error(grid):
    sites = SitesGrid(grid, KEYS, lambda note: None)
    message, name = ask(sites)
    grid.answers = {str(number): error(message, ErrorCode.CLIENT_APP_CRASHED) for number in range(99)}
    replies = [reply for _try in range(RESENDINGS + 1) for reply in sites.pull_messages([name])]
    assert len(replies) == 1 and replies[0].has_error() and len(grid.sent) == 1 + RESENDINGS


def test_a_node_that_only_an_earlier_run_met_is_told_by_name(grid):
    notes = []
    sites = SitesGrid(grid, KEYS, notes.append, known={7: "b"})
    message, name = ask(sites, node=7)
    grid.answers["0"] = error(message, ErrorCode.NODE_UNAVAILABLE)
    assert list(sites.pull_messages([name])) == [] and notes[0].startswith("b was lost (away)")


def test_a_node_that_is_away_is_not_asked_again_before_it_is_back(grid, monkeypatch):
    """Flower says at once that a node is away, for every message; what was known of it before does not count."""
    sites = SitesGrid(grid, KEYS, lambda note: None)
    message, name = ask(sites)
    monkeypatch.setattr(sites_grid, "LOOK_SECONDS", 0.05)
    gone = grid.nodes.pop(2)
    grid.answers = {str(number): error(message, ErrorCode.NODE_UNAVAILABLE) for number in range(9)}
    for _look in range(20):
        assert list(sites.pull_messages([name])) == []
    assert len(grid.sent) == 1
    grid.start(2, gone.public_key, "2")
    time.sleep(0.1)
    assert list(sites.pull_messages([name])) == [] and len(grid.sent) == 2
    for _look in range(20):
        assert list(sites.pull_messages([name])) == []
    assert len(grid.sent) == 2


def test_an_error_of_the_app_itself_is_not_asked_again(grid):
    sites = SitesGrid(grid, KEYS, print)
    message, name = ask(sites)
    grid.answers["0"] = error(message, ErrorCode.CLIENT_APP_RAISED_EXCEPTION)
    [reply] = sites.pull_messages([name])
    assert reply.has_error() and len(grid.sent) == 1


def test_a_site_under_another_sites_key_is_refused(grid):
    sites = SitesGrid(grid, KEYS, print)
    message, name = ask(sites)
    grid.answers["0"] = Message(RecordDict({"names": ConfigRecord({"site": "b"})}), reply_to=message)
    [reply] = sites.pull_messages([name])
    assert reply.has_error() and "b uses a key that belongs to another site, a" in reply.error.reason


def test_a_message_that_nobody_waits_for_is_not_sent_again(grid):
    """The site was restarted after the coordinator had given up: it is not made to train an old round."""
    sites = SitesGrid(grid, KEYS, lambda note: None, timeout=0.0)
    _message, name = ask(sites)
    grid.start(2, b"key of a", "2")
    [reply] = sites.pull_messages([name])
    assert reply.has_error() and "not waited for" in reply.error.reason and len(grid.sent) == 1
