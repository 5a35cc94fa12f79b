"""Every notebook keeps the rules; and the rules catch what they are for."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from ultrafm.reporting.lint import lint_notebook
from ultrafm.reporting.parameters import read_notebook

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(path for path in FOLDER.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
SOUND = [
    ("markdown", "# Title\n\n**Question.** What?", []),
    ("code", 'out: str = ""  # a folder\nshare: float = 0.5  # a share', ["parameters"]),
    ("markdown", "Imports.", []),
    ("code", "import math", []),
    ("markdown", "The answer.", []),
    ("code", "for site in (1, 2):\n    math.sqrt(site)", []),
]


def save(path: Path, cells: list[tuple[str, str, list[str]]]) -> Path:
    make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    made = [make[kind](source, metadata={"tags": tags} if tags else {}) for kind, source, tags in cells]
    book = nbformat.v4.new_notebook(
        cells=made, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )
    nbformat.write(book, path)
    return path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_notebook_keeps_the_rules(path: Path) -> None:
    assert lint_notebook(path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_step_saves_its_records_last(path: Path) -> None:
    code = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "code"]
    assert "step.save_records(" in code[-1]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


def test_sound_notebook_passes(tmp_path: Path) -> None:
    assert lint_notebook(save(tmp_path / "sound.ipynb", SOUND)) == []


@pytest.mark.parametrize(
    ("place", "cell", "said"),
    [
        (0, ("markdown", "Title", []), "not a title"),
        (0, ("markdown", "# Title", []), "which question"),
        (1, ("code", "a: int = 1", ["parameters"]), "no comment"),
        (1, ("code", "a = 1  # a number", ["parameters"]), "line 1: found `a = 1`"),
        (1, ("code", "a: int = 1  # one", []), "0 cells tagged"),
        (3, ("code", "import math", ["parameters"]), "2 cells tagged"),
        (4, ("code", "1 + 1", []), "without prose"),
        (5, ("code", "\n".join(["1 + 1"] * 16), []), "16 lines"),
        (5, ("code", "def help_me():\n    return 1", []), "defines help_me"),
        (5, ("code", "class Helper:\n    pass", []), "defines Helper"),
        (5, ("code", "double = lambda number: 2 * number", []), "lambda"),
        (5, ("code", "for epoch in range(3):\n    pass", []), "training loop"),
        (5, ("code", "for i in range(epochs):\n    pass", []), "training loop"),
        (5, ("code", "while True:\n    pass", []), "training loop"),
        (5, ("code", "import os", []), "imports outside"),
        (5, ("code", "%matplotlib inline", []), "not plain Python"),
    ],
)
def test_broken_notebook_is_caught(tmp_path: Path, place: int, cell: tuple, said: str) -> None:
    cells = [*SOUND[:place], cell, *SOUND[place + 1 :]]
    assert any(said in problem for problem in lint_notebook(save(tmp_path / "broken.ipynb", cells)))


def test_leftovers_of_a_run_are_caught(tmp_path: Path) -> None:
    book = read_notebook(save(tmp_path / "left.ipynb", SOUND))
    book.cells[3].execution_count = 1
    book.metadata["papermill"] = {}
    book.metadata["kernelspec"]["name"] = "my-kernel"
    nbformat.write(book, tmp_path / "left.ipynb")
    problems = " ".join(lint_notebook(tmp_path / "left.ipynb"))
    assert "execution counts" in problems and "papermill" in problems and "not python3" in problems
