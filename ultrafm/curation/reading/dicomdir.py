"""DICOMDIR: the list of files that a DICOM medium carries with it (PS3.10, section 8; PS3.3, annex F)."""

from __future__ import annotations

import os
from pathlib import Path

from ultrafm.curation.reasons import Unusable
from ultrafm.errors import UltraFMError

DICOMDIR = "DICOMDIR"
IMAGE = "IMAGE"
INACTIVE = 0  # Record In-use Flag (0004,1410)


def listed_files(folder: Path) -> list[tuple[str, Unusable | None]]:
    """The pictures that the DICOMDIR of a folder lists: paths relative to it, and what speaks against a file.

    A medium's names are upper case, and copies of it often are not; a file is found in either. Raises UltraFMError for
    a DICOMDIR that cannot be read or lists no picture.
    """
    import pydicom

    where = str(folder / DICOMDIR)
    mend = f"without its {DICOMDIR} a folder is read file by file"
    try:
        records = pydicom.dcmread(folder / DICOMDIR).DirectoryRecordSequence
        named = ["/".join(_parts(record)) for record in records if _is_picture(record)]
    except Exception as error:  # broken bytes make the parser raise almost anything
        found = f"a damaged list ({error or type(error).__name__})"
        raise UltraFMError(where, found, "a whole DICOMDIR", mend) from error
    if not named:
        raise UltraFMError(where, "no picture in the list", "at least one", mend)
    there = {name.lower(): name for name in _names_below(folder)}
    return [_found(folder, name, there) for name in dict.fromkeys(named)]


def _is_picture(record: object) -> bool:
    """Is this the record of a picture that is in use?"""
    kind, used = record.get("DirectoryRecordType"), record.get("RecordInUseFlag", 0xFFFF)
    return kind == IMAGE and used != INACTIVE and bool(record.get("ReferencedFileID"))


def _parts(record: object) -> list[str]:
    value = record.ReferencedFileID
    return [value] if isinstance(value, str) else [str(part) for part in value]


def _names_below(folder: Path) -> list[str]:
    return [
        Path(place, name).relative_to(folder).as_posix() for place, _folders, names in os.walk(folder) for name in names
    ]


def _found(folder: Path, name: str, there: dict[str, str]) -> tuple[str, Unusable | None]:
    if ".." in name.split("/") or name.startswith("/"):
        return name, Unusable("file outside the folder", name, "a file inside the site's folder")
    actual = there.get(name.lower(), name)
    path = folder / actual
    if not path.resolve().is_relative_to(folder.resolve()):
        return actual, Unusable("file outside the folder", name, "a file inside the site's folder")
    if not path.is_file():
        return actual, Unusable("missing file", f"no file {name}, which {DICOMDIR} lists", "all files of the list")
    return actual, None
