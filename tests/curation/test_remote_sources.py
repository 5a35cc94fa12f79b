"""Archives from a server on the loopback: downloaded once, checked ever after, continued where they broke off."""

from __future__ import annotations

import hashlib
import io
import zipfile

import made_archives
import numpy as np
import pytest
from loopback import Loopback, serving
from PIL import Image

from ultrafm.curation.reading import download as downloading
from ultrafm.curation.reading.remote import fetch_source
from ultrafm.curation.reading.rows import read_rows
from ultrafm.errors import UltraFMError
from ultrafm.files import hash_folder
from ultrafm.manifests.lock import Lock
from ultrafm.manifests.schema import ArchiveSource
from ultrafm.manifests.sources import what_is_downloaded

ORIGIN = {"publisher": "Testing", "country": "not stated", "licence": "CC0-1.0", "citation": "none"}
PUBLIC = {"pseudonyms": "public", "sign_off": False}


def picture(seed: int) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (60, 80), dtype=np.uint8)).save(data, "PNG")
    return data.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


TABLE = b"ID;Case;Kind\nbus_1;A;good\nbus_2;A;bad\nbus_3;B;good\n"
SET = zipped({"SET/data.csv": TABLE} | {f"SET/Images/bus_{n}.png": picture(n) for n in (1, 2, 3)})
EXTRA = zipped({f"mask_{n}.png": picture(10 + n) for n in (1, 2, 3)})


def source_of(server: Loopback, *names: str, **changes: object) -> ArchiveSource:
    archives = [
        {"address": f"{server.address}/{name}", "into": "SET/Masks" if n else "."} for n, name in enumerate(names)
    ]
    fields = {
        "kind": "archive", **ORIGIN, "archives": archives, "path": "SET", "table": "data.csv",
        "columns": {"file": "ID", "patient": "Case", "label": "Kind"}, "file_form": "Images/{}.png",
        "conditions": ["attribution"], "deidentification": PUBLIC,
    }  # fmt: skip
    return ArchiveSource.model_validate(fields | changes)


@pytest.fixture
def server():
    with serving(Loopback(files={"/set.zip": SET, "/masks.zip": EXTRA, "/plain.csv": b"a,b\n1,2\n"})) as state:
        yield state


@pytest.fixture
def manifest():
    return made_archives.made_manifest()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(downloading.time, "sleep", lambda _seconds: None)


def test_an_archive_is_downloaded_unpacked_recorded_and_read_like_a_folder(server, manifest, tmp_path):
    source = source_of(server, "set.zip", "masks.zip", mask_path={"pattern": r"Images/bus", "becomes": "Masks/mask"})
    found = fetch_source(manifest, source, tmp_path, Lock(), allow_network=True)
    assert found.lock.archives == {
        f"{server.address}/set.zip": hashlib.sha256(SET).hexdigest(),
        f"{server.address}/masks.zip": hashlib.sha256(EXTRA).hexdigest(),
    }
    rows = read_rows(manifest, found.source, found.root)
    assert [(row.file, row.patient, row.label, row.mask) for row in rows] == [
        ("Images/bus_1.png", "A", "good", "Masks/mask_1.png"),
        ("Images/bus_2.png", "A", "bad", "Masks/mask_2.png"),
        ("Images/bus_3.png", "B", "good", "Masks/mask_3.png"),
    ]
    assert found.source.conditions == ("attribution",) and found.source.deidentification == source.deidentification
    assert {path.name for path in tmp_path.iterdir()} == {manifest.site}


def test_a_second_run_makes_no_request_and_needs_no_network(server, manifest, tmp_path):
    source = source_of(server, "set.zip", "masks.zip")
    first = fetch_source(manifest, source, tmp_path, Lock(), True)
    asked, before = len(server.asked), hash_folder(tmp_path)
    assert asked == 2
    assert fetch_source(manifest, source, tmp_path, first.lock, False) == first
    assert fetch_source(manifest, source, tmp_path, Lock(), False) == first, "a lost lock is written anew"
    assert len(server.asked) == asked and hash_folder(tmp_path) == before


def test_downloads_that_are_there_are_unpacked_again_without_a_request(server, manifest, tmp_path):
    source = source_of(server, "set.zip")
    lock = fetch_source(manifest, source, tmp_path, Lock(), True).lock
    moved = source_of(server, "set.zip", archives=[{"address": f"{server.address}/set.zip", "into": "other"}])
    found = fetch_source(manifest, moved, tmp_path, lock, False)
    assert (tmp_path / manifest.site / "unpacked" / "other" / "SET" / "data.csv").is_file()
    assert not (tmp_path / manifest.site / "unpacked" / "SET").exists() and found.lock == lock
    assert len(server.asked) == 1


def test_without_the_users_word_nothing_is_asked_and_the_address_is_named(server, manifest, tmp_path):
    with pytest.raises(UltraFMError, match=rf"{server.address}/set\.zip.*--allow-network"):
        fetch_source(manifest, source_of(server, "set.zip"), tmp_path, Lock(), False)
    assert server.asked == [] and list(tmp_path.iterdir()) == []


def test_changed_bytes_are_refused_with_both_hashes_and_kept_aside(server, manifest, tmp_path):
    address, old = f"{server.address}/set.zip", hashlib.sha256(SET).hexdigest()
    server.files["/set.zip"] = EXTRA
    new = hashlib.sha256(EXTRA).hexdigest()
    for lock, sha256 in ((Lock(archives={address: old}), None), (Lock(), old)):
        source = source_of(server, "set.zip", archives=[{"address": address, "sha256": sha256}])
        with pytest.raises(UltraFMError, match=rf"{new}.*{old}"):
            fetch_source(manifest, source, tmp_path, lock, True)
        (aside,) = (tmp_path / manifest.site / "downloads").iterdir()
        assert aside.name.endswith(f"set.zip.refused-{new[:8]}") and aside.read_bytes() == EXTRA
        assert not (tmp_path / manifest.site / "unpacked").exists()


