"""Parameters: read without running, checked before running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from notebook_kit import make_notebook

from ultrafm.errors import UltraFMError
from ultrafm.reporting.runner import Parameter, check_parameters, declared_parameters

LINES = """out: str = ""  # a folder
seed: int = 0  # the seed
share: float = 1  # a share
deep: bool = True
sites: list[str] = ["a", 'b']  # names
size: tuple[int, int] = (64, 64)  # a size
limit: int | None = None  # a limit
shift: float = -1.5  # a shift
folder: Path = "data"  # a folder"""


def test_declared_parameters_are_typed_literals_with_help(tmp_path: Path) -> None:
    found = declared_parameters(make_notebook(tmp_path / "a.ipynb", parameters=LINES))
    assert list(found) == ["out", "seed", "share", "deep", "sites", "size", "limit", "shift", "folder"]
    assert found["seed"] == Parameter("int", 0, "the seed")
    assert found["share"] == Parameter("float", 1.0, "a share") and isinstance(found["share"].default, float)
    assert found["deep"] == Parameter("bool", True, "")
    assert found["size"].default == [64, 64] and found["shift"].default == -1.5


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("double: int = seed * 2", "line 2: found a default that is computed, `seed \\* 2`"),
        ("name: str = str(seed)", "computed"),
        ('rule: str = "a=b"', "line 2: found an equals sign inside rule"),
        ("rule: int = 1  # a=1", "equals sign"),
        ("rule = 1", "line 2: found `rule = 1`"),
        ("rule: int", "typed literal"),
        ("import os", "typed literal"),
        ("rule: int = 'one'", "'one' \\(str\\)"),
        ("rule: int = True", "True \\(bool\\)"),
        ("rule: strange = 1", "the type strange"),
        ("seed: int = 1", "'seed' a second time"),
        ("rule: int = (", "syntax error"),
    ],
)
def test_anything_but_a_typed_literal_is_an_error_that_names_the_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(UltraFMError, match=said):
        declared_parameters(make_notebook(tmp_path / "a.ipynb", parameters=f"seed: int = 0  # seed\n{line}"))


def test_exactly_one_parameters_cell(tmp_path: Path) -> None:
    path = make_notebook(tmp_path / "a.ipynb")
    path.write_text(path.read_text().replace('"parameters"', '"something"'))
    with pytest.raises(UltraFMError, match="0 cells tagged"):
        declared_parameters(path)
    with pytest.raises(UltraFMError, match="no such file"):
        declared_parameters(tmp_path / "missing.ipynb")
    (tmp_path / "text.ipynb").write_text("hello")
    with pytest.raises(UltraFMError, match="a Jupyter notebook"):
        declared_parameters(tmp_path / "text.ipynb")


@pytest.mark.parametrize(
    ("given", "ready"),
    [
        ({"share": 1}, {"share": 1.0}),
        ({"size": (32, 32)}, {"size": [32, 32]}),
        ({"out": Path("here")}, {"out": "here"}),
        ({"folder": Path("a") / "b"}, {"folder": str(Path("a") / "b")}),
        ({"limit": 3}, {"limit": 3}),
        ({"limit": None}, {"limit": None}),
        ({"sites": ("x",)}, {"sites": ["x"]}),
    ],
)
def test_values_are_made_ready(tmp_path: Path, given: dict[str, Any], ready: dict[str, Any]) -> None:
    found = check_parameters(given, make_notebook(tmp_path / "a.ipynb", parameters=LINES))
    assert found == ready and type(next(iter(found.values()))) is type(next(iter(ready.values())))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sede": 1}, "unknown parameter 'sede'.*did you mean 'seed'"),
        ({"seed": 1.0}, "1.0 \\(float\\)"),
        ({"seed": True}, "True \\(bool\\)"),
        ({"deep": 1}, "1 \\(int\\)"),
        ({"share": "0.5"}, "'0.5' \\(str\\)"),
        ({"sites": ["a", 1]}, "list\\[str\\]"),
        ({"sites": "a"}, "list\\[str\\]"),
        ({"size": [1, 2, 3]}, "tuple\\[int, int\\]"),
        ({"limit": "x"}, "int | None"),
    ],
)
def test_values_that_do_not_fit_are_refused(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UltraFMError, match=said):
        check_parameters(given, make_notebook(tmp_path / "a.ipynb", parameters=LINES))
