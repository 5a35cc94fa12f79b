"""The parameters of a notebook: what its parameters cell declares, and whether given values fit."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from ultrafm.errors import UltraFMError, nearest

TAG = "parameters"
SIMPLE = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "None": type(None)}
MEND = "write `name: type = literal  # one comment`; put derived values into the cell after the parameters"


@dataclass(frozen=True)
class Parameter:
    """One declared parameter: its annotation as written, its default value and the comment beside it."""

    type: str
    default: Any
    help: str


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook in the file `path`, as format 4. Raises UltraFMError when it is missing or not a notebook."""
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise UltraFMError(str(path), "no such file", "a notebook") from None
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError) as error:
        raise UltraFMError(str(path), f"something else ({error})", "a Jupyter notebook (.ipynb)") from error


def declared_parameters(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook, in order, read from its cell tagged `parameters` without running anything.

    Each line is `name: type = literal  # comment`. Raises UltraFMError, naming the line, for anything else: no
    annotation, a default that is computed, a default that does not fit its annotation, an `=` inside a default or
    a comment (papermill cannot read those), a name declared twice, or not exactly one parameters cell.
    """
    cells = [cell for cell in read_notebook(notebook).cells if TAG in cell.metadata.get("tags", [])]
    if len(cells) != 1 or cells[0].cell_type != "code":
        raise UltraFMError(str(notebook), f"{len(cells)} cells tagged `{TAG}`", "exactly one, a code cell")
    where = f"{notebook}, parameters cell"
    try:
        lines, notes = ast.parse(cells[0].source).body, read_comments(cells[0].source)
    except (SyntaxError, tokenize.TokenError) as error:
        raise UltraFMError(where, f"a syntax error ({error})", "lines of Python", MEND) from error
    found: dict[str, Parameter] = {}
    for line in lines:
        place = f"{where}, line {line.lineno}"
        name, parameter = _declared(place, line, notes.get(line.end_lineno or line.lineno, ""))
        if name in found:
            raise UltraFMError(place, f"{name!r} a second time", "each parameter once")
        found[name] = parameter
    return found


def check_parameters(values: Mapping[str, Any], notebook: Path) -> dict[str, Any]:
    """`values` as they can be handed to the notebook: paths as strings, tuples as lists, whole numbers as floats.

    Raises UltraFMError for a parameter that the notebook does not declare (naming the nearest one) and for a value that
    does not fit its annotation. A whole number fits `float`; True and False fit `bool` only.
    """
    declared = declared_parameters(notebook)
    ready = {}
    for name, value in values.items():
        if name not in declared:
            known = f"one of {', '.join(declared)}" if declared else "no parameter at all"
            raise UltraFMError(str(notebook), f"unknown parameter {name!r}", known + nearest(name, declared))
        ready[name] = _fitted(f"{notebook}, parameter {name!r}", _plain(value), declared[name].type)
    return ready


def read_comments(source: str) -> dict[int, str]:
    """The comments of a cell of code by line, without their hash."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ").strip() for token in tokens if token.type == tokenize.COMMENT}


def _declared(place: str, line: ast.stmt, comment: str) -> tuple[str, Parameter]:
    if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name) or line.value is None:
        raise UltraFMError(place, f"`{ast.unparse(line)}`", "a typed literal", MEND)
    name, kind = line.target.id, ast.unparse(line.annotation)
    try:
        default = ast.literal_eval(line.value)
    except (ValueError, TypeError):
        found = f"a default that is computed, `{ast.unparse(line.value)}`"
        raise UltraFMError(place, found, "a literal", MEND) from None
    if "=" in repr(default) or "=" in comment:
        mend = "write the value into a profile instead, or say it in other words"
        raise UltraFMError(place, f"an equals sign inside {name}'s default or comment", "none", mend)
    return name, Parameter(kind, _fitted(f"{place}, {name}", _plain(default), kind), comment)


def _plain(value: Any) -> Any:
    """The value with paths as strings and tuples as lists, all the way down."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _fitted(where: str, value: Any, kind: str) -> Any:
    tree = ast.parse(kind, mode="eval").body
    if not _fits(where, value, tree):
        raise UltraFMError(where, f"{value!r} ({type(value).__name__})", f"a value of type {kind}")
    return float(value) if kind == "float" else value


def _fits(where: str, value: Any, kind: ast.expr) -> bool:
    """Does `value` fit the annotation `kind`: a simple type, list[...], tuple[...], dict[...], or several with `|`?"""
    if isinstance(kind, ast.BinOp) and isinstance(kind.op, ast.BitOr):
        return _fits(where, value, kind.left) or _fits(where, value, kind.right)
    if isinstance(kind, ast.Subscript):
        return _fits(where, value, kind.value) and all(_fits(where, *pair) for pair in _parts(value, kind.slice))
    name = {"tuple": "list", "Path": "str"}.get(ast.unparse(kind), ast.unparse(kind))
    if name not in SIMPLE:
        raise UltraFMError(where, f"the type {ast.unparse(kind)}", f"one of {', '.join(SIMPLE)}{nearest(name, SIMPLE)}")
    if isinstance(value, bool):
        return name == "bool"
    return isinstance(value, (int, float) if name == "float" else SIMPLE[name])


def _parts(value: list | dict, inner: ast.expr) -> list[tuple[Any, ast.expr]]:
    """Each item of a list, or key and value of a dict, with the annotation that it must fit."""
    kinds = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in zip((key, item), kinds, strict=False)]
    named = [kind for kind in kinds if ast.unparse(kind) not in ("...", "Ellipsis")]
    if len(named) == 1:
        return [(item, named[0]) for item in value]
    return list(zip(value, named, strict=True)) if len(value) == len(named) else [(value, ast.Name("None"))]
