"""A hub on the loopback: one commit is downloaded, written out as pictures, recorded and enforced."""

from __future__ import annotations

import hashlib
import io
import json
from http.server import BaseHTTPRequestHandler

import made_archives
import numpy as np
import pytest
from loopback import Loopback, handler, serving
from PIL import Image

from ultrafm.curation.reading.remote import fetch_source
from ultrafm.curation.reading.rows import read_rows
from ultrafm.errors import UltraFMError
from ultrafm.files import hash_folder
from ultrafm.manifests.lock import Lock
from ultrafm.manifests.schema import HubSource
from ultrafm.manifests.sources import what_is_downloaded

NAME = "owner/breast"
FIRST, SECOND = "a" * 40, "b" * 40
ORIGIN = {"publisher": "Testing", "country": "not stated", "licence": "CC0-1.0", "citation": "none"}
COLUMNS = {"patient": "case", "label": "class", "mask": "outline"}


def encoded(seed: int, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (60, 80), dtype=np.uint8)).save(data, kind)
    return data.getvalue()


def parquet(rows: int = 4) -> bytes:
    """A hub data set as its own tools write it: pictures as bytes, a class label, an outline for every other row."""
    import datasets

    features = {"picture": datasets.Image(), "outline": datasets.Image(), "case": datasets.Value("string")}
    features["class"] = datasets.ClassLabel(names=["good", "bad"])
    cells = {
        "picture": [{"bytes": encoded(n, "JPEG" if n else "PNG"), "path": None} for n in range(rows)],
        "outline": [{"bytes": encoded(50 + n), "path": None} if n % 2 == 0 else None for n in range(rows)],
        "case": [f"K{n // 2}-left" for n in range(rows)],
        "class": [n % 2 for n in range(rows)],
    }
    data = io.BytesIO()
    datasets.Dataset.from_dict(cells, features=datasets.Features(features)).to_parquet(data)
    return data.getvalue()


def hub_handler(state: Loopback, commits: dict[str, dict[str, bytes]]) -> type[BaseHTTPRequestHandler]:
    """The few addresses of a hub that a download asks: the data set, its list of files, each file."""

    class Hub(handler(state)):
        def do_GET(self) -> None:
            parts = self.path.partition("?")[0].strip("/").split("/")
            if parts[:2] != ["api", "datasets"]:
                return super().do_GET()
            state.asked.append((self.command, self.path, ""))
            files = commits.get(self.commit(parts[-1]))
            if "/".join(parts[2:4]) != NAME or files is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            commit = self.commit(parts[-1])
            about = {"id": NAME, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
            ]
            self.send_json(tree if parts[4] == "tree" else about)

        do_HEAD = do_GET

        def commit(self, revision: str) -> str:
            return list(commits)[-1] if revision == "main" else revision

        def send_json(self, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def extra_headers(self, path: str) -> None:
            self.send_header("X-Repo-Commit", path.split("/")[5])

    return Hub


@pytest.fixture
def hub():
    """A hub with one data set of one commit; `commits` may be given more."""
    commits = {FIRST: {"data/train-00000-of-00001.parquet": parquet(), "README.md": b"# Breast\n", "load.py": b"1/0"}}
    state = Loopback()
    with serving(state, hub_handler(state, commits)):
        offer(state, commits)
        state.commits = commits
        yield state


def offer(state: Loopback, commits: dict[str, dict[str, bytes]]) -> None:
    for commit, files in commits.items():
        for name, content in files.items():
            state.files[f"/datasets/{NAME}/resolve/{commit}/{name}"] = content


@pytest.fixture
def manifest():
    return made_archives.made_manifest()


def source_of(**changes: object) -> HubSource:
    fields = {"kind": "huggingface", **ORIGIN, "hub": NAME, "columns": {"image": "picture", **COLUMNS}}
    return HubSource.model_validate(fields | changes)


def test_a_hub_data_set_is_written_out_as_pictures_with_a_table(hub, manifest, tmp_path):
    found = fetch_source(manifest, source_of(patient_pattern="^(K\\d+)"), tmp_path, Lock(), True, hub.address)
    assert found.lock.archives == {f"hub:{NAME}": FIRST}
    rows = read_rows(manifest, found.source, found.root)
    assert [(row.patient, row.label) for row in rows] == [("K0", "good"), ("K0", "bad"), ("K1", "good"), ("K1", "bad")]
    assert [row.file for row in rows] == ["pictures/0000000.png", *(f"pictures/000000{n}.jpg" for n in (1, 2, 3))]
    assert [row.mask for row in rows] == ["masks/0000000.png", "", "masks/0000002.png", ""]
    folder = found.root / found.source.path
    for number, row in enumerate(rows):
        assert (folder / row.file).read_bytes() == encoded(number, "JPEG" if number else "PNG"), "the original bytes"
    assert not list(tmp_path.rglob("*.py")), "no program of a data set is downloaded"
    assert {path.name for path in tmp_path.iterdir()} == {manifest.site}
    assert {path.name for path in (tmp_path / manifest.site / "hub").iterdir()} == {"files", "pictures"}


def test_without_a_patient_column_each_picture_is_a_patient(hub, manifest, tmp_path):
    found = fetch_source(manifest, source_of(columns={"image": "picture"}), tmp_path, Lock(), True, hub.address)
    rows = read_rows(manifest, found.source, found.root)
    assert [row.patient for row in rows] == ["0", "1", "2", "3"] and {row.mask + row.label for row in rows} == {""}


def test_a_second_run_asks_nothing_and_needs_no_network(hub, manifest, tmp_path):
    first = fetch_source(manifest, source_of(), tmp_path, Lock(), True, hub.address)
    asked, before = len(hub.asked), hash_folder(tmp_path)
    assert fetch_source(manifest, source_of(), tmp_path, first.lock, False, hub.address) == first
    assert fetch_source(manifest, source_of(), tmp_path, Lock(), False, hub.address) == first
    assert len(hub.asked) == asked and hash_folder(tmp_path) == before


def test_the_recorded_commit_is_enforced_when_main_moves_on(hub, manifest, tmp_path):
    lock = fetch_source(manifest, source_of(), tmp_path / "one", Lock(), True, hub.address).lock
    hub.commits[SECOND] = {"data/train-00000-of-00001.parquet": parquet(2)}
    offer(hub, hub.commits)
    again = fetch_source(manifest, source_of(), tmp_path / "two", lock, True, hub.address)
    assert len(read_rows(manifest, again.source, again.root)) == 4 and again.lock == lock
    fresh = fetch_source(manifest, source_of(), tmp_path / "three", Lock(), True, hub.address)
    assert fresh.lock.archives == {f"hub:{NAME}": SECOND}
    with pytest.raises(UltraFMError, match=rf"{SECOND}.*{FIRST}"):
        fetch_source(manifest, source_of(revision=SECOND), tmp_path / "two", lock, True, hub.address)


def test_without_the_users_word_nothing_is_asked(hub, manifest, tmp_path):
    with pytest.raises(UltraFMError, match=rf"huggingface\.co/datasets/{NAME}.*--allow-network"):
        fetch_source(manifest, source_of(), tmp_path, Lock(), False, hub.address)
    assert hub.asked == [] and list(tmp_path.iterdir()) == []
    assert what_is_downloaded(source_of()) == [f"huggingface.co/datasets/{NAME} at main"]


def test_a_study_that_forbids_the_hub_elsewhere_does_not_forbid_this(hub, manifest, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    fetch_source(manifest, source_of(), tmp_path, Lock(), True, hub.address)
    assert constants.HF_HUB_OFFLINE is True and constants.HF_HUB_DISABLE_TELEMETRY is True


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hub": "owner/none"}, "no data set"),
        ({"revision": "c" * 40}, "no data set"),
        ({"split": "test"}, "no table"),
        ({"subset": "other"}, "no table"),
        ({"columns": {"image": "pictur"}}, r"columns\.image names.*did you mean 'picture'"),
        ({"columns": {"image": "class"}}, "row 0: found a int"),
    ],
)
def test_what_the_hub_does_not_have_is_told_of(hub, manifest, tmp_path, changes, words):
    with pytest.raises(UltraFMError, match=words):
        fetch_source(manifest, source_of(**changes), tmp_path, Lock(), True, hub.address)
    assert not (tmp_path / manifest.site / "hub" / "pictures").exists()


