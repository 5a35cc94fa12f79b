"""From a site's source to one row per file: of its table, or of the DICOM files or clips in its folder."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ultrafm.curation.reading.decode import find_file, shown_name
from ultrafm.curation.reading.dicomdir import DICOMDIR, listed_files
from ultrafm.curation.reading.enough import task_warnings
from ultrafm.curation.reading.measured import with_measurements
from ultrafm.curation.reading.table import (
    Row,
    mask_name,
    path_word,
    row_words,
    source_folder,
    table_rows,
    with_masks,
    with_side_labels,
    with_words,
)
from ultrafm.curation.reasons import Unusable
from ultrafm.errors import UltraFMError
from ultrafm.manifests.file_kinds import CLIPS, PICTURES, is_dicom
from ultrafm.manifests.schema import DicomSource, FileSource, Listed, SiteManifest, VideoSource
from ultrafm.manifests.sources import has_table, what_is_downloaded
from ultrafm.manifests.spellings import alike_patients, file_key

MOST_TOLD = 5  # rows with the same problem that are named; more are counted
NOT_THERE = ("missing file", "file outside the folder")  # kinds of Unusable for which another name may be meant


def read_rows(manifest: SiteManifest, source: FileSource, archive: Path) -> list[Row]:
    """One row per file of a site, from its table or, without one, from its folder. No picture is opened.

    Raises UltraFMError as `table_rows` and `file_rows` do.
    """
    folder = source_folder(manifest, source, archive)
    if has_table(source):
        rows = table_rows(manifest, source, archive)
    else:
        rows = file_rows(manifest, source, folder)
        if isinstance(source, Listed):
            rows = with_masks(with_side_labels(rows, source, folder), manifest.site, source, folder)
    return with_measurements(with_words(rows, source), manifest.site, source, folder)


@dataclass(frozen=True)
class Inspection:
    """What a look at a site's rows showed, without decoding a picture.

    problems: what would keep the site, or one of its rows, from being used. warnings: what a person should think about.
    files, patients: how many different ones the rows name.
    """

    problems: list[str]
    warnings: list[str]
    files: int
    patients: int


def look_at_site(manifest: SiteManifest, source: FileSource, archive: Path) -> Inspection | None:
    """Look for a missing folder, table or column, and in each row for a missing file, patient or mask, for words that
    are not known, and for patients written in two ways. None for a source that has to be downloaded first.
    """
    if what_is_downloaded(source):
        return None
    try:
        folder, rows = source_folder(manifest, source, archive), read_rows(manifest, source, archive)
    except UltraFMError as error:
        return Inspection([str(error)], [], 0, 0)
    patients, files = {row.patient for row in rows if row.patient}, {row.file for row in rows if row.file}
    warnings = [*patient_warnings(manifest.site, source, rows), *task_warnings(manifest, rows)]
    problems = row_problems(manifest, folder, rows, has_table(source))
    return Inspection(problems, warnings, len(files), len(patients))


def row_problems(manifest: SiteManifest, folder: Path, rows: Sequence[Row], listed: bool) -> list[str]:
    """What would keep rows from being used, the first that was found in each; rows with the same one are told together.

    Rows go by their number where a table lists them (`listed`), else by their file.
    """

    @lru_cache(maxsize=1)  # a folder is walked only when a file is missing, and then once
    def names() -> dict[str, str]:
        return {file_key(name): name for name, _path, fault in walk(folder) if fault is None}

    places: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        name = ""
        try:
            row_words(row, manifest)
            for name in filter(None, (row.file, row.mask)):
                find_file(folder, name)
        except Unusable as why:
            there = similar_file(name, names()) if name and why.kind in NOT_THERE else ""
            hint = f" (there is {shown_name(there)}: write it so)" if there else ""
            places[f"{why}{hint}"].append(str(row.number) if listed else row.file)
    kind = "row" if listed else "file"
    return [f"{manifest.site}, {_first_of(found, kind)}: {why}" for why, found in places.items()]


def _first_of(places: Sequence[str], kind: str) -> str:
    """ "row 3", or "rows 3, 4, 5 and 17 more"."""
    more = f" and {len(places) - MOST_TOLD} more" if len(places) > MOST_TOLD else ""
    return f"{kind}{'s' * (len(places) > 1)} {', '.join(places[:MOST_TOLD])}{more}"


def similar_file(name: str, names: Mapping[str, str]) -> str:
    """The file that a name most likely means: other slashes or case, or folders before it that are not there.

    names: `file_key` of a path -> path, of all files of the site. Empty where nothing is alike.
    """
    parts = file_key(name).split("/")
    return next(filter(None, (names.get("/".join(parts[start:])) for start in range(len(parts)))), "")


def patient_warnings(site: str, source: FileSource, rows: Sequence[Row]) -> list[str]:
    """One warning for each group of patients who may be one, written in several ways."""
    patients = Counter(row.patient for row in rows if row.patient)
    where, mend = f"{site}, {_told_by(source)}", "write each patient in one way in all rows"
    told = []
    for group in alike_patients(patients):
        named = [f"{name!r} in {patients[name]} row{'s' * (patients[name] != 1)}" for name in group]
        found = f"the patients {', '.join(named[:-1])} and {named[-1]}, which count as {len(group)}"
        expected = (
            "one spelling for one patient (these differ only in case, punctuation, spaces or leading zeros), or "
            "pictures of one patient can lie in two folds"
        )
        told.append(str(UltraFMError(where, found, expected, f"{mend}; if they are {len(group)} people, leave them")))
    return told


def _told_by(source: FileSource) -> str:
    """Where a source's rows have their patients from, in words."""
    if isinstance(source, DicomSource):
        return f"header field {source.patient_tag}"
    if has_table(source) and source.patient_pattern is None:
        return f"table {source.table}, column {source.columns.patient}"
    return "patient_pattern on the paths"


