"""What files carry is reported by name, never by value, and UIDs are mapped; identities are planted everywhere."""

from __future__ import annotations

import io
import time
import uuid
from dataclasses import asdict

import av
import numpy as np
import pydicom
import pytest
from made_archives import speckle
from made_dicom import made_dataset, made_region, save_dicom
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ultrafm.curation.identity.basic_profile import IDENTIFYING
from ultrafm.curation.identity.header import (
    KEPT,
    KEPT_OF_REGIONS,
    MAPPED,
    HeaderReport,
    combine,
    header_report,
    is_identifying,
    map_uid,
    mapped_uids,
    tag_name,
)
from ultrafm.curation.identity.picture_metadata import picture_metadata_names
from ultrafm.curation.reading.media import read_frames
from ultrafm.curation.reasons import Unusable

PLANTED = "ZWETSCHGE"


def planted_dataset():
    """A data set that names its patient in plain, private, nested, unknown and overlay elements."""
    made = made_dataset(speckle(1))
    made.PatientName, made.PatientID, made.InstitutionName = f"{PLANTED}^Anna", PLANTED, PLANTED
    made.StudyDescription, made.StudyDate = f"thyroid of {PLANTED}", "20200102"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3.4", "1.2.3.5"
    made.Manufacturer = "Maker"
    made.private_block(0x0009, f"{PLANTED} CREATOR", create=True).add_new(0x01, "LO", PLANTED)
    made.add_new(0x00081777, "LO", PLANTED)  # not in the dictionary
    inner = Dataset()
    inner.PatientName = f"{PLANTED}^Berta"
    inner.private_block(0x0011, "NESTED", create=True).add_new(0x02, "LO", PLANTED)
    outer = Dataset()
    outer.ReferencedSOPInstanceUID, outer.PurposeOfReferenceCodeSequence = "1.2.3.6", [inner]
    made.SourceImageSequence = [outer]
    made.SequenceOfUltrasoundRegions = [made_region(0, 0, 159, 119) for _ in range(3)]
    made.SequenceOfUltrasoundRegions[0].add_new(0x00190010, "LO", PLANTED)
    made.add_new(0x60000010, "US", 120)
    made.add_new(0x60003000, "OW", PLANTED.encode() + b"!")
    made.add_new(0x60020022, "LO", PLANTED)
    return made


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_everything_that_is_not_kept_is_named_and_no_value_is(tmp_path, syntax):
    report = header_report(save_dicom(planted_dataset(), tmp_path / "a.dcm", syntax))
    identifying = {name for name, identifies in report.names.items() if identifies}
    assert {"PatientName", "PatientID", "InstitutionName", "StudyDescription", "StudyDate", "SourceImageSequence",
            "(0009,0010) private", "(0009,1001) private", "(0011,0010) private", "(0019,0010) private",
            "(0008,1777) unknown", "ReferencedSOPInstanceUID", "MediaStorageSOPInstanceUID", "OverlayData",
            "StudyInstanceUID"} <= identifying  # fmt: skip
    assert report.names["Manufacturer"] is False and report.names["SOPClassUID"] is False
    assert not set(report.names) & {*KEPT.values(), *KEPT_OF_REGIONS.values()}
    assert PLANTED not in repr(report).upper() and "1.2.3" not in repr(report) and "2020" not in repr(report)
    assert (report.private, report.private_creators, report.overlays) == (5, 3, 2)
    assert (
        report.nested == 2 + 3 + 3 * 2 + 1
    )  # of the source image, its inner item, and the regions beyond what is kept


def test_what_is_planted_reaches_no_pixel(tmp_path):
    found = read_frames(save_dicom(planted_dataset(), tmp_path / "a.dcm"), [0])[0]
    np.testing.assert_array_equal(found.grey, speckle(1))


def test_only_kept_tags_are_read_for_the_pixels(tmp_path, monkeypatch):
    asked = []
    read = pydicom.dcmread
    monkeypatch.setattr(
        pydicom, "dcmread", lambda *args, **how: asked.append(how["specific_tags"]) or read(*args, **how)
    )
    read_frames(save_dicom(planted_dataset(), tmp_path / "a.dcm"), [0])
    assert asked == [list(KEPT)]


