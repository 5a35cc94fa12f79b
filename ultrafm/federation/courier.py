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

    A reply is waited for `timeout` seconds. A message that was lost on its way is sent again up to `retries` times.
    `incidents` collects what happened.
    """

    def __init__(self, grid: Grid, names: Mapping[int, str], timeout: float, retries: int = 1) -> None:
        self.incidents: list[Incident] = []
        self.grid, self.names, self._timeout, self._retries = grid, dict(names), timeout, retries
        self._overdue: dict[int, tuple[str, int]] = {}  # node -> the message that it owes a reply to, and its round

    def ask(self, messages: Iterable[Message], number: int) -> Iterator[Message]:
        """Send all messages of round `number`, and yield one reply for each in the order of sending.

        What does not come is an error reply that says so.
        """
        messages = list(messages)
        asked = [one for one in messages if not self._owes(one.metadata.dst_node_id, number)]
        sent = dict(zip((one.metadata.dst_node_id for one in asked), self.grid.push_messages(asked)))
        for message in messages:
            node = message.metadata.dst_node_id
            if node not in sent:
                yield no_reply(message, f"no reply yet to round {self._overdue[node][1]}")
                continue
            reply = self._await(message, sent[node], number)
            for again in range(self._retries):
                if not (reply.has_error() and reply.error.code in LOST):
                    break
                self._note(number, node, "lost", f"{reply.error.reason} ({again + 1} of {self._retries})", REPEATED)
                [name] = self.grid.push_messages([message])
                reply = self._await(message, name, number)
            yield reply

    def _await(self, message: Message, name: str, number: int) -> Message:
        """The reply to the message of this id, or an error reply when its time is over."""
        node, end = message.metadata.dst_node_id, time.monotonic() + self._timeout
        while True:
            replies = list(self.grid.pull_messages([name]))
            if len(replies) > 1:
                self._note(number, node, "two replies", f"{len(replies)} replies; the first counts", IGNORED)
            if replies:
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
        if not list(self.grid.pull_messages([name])):
            return True
        self._note(number, node, "late reply", f"the reply to round {asked}", IGNORED)
        del self._overdue[node]
        return False

    def _note(self, number: int, node: int, kind: str, found: str, action: str) -> None:
        self.incidents.append(Incident(number, self.names.get(node, f"node {node}"), kind, found, action))


def no_reply(message: Message, reason: str) -> Message:
    """Stands for a reply that did not come."""
    return Message(Error(code=NO_REPLY, reason=reason), reply_to=message)
