"""Checking a document against a schema; every problem is told with line, field, value, expectation and a hint."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from ultrafm.errors import UltraFMError, nearest
from ultrafm.manifests.document import Document, FieldPath

Model = TypeVar("Model", bound=BaseModel)

# What pydantic expects, in words for people who write YAML.
PLAIN = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list, written as [one, two]",
    "dict_type": "fields, written as 'name: value'",
    "model_type": "fields, written as 'name: value'",
    "model_attributes_type": "fields, written as 'name: value'",
}


def validate(document: Document, model: type[Model]) -> tuple[Model | None, list[UltraFMError]]:
    """The document as a `model`, or None and all problems, in the order of the file.

    Types are strict: the text "70" is no number and `yes` is no text. Whole numbers pass where decimals are asked.
    """
    try:
        return model.model_validate_json(json.dumps(document.data, default=str), strict=True), []
    except ValidationError as error:
        details = [_without_tag(model, detail) for detail in error.errors(include_url=False)]
    misspelt = {_guess(detail) for detail in details if detail["type"] == "extra_forbidden"}
    kept = [detail for detail in details if detail["type"] != "missing" or detail["field"] not in misspelt]
    kept = [detail for detail in kept if not _only_follows(detail, kept)]
    kept.sort(key=lambda detail: document.line(detail["field"]))
    return None, [_explain(document, detail) for detail in kept]


def _without_tag(model: type[BaseModel], detail: dict[str, Any]) -> dict[str, Any]:
    """Add `field` (path in the file) and `known` (fields of the part that holds it) to a detail of pydantic.

    Where a part has several shapes, pydantic puts the chosen shape's name into the path; the file has no such level.
    """
    field: list[str] = []
    shapes: list[type[BaseModel]] = [model]
    for step in detail["loc"]:
        if len(shapes) > 1:
            shapes = [shape for shape in shapes if step in get_args(shape.model_fields["kind"].annotation)]
            continue
        known = list(shapes[0].model_fields) if shapes else []
        field.append(str(step))
        if step in known:
            shapes = list(_shapes(shapes[0].model_fields[step].annotation))
    return {**detail, "field": tuple(field), "known": known if detail["loc"] else []}


def _shapes(annotation: Any) -> Iterator[type[BaseModel]]:
    """The model classes inside an annotation such as `tuple[Task, ...]` or `A | B | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _shapes(inner)


def _guess(detail: dict[str, Any]) -> FieldPath:
    """The field that a misspelt one most likely stands for, as a path; () when none is near."""
    hint = nearest(detail["field"][-1], detail["known"])
    name = next((name for name in detail["known"] if repr(name) in hint), None)
    return (*detail["field"][:-1], name) if name else ()


def _only_follows(detail: dict[str, Any], details: list[dict[str, Any]]) -> bool:
    """Is a list called too short only because one of its entries is wrong, which is told anyway?"""
    field = detail["field"]
    below = (other["field"] for other in details)
    return detail["type"] == "too_short" and any(other[: len(field)] == field != other for other in below)


def _explain(document: Document, detail: dict[str, Any]) -> UltraFMError:
    """One detail of pydantic in the words of this project."""
    field, kind, context = detail["field"], detail["type"], detail.get("ctx", {})
    place, name = document.place(field), field[-1] if field else ""
    if kind == "extra_forbidden":
        known = detail["known"]
        return UltraFMError(place, f"the unknown field {name!r}", f"one of {', '.join(known)}{nearest(name, known)}")
    if kind == "missing":
        return UltraFMError(place, "no such field", f"the field {name!r}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        found = f"the kind {context['tag']!r}" if "tag" in context else "no field 'kind'"
        return UltraFMError(document.place((*field, "kind")), found, f"kind: {_kinds(context)}")
    if kind == "value_error":
        return UltraFMError(place, f"values that do not fit ({context['error']})", "values that fit together")
    if kind == "too_short":
        return UltraFMError(place, _short(detail["input"]), f"a list of at least {context['min_length']}")
    expected = PLAIN.get(kind) or detail["msg"].removeprefix("Input should be ").replace("String", "text")
    hint = nearest(detail["input"], re.findall("'([^']*)'", context["expected"])) if kind == "literal_error" else ""
    return UltraFMError(place, _short(detail["input"]), expected + hint, _quotes(kind, detail["input"]))


def _kinds(context: dict[str, Any]) -> str:
    kinds = context.get("expected_tags", "'phantom', 'folder'")
    return kinds + nearest(context.get("tag", ""), re.findall("'([^']*)'", kinds))


def _quotes(kind: str, value: Any) -> str:
    """YAML turns no, on and 2024 into values that are not text; say how to keep them as they stand."""
    return "put the value in quotes" if kind == "string_type" and isinstance(value, bool | int | float) else ""


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
