"""What a notebook of this project must look like: a question, typed parameters, prose, short calls, no logic."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

from ultrafm.errors import UltraFMError
from ultrafm.reporting.parameters import TAG, declared_parameters, read_notebook

MOST_LINES = 15
TRAINING = re.compile(r"epoch|round|iteration", re.IGNORECASE)


def lint_notebook(path: Path) -> list[str]:
    """Everything about the notebook that breaks the rules, one sentence each; an empty list for a sound one."""
    book = read_notebook(path)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    problems = [*_format_problems(book), *_parameter_problems(path), *_prose_problems(book)]
    for number, cell in enumerate(code, start=1):
        before = [TAG in earlier.metadata.get("tags", []) for earlier in code[: number - 1]]
        is_first_after_parameters = bool(before) and before[-1]
        found = [*_state_problems(cell), *_logic_problems(cell.source, is_first_after_parameters)]
        problems += [f"code cell {number}: {problem}" for problem in found]
    return problems


def _format_problems(book: nbformat.NotebookNode) -> Iterator[str]:
    try:
        nbformat.validate(book)
    except nbformat.ValidationError as error:
        yield f"not a valid notebook: {str(error).splitlines()[0]}"
    if (book.nbformat, book.nbformat_minor) < (4, 5):
        yield f"format {book.nbformat}.{book.nbformat_minor}, expected 4.5 or later"
    if book.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"
    for name in ("papermill", "widgets"):
        if name in book.metadata:
            yield f"metadata of a run ({name}), which belongs into results only"


def _parameter_problems(path: Path) -> Iterator[str]:
    try:
        declared = declared_parameters(path)
    except UltraFMError as error:
        yield str(error)
        return
    for name, parameter in declared.items():
        if not parameter.help:
            yield f"parameter {name} has no comment that says what it means"


def _prose_problems(book: nbformat.NotebookNode) -> Iterator[str]:
    first = book.cells[0] if book.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "the first cell is not a title"
    elif "question" not in first.source.lower():
        yield "the first cell does not say which question the notebook asks"
    kinds = ["", *(cell.cell_type for cell in book.cells)]
    for number, (before, kind) in enumerate(itertools.pairwise(kinds), start=1):
        if kind == "code" and before != "markdown":
            yield f"cell {number} is code without prose before it"


def _state_problems(cell: nbformat.NotebookNode) -> Iterator[str]:
    if cell.outputs or cell.execution_count is not None:
        yield "outputs or execution counts are left in it"
    lines = len(cell.source.strip().splitlines())
    if lines > MOST_LINES:
        yield f"{lines} lines, at most {MOST_LINES}"


def _logic_problems(source: str, imports_allowed: bool) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        yield f"not plain Python (line {error.lineno})"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield f"defines {node.name}, which belongs into the package"
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Lambda):
            yield "gives a lambda a name; it belongs into the package"
        elif isinstance(node, ast.While) or (isinstance(node, ast.For) and _is_training(node)):
            yield "holds a training loop, which belongs into the package"
        elif isinstance(node, ast.Import | ast.ImportFrom) and not imports_allowed:
            yield "imports outside the first code cell after the parameters"


def _is_training(loop: ast.For) -> bool:
    return bool(TRAINING.search(ast.unparse(loop.target) + " " + ast.unparse(loop.iter)))
