"""Pseudonyms, the registry of a site, signatures and withdrawals."""

import json
import os
import sqlite3
import stat

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from made_archives import SITE, framed, made_manifest, made_source, save, speckle, write_plain, write_table

from ultrafm.curation import curate_site, load_pictures, load_store
from ultrafm.curation.decisions import sign_store, withdraw_patient
from ultrafm.curation.identity.pseudonyms import Pseudonyms, key_path, open_pseudonyms
from ultrafm.curation.identity.registry import open_registry
from ultrafm.curation.identity.release import read_release
from ultrafm.curation.leaks import find_leaks, near_leaks, require_no_leak
from ultrafm.curation.likeness import pixel_hash
from ultrafm.curation.split import Place
from ultrafm.errors import UltraFMError
from ultrafm.files import hash_folder, read_json, write_json
from ultrafm.manifests.lock import read_lock
from ultrafm.manifests.schema import Deidentification

SECRET, PUBLIC = Deidentification(), Deidentification(pseudonyms="public", sign_off=False)
FOLDS = ("train", "validation", "test", "evaluation")
TODAY = "2026-11-25"


def hospital(tmp_path, policy=None, **changes):
    """A site with secret pseudonyms and a contact sheet to sign, its manifest's folder, and a plain archive."""
    (tmp_path / "manifests").mkdir(exist_ok=True)
    write_plain(tmp_path / "archive")
    return made_manifest(made_source(deidentification=policy or {}), **changes)


def curated(tmp_path, manifest, out="out"):
    source = manifest.sources.local
    return curate_site(manifest, source, tmp_path / out, tmp_path / "archive", 0, 32, tmp_path / "manifests")


def test_hmac_by_hand():
    """HMAC-SHA-256 of `s, 0x1f, patient, 0x1f, 7` under the key `k`, from RFC 2104 with hashlib alone."""
    import hashlib

    block = b"k".ljust(64, b"\0")
    inner = hashlib.sha256(bytes(x ^ 0x36 for x in block) + b"s\x1fpatient\x1f7").digest()
    expected = hashlib.sha256(bytes(x ^ 0x5C for x in block) + inner).hexdigest()
    assert Pseudonyms("s", b"k").of("patient", "7", 64) == expected


def test_pseudonyms_differ_by_site_purpose_name_and_key():
    found = {
        Pseudonyms(site, key).of(purpose, name)
        for site in "st" for key in (b"1", b"2") for purpose in ("patient", "clip") for name in ("7", "8")
    }  # fmt: skip
    assert len(found) == 16 and all(len(name) == 16 for name in found)


