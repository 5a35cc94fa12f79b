"""Sites in a few workers: stalls and dead workers do not stop the others, and lose nothing."""

import os
import signal
import time
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from ultrafm.federation.grid import CRASHED, RAISED, LocalGrid, PoolGrid, identify_process

REFERENCE = "tests.federation.test_grid:app"
app = ClientApp()


@app.train()
def work(message, context):
    """A site that may stall, fail, or take its process down; `tried` counts in its own folder."""
    folder, mood = Path(context.node_config["folder"]), message.content["config"]["mood"]
    tried = len(list(folder.glob("tried*")))
    (folder / f"tried{tried}").touch()
    if mood == "stall":
        time.sleep(600)
    if mood == "fail":
        raise ValueError("no pictures")
    if mood == "die" or (mood == "die once" and not tried):
        os.kill(os.getpid(), signal.SIGKILL)
    context.state["memory"] = MetricRecord({"tried": tried + 1})
    return Message(RecordDict({"metrics": MetricRecord({"tried": tried + 1})}), reply_to=message)


@pytest.fixture
def grid_of(tmp_path):
    """Makes a grid with a folder for each of so many sites; its workers are ended after the test."""
    grids = []

    def make(sites, workers=2):
        identify_process()
        folders = [tmp_path / str(number) for number in range(sites)]
        [folder.mkdir() for folder in folders]
        configurations = [{"folder": str(folder)} for folder in folders]
        grids.append(PoolGrid(REFERENCE, configurations, workers) if workers else LocalGrid(REFERENCE, configurations))
        return grids[-1]

    yield make
    for grid in grids:
        grid.close()


def push(grid, moods):
    contents = [RecordDict({"config": ConfigRecord({"mood": mood})}) for mood in moods]
    return list(grid.push_messages(Message(one, node, "train") for node, one in enumerate(contents, 2)))


def wait_for(grid, name, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if replies := list(grid.pull_messages([name])):
            return replies[0]
    raise TimeoutError(name)


@pytest.mark.parametrize("workers", [0, 2])
def test_replies_come_as_asked_and_an_exception_is_told(grid_of, workers):
    grid = grid_of(3, workers)
    names = push(grid, ["", "fail", ""])
    replies = [wait_for(grid, name) for name in names]
    assert [reply.has_error() for reply in replies] == [False, True, False]
    assert replies[1].error.code == RAISED and "no pictures" in replies[1].error.reason


def test_a_site_that_stalls_does_not_hold_up_the_others(grid_of):
    grid = grid_of(5)
    names = push(grid, ["stall", "", "", "", ""])
    assert list(grid.pull_messages(names[:1])) == []
    assert [wait_for(grid, name).content["metrics"]["tried"] for name in names[1:]] == [1, 1, 1, 1]


def test_when_all_workers_stall_nothing_comes_and_closing_ends_them(grid_of):
    grid = grid_of(3)
    names = push(grid, ["stall", "stall", ""])
    assert [list(grid.pull_messages([name])) for name in names] == [[], [], []]
    began = time.monotonic()
    grid.close()
    assert time.monotonic() - began < 5


def test_what_a_dead_worker_was_doing_is_done_again(grid_of):
    grid = grid_of(4)
    names = push(grid, ["", "die once", "", ""])
    replies = [wait_for(grid, name) for name in names]
    assert not any(reply.has_error() for reply in replies)
    assert replies[1].content["metrics"]["tried"] == 2
    assert wait_for(grid, push(grid, [""])[0]).content["metrics"]["tried"] >= 2, "the sites go on"


def test_a_site_that_kills_every_worker_is_an_error_and_the_others_answer_later(grid_of):
    grid = grid_of(3, workers=1)
    names = push(grid, ["die", "", ""])
    replies = [wait_for(grid, name) for name in names]
    assert replies[0].has_error() and replies[0].error.code == CRASHED
    assert [reply.has_error() for reply in replies[1:]] == [False, False]
