import pytest

from ultrafm.progress import NOTE, progress


def test_the_runner_finds_how_far_the_work_is(tmp_path, monkeypatch):
    note = tmp_path / "progress"
    monkeypatch.setenv(NOTE, str(note))
    monkeypatch.setenv("TQDM_DISABLE", "1")  # as in the kernels of a study
    with progress(total=4, title="federated", unit="round") as bar:
        bar.update(4)
        bar.refresh()
        assert note.read_text().startswith("federated: 4 of 4 rounds")
    assert note.read_text().endswith("00:00 left")


@pytest.mark.parametrize("runner", [True, False])
def test_work_passes_through_unchanged(runner, tmp_path, monkeypatch):
    if runner:
        monkeypatch.setenv(NOTE, str(tmp_path / "progress"))
    assert list(progress([3, 1, 2], total=3, title="curating", unit="site")) == [3, 1, 2]