def file_rows(manifest: SiteManifest, source: FileSource, folder: Path) -> list[Row]:
    """One row per file of the wanted kind in the folder and all below it, in the order of their paths.

    A DICOMDIR decides which DICOM files are meant. Files of another kind are passed over; a folder that cannot be read
    and a link that leads elsewhere become rows with a fault, so that they are quarantined. Raises UltraFMError when
    nothing is found.
    """
    if isinstance(source, DicomSource) and (folder / DICOMDIR).is_file():
        listed = listed_files(folder)
    else:
        listed = [(name, fault) for name, path, fault in walk(folder) if fault or is_wanted(path, name, source)]
    masks = {mask_name(source, name) for name, _fault in listed} if isinstance(source, Listed) else set()
    rows = []
    for name, fault in listed:
        if name not in masks:
            patient, label = ("", "") if fault else file_words(source, folder / name, name)
            rows.append(replace(blank_row(len(rows) + 1, name, patient, label), fault=fault))
    if not rows:
        expected = f"at least one {wanted_files(source)}"
        raise UltraFMError(f"{manifest.site}, folder {folder}", "none", expected, "check sources.path in the manifest")
    return rows


def walk(folder: Path) -> Iterator[tuple[str, Path, Unusable | None]]:
    """All files below a folder in a fixed order: path relative to it, path, and what speaks against using it."""
    unread: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=unread.append):
        folders.sort()
        yield from (_unread(error, folder) for error in unread)
        unread.clear()
        for name in sorted([*names, *(name for name in folders if Path(place, name).is_symlink())]):
            path = Path(place, name)
            yield path.relative_to(folder).as_posix(), path, _fault_of(path, folder)
    yield from (_unread(error, folder) for error in unread)


def _unread(error: OSError, folder: Path) -> tuple[str, Path, Unusable]:
    path = Path(error.filename)
    return (
        path.relative_to(folder).as_posix(), path,
        Unusable("unreadable folder", error.strerror or "an error", "a folder that this user may read"),
    )  # fmt: skip


def _fault_of(path: Path, folder: Path) -> Unusable | None:
    """What speaks against a file that is a link; nothing against a plain file."""
    if not path.is_symlink():
        return None
    expected = "a file inside the site's folder"
    if not path.resolve().is_relative_to(folder.resolve()):
        return Unusable("file outside the folder", "a link", expected)
    return None if path.is_file() else Unusable("missing file", "a link to a folder or to nothing", expected)


def is_wanted(path: Path, name: str, source: FileSource) -> bool:
    """Is this a file of the kind that a source without a table reads? One that cannot be opened is, to be told of."""
    if isinstance(source, Listed) and source.file_pattern:
        return re.search(source.file_pattern, name) is not None
    if isinstance(source, VideoSource):
        return path.suffix.lower() in CLIPS
    if path.suffix.lower() in (*PICTURES, *CLIPS) and isinstance(source, Listed):
        return True
    try:
        return path.name != DICOMDIR and is_dicom(path)
    except OSError:
        return True


def wanted_files(source: FileSource) -> str:
    """The kind of files that a source without a table reads, in words."""
    if isinstance(source, DicomSource):
        return "DICOM file"
    if isinstance(source, VideoSource):
        return f"clip ({', '.join(CLIPS)})"
    pattern = source.file_pattern if isinstance(source, Listed) else None
    return f"file whose path matches {pattern}" if pattern else "picture, clip or DICOM file"


def file_words(source: FileSource, path: Path, name: str) -> tuple[str, str]:
    """Patient and label of a file that no table names: from its header or its path."""
    if isinstance(source, DicomSource):
        return header_words(source, path)
    assert isinstance(source, Listed | VideoSource)
    return path_word(source.patient_pattern, name), path_word(source.label_pattern, name)


def header_words(source: DicomSource, path: Path) -> tuple[str, str]:
    """Patient and label from a DICOM header; empty where it is silent or cannot be read, which quarantines the file."""
    import pydicom

    tags = [tag for tag in (source.patient_tag, source.label_tag) if tag]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except Exception:  # told of when the picture is read
        return "", ""
    words = [str(header.get(tag) or "").strip() if tag else "" for tag in (source.patient_tag, source.label_tag)]
    return words[0], words[1]


def blank_row(number: int, name: str, patient: str, label: str) -> Row:
    """A row of which only file, patient and label are known."""
    return Row(
        number=number, file=name, patient=patient, label=label, mask="", organ="", modality="", scan_mode="", clip="",
        simulated=False, difficulty=None,
    )  # fmt: skip
