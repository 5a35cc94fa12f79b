"""The site's own record of what came and what left: one JSON line per message and reply, on the disk before it goes on.

Written only when the node's configuration names the file as `audit`. What cannot be written down does not leave.
"""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable


def write_audit(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Record the message, have it answered, record the answer; an error is recorded and raised again."""
    if "audit" not in context.node_config:
        return call_next(message, context)
    log = Path(str(context.node_config["audit"]))
    about = {"run": message.metadata.run_id, "round": message.metadata.group_id, "type": message.metadata.message_type}
    append_line(log, {"event": "received", **about, **describe_content(message.content)})
    try:
        reply = call_next(message, context)
    except Exception as error:
        append_line(log, {"event": "refused or failed", **about, "error": f"{type(error).__name__}: {error}"})
        raise
    append_line(log, {"event": "sent", **about, **describe_content(reply.content)})
    return reply


def append_line(log: Path, event: dict[str, Any]) -> None:
    """Append one event with the time to the log; it is on the disk when this returns. Raises OSError when it cannot."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    data = (json.dumps({"time": now, **event}, ensure_ascii=False) + "\n").encode()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        if os.write(handle, data) != len(data):
            raise OSError(28, os.strerror(28), str(log))
        os.fsync(handle)
    finally:
        os.close(handle)


def describe_content(content: RecordDict) -> dict[str, Any]:
    """Every record of a message with the names in it, and how many bytes they take."""
    return {
        "content": {name: describe_record(record) for name, record in content.items()},
        "bytes": sum(count_bytes(record) for record in content.values()),
    }


def describe_record(record: Any) -> Any:
    """Weights by name, shape and bytes; numbers and words as they are, long lists by their length."""
    if isinstance(record, ArrayRecord):
        return {name: {"shape": list(array.shape), "bytes": len(array.data)} for name, array in record.items()}
    return {name: short(value) for name, value in record.items()}


def count_bytes(record: Any) -> int:
    """Bytes of weights; of numbers and words, those of their text (Flower cannot count an empty list)."""
    if isinstance(record, ArrayRecord):
        return sum(len(array.data) for array in record.values())
    plain = {name: value for name, value in record.items() if not isinstance(value, bytes)}
    text = json.dumps(plain, default=str) if plain or not record else ""
    return len(text) + sum(len(value) for name, value in record.items() if name not in plain)


def short(value: Any) -> Any:
    """A value for the log; of a list of many, how many; of bytes, which may be secret, how many too."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return f"{len(value)} values" if isinstance(value, list) and len(value) > 8 else value
