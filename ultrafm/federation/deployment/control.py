"""The coordinator's own talk with its SuperLink, over Flower's Control API on the loopback.

The one file that uses Flower's control client, which is not public; tests/federation/deployment/test_contract.py holds
what is expected of it.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from dataclasses import dataclass
from types import TracebackType

import httpx
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (  # pylint: disable=no-name-in-module
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.error import FlowerError
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.bundle import make_bundle
from ultrafm.federation.deployment.keys import AUTHORITY
from ultrafm.federation.deployment.plans import Plan
from ultrafm.federation.deployment.processes import without_proxy

GONE = "unregistered"


class SuperLinkAway(Exception):
    """Nobody answers at the coordinator's loopback port."""


@dataclass(frozen=True)
class Node:
    """A registered node: its id at Flower, its public key as PEM, whether it is online now."""

    id: int
    key: bytes
    online: bool


@dataclass(frozen=True)
class RunState:
    """A run at Flower: "pending", "starting", "running" or "finished"; then also "completed", "failed", "stopped"."""

    status: str
    ending: str
    details: str


class Control:
    """A connection to the SuperLink of a plan; every method raises SuperLinkAway when it does not answer."""

    def __init__(self, plan: Plan) -> None:
        for name in ("NO_PROXY", "no_proxy"):  # a proxy of the house must not get to see the control
            os.environ[name] = without_proxy(os.environ.get(name, ""))
        self._client = ControlHttpClient.from_server_address(
            plan.control, insecure=False, root_certificates=str(plan.keys / AUTHORITY),
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
        )  # fmt: skip

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def _call(self, method: str, request: object) -> object:
        try:
            return getattr(self._client, method)(request)
        except httpx.HTTPStatusError as error:
            told = FlowerError.from_json(error.response.text)
            found = told.message if told else f"HTTP status {error.response.status_code}"
            raise UltraFMError(f"SuperLink, {method}", found, "an answer") from None
        except httpx.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                mend = "is another federation's coordinator on this port?"
                raise UltraFMError("SuperLink", str(error), "the certificate of this plan's keys", mend) from None
            raise SuperLinkAway(str(error)) from None

    def nodes(self) -> list[Node]:
        """All registered nodes."""
        response = self._call("ListNodes", ListNodesRequest())
        now = datetime.datetime.fromisoformat(response.now).timestamp()
        return [
            Node(info.node_id, info.public_key, info.status == "online" and info.online_until > now)
            for info in response.nodes_info
            if info.status != GONE
        ]

    def register(self, site: str, key: bytes) -> None:
        """Let the holder of a key join."""
        self._call("RegisterNode", RegisterNodeRequest(public_key=key, name=site))

    def unregister(self, node: int) -> None:
        """Let a node's key join no more."""
        self._call("UnregisterNode", UnregisterNodeRequest(node_id=node))

    def start_run(self, plan: Plan) -> int:
        """Start a run of a plan; returns its number."""
        bundle = make_bundle()
        fab = fab_to_proto(Fab(hashlib.sha256(bundle).hexdigest(), bundle, {}))
        config = user_config_to_proto({"plan": str(plan.path.resolve())})
        response = self._call("StartRun", StartRunRequest(fab=fab, override_config=config))
        if not response.HasField("run_id"):
            raise UltraFMError("SuperLink, StartRun", "no run", "a run")
        return response.run_id

    def run_state(self, run: int) -> RunState:
        """How far a run is."""
        found = self._call("ListRuns", ListRunsRequest(run_id=run)).run_dict[run].status
        return RunState(found.status, found.sub_status, found.details)

    def stop_run(self, run: int) -> None:
        """Stop a run."""
        self._call("StopRun", StopRunRequest(run_id=run))


def register_sites(control: Control, keys: dict[str, bytes]) -> list[str]:
    """Make the registered keys exactly those of the plan's sites; returns what was changed, in words."""
    changes, known = [], {node.key: node for node in control.nodes()}
    for key, node in known.items():
        if key not in keys.values():
            control.unregister(node.id)
            changes.append(f"a key that is not in the plan was removed (node {node.id})")
    for site, key in keys.items():
        if key not in known:
            try:
                control.register(site, key)
            except UltraFMError as error:
                mend = "a key that was removed once does not come back: let the site make a new one"
                raise UltraFMError(f"site {site}, key", error.found, "a key that can be registered", mend) from None
            changes.append(f"{site} is registered")
    return changes
