"""Flower's grid as the coordinator uses it: the plan's sites only, each under its own key, asked again when lost.

When a SuperNode dies, the message that it had pulled is lost for good; Flower tells so only while the node is away. So
a node that was started anew since a message went out is sent the message again. Training is a function of seed, round
and site, so that a second answer equals the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run

LOST = (
    ErrorCode.MESSAGE_UNAVAILABLE, ErrorCode.REPLY_MESSAGE_UNAVAILABLE, ErrorCode.NODE_UNAVAILABLE,
    ErrorCode.CLIENT_APP_CRASHED,
)  # fmt: skip
RESENDINGS = 5
LOOK_SECONDS = 3.0


@dataclass
class Sent:
    """A message that waits for its answer: its name at Flower now, and when its node had been started then."""

    message: Message
    name: str
    activated: str
    resent: int = 0
    lost: Message | None = None
    first: float = field(default_factory=time.monotonic)


class SitesGrid(Grid):
    """`grid` over the nodes of `keys` (site -> public key as PEM), in this order.

    `tell` hears of sites that were lost and asked again. A message older than `timeout` seconds, whose answer nobody
    waits for any more, is not sent again: when its node is back, it is an error. `known`: the sites of nodes that an
    earlier run met.
    """

    def __init__(
        self,
        grid: Grid,
        keys: dict[str, bytes],
        tell: Callable[[str], None],
        timeout: float = 3600.0,
        known: Mapping[int, str] | None = None,
    ) -> None:
        self._grid, self._keys, self._tell, self._timeout = grid, keys, tell, timeout
        self._sent: dict[str, Sent] = {}
        self._names: dict[int, str] = dict(known or {})
        self._activations: dict[int, str] = {}
        self._looked = 0.0

    def look(self) -> list[str]:
        """Ask which nodes are online; returns the sites that are."""
        sites = {key: site for site, key in self._keys.items()}
        online = {info.node_id: info for info in self._grid.get_nodes() if info.public_key in sites}
        self._activations = {node: info.last_activated_at for node, info in online.items()}
        self._names |= {node: sites[info.public_key] for node, info in online.items()}
        self._looked = time.monotonic()
        return [site for site in self._keys if site in {self._names[node] for node in online}]

    def missing(self) -> list[str]:
        """The sites that are not online."""
        online = self.look()
        return [site for site in self._keys if site not in online]

    def get_node_ids(self) -> Iterable[int]:
        self.look()
        nodes = {self._names[node]: node for node in self._activations}
        return [nodes[site] for site in self._keys if site in nodes]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        self.look()
        messages = [again(one) if one.metadata.message_id else one for one in messages]
        names = list(self._grid.push_messages(messages))
        for name, message in zip(names, messages, strict=True):
            self._sent[name] = Sent(message, name, self._activations.get(message.metadata.dst_node_id, ""))
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        for name in message_ids:
            if name in self._sent and (reply := self._pull(self._sent[name])) is not None:
                del self._sent[name]
                yield reply

    def _pull(self, sent: Sent) -> Message | None:
        """The answer to a message, once it is there; a lost message goes out again when its node is back."""
        if sent.lost is None:
            reply = next(iter(self._grid.pull_messages([sent.name])), None)
            if reply is not None and not (reply.has_error() and reply.error.code in LOST):
                return self._own_name(sent, reply)
            sent.lost = reply
            if reply is not None:
                self._activations = {}  # what was known of nodes no longer holds: look again, in a while
                self._tell(f"{self._site(sent)} was lost ({reply.error.reason}); it is asked again when it is back")
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self.look()
        activated = self._activations.get(sent.message.metadata.dst_node_id)
        if activated is not None and (activated != sent.activated or sent.lost is not None):
            if sent.resent >= RESENDINGS and sent.lost is not None:
                return sent.lost
            if time.monotonic() - sent.first > self._timeout:
                reason = "the site was started anew, and its answer is not waited for any more"
                return Message(Error(code=ErrorCode.MESSAGE_UNAVAILABLE, reason=reason), reply_to=sent.message)
            self._resend(sent, activated)
        return None

    def _resend(self, sent: Sent, activated: str) -> None:
        sent.message = again(sent.message)
        (sent.name,) = self._grid.push_messages([sent.message])
        sent.activated, sent.resent, sent.lost = activated, sent.resent + 1, None
        self._tell(f"{self._site(sent)} was started anew; it is asked again")

    def _site(self, sent: Sent) -> str:
        return self._names.get(sent.message.metadata.dst_node_id, "a site")

    def _own_name(self, sent: Sent, reply: Message) -> Message:
        """The reply, unless a site gives itself the name of another one than its key stands for."""
        told = "" if reply.has_error() or "names" not in reply.content else str(reply.content["names"]["site"])
        if not told or told == self._site(sent):
            return reply
        reason = (
            f"{told} uses a key that belongs to another site, {self._site(sent)}: put the key of {told} into its "
            f"site.yaml, and let {self._site(sent)} make a new one if its own may have been copied"
        )
        return Message(Error(code=ErrorCode.UNKNOWN, reason=reason), reply_to=sent.message)

    def set_run(self, run: Run) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        """As Flower does it; this project's driver pulls answers one by one, and asks again what was lost."""
        return iter(self._grid.send_and_receive(messages, timeout=timeout))


def again(message: Message) -> Message:
    """The same message once more, under another name: Flower takes a name once."""
    about = message.metadata
    return Message(message.content, about.dst_node_id, about.message_type, group_id=about.group_id)
