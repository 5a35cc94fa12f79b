"""Flower's Grid without a network: sites run in this process, or in a few spawned workers.

The same ClientApp and strategy run here and in a hospital deployment. This is the one file that touches Flower names
that are not public (`TaskIdentity`, `Metadata._message_id`); tests/federation/test_flower_contract.py holds them.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from ultrafm.workers import worker_pool

RUN_ID = 1
SERVER = 1


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
        return Message(Error(code=0, reason=f"{type(error).__name__}: {error}"), reply_to=message)


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
        app = import_app(self._app_reference)
        for name in message_ids:
            if name in self._waiting:
                message = self._waiting.pop(name)
                yield answer(app, message, self._contexts[message.metadata.dst_node_id])

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
    """Sites in a few spawned workers; at most one message per worker is under way, replies come in the order asked."""

    def __init__(self, app_reference: str, sites: list[dict[str, str]], workers: int) -> None:
        super().__init__(app_reference, sites)
        self._workers = workers
        self._running: dict[str, tuple[Future, Message]] = {}
        self._pool = worker_pool(workers, start_worker)

    def _fill(self) -> None:
        for name in list(self._waiting)[: self._workers - len(self._running)]:
            message = self._waiting.pop(name)
            context = self._contexts[message.metadata.dst_node_id]
            self._running[name] = (self._pool.submit(answer_in_worker, self._app_reference, message, context), message)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        names = super().push_messages(messages)
        self._fill()
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        for name in message_ids:
            while name in self._waiting:  # earlier ones are still under way: finish the oldest to make room
                next(iter(self._running.values()))[0].exception()
                self._fill()
            if name not in self._running:
                continue
            future, message = self._running[name]
            try:
                reply, self._contexts[message.metadata.dst_node_id].state = future.result()
            except Exception as error:  # the worker died
                reply = Message(Error(code=0, reason=f"worker ended: {error}"), reply_to=message)
            del self._running[name]
            self._fill()
            yield reply

    def close(self) -> None:
        """End the workers."""
        self._pool.shutdown(cancel_futures=True)