def test_kept_tags_are_what_their_keywords_say_and_none_of_them_identifies():
    for tags in (KEPT, KEPT_OF_REGIONS, MAPPED):
        assert all(tag_name(tag) == keyword for tag, keyword in tags.items())
    assert not {*KEPT.values(), *KEPT_OF_REGIONS.values()} & IDENTIFYING and set(MAPPED.values()) <= IDENTIFYING


def test_the_profile_names_existing_attributes_and_the_worst_of_them():
    from pydicom.datadict import tag_for_keyword

    assert all(tag_for_keyword(keyword) for keyword in IDENTIFYING) and len(IDENTIFYING) > 300
    assert {"PatientName", "PatientBirthDate", "StationName", "OperatorsName", "ImageComments", "ProtocolName",
            "DeviceSerialNumber", "FrameOfReferenceUID", "AccessionNumber"} <= IDENTIFYING  # fmt: skip
    assert is_identifying(0x50003000) and is_identifying(0x60004000) and is_identifying(0x60020000 | 0x3000)
    assert not is_identifying(0x00180050) and not is_identifying(0x60000010)


def test_reports_are_combined_by_file(tmp_path):
    first = header_report(save_dicom(planted_dataset(), tmp_path / "a.dcm"))
    made = made_dataset(speckle(1))
    del made.PatientName
    second = header_report(save_dicom(made, tmp_path / "b.dcm"))
    summary = combine([first, second, HeaderReport({"EXIF": True, "encoder": False})])
    assert summary.files == 3 and summary.private == 5 and summary.overlays == 2
    assert summary.identifying["PatientID"] == 2 and summary.identifying["PatientName"] == 1
    assert summary.identifying["EXIF"] == 1 and summary.other["encoder"] == 1 and summary.other["SOPClassUID"] == 2
    counts = list(summary.identifying.values())
    assert counts == sorted(counts, reverse=True)
    assert asdict(combine([])) == {
        "files": 0, "identifying": {}, "other": {}, "nested": 0, "private": 0, "private_creators": 0, "overlays": 0
    }  # fmt: skip


def test_a_report_is_quick_and_leaves_long_private_values_alone(tmp_path):
    made = planted_dataset()
    block = made.private_block(0x200D, "LONG", create=True)
    for number in range(60):
        block.add_new(number, "OB", bytes(200_000))
    path = save_dicom(made, tmp_path / "a.dcm")
    header_report(path)
    start = time.perf_counter()
    report = header_report(path)
    assert time.perf_counter() - start < 0.1 and report.private == 5 + 61


def test_uids_are_mapped_the_same_way_within_a_site_and_otherwise_elsewhere():
    one, other = map_uid("1.2.840.1", b"key of the site"), map_uid("1.2.840.1", b"another key")
    assert one == map_uid("1.2.840.1\0", b"key of the site") and one != other
    assert one != map_uid("1.2.840.2", b"key of the site") and "840" not in one[:8]
    root, number = one.rsplit(".", 1)
    assert root == "2.25" and str(int(number)) == number and len(one) <= 64 and pydicom.uid.UID(one).is_valid
    assert uuid.UUID(int=int(number)).variant == uuid.RFC_4122 and int(number) >> 76 & 0xF == 8
    many = {map_uid(f"1.2.{number}", b"key") for number in range(2000)}
    assert len(many) == 2000


def test_a_mapped_uid_by_hand():
    """HMAC-SHA-256 of "1.2.3" with the key "k", its first 16 bytes, with version and variant of RFC 9562 put in."""
    import hashlib
    import hmac

    wanted = bytearray(hmac.new(b"k", b"1.2.3", hashlib.sha256).digest()[:16])
    wanted[6], wanted[8] = wanted[6] & 0x0F | 0x80, wanted[8] & 0x3F | 0x80
    assert map_uid("1.2.3", b"k") == f"2.25.{int.from_bytes(wanted, 'big')}"