def test_a_secret_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    first = open_pseudonyms(SITE, SECRET, tmp_path)
    assert open_pseudonyms(SITE, SECRET, tmp_path) == first and len(first.key) == 32
    assert stat.S_IMODE(os.stat(key_path(tmp_path, SITE)).st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [f"{SITE}.key"]
    other = tmp_path / "other"
    other.mkdir()
    assert open_pseudonyms(SITE, SECRET, other).key != first.key
    assert open_pseudonyms(SITE, PUBLIC, None).key == SITE.encode()


def test_a_damaged_or_homeless_key_is_an_error(tmp_path):
    key_path(tmp_path, SITE).write_bytes(b"short")
    with pytest.raises(UltraFMError, match=r"\.key: found 5 bytes"):
        open_pseudonyms(SITE, SECRET, tmp_path)
    with pytest.raises(UltraFMError, match="no folder to keep a secret key"):
        open_pseudonyms(SITE, SECRET, None)


def test_the_registry_adds_patients_and_never_moves_them(tmp_path):
    registry = open_registry(SITE, PUBLIC, tmp_path)
    registry.keep()
    assert not list(tmp_path.iterdir()), "nothing to say, nothing written"
    registry = registry.with_places({"a": Place("train"), "b": Place("evaluation", 2)})
    registry = registry.with_places({"a": Place("test"), "c": Place("test")})
    registry.keep()
    assert open_registry(SITE, PUBLIC, tmp_path).placed() == {
        "a": Place("train"), "b": Place("evaluation", 2), "c": Place("test")
    }  # fmt: skip
    gone = registry.without_patient("b", ["pixels"])
    assert gone.withdrawn_among(["pixels", "others"]) == {"pixels"} and registry.withdrawn_among(["pixels"]) == set()
    assert gone.is_withdrawn("b") and set(gone.placed()) == {"a", "c"}


def test_folds_are_locked_and_later_files_move_nobody(tmp_path):
    manifest = hospital(tmp_path, {"pseudonyms": "public", "sign_off": False})
    curated(tmp_path, manifest)
    before = load_pictures(tmp_path / "out", [SITE], FOLDS).table.groupby("patient")["fold"].first()
    locked = read_lock(tmp_path / "manifests", SITE).patients
    assert {name: place.fold for name, place in locked.items()} == before.to_dict()
    write_plain(tmp_path / "archive", patients=17)
    curated(tmp_path, manifest)
    after = load_pictures(tmp_path / "out", [SITE], FOLDS).table.groupby("patient")["fold"].first()
    assert len(after) == 17 and after.loc[before.index].equals(before)


def sign(tmp_path, manifest, by="Dr. Ada", on=TODAY, out="out"):
    return sign_store(manifest, "local", tmp_path / "manifests", tmp_path / out, by, on)


def test_training_waits_for_a_signature_on_exactly_this_content(tmp_path):
    manifest = hospital(tmp_path)
    summary = curated(tmp_path, manifest)
    assert not summary.released and len(load_store(tmp_path / "out", SITE)) == 12, "the site itself may look"
    with pytest.raises(UltraFMError, match="nobody has signed") as caught:
        load_pictures(tmp_path / "out", [SITE], FOLDS)
    assert "contact_sheet.html" in str(caught.value) and "ultrafm sign" in str(caught.value)
    sign(tmp_path, manifest)
    assert len(load_pictures(tmp_path / "out", [SITE], FOLDS).table) == 12
    assert curated(tmp_path, manifest).released, "the signature holds as long as the content does"
    write_plain(tmp_path / "archive", patients=7)
    assert not curated(tmp_path, manifest).released, "other content, no signature"


@pytest.mark.parametrize(("by", "on", "said"), [(" ", TODAY, "no name"), ("Ada", "yesterday", "a day such as")])
def test_a_signature_needs_a_name_and_a_day(tmp_path, by, on, said):
    manifest = hospital(tmp_path)
    curated(tmp_path, manifest)
    with pytest.raises(UltraFMError, match=said):
        sign(tmp_path, manifest, by, on)


def test_the_first_signature_stays(tmp_path):
    manifest = hospital(tmp_path)
    for out in ("out", "other"):
        curated(tmp_path, manifest, out)
    first = sign(tmp_path, manifest)
    with pytest.raises(UltraFMError, match=r"the signature of Dr\. Ada on 2026-11-25 for the same content") as caught:
        sign(tmp_path, manifest, "Dr. Bob", "2026-12-01")
    assert "leave it as it is" in str(caught.value)
    assert read_release(tmp_path / "out" / SITE) == first and first.by == "Dr. Ada"
    lock = read_lock(tmp_path / "manifests", SITE)
    assert {content: (one.by, one.on) for content, one in lock.signed.items()} == {first.content: ("Dr. Ada", TODAY)}
    with pytest.raises(UltraFMError, match=r"Dr\. Ada.*run `ultrafm curate` again: that signature then holds here"):
        sign(tmp_path, manifest, "Dr. Bob", out="other")
    assert curated(tmp_path, manifest, "other").released
    write_plain(tmp_path / "archive", patients=7)
    curated(tmp_path, manifest)
    assert sign(tmp_path, manifest, "Dr. Bob").by == "Dr. Bob", "other content may be signed for by somebody else"


def test_nobody_signs_without_a_contact_sheet(tmp_path):
    manifest = hospital(tmp_path)
    curated(tmp_path, manifest)
    sheet = tmp_path / "out" / SITE / "house" / "contact_sheet.html"
    sheet.unlink()
    with pytest.raises(UltraFMError, match=r"found no .*contact_sheet\.html; expected the contact sheet of this store"):
        sign(tmp_path, manifest)
    assert not read_lock(tmp_path / "manifests", SITE).signed
    curated(tmp_path, manifest)
    assert sheet.is_file(), "curating again writes it"
    sign(tmp_path, manifest)


def edit(path):
    """One byte in the middle of a file becomes another; its size stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("change", [edit, lambda path: path.write_bytes(b"other"), lambda path: path.unlink()])
@pytest.mark.parametrize("name", ["data-00000-of-00001.arrow", "dataset_info.json"])
def test_a_store_that_was_changed_after_it_was_signed_is_not_read(tmp_path, change, name):
    manifest = hospital(tmp_path)
    curated(tmp_path, manifest)
    sign(tmp_path, manifest)
    store = tmp_path / "out" / SITE / "store"
    before = hash_folder(store)
    assert len(load_pictures(tmp_path / "out", [SITE], FOLDS).table) == 12
    change(store / name)
    with pytest.raises(UltraFMError, match=f"{name} changed since curation; expected the files that curation wrote"):
        load_pictures(tmp_path / "out", [SITE], FOLDS)
    with pytest.raises(UltraFMError, match=f"{name} changed since curation"):
        sign(tmp_path, manifest, "Dr. Bob")
    assert curated(tmp_path, manifest).released, "the same content again, for which the signature holds"
    assert hash_folder(store) == before and len(load_pictures(tmp_path / "out", [SITE], FOLDS).table) == 12


def test_a_signed_store_without_hashes_of_its_files_is_not_read(tmp_path):
    """Such as one of an earlier version."""
    manifest = hospital(tmp_path)
    curated(tmp_path, manifest)
    path = tmp_path / "out" / SITE / "release.json"
    sign(tmp_path, manifest)
    write_json(path, {name: value for name, value in read_json(path).items() if name != "files"})
    with pytest.raises(UltraFMError, match="found no hashes of its files"):
        load_pictures(tmp_path / "out", [SITE], FOLDS)


def test_a_store_without_signature_is_not_looked_into(tmp_path):
    manifest = hospital(tmp_path, {"pseudonyms": "public", "sign_off": False})
    curated(tmp_path, manifest)
    (tmp_path / "out" / SITE / "store" / "dataset_info.json").unlink()
    assert len(load_pictures(tmp_path / "out", [SITE], FOLDS).table) == 12


def test_a_file_is_hashed_once_while_nothing_changes(tmp_path, monkeypatch):
    from ultrafm.curation import store

    read, hash_file = [], store.hash_file
    monkeypatch.setattr(store, "hash_file", lambda path: read.append(path.name) or hash_file(path))
    (tmp_path / "a.arrow").write_bytes(b"a")
    recorded = store.store_files(tmp_path)
    assert recorded == {"a.arrow": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}, "SHA-256 of a"
    (tmp_path / "cache-1.arrow").write_bytes(b"made by the library datasets")
    assert store.changed_files(tmp_path, recorded) == [] and read == ["a.arrow"]
    os.utime(tmp_path / "a.arrow", ns=(0, 0))
    assert store.changed_files(tmp_path, recorded) == [] and read == ["a.arrow", "a.arrow"]


def test_a_withdrawn_patient_is_gone_from_store_caches_and_data_sheet(tmp_path):
    manifest = hospital(tmp_path)
    curated(tmp_path, manifest)
    registry = open_registry(SITE, SECRET, tmp_path / "manifests")
    pseudonym = registry.pseudonyms.of("patient", "Smith-3").encode()
    table = pd.read_parquet(tmp_path / "out" / SITE / "images.parquet")
    pixels = table[table["patient"] == pseudonym.decode()]["sha256"].iloc[0].encode()
    holding = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and pseudonym in path.read_bytes()]
    assert {path.suffix for path in holding} >= {".arrow", ".sqlite"}
    withdraw_patient(manifest, "local", tmp_path / "manifests", tmp_path / "out", tmp_path / "archive", "Smith-3")
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert pseudonym not in path.read_bytes() and pixels not in path.read_bytes(), path.name
    sheet = json.loads((tmp_path / "out" / SITE / "datasheet.json").read_text())
    assert sheet["patients"] == 5 and sheet["flow"]["rows"] == 10
    lock = read_lock(tmp_path / "manifests", SITE)
    assert lock.withdrawn == (pseudonym.decode(),) and pseudonym.decode() not in lock.patients
    assert curated(tmp_path, manifest).patients == 5, "files that come again stay out"


def test_withdrawing_somebody_unknown_is_an_error(tmp_path):
    manifest = hospital(tmp_path)
    curated(tmp_path, manifest)
    with pytest.raises(UltraFMError, match="nobody of that name"):
        withdraw_patient(manifest, "local", tmp_path / "manifests", tmp_path / "out", tmp_path / "archive", "smith-3")


def test_a_key_hides_the_patients_even_from_who_knows_their_names(tmp_path):
    manifest = hospital(tmp_path)
    curated(tmp_path, manifest)
    found = set(load_store(tmp_path / "out", SITE)["patient"])
    public = {Pseudonyms(SITE, SITE.encode()).of("patient", f"Smith-{number}") for number in range(6)}
    assert len(found) == 6 and not found & public
    key = key_path(tmp_path / "manifests", SITE).read_bytes()
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or key not in path.read_bytes()


def leak_table(tmp_path, **changes):
    rows = {"patient": ["p", "p", "q"], "clip": ["c", "c", None], "sha256": ["1", "2", "3"],
            "source_hash": ["x", "x", "y"], "fold": ["train", "train", "test"], "group": [-1, -1, -1]}  # fmt: skip
    kinds = [(name, pa.int32() if name == "group" else pa.string()) for name in rows]
    pa.parquet.write_table(pa.table(rows | changes, pa.schema(kinds)), tmp_path / "images.parquet")
    return tmp_path / "images.parquet"


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"fold": ["train", "test", "test"]}, ["a patient", "a clip", "the same file"]),
        ({"patient": ["p", "r", "q"], "clip": [None] * 3, "source_hash": list("xyz"), "sha256": ["1", "2", "1"]},
         ["the same pixels"]),
        ({"fold": ["evaluation"] * 3, "group": [0, 1, 2]}, ["a patient", "a clip", "the same file"]),
        ({"clip": [None, None, None], "patient": list("pqr"), "source_hash": list("xyz")}, []),
    ],
)  # fmt: skip
def test_a_planted_leak_is_found(tmp_path, changes, kinds):
    images = leak_table(tmp_path, **changes)
    leaks = find_leaks(images)
    assert leaks["kind"].tolist() == kinds
    if kinds:
        with pytest.raises(UltraFMError, match=kinds[0]):
            require_no_leak(SITE, images)


def test_no_store_made_here_leaks(tmp_path):
    manifest = hospital(tmp_path, {"pseudonyms": "public", "sign_off": False})
    curated(tmp_path, manifest)
    assert find_leaks(tmp_path / "out" / SITE / "images.parquet").empty
    assert near_leaks(tmp_path / "out", SITE).empty


def test_an_unchanged_site_is_not_read_again(tmp_path, monkeypatch):
    manifest = hospital(tmp_path, {"pseudonyms": "public", "sign_off": False})
    first = curated(tmp_path, manifest)
    before = hash_folder(tmp_path / "out")
    touched = []
    monkeypatch.setattr("ultrafm.curation.curate.open_work", lambda path, settings: touched.append(path))
    assert curated(tmp_path, manifest) == first and hash_folder(tmp_path / "out") == before and not touched
    source = manifest.sources.local
    curate_site(manifest, source, tmp_path / "out", tmp_path / "archive", 0, 32, tmp_path / "manifests")
    monkeypatch.undo()
    curate_site(manifest, source, tmp_path / "keeps_nothing", tmp_path / "archive", 0, 32)
    monkeypatch.setattr("ultrafm.curation.curate.open_work", lambda path, settings: touched.append(path))
    curate_site(manifest, source, tmp_path / "keeps_nothing", tmp_path / "archive", 0, 32)
    assert not touched, "nor is one that keeps no lock"


def test_only_new_and_changed_files_are_read(tmp_path, monkeypatch):
    from ultrafm.curation import process

    manifest = hospital(tmp_path, {"pseudonyms": "public", "sign_off": False})
    curated(tmp_path, manifest)
    rows = write_plain(tmp_path / "archive", patients=7)
    for row in rows[:12]:
        os.utime(tmp_path / "archive" / row["file"], ns=(0, 0))
    read, prepare = [], process.prepare_file
    monkeypatch.setattr(process, "prepare_file", lambda settings, job: read.append(job.file) or prepare(settings, job))
    curated(tmp_path, manifest)
    assert len(read) == 14, "their time of change is another one"
    read.clear()
    (tmp_path / "archive" / rows[0]["file"]).touch()
    curated(tmp_path, manifest)
    assert read == [rows[0]["file"]]


def test_a_killed_run_continues_where_it_stopped(tmp_path, monkeypatch):
    from ultrafm.curation import process

    manifest = hospital(tmp_path, {"pseudonyms": "public", "sign_off": False})
    monkeypatch.setattr(process, "FILES_AT_ONCE", 4)
    prepare, read = process.prepare_file, []

    def stops(settings, job):
        read.append(job.file)
        if len(read) == 10:
            raise KeyboardInterrupt
        return prepare(settings, job)

    monkeypatch.setattr(process, "prepare_file", stops)
    with pytest.raises(KeyboardInterrupt):
        curated(tmp_path, manifest)
    assert not (tmp_path / "out" / SITE).exists()
    curated(tmp_path, manifest)
    assert len(read) == 10 + 4, "two batches of four were kept; the two files after them are read again"
    whole = curate_site(manifest, manifest.sources.local, tmp_path / "other", tmp_path / "archive", 0, 32)
    assert whole.content == read_json(tmp_path / "out" / SITE / "summary.json")["content"]


def kill_by_name(settings, batch):
    """Stands for `prepare_batch`: a file whose decoder takes the whole process with it."""
    import signal

    from ultrafm.curation.process import prepare_file

    for job in batch:
        if "bad" in job.file:
            os.kill(os.getpid(), signal.SIGKILL)
    return [prepare_file(settings, job) for job in batch]


def test_a_file_that_kills_its_decoder_is_quarantined_and_the_run_goes_on(tmp_path, monkeypatch):
    rows = write_plain(tmp_path / "archive")
    for number in (3, 8):
        rows[number]["file"] = save(tmp_path / "archive", f"bad_{number}.png", framed(speckle(number)))
    write_table(tmp_path / "archive", rows)
    manifest = made_manifest()
    monkeypatch.setattr("ultrafm.curation.process.FILES_AT_ONCE", 2)
    monkeypatch.setattr("ultrafm.curation.process.WORTH_A_PROCESS", 1)
    monkeypatch.setattr("ultrafm.curation.process.prepare_batch", kill_by_name)
    source = manifest.sources.local
    summary = curate_site(manifest, source, tmp_path / "out", tmp_path / "archive", 0, 32, workers=2)
    assert summary.flow["kept"] == 10 and summary.flow["quarantined"] == 2
    assert summary.left_out == [{"stage": "quarantined", "kind": "decoder crashed", "images": 2}]


def test_a_lost_or_changed_key_is_refused_where_a_lock_was_made_with_it(tmp_path):
    """Else withdrawn patients would come back, and everybody would be dealt anew."""
    manifest = hospital(tmp_path)
    curated(tmp_path, manifest)
    path = key_path(tmp_path / "manifests", SITE)
    key = path.read_bytes()
    path.unlink()
    with pytest.raises(UltraFMError, match="no key, though there is a lock"):
        curated(tmp_path, manifest)
    assert not path.exists(), "and none is made"
    path.write_bytes(bytes(32))
    with pytest.raises(UltraFMError, match="another key"):
        curated(tmp_path, manifest)
    with pytest.raises(UltraFMError, match="another policy"):
        open_registry(SITE, PUBLIC, tmp_path / "manifests")
    path.write_bytes(key)
    assert curated(tmp_path, manifest).patients == 6


def test_a_withdrawal_that_cannot_be_carried_out_is_not_recorded(tmp_path):
    manifest = hospital(tmp_path)
    curated(tmp_path, manifest)
    before = read_lock(tmp_path / "manifests", SITE)
    with pytest.raises(UltraFMError, match="no such folder"):
        withdraw_patient(manifest, "local", tmp_path / "manifests", tmp_path / "out", tmp_path / "nowhere", "Smith-3")
    assert read_lock(tmp_path / "manifests", SITE) == before


@pytest.mark.parametrize("first", [True, False])
def test_a_double_of_a_withdrawn_picture_under_another_patient_stays_out(tmp_path, first):
    """Whichever of the two was dropped as a double before: the pixels are those of the withdrawn patient."""
    manifest = hospital(tmp_path)
    rows = write_plain(tmp_path / "archive")
    original = next(row for row in rows if row["patient"] == "Smith-3")
    save(tmp_path / "archive", "copy.png", framed(speckle(rows.index(original))))
    copy = {**original, "file": "copy.png", "patient": "Smith-0", "label": original["label"]}
    write_table(tmp_path / "archive", [copy, *rows] if first else [*rows, copy])
    curated(tmp_path, manifest)
    table = pd.read_parquet(tmp_path / "out" / SITE / "images.parquet")
    assert len(table) == 12
    places = (tmp_path / "manifests", tmp_path / "out", tmp_path / "archive")
    left = withdraw_patient(manifest, "local", *places, "Smith-3")
    assert left.flow["kept"] == 10 and left.flow["rows"] == 10
    with sqlite3.connect(tmp_path / "out" / "work" / f"{SITE}.sqlite") as work:
        assert work.execute("SELECT count(*) FROM files").fetchone() == (11,), "ten files, and the copy as read"
        assert work.execute("SELECT count(*), count(image) FROM pictures").fetchone() == (10, 10)
    gone = table[table["patient"] == open_registry(SITE, SECRET, places[0]).pseudonyms.of("patient", "Smith-3")]
    original_pixels = pixel_hash(speckle(rows.index(original)))
    assert first or original_pixels in set(gone["sha256"])
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or original_pixels.encode() not in path.read_bytes(), path.name
    again = withdraw_patient(manifest, "local", *places, "Smith-3")
    assert again == left, "a second time changes nothing"
