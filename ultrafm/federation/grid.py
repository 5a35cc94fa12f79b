"""Flower's Grid without a network: sites run in this process, or in a few spawned workers.

The same ClientApp and strategy run here and in a hospital deployment. This is the one file that touches Flower names
that are not public (`TaskIdentity`, `Metadata._message_id`); tests/federation/test_flower_contract.py holds them.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from ultrafm.workers import worker_pool

RUN_ID = 1
SERVER = 1
RAISED, UNAVAILABLE, CRASHED = 2, 5, 8  # Flower's codes: an application's error, no such node, a dead process
PATIENCE = 1.0  # seconds that a pull waits for a worker


def identify_process() -> None:
    """Tell Flower who this process is; it refuses to make messages otherwise."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = RUN_ID, RUN_ID, SERVER


def import_app(reference: str) -> ClientApp:
    """The ClientApp that 'package.module:name' names."""
    module, name = reference.split(":")
    return getattr(importlib.import_module(module), name)


def answer(app: ClientApp, message: Message, context: Context) -> Message:
    """The site's reply; an exception becomes an error reply that says what went wrong."""
    try:
        return app(message, context)
    except Exception as error:
        return Message(Error(code=RAISED, reason=f"{type(error).__name__}: {error}"), reply_to=message)


def isolated(message: Message) -> Message:
    """The message with records of its own, so that sites in one process never share a mutable one."""
    message.content = RecordDict({key: type(record)(dict(record)) for key, record in message.content.items()})
    return message


class LocalGrid(Grid):
    """Sites in this process, one at a time: a message is worked on when its reply is pulled.

    `sites` holds one node configuration per site; nodes are numbered from 2 in that order.
    """

    def __init__(self, app_reference: str, sites: list[dict[str, str]]) -> None:
        identify_process()
        self._app_reference = app_reference
        self._run = Run.create_empty(run_id=RUN_ID)
        self._waiting: dict[str, Message] = {}
        self._contexts = {
            node: Context(RUN_ID, node, dict(configuration), RecordDict(), {})
            for node, configuration in enumerate(sites, start=2)
        }

    def set_run(self, run: Run) -> None:
        self._run = run

    @property
    def run(self) -> Run:
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        names = []
        for message in messages:
            name = uuid.uuid4().hex
            message.metadata.__dict__["_message_id"] = name
            self._waiting[name] = isolated(message)
            names.append(name)
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        for name in message_ids:
            if name in self._waiting:
                yield self._work(self._waiting.pop(name))

    def _work(self, message: Message) -> Message:
        """The reply to a message; an error reply when there is no such node."""
        if (node := message.metadata.dst_node_id) not in self._contexts:
            return Message(Error(code=UNAVAILABLE, reason=f"no node {node}"), reply_to=message)
        return answer(import_app(self._app_reference), message, self._contexts[node])

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        return self.pull_messages(self.push_messages(messages))

    def close(self) -> None:
        """Nothing runs between messages, so there is nothing to end."""


def start_worker() -> None:
    """Prepare a spawned worker: one torch thread, so that the number of cores does not change a result."""
    import torch

    torch.set_num_threads(1)
    identify_process()


def answer_in_worker(app_reference: str, message: Message, context: Context) -> tuple[Message, RecordDict]:
    """The site's reply and its state after it, to be carried back from the worker."""
    reply = answer(import_app(app_reference), message, context)
    return reply, context.state


class PoolGrid(LocalGrid):
    """Sites in a few spawned workers; at most one message per worker is under way, replies come in the order asked.

    When a worker dies, the others go with it; what was under way is worked on once more, from what the sites had kept,
    so the result is the same.
    """

    def __init__(self, app_reference: str, sites: list[dict[str, str]], workers: int) -> None:
        super().__init__(app_reference, sites)
        self._workers = workers
        self._running: dict[str, tuple[Future, Message]] = {}
        self._repeated: set[str] = set()
        self._given_up: set[str] = set()
        self._pool = worker_pool(workers, start_worker)

    def _fill(self) -> None:
        for name in list(self._waiting)[: max(self._workers - len(self._running), 0)]:
            self._start(name, self._waiting.pop(name))

    def _start(self, name: str, message: Message) -> None:
        context = self._contexts[message.metadata.dst_node_id]
        try:
            future = self._pool.submit(answer_in_worker, self._app_reference, message, context)
        except BrokenProcessPool:
            self._begin_anew()
            future = self._pool.submit(answer_in_worker, self._app_reference, message, context)
        self._running[name] = (future, message)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        names = super().push_messages(messages)
        self._fill()
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        """Replies that are there within a second; a message that is still worked on can be pulled again."""
        for name in message_ids:
            if name in self._waiting and self._has_room():
                self._start(name, self._waiting.pop(name))
            if name in self._running and self._finish(name):
                future, message = self._running.pop(name)
                self._fill()
                yield self._reply(future, message)

    def _has_room(self) -> bool:
        """Is a worker free, or free within a second? What is done and not pulled yet takes no worker."""
        busy = [name for name, (future, _message) in self._running.items() if not future.done()]
        return len(busy) < self._workers or self._finish(busy[0])

    def _finish(self, name: str) -> bool:
        """Is this message done? Waits a little for it; when a worker dies meanwhile, starts anew what was under way."""
        future, _message = self._running[name]
        try:
            future.exception(timeout=PATIENCE)
        except TimeoutError:
            return False
        if isinstance(future.exception(), BrokenProcessPool) and name not in self._given_up:
            self._begin_anew()
            return self._finish(name)
        return True

    def _begin_anew(self) -> None:
        """New workers after one has died; what was under way is started once more, and given up the second time."""
        self._pool.end()
        self._pool = worker_pool(self._workers, start_worker)
        for name, (future, message) in list(self._running.items()):
            if future.done() and not isinstance(future.exception(), BrokenProcessPool):
                continue
            if name in self._repeated:
                self._given_up.add(name)
            else:
                self._repeated.add(name)
                self._start(name, message)

    def _reply(self, future: Future, message: Message) -> Message:
        """The reply of a message that is done, with the site's state put back."""
        if error := future.exception():
            return Message(Error(code=CRASHED, reason=f"worker ended: {error}"), reply_to=message)
        reply, self._contexts[message.metadata.dst_node_id].state = future.result()
        return reply

    def close(self) -> None:
        """End the workers, also those that are still at work."""
        self._pool.end()
