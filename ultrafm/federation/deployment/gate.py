"""The site's gate: a message that asks for other than was accepted is refused, and so is an answer that holds more.

Active when the node's configuration names the file of the acceptance as `acceptance`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, Context, Message
from flwr.clientapp.typing import ClientAppCallable

from ultrafm.errors import UltraFMError
from ultrafm.files import hash_text, read_json

ANY = "*"
ROUND = {  # what a plan tells besides: of the run and of the round
    "run", "round", "pass_number", "share", "last_round", "kept_rounds", "grey_mean", "grey_deviation",
}  # fmt: skip
SESSION = {"run", "round", "attempt", "steps", "images", "noisy"}  # what the record `secure` tells besides
SECURE_QUERIES = ("query.keys", "query.shares", "query.consent", "query.unmask")  # stages of a secure sum
ASK = "ask the coordinator; when the plan has changed, `ultrafm federation site` shows it and asks again"


def keep_agreement(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Answer what was accepted, nothing else. Raises UltraFMError, which Flower returns as an error reply."""
    if "acceptance" not in context.node_config:
        return call_next(message, context)
    terms = accepted_terms(str(context.node_config["acceptance"]))
    check_question(message, terms)
    reply = call_next(message, context)
    check_answer(message.metadata.message_type, reply, terms)
    return reply


@lru_cache(maxsize=1)
def accepted_terms(path: str) -> dict[str, Any]:
    """The terms that the site accepted. Raises UltraFMError when there are none, or the file was changed since."""
    if not Path(path).is_file():
        raise UltraFMError(path, "no acceptance", "what the site agreed to", "run `ultrafm federation site` there")
    acceptance = read_json(Path(path))
    if acceptance["hash"] != hash_terms(acceptance["terms"]):
        mend = "delete the file and run `ultrafm federation site` there"
        raise UltraFMError(path, "terms that do not match their hash", "what the site agreed to", mend)
    return acceptance["terms"]


def hash_terms(terms: dict[str, Any]) -> str:
    """A fingerprint of terms, whatever order they are written in."""
    return hash_text(repr(sorted_deeply(terms)))


def sorted_deeply(value: Any) -> Any:
    """The value with the names in it in order."""
    if isinstance(value, dict):
        return [(name, sorted_deeply(value[name])) for name in sorted(value)]
    return [sorted_deeply(one) for one in value] if isinstance(value, list | tuple) else value


def check_question(message: Message, terms: dict[str, Any]) -> None:
    """Raises UltraFMError when a message is of a kind, or asks for a model or a plan, that was not accepted."""
    kind = message.metadata.message_type
    if kind not in terms["leaves"]:
        raise UltraFMError("message", f"the kind {kind!r}", f"one of {', '.join(terms['leaves'])}", ASK)
    if kind == "query.describe":
        sent = {record: dict(message.content[record]) for record in message.content}
        if sent != {"config": terms["describe"]}:
            raise UltraFMError("message, describe", short(sent), f"{terms['describe']}, as the site accepted", ASK)
        return
    for record, accepted in asked_by(kind, terms).items():
        sent = dict(message.content[record]) if record in message.content else {}
        for name, value in accepted.items():
            if name not in sent or sent[name] != value:
                found = f"{short(sent.get(name))} where {short(value)} was accepted"
                raise UltraFMError(f"message, {record}, {name}", found, "what the site accepted", ASK)
        most = terms["asked"]["plan"]["rounds"]
        if not 0 <= int(sent.get("round", 0)) <= most:
            raise UltraFMError(f"message, {record}, round", f"{sent['round']}", f"at most {most}", ASK)
        if extra := sorted(set(sent) - set(accepted) - {"plan": ROUND, "secure": SESSION}.get(record, set())):
            raise UltraFMError(f"message, {record}", f"{extra[0]!r}, which was not accepted", "nothing more", ASK)


def asked_by(kind: str, terms: dict[str, Any]) -> dict[str, Any]:
    """The accepted records that a message of this kind has to carry."""
    if kind in SECURE_QUERIES:
        return {"secure": terms["asked"]["secure"]}
    return {record: one for record, one in terms["asked"].items() if kind == "train" or record != "secure"}


def check_answer(kind: str, reply: Message, terms: dict[str, Any]) -> None:
    """Raises UltraFMError when an answer holds a record, a number or more weights than was accepted."""
    leaves = terms["leaves"][kind]
    for record, content in reply.content.items():
        for name in content:
            if name not in leaves.get(record, ()) and leaves.get(record) != [ANY]:
                raise UltraFMError(f"answer to {kind}", f"{record}, {name}", "only what the site accepted to send", ASK)
        if isinstance(content, ArrayRecord):
            found = {name: [array.dtype, list(array.shape)] for name, array in content.items()}
            if found != terms["arrays"]:
                raise UltraFMError(f"answer to {kind}", f"arrays {found}", f"the accepted {terms['arrays']}", ASK)


def array_length(shape: tuple[int, ...] | list[int]) -> int:
    """How many numbers an array of this shape holds."""
    length = 1
    for side in shape:
        length *= side
    return length


def short(value: Any) -> str:
    """A value for an error: long lists by their length."""
    return f"a list of {len(value)}" if isinstance(value, list) and len(value) > 4 else repr(value)
