"""What is expected of Flower beyond its public interface; a new version fails here first."""

import importlib

from flwr.supercore.constant import TASK_TYPE_TO_COMMAND, TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supernode.fleet_http_client import FleetHttpClient


def test_commands_of_tasks_are_those_that_a_site_replaces():
    assert TASK_TYPE_TO_COMMAND[TaskType.CLIENT_APP] == "flwr-clientapp"
    assert set(TASK_TYPE_TO_COMMAND) == set(TaskType)


def test_a_bundle_is_unpacked_by_the_function_that_a_site_checks():
    runtime = importlib.import_module("flwr.supernode.runtime.run_clientapp")
    assert callable(runtime.install_from_fab)
    assert "install_from_fab" in runtime.run_clientapp.__code__.co_names


def test_control_and_fleet_know_the_calls_that_are_used():
    for name in ("ListNodes", "ListRuns", "RegisterNode", "UnregisterNode", "StartRun", "StopRun"):
        assert callable(getattr(ControlHttpClient, name))
    assert callable(FleetHttpClient.ActivateNode) and callable(FleetHttpClient.DeactivateNode)
