"""Reading YAML so that every field keeps the line it stands on, and nothing is overwritten in silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ultrafm.errors import UltraFMError

FieldPath = tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """One YAML file: its values and the line (from 1) of every field."""

    path: Path
    data: dict[str, Any]
    lines: dict[FieldPath, int]

    def line(self, field: FieldPath) -> int:
        """Line of a field or, when it is not there, of the nearest field above it; 0 when there is none."""
        above = (field[:end] for end in range(len(field), 0, -1))
        return next((self.lines[part] for part in above if part in self.lines), 0)

    def place(self, field: FieldPath) -> str:
        """File, line and dotted path of a field, to be told in an error."""
        line = f", line {self.line(field)}" if self.line(field) else ""
        name = f", field {'.'.join(field)}" if field else ""
        return f"{self.path}{line}{name}"


def read_document(path: Path) -> Document:
    """Read one YAML file whose top level is a mapping.

    Raises:
        UltraFMError: the file cannot be read, is no YAML, is empty, uses aliases, or names a field twice.
    """
    path = Path(path)
    node, data = _parse(path, _read_text(path))
    if not isinstance(node, yaml.MappingNode):
        found = "an empty file" if node is None else f"a {node.id} at the top level"
        raise UltraFMError(str(path), found, "fields, written as 'name: value'")
    lines: dict[FieldPath, int] = {}
    for field, line in _walk(node, (), path):
        if field in lines:
            place = f"{path}, line {line}, field {'.'.join(field)}"
            raise UltraFMError(place, f"the field a second time (first on line {lines[field]})", "each field once")
        lines[field] = line
    return Document(path, data, lines)


class _Loader(yaml.SafeLoader):
    """Refuses aliases: with them a field stands on two lines, and a few of them can blow up to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            problem = f"the alias *{event.anchor}, which stands for values written elsewhere"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UltraFMError(str(path), "no such file", "a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UltraFMError(str(path), f"a file that cannot be read ({error})", "a text file in UTF-8") from error


def _parse(path: Path, text: str) -> tuple[yaml.Node | None, Any]:
    """Nodes (they know their lines) and values of one YAML text."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        mend = "put a text that holds ': ' or starts with one of @ * & ! % [ { in quotes"
        if r"'\t'" in problem:  # as the parser shows a tab
            mend = "indent with spaces, never with tabs"
        raise UltraFMError(place, problem.removeprefix("found "), "valid YAML", mend) from error
    except (RecursionError, ValueError) as error:
        raise UltraFMError(str(path), f"text that cannot be read as YAML ({error})", "valid YAML") from error


def _walk(node: yaml.Node, above: FieldPath, path: Path) -> Iterator[tuple[FieldPath, int]]:
    """Every field and list item below a node with its line, in the order of the file."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            field = (*above, _key(key, path))
            yield field, key.start_mark.line + 1
            yield from _walk(value, field, path)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            field = (*above, str(position))
            yield field, value.start_mark.line + 1
            yield from _walk(value, field, path)


def _key(node: yaml.Node, path: Path) -> str:
    """A field's name as text. YAML reads words such as `no` and `on` as true or false; as names they need quotes."""
    if node.tag in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:int"):
        return str(node.value)
    place = f"{path}, line {node.start_mark.line + 1}"
    raise UltraFMError(place, f"the name {node.value!r}", "a field name in words", "put the name in quotes")
