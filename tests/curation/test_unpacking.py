"""Archives that were damaged, or made to do damage: each is refused with its name, and nothing leaves the target."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from ultrafm.curation.reading import unpack as unpacking
from ultrafm.curation.reading.unpack import is_archive, unpack
from ultrafm.errors import UltraFMError

CONTENT = random.Random(0).randbytes(5000)


def write_zip(path: Path, names: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in names.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


def write_tar(path: Path, members: list[tarfile.TarInfo | str], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for member in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(CONTENT) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(CONTENT) if info.isreg() else None)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def refused(archive: Path, folder: Path, words: str) -> str:
    """Unpacking fails with these words, names the archive, and writes nothing outside the target."""
    target = folder / "deep" / "target"
    with pytest.raises(UltraFMError, match=words) as caught:
        unpack(archive, target, "set.zip")
    assert str(caught.value).startswith("set.zip")
    outside = [path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(target)]
    assert outside == [archive]
    return str(caught.value)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_a_tar_is_unpacked_whatever_its_compression(tmp_path, mode):
    archive = write_tar(tmp_path / "a.tar", [special("a", tarfile.DIRTYPE), "a/b/1.png", "./2.png"], mode)
    assert is_archive(archive, "a.tar")
    assert unpack(archive, tmp_path / "out", "a.tar") == 2
    assert (tmp_path / "out/a/b/1.png").read_bytes() == (tmp_path / "out/2.png").read_bytes() == CONTENT


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_is_unpacked_whatever_its_compression(tmp_path, method):
    names = {"a/": b"", "a/1.png": CONTENT, "b\\2.png": b"", "Bild Ü.png": CONTENT, "__MACOSX/a/._1.png": b"x"}
    archive = write_zip(tmp_path / "a.zip", names, method)
    assert is_archive(archive, "a.zip")
    assert unpack(archive, tmp_path / "out", "a.zip") == 3
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert found == ["Bild Ü.png", "a/1.png", "b/2.png"]
    assert not (tmp_path / "out/a/1.png").stat().st_mode & 0o111, "nothing that was unpacked can be run"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil.png", "leads out"),
        ("a/../../evil.png", "leads out"),
        ("a\\..\\..\\evil.png", "leads out"),
        ("/tmp/evil.png", "absolute"),
        ("\\\\server\\share\\evil.png", "absolute"),
        ("C:\\evil.png", "absolute"),
        ("c:evil.png", "absolute"),
        ("~root/evil.png", "absolute"),
        ("a\nb.png", "no file can have"),
        ("./.", "no file can have"),
    ],
)
@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_path_outside_the_target_is_refused(tmp_path, name, words, write):
    names = ["good.png", name]
    archive = write(tmp_path / "a", names if write is write_tar else dict.fromkeys(names, CONTENT))
    assert repr(name) in refused(archive, tmp_path, words)


@pytest.mark.parametrize(
    "info",
    [
        special("link.png", tarfile.SYMTYPE, "/etc/passwd"),
        special("link.png", tarfile.SYMTYPE, "good.png"),
        special("link.png", tarfile.LNKTYPE, "good.png"),
        special("link.png", tarfile.CHRTYPE),
        special("link.png", tarfile.BLKTYPE),
        special("link.png", tarfile.FIFOTYPE),
    ],
)
def test_links_and_devices_are_refused(tmp_path, info):
    archive = write_tar(tmp_path / "a", ["good.png", info])
    assert "'link.png'" in refused(archive, tmp_path, "a link or a device")


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("link.png")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert "'link.png'" in refused(tmp_path / "a", tmp_path, "a link or a device")


def test_an_encrypted_zip_is_refused(tmp_path):
    archive = write_zip(tmp_path / "a", {"secret.png": CONTENT})
    data = bytearray(archive.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag in both headers of the member
        data[data.index(mark) + at] |= 1
    archive.write_bytes(data)
    assert "'secret.png'" in refused(archive, tmp_path, "an encrypted file")


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_one_name_twice_is_refused(tmp_path, write):
    if write is write_tar:
        archive = write_tar(tmp_path / "a", ["a/1.png", "a//./1.png"])
    else:
        archive = write_zip(tmp_path / "a", {"a/1.png": CONTENT, "a//./1.png": CONTENT})
    assert "1.png" in refused(archive, tmp_path, "a second time")


def test_a_file_where_a_folder_is_is_refused(tmp_path):
    archive = write_zip(tmp_path / "a", {"a": CONTENT, "a/1.png": CONTENT})
    assert "a/1.png" in refused(archive, tmp_path, "cannot be written")


def test_names_that_are_not_utf8_are_refused_and_unmarked_utf8_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("xx.png", CONTENT)
    plain = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(plain.replace(b"xx.png", "ü.png".encode()))
    unpack(tmp_path / "a", tmp_path / "out", "a")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ü.png"]
    (tmp_path / "out" / "ü.png").unlink()
    (tmp_path / "a").write_bytes(plain.replace(b"xx.png", b"\xb0\xa1.png"))  # a Chinese name as old Windows writes it
    refused(tmp_path / "a", tmp_path, "not UTF-8")
    info = tarfile.TarInfo("\udcb0\udca1.png")
    with tarfile.open(tmp_path / "a", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(info)
    refused(tmp_path / "a", tmp_path, "not UTF-8")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_a_truncated_tar_is_refused_wherever_it_was_cut(tmp_path, mode):
    whole = write_tar(tmp_path / "a", ["1.png", "2.png", "3.png"], mode).read_bytes()
    end = 3 * (512 + 5120) if mode == "w" else len(whole)  # behind it a plain tar has nothing but zeros
    for cut in [*range(600, end, 997), end - 1, *([5632, 2 * 5632, end] if mode == "w" else [])]:
        (tmp_path / "a").write_bytes(whole[:cut])
        with pytest.raises(UltraFMError, match=r"^set\.tar"):
            unpack(tmp_path / "a", tmp_path / f"out{cut}", "set.tar")


def test_a_truncated_or_changed_zip_is_refused(tmp_path):
    archive = write_zip(tmp_path / "a", {"1.png": CONTENT, "2.png": CONTENT}, zipfile.ZIP_DEFLATED)
    whole = archive.read_bytes()
    for cut in range(10, len(whole), 1009):
        archive.write_bytes(whole[:cut])
        with pytest.raises(UltraFMError, match="damaged archive"):
            is_archive(archive, "set.zip")
    archive.write_bytes(whole[:3000] + b"!!!!" + whole[3004:])
    assert "after member" not in refused(archive, tmp_path, "damaged archive")
    (tmp_path / "deep" / "target" / "1.png").unlink()
    archive.write_bytes(whole[:8000] + b"!!!!" + whole[8004:])
    assert "after member '1.png'" in refused(archive, tmp_path, "damaged archive")


def test_random_damage_never_crashes_and_never_leaves_the_target(tmp_path):
    generator = random.Random(1)
    makers = [
        write_zip(tmp_path / "z", {"a/1.png": CONTENT, "b.png": CONTENT}),
        write_tar(tmp_path / "t", ["a/1", "b"]),
    ]
    originals = [path.read_bytes() for path in makers]
    (tmp_path / "z").unlink(), (tmp_path / "t").unlink()
    archive, fine = tmp_path / "x", 0
    for round_number in range(300):
        data = bytearray(generator.choice(originals))
        for _ in range(generator.randint(1, 12)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        archive.write_bytes(data)
        try:
            unpack(archive, tmp_path / "out" / str(round_number), "x")
            fine += 1
        except UltraFMError as error:
            assert str(error).startswith("x")
    assert {path.name for path in tmp_path.iterdir()} == {"out", "x"} and 0 < fine < 300


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_made_to_fill_the_disk_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(unpacking, "FREE_OF_RATIO", 100_000)
    archive = tmp_path / "a"
    if kind == "zip":
        write_zip(archive, {f"{n}.png": bytes(2_000_000) for n in range(4)}, zipfile.ZIP_DEFLATED)
    else:
        with tarfile.open(archive, "w:xz") as opened:
            for number in range(4):
                info = tarfile.TarInfo(f"{number}.png")
                info.size = 2_000_000
                opened.addfile(info, io.BytesIO(bytes(2_000_000)))
    assert "member" in refused(archive, tmp_path, "too many bytes")
    written = sum(path.stat().st_size for path in (tmp_path / "deep").rglob("*") if path.is_file())
    assert written <= unpacking.largest_size(archive)


def test_an_archive_larger_than_the_free_disk_is_refused(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "a", {"1.png": CONTENT, "2.png": CONTENT})
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 7000}))
    assert "'2.png'" in refused(archive, tmp_path, "too many bytes")


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path):
    archive = write_zip(tmp_path / "a", {"1.png": CONTENT}, zipfile.ZIP_DEFLATED)
    data = bytearray(archive.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 10)
    archive.write_bytes(data)
    assert "set.zip" in refused(archive, tmp_path, "damaged archive|bytes")


def test_more_files_than_any_set_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_FILES", 3)
    archive = write_zip(tmp_path / "a", {f"{n}.png": b"" for n in range(5)})
    assert "fewer files" in refused(archive, tmp_path, "more than 3 files")


def test_what_is_an_archive_is_told_by_content_and_name(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"Rar!\x1a\x07\x00rest")
    with pytest.raises(UltraFMError, match=r"a RAR archive.*by hand"):
        is_archive(path, "set.rar")
    path.write_bytes(b"<html>")
    with pytest.raises(UltraFMError, match="damaged archive, or none"):
        is_archive(path, "set.tar.gz")
    assert not is_archive(path, "list.csv")
    write_zip(path, {"xl/workbook.xml": b"<x/>"})
    assert not is_archive(path, "list.xlsx") and is_archive(path, "1234")
