"""A site's first word with the coordinator: is it the right one, does it know our key, do our clocks agree?

Flower's SuperNode ends with a number where this says what is wrong and how to mend it.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE
from flwr.proto.fleet_pb2 import (  # pylint: disable=no-name-in-module
    ActivateNodeRequest,
    DeactivateNodeRequest,
)
from flwr.supercore.error import FlowerError
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.keys import public_pem

RETRY_SECONDS = 3.0
LAST_LIFE_SECONDS = (
    75.0  # Flower takes a node for online a minute after its last sign of life, and refuses a second one
)


class NotNow(Exception):
    """The coordinator cannot be reached at the moment."""


class Refused(Exception):
    """The coordinator does not let this key in, for now at least."""


def now() -> datetime.datetime:
    """The time of this machine."""
    return datetime.datetime.now(datetime.UTC)


class ServerClock:
    """Takes the time that the coordinator's answers tell: `ahead` is this clock less that one, in seconds."""

    def __init__(self) -> None:
        self.ahead: float | None = None

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Let the request pass; note the time of the answer."""
        response = call_next(context)
        if "date" in response.headers:
            theirs = parsedate_to_datetime(response.headers["date"])
            self.ahead = (now() - theirs).total_seconds()
        return response


def knock(address: str, authority: str, key: ec.EllipticCurvePrivateKey) -> None:
    """Log in once and out again. Raises NotNow, Refused, or UltraFMError for what waiting does not mend."""
    clock = ServerClock()
    interceptors = [
        clock, RuntimeVersionHttpInterceptor(component_name="SuperNode"), NodeAuthHttpInterceptor(key, key.public_key())
    ]  # fmt: skip
    with FleetHttpClient.from_server_address(address, False, authority, interceptors=interceptors) as client:
        request = ActivateNodeRequest(
            public_key=public_pem(key.public_key()), heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL
        )
        try:
            node = client.ActivateNode(request).node_id
            client.DeactivateNode(DeactivateNodeRequest(node_id=node))
        except httpx.HTTPStatusError as error:
            raise explain_status(address, error.response, clock) from None
        except httpx.TransportError as error:
            raise explain_transport(address, error) from None


def explain_transport(address: str, error: httpx.TransportError) -> Exception:
    """What a failed connection means."""
    if "certificate" not in str(error).lower():
        return NotNow(f"{address} does not answer ({error})")
    mend = "ask the coordinator for its ca.crt, and whether it was made for this name (`keys coordinator --host`)"
    return UltraFMError(f"coordinator {address}", str(error), "a certificate of the authority in ca.crt", mend)


def explain_status(address: str, response: httpx.Response, clock: ServerClock) -> Exception:
    """What an answer that is no success means."""
    where, status, ahead = f"coordinator {address}", response.status_code, clock.ahead
    if status in (502, 503, 504):
        return NotNow(f"{address} is there, its SuperLink is not (HTTP status {status})")
    if status == 401 and ahead is not None and not clocks_agree(ahead):
        direction = "ahead of" if ahead > 0 else "behind"
        return UltraFMError(
            where, f"this machine's clock {abs(ahead):.0f} s {direction} the coordinator's",
            f"at most {SYSTEM_TIME_TOLERANCE} s ahead or {TIMESTAMP_TOLERANCE} s behind",
            "set the clock (NTP) and start again",
        )  # fmt: skip
    if told := FlowerError.from_json(response.text):
        return Refused(f"{told.message} (code {told.code})")
    mend = "is this the coordinator's public address, and the proxy that the coordinator's command wrote?"
    return UltraFMError(where, f"HTTP status {status}", "Flower's fleet path", mend)


def clocks_agree(ahead: float) -> bool:
    """Does Flower accept signatures of a clock so many seconds ahead (or behind, if negative)?"""
    return -(TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE) < ahead < SYSTEM_TIME_TOLERANCE


def knock_until_in(
    address: str,
    authority: str,
    key: ec.EllipticCurvePrivateKey,
    tell: Callable[[str], None],
    patience: float = LAST_LIFE_SECONDS,
) -> None:
    """Knock until the coordinator lets the site in; waits as long as it is away, and `patience` seconds when refused.

    A coordinator that was away in between may have been started anew: then patience begins anew too.

    Raises UltraFMError for a refusal that lasts.
    """
    refused, said = None, ""
    while True:
        try:
            return knock(address, authority, key)
        except NotNow as reason:
            refused = None
            said = say_once(f"waiting: {reason}", said, tell)
        except Refused as reason:
            refused = refused or time.monotonic()
            if time.monotonic() - refused >= patience:
                expected = "a key that the coordinator registered"
                mend = (
                    "send SITE.pub to the coordinator, who names it in the plan and starts again; if it is there, see "
                    "whether another site uses this key"
                )
                raise UltraFMError(f"coordinator {address}", str(reason), expected, mend) from None
            said = say_once(
                f"refused: {reason}; the key is not in the coordinator's plan, or another site uses it, or an earlier "
                f"connection of this site has not run out yet: trying for {patience:.0f} s", said, tell,
            )  # fmt: skip
        time.sleep(RETRY_SECONDS)


def say_once(line: str, said: str, tell: Callable[[str], None]) -> str:
    """Tell a line unless it was the last one told; returns it."""
    if line != said:
        tell(line)
    return line
