"""The two names of Flower that are not public, and what we expect of them; a new Flower version fails here first."""

import os
from importlib.metadata import version

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from ultrafm.federation.client_app import REFERENCE, app
from ultrafm.federation.grid import RUN_ID, LocalGrid, identify_process, import_app


def test_flower_is_the_version_that_was_tried():
    assert version("flwr") == "1.41.0"


def test_telemetry_is_off():
    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"


def test_a_process_can_be_given_an_identity():
    identify_process()
    assert TaskIdentity.run_id == RUN_ID
    assert Run.create_empty(run_id=RUN_ID).run_id == RUN_ID


def test_a_message_takes_an_id():
    identify_process()
    message = Message(RecordDict(), 2, "train")
    message.metadata.__dict__["_message_id"] = "abc"
    assert message.metadata.message_id == "abc"


def test_the_local_grid_is_one_of_flowers_grids():
    grid = LocalGrid(REFERENCE, [{"site": "a"}, {"site": "b"}])
    assert isinstance(grid, Grid) and list(grid.get_node_ids()) == [2, 3]
    assert import_app(REFERENCE) is app


def test_an_exception_at_a_site_becomes_an_error_reply():
    grid = LocalGrid(REFERENCE, [{"site": "a"}])
    [reply] = grid.send_and_receive([Message(RecordDict(), 2, "query.describe")])
    assert reply.has_error() and "curated" in reply.error.reason
