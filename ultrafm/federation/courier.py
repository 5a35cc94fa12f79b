"""Carries messages to sites and brings the replies one at a time, in the order of asking, whatever networks do.

A reply that does not come in time is not waited for again: its site is left out until it has answered, so that a site
that stalls costs its time-out once, not in every round.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from flwr.app import Error, Message
from flwr.serverapp import Grid

from ultrafm.federation.incidents import IGNORED, REPEATED, Incident

POLL_SECONDS = 0.2
NO_REPLY = 1000  # our own error code, beside Flower's
LOST = (3, 4, 5, 8)  # Flower's codes for a message, reply, node or process that is gone: nothing that the site decided


class Courier:
    """Asks sites through `grid`; `names` maps nodes to sites.

    A reply is waited for until `timeout` seconds after the round's messages were sent. A message that was lost on its
    way is sent again up to `retries` times.
    `incidents` collects what happened. The bytes of weights are counted of all that is sent or comes, used or not;
    what a grid repeats by itself, since a node was started anew, is not.
    """

    def __init__(self, grid: Grid, names: Mapping[int, str], timeout: float, retries: int = 1) -> None:
        self.incidents: list[Incident] = []
        self.grid, self.names, self._timeout, self._retries = grid, dict(names), timeout, retries
        self._traffic: dict[str, tuple[int, int]] = {}
        self._overdue: dict[int, tuple[str, int]] = {}  # node -> the message that it owes a reply to, and its round

    def ask(self, messages: Iterable[Message], number: int) -> Iterator[Message]:
        """Send all messages of round `number`, and yield one reply for each in the order of sending.

        What does not come is an error reply that says so.
        """
        messages = list(messages)
        asked = [one for one in messages if not self._owes(one.metadata.dst_node_id, number)]
        sent = dict(zip((one.metadata.dst_node_id for one in asked), self._push(asked)))
        end = time.monotonic() + self._timeout
        for message in messages:
            node = message.metadata.dst_node_id
            if node not in sent:
                yield no_reply(message, f"no reply yet to round {self._overdue[node][1]}")
                continue
            reply = self._await(message, sent[node], number, end)
            for again in range(self._retries):
                if not (reply.has_error() and reply.error.code in LOST):
                    break
                self._note(number, node, "lost", f"{reply.error.reason} ({again + 1} of {self._retries})", REPEATED)
                [name] = self._push([message])
                reply = self._await(message, name, number, time.monotonic() + self._timeout)
            yield reply

    def take_traffic(self) -> dict[str, tuple[int, int]]:
        """Bytes of weights to and from each site since they were last taken."""
        traffic, self._traffic = self._traffic, {}
        return traffic

    def _push(self, messages: list[Message]) -> list[str]:
        """Send messages, count their bytes, and give their names."""
        for message in messages:
            self._count(message.metadata.dst_node_id, weight_bytes(message), 0)
        return list(self.grid.push_messages(messages))

    def _count(self, node: int, sent: int, received: int) -> None:
        if sent or received:
            before = self._traffic.get(self._site(node), (0, 0))
            self._traffic[self._site(node)] = (before[0] + sent, before[1] + received)

    def _await(self, message: Message, name: str, number: int, end: float) -> Message:
        """The reply to the message of this id, or an error reply when the clock is past `end`; looks at least once."""
        node = message.metadata.dst_node_id
        while True:
            replies = list(self.grid.pull_messages([name]))
            if len(replies) > 1:
                self._note(number, node, "two replies", f"{len(replies)} replies; the first counts", IGNORED)
            if replies:
                self._count(node, 0, sum(map(weight_bytes, replies)))
                return replies[0]
            if time.monotonic() > end:
                self._overdue[node] = (name, number)
                return no_reply(message, f"no reply within {self._timeout:g} s")
            time.sleep(POLL_SECONDS)

    def _owes(self, node: int, number: int) -> bool:
        """Is the node still to answer an earlier message? An answer that has come by now is noted and thrown away."""
        if node not in self._overdue:
            return False
        name, asked = self._overdue[node]
        replies = list(self.grid.pull_messages([name]))
        if not replies:
            return True
        self._count(node, 0, sum(map(weight_bytes, replies)))
        found = replies[0].error.reason if replies[0].has_error() else f"the reply to round {asked}"
        self._note(number, node, "late reply", found, IGNORED)
        del self._overdue[node]
        return False

    def _note(self, number: int, node: int, kind: str, found: str, action: str) -> None:
        self.incidents.append(Incident(number, self._site(node), kind, found, action))

    def _site(self, node: int) -> str:
        return self.names.get(node, f"node {node}")


def weight_bytes(message: Message) -> int:
    """How many bytes of weights, or of masked ones, a message carries; none when it is an error or asks a question."""
    if message.has_error() or "arrays" not in message.content:
        return 0
    return sum(len(array.data) for array in message.content["arrays"].values())


def no_reply(message: Message, reason: str) -> Message:
    """Stands for a reply that did not come."""
    return Message(Error(code=NO_REPLY, reason=reason), reply_to=message)
