"""Small notebooks for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import nbformat

PARAMETERS = 'seed: int = 0  # the seed\nshare: float = 0.5  # a share\nsites: list[str] = ["a"]  # names of sites'


def make_notebook(path: Path, *codes: str, parameters: str = PARAMETERS, prose: str = "# Title\n\nProse.") -> Path:
    """A notebook with a title, a parameters cell, and one code cell for each of `codes`, each under a heading."""
    cells = [
        nbformat.v4.new_markdown_cell(prose),
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
    ]
    for number, code in enumerate(codes, start=1):
        cells += [nbformat.v4.new_markdown_cell(f"## Part {number}"), nbformat.v4.new_code_cell(code)]
    book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python"}})
    nbformat.write(book, path)
    return path
