"""Unpacking archives that others made (zip, tar): whole or not at all, and never outside the target folder."""

from __future__ import annotations

import lzma
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ultrafm.errors import UltraFMError

MOST_RATIO = 200  # how many times larger than the archive all its files may be together
FREE_OF_RATIO = 100 * 2**20  # bytes; below this size the ratio is not looked at
MOST_FILES = 2_000_000
CHUNK = 2**20
ARCHIVES = (".zip", ".tar", ".tgz", ".txz", ".tbz", ".tbz2", ".tar.gz", ".tar.xz", ".tar.bz2")
OTHER_ARCHIVES = {b"Rar!": "RAR", b"7z\xbc\xaf\x27\x1c": "7-Zip"}
ZIP_WITHIN = (".xlsx", ".docx", ".pptx", ".ods", ".npz")  # files that are zip inside but are used as they are
NOT_FILES = "__MACOSX"  # what a Mac adds: no pictures, though they are called so
UTF8_NAME = 0x800  # general purpose bit 11: the name is UTF-8
ENCRYPTED = 0x1
BLOCK = 512
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError,
    UnicodeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One file of an archive: its name as told to people, its size in bytes, and how its content is opened."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(path: Path, name: str) -> bool:
    """Is the file, which its publisher calls `name`, an archive to be unpacked?

    Raises UltraFMError when its name says so and its content does not.
    """
    lower = name.lower()
    with path.open("rb") as handle:
        start = handle.read(8)
    for mark, kind in OTHER_ARCHIVES.items():
        if start.startswith(mark):
            raise UltraFMError(name, f"a {kind} archive", "zip or tar", "unpack it by hand and use a folder source")
    if lower.endswith(ZIP_WITHIN):
        return False
    found = zipfile.is_zipfile(path) or _is_tar(path)
    if not found and lower.endswith(ARCHIVES):
        raise UltraFMError(name, f"a damaged archive, or none (it starts with {start.hex(' ')})", "a whole zip or tar")
    return found


def unpack(archive: Path, target: Path, name: str) -> int:
    """Unpack an archive into the folder `target`, which is made; returns how many files there were.

    The caller removes what was written when this fails. Raises UltraFMError, with `name` (of the archive) and the
    member, for what is encrypted, truncated, no plain file, named twice or outside the target, or far too large.
    """
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    room = min(largest_size(archive), shutil.disk_usage(target).free)
    written: dict[str, int] = {}
    try:
        for member in _zip_members(archive, name) if zipfile.is_zipfile(archive) else _tar_members(archive, name):
            place = _place(member.name, name)
            if place in written:
                raise UltraFMError(f"{name}, member {member.name!r}", "the name a second time", "each name once")
            written[place] = _write(member, target / place, room, name)
            room -= written[place]
            if len(written) > MOST_FILES:
                raise UltraFMError(name, f"more than {MOST_FILES:,} files", "fewer files")
    except DAMAGE as error:
        last = next(reversed(written), None)
        where = f"{name}, after member {last!r}" if last else name
        raise UltraFMError(where, f"a damaged archive ({error or type(error).__name__})", "a whole archive") from error
    return len(written)


def largest_size(archive: Path) -> int:
    """Bytes that the files of an archive may have together before it counts as made to fill the disk."""
    return max(FREE_OF_RATIO, MOST_RATIO * archive.stat().st_size)


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except DAMAGE:
        return False


def _zip_members(archive: Path, name: str) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            shown = _zip_name(info, name)
            if info.flag_bits & ENCRYPTED:
                mend = "ask the publisher for the password, unpack it by hand and use a folder source"
                raise UltraFMError(f"{name}, member {shown!r}", "an encrypted file", "a file without a password", mend)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _no_plain_file(name, shown)
            if not info.is_dir() and not _is_extra(shown):
                yield Member(shown, info.file_size, lambda info=info: opened.open(info))


def _zip_name(info: zipfile.ZipInfo, archive: str) -> str:
    """The name of a zip's member; old programs write UTF-8 without saying so, and other codes cannot be told apart."""
    if info.flag_bits & UTF8_NAME or info.orig_filename.isascii():
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        raise _no_utf8(archive, info.orig_filename) from None


def _tar_members(archive: Path, name: str) -> Iterator[Member]:
    with tarfile.open(archive) as opened:
        for info in opened:
            try:
                info.name.encode()
            except UnicodeEncodeError:
                raise _no_utf8(name, info.name.encode(errors="replace").decode()) from None
            if not (info.isreg() or info.isdir()):
                raise _no_plain_file(name, info.name)
            if info.isreg() and not _is_extra(info.name):
                yield Member(info.name, info.size, lambda info=info: _extracted(opened, info))
        # A tar ends with a block of zeros; one that was cut between two files would look whole without this.
        if opened.fileobj.tell() < opened.offset + BLOCK:
            raise UltraFMError(name, "an archive that ends too early", "a whole archive", "download it again")
        while opened.fileobj.read(CHUNK):  # to the end, where the checksum of a compressed archive stands
            pass


def _extracted(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = opened.extractfile(info)
    assert content is not None  # only of what is no plain file
    return content


def _is_extra(name: str) -> bool:
    return name.split("/", 1)[0] == NOT_FILES


def _place(member: str, archive: str) -> str:
    """The path below the target, from a member's name; both kinds of slash part it."""
    where = f"{archive}, member {member!r}"
    if re.match(r"[/\\~]|[A-Za-z]:", member):
        raise UltraFMError(where, "an absolute path", "a path inside the archive")
    parts = [part for part in re.split(r"[/\\]", member) if part not in ("", ".")]
    if ".." in parts:
        raise UltraFMError(where, "a path that leads out of the folder", "a path inside the archive")
    if not parts or re.search(r"[\x00-\x1f\x7f]", member):
        raise UltraFMError(where, "a name that no file can have", "a name of letters and digits")
    return unicodedata.normalize("NFC", "/".join(parts))


def _write(member: Member, path: Path, room: int, archive: str) -> int:
    """Write one member; no more than `room` bytes, whatever the archive says of its size."""
    where = f"{archive}, member {member.name!r}"
    if member.size > room:
        raise _too_large(where, room)
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("xb")
    except OSError as error:  # a folder where a file should be, a name that is too long, or known in other letters
        expected = "a name that this disk can hold beside the others"
        raise UltraFMError(where, f"a file that cannot be written ({error.strerror})", expected) from error
    with member.open() as content, handle:
        while chunk := content.read(CHUNK):
            written += len(chunk)
            if written > room:
                raise _too_large(where, room)
            handle.write(chunk)
    if written != member.size:
        raise UltraFMError(where, f"{written} of {member.size} bytes", "a whole file", "download the archive again")
    return written


def _no_plain_file(archive: str, member: str) -> UltraFMError:
    return UltraFMError(f"{archive}, member {member!r}", "a link or a device", "plain files and folders")


def _no_utf8(archive: str, member: str) -> UltraFMError:
    mend = "unpack it by hand with the right code for names, and use a folder source"
    return UltraFMError(f"{archive}, member {member!r}", "a name that is not UTF-8", "names in UTF-8", mend)


def _too_large(where: str, room: int) -> UltraFMError:
    expected = f"no more than the {room:,} bytes that are left for it"
    mend = "free disk space; an archive that unpacks to far more than its own size may be made to fill the disk"
    return UltraFMError(where, "too many bytes", expected, mend)
