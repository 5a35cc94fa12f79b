"""A site takes the codeless bundle of its own version and no other; no kind of task but the ClientApp starts."""

import io
import json
import os
import subprocess
import zipfile

import pytest
from flwr.supercore.constant import TASK_TYPE_TO_COMMAND, TaskType

from ultrafm import __version__
from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.bundle import PYPROJECT, check_bundle, make_bundle
from ultrafm.federation.deployment.guard import AUDIT, TASKS, checked, write_commands


def packed(*files):
    """A zip with these (name, text)."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files:
            archive.writestr(name, text)
    return data.getvalue()


def test_our_bundle_holds_no_code_is_always_the_same_and_is_taken():
    bundle = make_bundle()
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        assert archive.namelist() == ["pyproject.toml", ".info/CONTENT"]
    assert bundle == make_bundle()
    check_bundle(bundle)


FOREIGN = {
    "code beside the names": [("pyproject.toml", PYPROJECT), ("ultrafm/__init__.py", "x"), (".info/CONTENT", "")],
    "code under a known name": [("pyproject.toml", PYPROJECT), ("pyproject.toml", "x"), (".info/CONTENT", "")],
    "another app": [("pyproject.toml", PYPROJECT.replace("client_app:app", "other:app")), (".info/CONTENT", "")],
    "another version": [("pyproject.toml", PYPROJECT.replace(f'"{__version__}"', '"9.9"')), (".info/CONTENT", "")],
    "a bomb": [("pyproject.toml", PYPROJECT + "#" * (1 << 17)), (".info/CONTENT", "")],
    "no words": [("pyproject.toml", "= ="), (".info/CONTENT", "")],
}


@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_foreign_bundle_is_refused_logged_and_never_unpacked(files, tmp_path, monkeypatch):
    monkeypatch.setenv(AUDIT, str(tmp_path / "audit.jsonl"))
    unpacked = []
    with pytest.raises(UltraFMError, match="app bundle"):
        checked(unpacked.append)(packed(*files))
    assert unpacked == []
    assert json.loads((tmp_path / "audit.jsonl").read_text())["type"] == "app bundle"


def test_what_is_no_archive_is_refused():
    with pytest.raises(UltraFMError, match="cannot be read"):
        check_bundle(b"import os")


def test_our_bundle_is_handed_on_with_all_its_arguments():
    calls = []
    checked(lambda *arguments, **options: calls.append((arguments, options)))(make_bundle(), skip_prompt=True)
    assert calls == [((make_bundle(),), {"skip_prompt": True})]


def test_every_kind_of_task_has_a_command_of_ours(tmp_path):
    folder = write_commands(tmp_path / "commands")
    assert {path.name for path in folder.iterdir()} == {*TASK_TYPE_TO_COMMAND.values(), TASKS}
    assert all(os.access(folder / name, os.X_OK) for name in TASK_TYPE_TO_COMMAND.values())


def test_a_task_that_is_no_clientapp_is_refused_and_logged(tmp_path):
    folder, log = write_commands(tmp_path / "commands"), tmp_path / "audit.jsonl"
    command = [folder / TASK_TYPE_TO_COMMAND[TaskType.AGENT_APP], "--token", "secret"]
    ended = subprocess.run(command, env={**os.environ, AUDIT: str(log)}, capture_output=True, text=True)
    assert ended.returncode == 1 and "ClientApp of ultrafm only" in ended.stderr
    assert json.loads(log.read_text())["type"] == "task" and "secret" not in log.read_text()


def test_a_task_is_handed_over_as_one_line(tmp_path):
    folder = write_commands(tmp_path / "commands")
    handle = os.open(folder / TASKS, os.O_RDWR)
    words = ["--runtime-api-address", "127.0.0.1:1", "--token", "abc", "--insecure"]
    subprocess.run([folder / TASK_TYPE_TO_COMMAND[TaskType.CLIENT_APP], *words], check=True)
    assert os.read(handle, 4096).decode().split() == words
    os.close(handle)