def test_a_card_that_names_files_elsewhere_is_refused(hub, manifest, tmp_path):
    files = f"  data_files:\n  - split: train\n    path: {hub.address}/x.parquet\n"
    card = f"---\nconfigs:\n- config_name: default\n{files}---\n"
    hub.commits[FIRST]["README.md"] = card.encode()
    offer(hub, hub.commits)
    with pytest.raises(UltraFMError, match="files elsewhere"):
        fetch_source(manifest, source_of(), tmp_path, Lock(), True, hub.address)
    assert not any("x.parquet" in path for _method, path, _range in hub.asked)


def test_a_row_that_names_a_file_of_this_machine_is_refused(hub, manifest, tmp_path):
    import pyarrow
    import pyarrow.parquet

    cell = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(1))
    table = pyarrow.table({"picture": pyarrow.array([{"bytes": None, "path": str(secret)}], cell)})
    data = io.BytesIO()
    pyarrow.parquet.write_table(table, data)
    hub.commits[FIRST]["data/train-00000-of-00001.parquet"] = data.getvalue()
    offer(hub, hub.commits)
    with pytest.raises(UltraFMError, match="a file of the data set itself"):
        fetch_source(manifest, source_of(columns={"image": "picture"}), tmp_path / "in", Lock(), True, hub.address)


def test_a_folder_of_pictures_on_the_hub_is_read_too(hub, manifest, tmp_path):
    files = {f"train/{label}/{n}.png": encoded(n) for n, label in enumerate(["bad", "good", "good"])}
    hub.commits[FIRST] = files
    offer(hub, hub.commits)
    source = source_of(columns={"label": "label"})
    found = fetch_source(manifest, source, tmp_path, Lock(), True, hub.address)
    rows = read_rows(manifest, found.source, found.root)
    assert [row.label for row in rows] == ["bad", "good", "good"]
    assert (found.root / found.source.path / rows[0].file).read_bytes() == encoded(0)
