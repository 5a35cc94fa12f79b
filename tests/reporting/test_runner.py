"""The runner: strict before a kernel starts; afterwards it keeps what failed and leaves nothing running."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from notebook_kit import make_notebook

from ultrafm.errors import UltraFMError
from ultrafm.reporting.kernel import ENVIRONMENT
from ultrafm.reporting.parameters import read_notebook
from ultrafm.reporting.runner import run_notebook
from ultrafm.reporting.warm import WarmStart


@pytest.fixture(scope="module")
def warm_start() -> WarmStart:
    """A warm start that is ready: the libraries are imported once for all tests."""
    if sys.platform != "linux":
        pytest.skip("kernels are forked on Linux only")
    warm = WarmStart()
    warm.begin(ENVIRONMENT)
    for _ in range(600):
        if warm.ready():
            return warm
        time.sleep(0.2)
    pytest.fail("no warm start within two minutes")


@pytest.fixture(params=["started", "forked"])
def warm(request: pytest.FixtureRequest) -> WarmStart | None:
    """How the kernel comes to be: started as a program, or forked from a warm start."""
    return request.getfixturevalue("warm_start") if request.param == "forked" else None


def printed(path: Path) -> str:
    outputs = [output for cell in read_notebook(path).cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_wrong_parameter_starts_no_kernel(tmp_path: Path) -> None:
    source = make_notebook(tmp_path / "source.ipynb", "1")
    with pytest.raises(UltraFMError, match="did you mean 'seed'"):
        run_notebook(source, tmp_path / "target.ipynb", {"sed": 1})
    assert not (tmp_path / "target.ipynb").exists()


def test_a_run_uses_this_python_and_leaves_no_process(tmp_path: Path, warm: WarmStart | None) -> None:
    child = "import subprocess, sys\nsleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
    child += "print(subprocess.Popen(sleep, start_new_session=True).pid)"
    told = "import os, sys\nprint(sys.executable, os.environ['PYTHONHASHSEED'], os.environ['HF_HUB_OFFLINE'])"
    more = "print(os.environ['FLWR_TELEMETRY_ENABLED'], os.environ['COLOUR'], os.getcwd(), seed, share, sites)"
    source = make_notebook(tmp_path / "source.ipynb", f"{told}\n{more}", child)
    before, seen = source.read_bytes(), []
    run = run_notebook(
        source, tmp_path / "out" / "target.ipynb", {"seed": 7, "share": 1, "sites": ("x", "y")}, {"COLOUR": "grey"},
        on_cell=lambda index, total: seen.append((index, total)), warm=warm,
    )  # fmt: skip
    assert run.ok and run.error is None
    first, second, pid = printed(tmp_path / "out" / "target.ipynb").splitlines()
    assert first == f"{sys.executable} 0 1"
    assert second == f"0 grey {tmp_path.resolve()} 7 1.0 ['x', 'y']"
    assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    # a process that is just being forked counts as large as the one it comes from
    assert run.seconds > 0 and 10 * 2**20 < run.peak_memory_bytes < 2**31
    assert source.read_bytes() == before


def test_a_long_cell_says_how_far_it_is(tmp_path: Path, warm: WarmStart | None) -> None:
    work = "import time\nfrom ultrafm.progress import progress\n"
    work += "for _ in progress(range(3), total=3, title='reading', unit='picture'):\n    time.sleep(1.2)"
    lines: list[str] = []
    source = make_notebook(tmp_path / "source.ipynb", work)
    assert run_notebook(source, tmp_path / "target.ipynb", {}, on_progress=lines.append, warm=warm).ok
    assert lines[0].startswith("reading: 0 of 3 pictures") and len(set(lines)) == len(lines) > 1
    assert printed(tmp_path / "target.ipynb") == ""


def test_a_failing_cell_is_kept_with_a_banner(tmp_path: Path, warm: WarmStart | None) -> None:
    source = make_notebook(
        tmp_path / "source.ipynb", "print('so far')", "raise ValueError('too <b>few</b>')", "print(3)"
    )
    run = run_notebook(source, tmp_path / "target.ipynb", {}, warm=warm)
    assert not run.ok and run.error == "ValueError: too <b>few</b> (code cell 3)"
    assert printed(tmp_path / "target.ipynb") == "so far\n"
    assert "papermill-error-cell" in (tmp_path / "target.ipynb").read_text()
    page = (tmp_path / "target.html").read_text()
    assert "did not run to its end" in page and 'id="failed-cell"' in page
    assert "too &lt;b&gt;few&lt;/b&gt;" in page and "<b>few" not in page


def test_a_dead_kernel_is_reported_with_its_last_words(tmp_path: Path, warm: WarmStart | None) -> None:
    source = make_notebook(tmp_path / "source.ipynb", "print('last words')", "import os\nos._exit(7)", "print(3)")
    run = run_notebook(source, tmp_path / "target.ipynb", {"seed": 1}, warm=warm)
    assert not run.ok
    assert "exit code 7" in run.error and "last words" in run.error
    assert "Failed: the kernel died" in read_notebook(tmp_path / "target.ipynb").cells[0].source
    assert "did not run to its end" in (tmp_path / "target.html").read_text()


def test_leaving_early_is_a_failure_though_papermill_calls_it_success(tmp_path: Path, warm: WarmStart | None) -> None:
    source = make_notebook(tmp_path / "source.ipynb", "import sys\nsys.exit(0)", "print('never')")
    run = run_notebook(source, tmp_path / "target.ipynb", {}, warm=warm)
    assert not run.ok and "SystemExit" in run.error and "did not run" in run.error
    assert "never" not in printed(tmp_path / "target.ipynb")


def test_a_forked_kernel_is_a_process_of_its_own(tmp_path: Path, warm_start: WarmStart) -> None:
    """Libraries are there, this package is not; it has children; its session is its own."""
    told = "import os, sys, signal, multiprocessing\n"
    told += "print('torch' in sys.modules, 'ultrafm.curation' in sys.modules, multiprocessing.parent_process())\n"
    told += "print(os.getsid(0) == os.getpid())\n"
    told += "pool = multiprocessing.get_context('spawn').Pool(1)\nprint(pool.map(abs, [-3]))\npool.terminate()"
    source = make_notebook(tmp_path / "source.ipynb", told, "os.kill(os.getpid(), signal.SIGKILL)")
    run = run_notebook(source, tmp_path / "target.ipynb", {}, warm=warm_start)
    assert printed(tmp_path / "target.ipynb").splitlines() == ["True False None", "True", "[3]"]
    assert not run.ok and "killed by signal SIGKILL" in run.error


def test_outside_linux_kernels_start_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    warm = WarmStart()
    warm.begin(ENVIRONMENT)
    assert warm.begun and not warm.ready()


KILLED_RUN = """
import sys, time
from pathlib import Path
from ultrafm.reporting import warm
from ultrafm.reporting.runner import run_notebook
warm.LIBRARIES = ("ipykernel.ipkernel",)
start = warm.WarmStart()
start.begin({})
while not start.ready():
    time.sleep(0.05)
run_notebook(Path(sys.argv[1]), Path(sys.argv[2]), {}, warm=start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
def test_a_forked_kernel_ends_when_the_study_is_killed(tmp_path: Path) -> None:
    """Else it would go on computing, and write beside the run that continues."""
    told = tmp_path / "pid"
    cell = f"import os, time\nopen({str(told)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    source = make_notebook(tmp_path / "source.ipynb", cell)
    run = subprocess.Popen([sys.executable, "-c", KILLED_RUN, str(source), str(tmp_path / "target.ipynb")])
    for _ in range(600):
        if told.exists() and told.read_text():
            break
        time.sleep(0.1)
    kernel = psutil.Process(int(told.read_text()))
    run.kill()
    run.wait()
    _gone, alive = psutil.wait_procs([kernel], timeout=20)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
