"""From a site's source to one row per picture: of its table, or of the DICOM files or clips in its folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ultrafm.curation.decode import find_file
from ultrafm.curation.media import CLIPS, choose_frames, count_frames, is_dicom
from ultrafm.curation.reasons import Unusable
from ultrafm.curation.table import Row, row_words, source_folder, table_rows
from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import DicomSource, FileSource, FolderSource, SiteManifest, VideoSource


def read_rows(manifest: SiteManifest, source: FileSource, archive: Path) -> list[Row]:
    """One row per picture of a site; a clip has a row for each frame that is taken.

    Raises UltraFMError as `table_rows` and `file_rows` do.
    """
    folder = source_folder(manifest, source, archive)
    return with_frames(listed_rows(manifest, source, archive), folder, source.frames_per_clip)


def listed_rows(manifest: SiteManifest, source: FileSource, archive: Path) -> list[Row]:
    """One row per file of a site, from its table or, without one, from its folder."""
    if isinstance(source, FolderSource):
        return table_rows(manifest, source, archive)
    return file_rows(manifest, source, source_folder(manifest, source, archive))


def inspect_site(manifest: SiteManifest, source: FileSource, archive: Path) -> list[str]:
    """What would keep the rows of a site from being used, found without decoding a picture; empty when nothing would.

    Missing folder, table or column; and for each row a missing file, patient or mask and words that are not known.
    """
    try:
        folder, rows = source_folder(manifest, source, archive), listed_rows(manifest, source, archive)
    except UltraFMError as error:
        return [str(error)]
    problems = []
    for row in rows:
        try:
            row_words(row, manifest)
            for name in filter(None, (row.file, row.mask)):
                find_file(folder, name)
        except Unusable as why:
            problems.append(f"{manifest.site}, row {row.number}: {why}")
    return problems


def file_rows(manifest: SiteManifest, source: DicomSource | VideoSource, folder: Path) -> list[Row]:
    """One row per DICOM file or clip of the folder and all below it, in the order of their paths.

    Other files are passed over; a link that leads out of the folder is quarantined when it is read. Raises UltraFMError
    when there is none.
    """
    dicom = isinstance(source, DicomSource)
    names = [name for name in files_below(folder) if is_wanted(folder / name, dicom)]
    if not names:
        wanted = "at least one DICOM file" if dicom else f"at least one clip ({', '.join(CLIPS)})"
        raise UltraFMError(f"{manifest.site}, folder {folder}", "none", wanted, "check sources.path in the manifest")
    describe = header_words if dicom else path_words
    return [blank_row(number, name, *describe(source, folder / name, name)) for number, name in enumerate(names, 1)]


def files_below(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, relative to it, in a fixed order."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(place, name).relative_to(folder).as_posix() for name in sorted(names))


def is_wanted(path: Path, dicom: bool) -> bool:
    """Is this a DICOM file, or else a clip, that can be opened?"""
    try:
        return path.is_file() and (is_dicom(path) if dicom else path.suffix.lower() in CLIPS)
    except OSError:
        return False


def header_words(source: DicomSource, path: Path, name: str) -> tuple[str, str]:
    """Patient and label from a DICOM header; empty where it is silent or cannot be read, which quarantines the file."""
    import pydicom

    tags = [tag for tag in (source.patient_tag, source.label_tag) if tag]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except Exception:  # told of when the picture is read
        return "", ""
    words = [str(header.get(tag) or "").strip() if tag else "" for tag in (source.patient_tag, source.label_tag)]
    return words[0], words[1]


def path_words(source: VideoSource, path: Path, name: str) -> tuple[str, str]:
    """Patient and label from a path relative to the site's folder; empty where the pattern does not match."""
    found = [
        re.search(pattern, name) if pattern else None for pattern in (source.patient_pattern, source.label_pattern)
    ]
    patient, label = (match.group(1) or "" if match else "" for match in found)
    return patient, label


def blank_row(number: int, name: str, patient: str, label: str) -> Row:
    """A row of which only file, patient and label are known."""
    return Row(
        number=number, file=name, patient=patient, label=label, mask="", organ="", modality="", scan_mode="", clip="",
        simulated=False, difficulty=None,
    )  # fmt: skip


def with_frames(rows: Sequence[Row], folder: Path, most: int) -> list[Row]:
    """The rows, those of clips once for each frame that is taken; the file is then the clip if the table names none.

    A file that cannot be read stays one row, and is quarantined with its reason when it is decoded.
    """
    expanded = []
    for row in rows:
        try:
            frames = choose_frames(count_frames(find_file(folder, row.file)), most) if row.file else (0,)
        except Unusable:
            frames = (0,)
        clip = row.clip or (row.file if len(frames) > 1 else "")
        expanded += [replace(row, frame=frame, frames=frames, clip=clip) for frame in frames]
    return expanded