def test_references_between_files_stay(tmp_path):
    found = mapped_uids(save_dicom(planted_dataset(), tmp_path / "a.dcm"), b"k")
    made = made_dataset(speckle(2))
    made.StudyInstanceUID = "1.2.3.4"
    other = mapped_uids(save_dicom(made, tmp_path / "b.dcm"), b"k")
    assert found["StudyInstanceUID"] == other["StudyInstanceUID"] == map_uid("1.2.3.4", b"k")
    assert "SeriesInstanceUID" not in other and set(found) == set(MAPPED.values())
    (tmp_path / "c.dcm").write_bytes(b"no DICOM at all" * 20)
    with pytest.raises(Unusable, match="damaged DICOM"):
        mapped_uids(tmp_path / "c.dcm", b"k")


def exif_bytes() -> bytes:
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x0132], exif[0x011A] = PLANTED, PLANTED, "2020:01:02 03:04:05", 72.0
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + PLANTED.encode()
    exif.get_ifd(0x8825)[1] = "N"
    return exif.tobytes()


def test_metadata_of_a_jpeg(tmp_path):
    Image.fromarray(speckle(1)).save(tmp_path / "a.jpg", exif=exif_bytes(), comment=PLANTED, xmp=b"<x>ZWETSCHGE</x>")
    data = (tmp_path / "a.jpg").read_bytes()
    strange = b"\xff\xe7\x00\x0b" + PLANTED.encode()
    (tmp_path / "a.jpg").write_bytes(data[:2] + strange + data[2:])
    report = header_report(tmp_path / "a.jpg")
    assert {name for name, identifies in report.names.items() if identifies} == {
        "EXIF", "ImageDescription", "Artist", "DateTime", "UserComment", "GPSLatitudeRef", "comment", "XMP",
        "JPEG segment APP7 unknown",
    }  # fmt: skip
    assert report.names["XResolution"] is False and PLANTED not in repr(report)


def test_metadata_of_a_png_does_not_repeat_the_names_that_a_file_made_up(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", PLANTED)
    info.add_text(f"Scan of {PLANTED}", "yes", zip=True)
    info.add_itxt("XML:com.adobe.xmp", f"<x>{PLANTED}</x>")
    Image.fromarray(speckle(1)).save(tmp_path / "a.png", pnginfo=info, exif=exif_bytes())
    names = picture_metadata_names(tmp_path / "a.png")
    assert {"PNG text 'Author'", "PNG text of another name", "XMP", "EXIF", "Artist"} <= set(names)
    assert not any(PLANTED in name for name in names)


def test_text_behind_the_pixels_of_a_png_is_found(tmp_path):
    Image.fromarray(speckle(1)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    import zlib

    body = b"tEXtComment\0" + PLANTED.encode()
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data[:-12] + chunk + data[-12:])
    assert picture_metadata_names(tmp_path / "a.png") == ("PNG text 'Comment'",)


def test_metadata_of_a_tiff_webp_and_gif(tmp_path):
    picture = Image.fromarray(speckle(1))
    picture.save(tmp_path / "a.tiff", tiffinfo={270: PLANTED, 315: PLANTED, 50000: PLANTED})
    assert set(picture_metadata_names(tmp_path / "a.tiff")) == {"ImageDescription", "Artist", "TIFF tag 50000 unknown"}
    picture.convert("RGB").save(tmp_path / "a.webp", exif=exif_bytes(), xmp=PLANTED.encode())
    assert {"EXIF", "XMP", "Artist"} <= set(picture_metadata_names(tmp_path / "a.webp"))
    picture.save(tmp_path / "a.gif", comment=PLANTED.encode())
    assert picture_metadata_names(tmp_path / "a.gif") == ("comment",)
    handle = io.BytesIO()
    picture.save(handle, "BMP")
    (tmp_path / "a.bmp").write_bytes(handle.getvalue())
    assert picture_metadata_names(tmp_path / "a.bmp") == ()


def test_metadata_of_a_clip(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        container.metadata["title"], container.metadata[f"OF {PLANTED}"] = PLANTED, PLANTED
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    report = header_report(tmp_path / "a.mkv")
    assert report.names["title"] and report.names["clip text of another name"] and PLANTED not in repr(report)


def test_a_file_that_cannot_be_read_has_an_empty_report(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
    for name in ("a.png", "a.dcm", "missing.png"):
        assert header_report(tmp_path / name) == HeaderReport()
