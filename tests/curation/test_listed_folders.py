"""Folders without a table, patterns in place of columns, DICOMDIR, and links and folders that cannot be read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from made_archives import framed, made_manifest, save, speckle

from ultrafm.curation.reading.rows import look_at_site, read_rows, walk
from ultrafm.curation.reading.table import row_words
from ultrafm.curation.reasons import Unusable
from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import DicomSource, FolderSource, VideoSource

ORIGIN = {"publisher": "Testing", "country": "not stated", "licence": "CC0-1.0", "citation": "none"}
BUSI = {"patient_pattern": r"\((\d+)\)", "label_pattern": "^([^/]+)/"}
MASKS = {"mask_path": {"pattern": r"\.png$", "becomes": "_mask.png"}}


def folder_source(**changes: object) -> FolderSource:
    return FolderSource.model_validate({"kind": "folder", **ORIGIN, "table": None, **BUSI, **changes})


@pytest.fixture
def busi(tmp_path: Path) -> Path:
    """Three pictures in a folder per label; two have a mask beside them; and files of other kinds."""
    for name in ("good/p (1).png", "good/p (1)_mask.png", "bad/p (2).png", "bad/p (2)_mask.png", "good/p (3).png"):
        save(tmp_path, name, framed(speckle(len(name))))
    (tmp_path / "README.txt").write_text("words")
    (tmp_path / "list.csv").write_text("a,b\n")
    return tmp_path


def summary(rows) -> list[tuple[str, str, str, str]]:
    return [(row.file, row.patient, row.label, row.mask) for row in rows]


def test_a_folder_without_a_table_is_read_by_patterns(busi):
    rows = read_rows(made_manifest(), folder_source(**MASKS), busi)
    assert summary(rows) == [
        ("bad/p (2).png", "2", "bad", "bad/p (2)_mask.png"),
        ("good/p (1).png", "1", "good", "good/p (1)_mask.png"),
        ("good/p (3).png", "3", "good", ""),
    ]
    assert [row.number for row in rows] == [1, 2, 3]


def test_only_files_that_match_are_read(busi):
    rows = read_rows(made_manifest(), folder_source(file_pattern=r"good/p \(\d+\)\.png"), busi)
    assert [row.file for row in rows] == ["good/p (1).png", "good/p (3).png"]
    with pytest.raises(UltraFMError, match="at least one file whose path matches nowhere"):
        read_rows(made_manifest(), folder_source(file_pattern="nowhere"), busi)


def test_a_file_whose_path_tells_no_patient_is_quarantined_and_not_passed_over(busi):
    save(busi, "good/nameless.png", framed(speckle(9)))
    rows = read_rows(made_manifest(), folder_source(**MASKS), busi)
    (nameless,) = [row for row in rows if row.file == "good/nameless.png"]
    with pytest.raises(Unusable, match="no patient"):
        row_words(nameless, made_manifest())
    assert len(look_at_site(made_manifest(), folder_source(**MASKS), busi).problems) == 1


@pytest.mark.parametrize("pattern", [r"\.png$", "nowhere"])
def test_a_mask_path_that_finds_nothing_is_an_error(busi, pattern):
    wrong = {"mask_path": {"pattern": pattern, "becomes": "_outline.png"}}
    with pytest.raises(UltraFMError, match=r"mask_path: found not one mask"):
        read_rows(made_manifest(), folder_source(**wrong), busi)


def test_with_a_table_a_pattern_takes_the_place_of_a_column(busi):
    (busi / "list.csv").write_text("name;kind\ngood/p (1);bad\nbad/p (2);\n")
    columns = {"file": "name", "label": "kind"}
    source = folder_source(table="list.csv", columns=columns, file_form="{}.png", label_pattern=None, **MASKS)
    assert summary(read_rows(made_manifest(), source, busi)) == [
        ("good/p (1).png", "1", "bad", "good/p (1)_mask.png"),
        ("bad/p (2).png", "2", "", "bad/p (2)_mask.png"),
    ]
    with pytest.raises(UltraFMError, match=r"a column 'patient', which sources\.columns\.patient names"):
        read_rows(made_manifest(), source.model_copy(update={"patient_pattern": None}), busi)


def test_links_out_of_the_folder_are_quarantined_and_never_opened(busi, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    save(outside, "p (7).png", framed(speckle(7)))
    (busi / "good" / "p (7).png").symlink_to(outside / "p (7).png")
    (busi / "good" / "p (8).png").symlink_to(busi / "good" / "p (1).png")
    (busi / "good" / "p (9).png").symlink_to(busi / "nowhere.png")
    (busi / "more").symlink_to(outside)
    faults = {name: str(fault) for name, _path, fault in walk(busi) if fault}
    assert set(faults) == {"good/p (7).png", "good/p (9).png", "more"}
    assert faults["more"].startswith("file outside the folder") and "nothing" in faults["good/p (9).png"]
    rows = read_rows(made_manifest(), folder_source(**MASKS), busi)
    assert "good/p (8).png" in [row.file for row in rows if row.fault is None]
    for row in (row for row in rows if row.fault):
        with pytest.raises(Unusable, match=r"outside the folder|missing file"):
            row_words(row, made_manifest())


def test_a_folder_that_cannot_be_read_is_quarantined(busi, monkeypatch):
    really = os.scandir

    def scandir(path):
        if Path(path).name == "bad":
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    rows = read_rows(made_manifest(), folder_source(**MASKS), busi)
    (unread,) = [row for row in rows if row.fault]
    assert unread.file == "bad" and "Permission denied" in str(unread.fault) and len(rows) == 3
    told = look_at_site(made_manifest(), folder_source(**MASKS), busi).problems
    assert any("file bad" in problem and "unreadable folder" in problem for problem in told)


def test_clips_need_a_patient_in_the_path_too(tmp_path):
    source = VideoSource.model_validate({"kind": "video", **ORIGIN, "patient_pattern": r"p(\d)"})
    with pytest.raises(UltraFMError, match=r"at least one clip \(\.mp4"):
        read_rows(made_manifest(), source, tmp_path)


DICOM = DicomSource.model_validate({"kind": "dicom", **ORIGIN})


@pytest.fixture
def medium(real_data: Path, tmp_path: Path) -> Path:
    """A medium with a DICOMDIR that lists two real files, beside which lies a third."""
    from pydicom import dcmread
    from pydicom.fileset import FileSet

    sources = sorted((real_data / "dicom").rglob("*.dcm"))[:3]
    files = FileSet()
    for number, path in enumerate(sources[:2]):
        data = dcmread(path)
        data.PatientID = f"P{number}"
        for tag, value in (("StudyDate", "20200101"), ("StudyTime", "120000"), ("StudyID", "1"), ("SeriesNumber", 1)):
            setattr(data, tag, value)
        data.PatientName, data.InstanceNumber = "X", 1
        files.add(data)
    files.write(tmp_path / "medium")
    shutil.copy(sources[2], tmp_path / "medium" / "unlisted.dcm")
    return tmp_path / "medium"


def listed(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name not in ("DICOMDIR", "unlisted.dcm")
    )


def test_only_the_files_that_a_dicomdir_lists_are_read(medium):
    rows = read_rows(made_manifest(), DICOM.model_copy(update={"frames_per_clip": 1}), medium)
    assert sorted(row.patient for row in rows) == ["P0", "P1"]
    assert {row.file for row in rows} == {path.relative_to(medium).as_posix() for path in listed(medium)}
    (medium / "DICOMDIR").unlink()
    assert "unlisted.dcm" in [row.file for row in read_rows(made_manifest(), DICOM, medium)]


def test_a_file_that_a_dicomdir_lists_and_is_missing_is_quarantined(medium):
    listed(medium)[0].unlink()
    rows = read_rows(made_manifest(), DICOM.model_copy(update={"frames_per_clip": 1}), medium)
    (missing,) = [row for row in rows if row.fault]
    assert "which DICOMDIR lists" in str(missing.fault) and len(rows) == 2


def test_names_of_a_dicomdir_are_found_in_small_letters(medium):
    for path in listed(medium):
        path.rename(path.with_name(path.name.lower()))
    rows = read_rows(made_manifest(), DICOM.model_copy(update={"frames_per_clip": 1}), medium)
    assert [row.fault for row in rows] == [None, None]


def test_a_damaged_dicomdir_and_one_that_leads_outside_are_told_of(medium):
    whole = (medium / "DICOMDIR").read_bytes()
    (medium / "DICOMDIR").write_bytes(whole[:400])
    with pytest.raises(UltraFMError, match="DICOMDIR: found"):
        read_rows(made_manifest(), DICOM, medium)
    from pydicom import dcmread

    (medium / "DICOMDIR").write_bytes(whole)
    data = dcmread(medium / "DICOMDIR")
    for record in data.DirectoryRecordSequence:
        if record.DirectoryRecordType == "IMAGE":
            with pytest.warns(UserWarning, match="VR CS"):
                record.ReferencedFileID = ["..", "..", "SECRET"]
    data.save_as(medium / "DICOMDIR")
    (row,) = read_rows(made_manifest(), DICOM, medium)
    with pytest.raises(Unusable, match="outside the folder"):
        row_words(row, made_manifest())
