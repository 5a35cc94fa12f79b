"""A strict runner on top of papermill: wrong parameters stop it, a failed notebook is kept, nothing is left running."""

from __future__ import annotations

import itertools
import logging
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.execute import ERROR_MARKER_TAG

from ultrafm.reporting.html import write_page
from ultrafm.reporting.kernel import KernelWatch, kernel_class
from ultrafm.reporting.parameters import Parameter, check_parameters, declared_parameters, read_notebook
from ultrafm.reporting.warm import WarmStart

__all__ = ["NotebookRun", "Parameter", "check_parameters", "declared_parameters", "run_notebook"]

# papermill's log tells of every cell; it would bury the one line for the user.
logging.getLogger("papermill").setLevel(logging.CRITICAL)

OnCell = Callable[[int, int], None]
COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class NotebookRun:
    """How a run went: wall time in seconds, peak memory of the kernel's processes, and the error when it failed."""

    seconds: float
    peak_memory_bytes: int
    ok: bool
    error: str | None = None


def run_notebook(
    source: Path,
    target: Path,
    parameters: Mapping[str, Any],
    kernel_environment: Mapping[str, str] | None = None,
    on_cell: OnCell | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
    warm: WarmStart | None = None,
) -> NotebookRun:
    """Run the notebook `source` with `parameters` in a kernel of its own, and write it with its outputs to `target`.

    The kernel is this very Python; it starts in the notebook's folder, without telemetry and model hub, and
    `kernel_environment` comes on top. `on_cell(index, total)` is called before each code cell, and
    `on_progress(line)` with every line of progress inside a cell. A `warm` start that is ready saves the kernel its
    imports. A notebook that fails is kept in `target` with a banner at its head, and as HTML beside it: an error, a
    sys.exit, or a kernel that dies all give `ok` False and an `error`. `source` is never written.
    Raises UltraFMError for a parameter that is unknown or does not fit, before any kernel starts.
    """
    ready = check_parameters(parameters, source)
    source, target = source.resolve(), target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with KernelWatch(on_progress=on_progress) as watch, tempfile.TemporaryDirectory(prefix="ultrafm-") as folder:
        forked = warm is not None and warm.ready()
        kernel = kernel_class(watch, Path(folder), kernel_environment or {}, forked)
        error = _execute(source, target, ready, kernel, watch, on_cell or (lambda index, total: None))
    run = NotebookRun(time.monotonic() - began, watch.peak_bytes, error is None, error)
    if error:
        write_page(target, target.with_suffix(".html"), {}, [])
    return run


def _execute(
    source: Path, target: Path, parameters: dict[str, Any], kernel: type, watch: KernelWatch, on_cell: OnCell
) -> str | None:
    """Run papermill; what went wrong, or None. After a failure `target` has its banner."""
    total = sum(map(_is_code, read_notebook(source).cells)) + bool(parameters)
    count = itertools.count(1)

    def tell(cell: nbformat.NotebookNode, cell_index: int) -> None:
        watch.sample()  # a short notebook may end between two looks of the watch
        if _is_code(cell):
            on_cell(next(count), total)

    try:
        papermill.execute_notebook(
            source, target, parameters, kernel_name="python3", language="python", progress_bar=False,
            start_timeout=120, kernel_manager_class=kernel, resources={"metadata": {"path": str(source.parent)}},
            on_cell_start=tell,
        )  # fmt: skip
    except papermill.PapermillExecutionError as failure:
        return _one_line(f"{failure.ename}: {failure.evalue}") + f" (code cell {failure.exec_count or '?'})"
    except DeadKernelError:
        last = _last_output(target)
        words = f"last output {last!r}" if last else "without any output"
        return _add_banner(target, f"the kernel died: it {watch.ending()}, {words}")
    except RuntimeError as failure:
        return _add_banner(target, f"the kernel did not start ({_one_line(str(failure))})")
    error = _stopped_early(target)
    return _add_banner(target, error) if error else None


def _is_code(cell: nbformat.NotebookNode) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip())


def _stopped_early(target: Path) -> str | None:
    """papermill takes sys.exit(0) for success, although the cells after it did not run. We do not."""
    cells = [cell for cell in read_notebook(target).cells if cell.cell_type == "code"]
    for number, cell in enumerate(cells, start=1):
        expected = "raises-exception" in cell.metadata.get("tags", [])
        names = [output.ename for output in cell.outputs if output.output_type == "error"]
        if names and not expected:
            return f"{names[0]} (code cell {number}): the cells after it did not run"
    return None


def _add_banner(target: Path, error: str) -> str:
    """Put papermill's kind of banner at the head of the notebook and a marker before the cell that failed."""
    notebook = read_notebook(target)
    begun = [
        number
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and cell.metadata.get("papermill", {}).get("status") != "pending"
    ]
    marker = '<span id="papermill-error-cell" style="color:red">The notebook stopped in the next cell:</span>'
    for place, text in ((begun[-1] if begun else 0, marker), (0, f'<span style="color:red">Failed: {error}.</span>')):
        cell = nbformat.v4.new_markdown_cell(text, metadata={"tags": [ERROR_MARKER_TAG]})
        notebook.cells.insert(place, cell)
    nbformat.write(notebook, target)
    return error


def _last_output(target: Path) -> str:
    """The last line that the notebook printed before it ended."""
    streams = [
        output.text
        for cell in read_notebook(target).cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    ]
    lines = "".join(streams).strip().splitlines()
    return _one_line(lines[-1]) if lines else ""


def _one_line(text: str, most: int = 500) -> str:
    lines = COLOUR_CODE.sub("", text).strip().splitlines()
    return lines[0][:most] if lines else ""
