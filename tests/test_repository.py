"""The repository itself: what is installed is what is pinned, and rooms depend on what the study says they do."""

import ast
import re
import subprocess
import sys
import tomllib

import yaml

from ultrafm.doctor import FIXED_PACKAGES, locked_versions
from ultrafm.study import COMMON_CODE, REPOSITORY, STEPS

PACKAGE = REPOSITORY / "ultrafm"
LOCK = REPOSITORY / "requirements.lock"


def test_the_top_level_is_the_one_agreed_on():
    for name in ("notebooks", "ultrafm", "data_manifests", "tests", "environment.yml", "README.md", "reports"):
        assert (REPOSITORY / name).exists(), name


def test_environment_for_conda_installs_the_lock_file():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == ["--requirement requirements.lock"]
    python = next(entry for entry in environment["dependencies"] if str(entry).startswith("python="))
    needed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python == "python=3.11" and needed == ">=3.11"


def test_everything_asked_for_is_pinned_with_a_hash():
    pinned = locked_versions(LOCK)
    asked = [line for line in (REPOSITORY / "requirements.in").read_text().splitlines() if line and line[0] != "#"]
    for line in asked:
        name, _, wanted = line.partition("==")
        assert name in pinned, name
        assert not wanted or pinned[name] == wanted, line
    assert set(FIXED_PACKAGES) <= set(pinned)
    entries = re.split(r"\n(?=[a-z])", LOCK.read_text())
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)


def test_dependencies_of_the_package_are_in_the_lock():
    pinned = locked_versions(LOCK)
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split(r"[=><]", name)[0] for name in declared} <= set(pinned)


def test_no_index_address_and_no_machine_path_is_committed():
    files = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    options = [line for line in LOCK.read_text().splitlines() if line.startswith("-") or "://" in line]
    assert options == []
    home = re.compile(r"(?<![\w.])/(home|root|work|Users)/\w")
    guilty = [
        name
        for name in files
        if name.endswith((".py", ".md", ".yaml", ".toml", ".ipynb")) and home.search((REPOSITORY / name).read_text())
    ]
    assert guilty == []


def imported_rooms(folder):
    """Top-level rooms and modules of ultrafm that the files of a room import."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ultrafm."):
                found.add(".".join(node.module.split(".")[1:]))
    return found


def test_a_step_is_run_again_when_any_code_that_it_uses_changes():
    """Whatever a step's rooms import belongs to its rooms or to the common code; else a change would go unnoticed."""
    common = {name.removesuffix(".py").replace("/", ".") for name in COMMON_CODE}
    for step in STEPS:
        for room in step.rooms:
            for module in imported_rooms(PACKAGE / room):
                covered = module in common or module.split(".")[0] in step.rooms
                assert covered, f"{step.name}: room {room} imports {module}"


def test_light_rooms_do_not_import_torch():
    rooms = ["manifests", "phantom", "geometry", "curation", "downstream", "readers", "reporting"]
    code = f"import sys, {', '.join('ultrafm.' + room for room in rooms)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_make_alone_prints_its_targets():
    shown = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for target in ("study", "setup", "test", "test-all", "lab", "doctor"):
        assert re.search(rf"^{target}\s", shown, re.MULTILINE), target


def test_no_two_files_of_tests_share_a_name() -> None:
    """pytest imports test files by their bare name; of two with one name the second stops the whole run."""
    names = [
        path.name for path in (REPOSITORY / "tests").rglob("*.py") if path.name not in ("conftest.py", "__init__.py")
    ]
    assert {name for name in names if names.count(name) > 1} == set()