def test_a_file_that_was_changed_on_this_disk_is_refused_too(server, manifest, tmp_path):
    source = source_of(server, "set.zip")
    lock = fetch_source(manifest, source, tmp_path, Lock(), True).lock
    (kept,) = (tmp_path / manifest.site / "downloads").iterdir()
    kept.write_bytes(EXTRA)
    (tmp_path / manifest.site / "unpacked" / ".ultrafm.json").unlink()
    with pytest.raises(UltraFMError, match="SHA-256"):
        fetch_source(manifest, source, tmp_path, lock, True)


def test_a_broken_download_goes_on_where_it_broke_off(server, manifest, tmp_path):
    server.breaks["/set.zip"] = [1000, 2000]
    fetch_source(manifest, source_of(server, "set.zip"), tmp_path, Lock(), True)
    assert [asked[2] for asked in server.asked] == ["", "bytes=1000-", "bytes=3000-"]
    (kept,) = (tmp_path / manifest.site / "downloads").iterdir()
    assert kept.read_bytes() == SET


def test_a_later_run_goes_on_too_but_not_with_another_version_of_the_file(server, manifest, tmp_path):
    server.breaks["/set.zip"] = [1000, 1000, 1000]
    source = source_of(server, "set.zip")
    with pytest.raises(UltraFMError, match="goes on where it broke off"):
        fetch_source(manifest, source, tmp_path, Lock(), True)
    server.files["/set.zip"] = zipped({"SET/data.csv": TABLE, "SET/new.bin": bytes(9000)})
    found = fetch_source(manifest, source, tmp_path, Lock(), True)
    assert server.asked[-1][2] == "bytes=3000-", "asked for the rest, was given all of the new one"
    assert found.lock.archives == {source.archives[0].address: hashlib.sha256(server.files["/set.zip"]).hexdigest()}


@pytest.mark.parametrize(("resumes", "tags"), [(False, True), (True, False), (False, False)])
def test_a_server_that_cannot_resume_is_asked_for_all_of_it(server, manifest, tmp_path, resumes, tags):
    server.resumes, server.tags = resumes, tags
    server.breaks["/set.zip"] = [1000]
    found = fetch_source(manifest, source_of(server, "set.zip"), tmp_path, Lock(), True)
    assert list(found.lock.archives.values()) == [hashlib.sha256(SET).hexdigest()]
    assert server.asked[1][2] == ("bytes=1000-" if tags else "")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_a_redirect_to_anything_but_http_is_refused(server, manifest, tmp_path, target):
    server.moved["/set.zip"] = target
    with pytest.raises(UltraFMError, match=r"(?i)redirect"):
        fetch_source(manifest, source_of(server, "set.zip"), tmp_path, Lock(), True)


def test_a_redirect_to_another_place_is_followed(server, manifest, tmp_path):
    server.moved["/old.zip"] = f"{server.address}/set.zip"
    found = fetch_source(manifest, source_of(server, "old.zip"), tmp_path, Lock(), True)
    assert list(found.lock.archives) == [f"{server.address}/old.zip"]


def test_a_web_page_a_missing_file_and_a_server_in_trouble_are_told_of(server, manifest, tmp_path):
    server.types["/set.zip"] = "text/html; charset=utf-8"
    server.status["/busy.zip"] = 503
    for name, words in (("set.zip", "a web page"), ("none.zip", "404"), ("busy.zip", "503")):
        with pytest.raises(UltraFMError, match=words):
            fetch_source(manifest, source_of(server, name), tmp_path, Lock(), True)
    assert [path for _method, path, _range in server.asked].count("/busy.zip") == 3, "tried again"
    with pytest.raises(UltraFMError, match="no whole answer"):
        source = source_of(server, archives=[{"address": "http://127.0.0.1:9/set.zip"}])
        fetch_source(manifest, source, tmp_path, Lock(), True)


def test_a_full_disk_is_told_of_before_a_byte_is_written(server, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 10}))
    with pytest.raises(UltraFMError, match=r"at most the 10 that are free"):
        fetch_source(manifest, source_of(server, "set.zip"), tmp_path, Lock(), True)


def test_a_damaged_archive_leaves_nothing_unpacked_and_nothing_recorded(server, manifest, tmp_path):
    server.files["/set.zip"] = SET[:4000]
    with pytest.raises(UltraFMError, match=r"set\.zip: found a damaged archive"):
        fetch_source(manifest, source_of(server, "set.zip"), tmp_path, Lock(), True)
    assert [path.name for path in (tmp_path / manifest.site).iterdir()] == ["downloads"]


def test_what_is_no_archive_is_put_there_as_it_is(server, manifest, tmp_path):
    source = source_of(server, "set.zip", archives=[{"address": f"{server.address}/plain.csv?x=1", "into": "lists"}])
    fetch_source(manifest, source, tmp_path, Lock(), True)
    assert (tmp_path / manifest.site / "unpacked" / "lists" / "plain.csv").read_bytes() == b"a,b\n1,2\n"


def test_what_a_run_would_download_is_told(server, manifest, tmp_path):
    assert what_is_downloaded(source_of(server, "set.zip")) == [f"{server.address}/set.zip"]
    assert what_is_downloaded(manifest.sources.local) == []
    assert fetch_source(manifest, manifest.sources.local, tmp_path, Lock(), False).source is manifest.sources.local
