"""Damaged and odd files, each with a clear reason or a picture; no warning, nothing written."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from made_archives import save, speckle
from made_dicom import flow_picture, made_dataset, recoded, save_dicom, save_frames
from PIL import Image
from pydicom import DataElement
from pydicom.uid import JPEGLosslessSV1

from ultrafm.curation.identity.header import HeaderReport, header_report
from ultrafm.curation.reading.decode import MAX_PIXELS, find_file, read_mask, read_picture, shown_name
from ultrafm.curation.reading.media import count_frames, read_frames
from ultrafm.curation.reasons import Unusable


def refusal(work: Callable[..., object], *arguments: object) -> Unusable:
    """The reason for which this call fails."""
    with pytest.raises(Unusable) as caught:
        work(*arguments)
    return caught.value


def refused(path: Path) -> Unusable:
    """The reason for which a file is refused, by counting its frames or by reading the first."""
    return refusal(lambda: (count_frames(path), read_frames(path, [0])))


@pytest.fixture(autouse=True)
def quiet(capsys, recwarn):
    """Nothing may be printed or warned of, by any of these tests; a line from a library in C is beyond our reach."""
    yield
    assert capsys.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "bmp", "webp", "gif"])
def test_a_truncated_picture(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 90), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert refused(path).kind in ("damaged file", "not a picture"), share


def test_a_truncated_clip_keeps_no_more_than_its_whole_frames(tmp_path):
    from made_seeds import write_coloured_clip

    whole = write_coloured_clip(tmp_path / "a.mpg", "mpeg2video", 20).read_bytes()
    (tmp_path / "a.mpg").write_bytes(whole[: len(whole) // 2])
    assert 1 <= count_frames(tmp_path / "a.mpg") < 20
    why = refusal(read_frames, tmp_path / "a.mpg", [19])
    assert why.kind == "damaged clip" and why.found == "no frame 19"
    whole = write_coloured_clip(tmp_path / "a.mp4", "libx264", 20).read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) // 2])  # its index stands at the end
    assert refused(tmp_path / "a.mp4").kind == "damaged clip"


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_truncated_dicom_file(tmp_path, share):
    whole = save_dicom(made_dataset(speckle(1)), tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[: int(len(whole) * share)])
    assert refused(tmp_path / "a.dcm").kind in ("pixels that cannot be decoded", "DICOM without pixels")


def test_a_wrong_extension_does_not_matter(tmp_path):
    Image.fromarray(speckle(1)).save(tmp_path / "a.png")
    for name in ("a.jpg", "a.dcm", "a.avi", "a.txt", "a"):
        (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes())
        np.testing.assert_array_equal(read_frames(tmp_path / name, [0])[0].grey, speckle(1))


@pytest.mark.parametrize(
    "data",
    [b"dear colleague, ...", b"<html>", b"%PDF-1.7", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\0"],
)
def test_what_is_no_picture_is_told_by_its_first_bytes(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    why = refused(tmp_path / "a.png")
    assert why.kind == "not a picture" and data[:4].hex(" ") in why.found and "JPEG" in why.expected


def test_no_other_program_is_called_for_a_picture(tmp_path, monkeypatch):
    """Pillow would hand PostScript to Ghostscript."""
    import subprocess

    monkeypatch.setattr(subprocess, "Popen", lambda *_args, **_how: pytest.fail("a program was started"))
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n")
    assert refused(tmp_path / "a.eps").kind == "not a picture"


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits(tmp_path, suffix):
    deep = np.array([[0, 257, 65535 // 2, 65535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
    assert read_picture(tmp_path / f"a.{suffix}").grey.tolist() == [[0, 1, 127, 255]]


def test_fractions_and_what_is_no_number(tmp_path):
    Image.fromarray(np.array([[0, 0.5, 1, np.nan, -3, np.inf]], dtype=np.float32)).save(tmp_path / "a.tiff")
    assert read_picture(tmp_path / "a.tiff").grey.tolist() == [[0, 128, 255, 0, 0, 0]]
    Image.fromarray(np.full((2, 2), 3e38, dtype=np.float32)).save(tmp_path / "b.tiff")
    assert read_picture(tmp_path / "b.tiff").grey.shape == (2, 2)


def test_alpha_is_left_out(tmp_path):
    """What lies behind a transparent pixel is shown, so that nothing can hide there from the search for text."""
    picture = np.dstack([flow_picture(), np.zeros((60, 80), np.uint8)])
    Image.fromarray(picture, "RGBA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").rgb, flow_picture())
    Image.fromarray(np.dstack([speckle(1), np.zeros_like(speckle(1))]), "LA").save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png").grey, speckle(1))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_an_animation_has_its_frames_and_no_more(tmp_path, suffix):
    frames = [Image.fromarray(speckle(number, 40, 50)) for number in range(3)]
    path = tmp_path / f"a.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **lossless)
    assert count_frames(path) == 3
    for number, one in read_frames(path, [2, 0, 1]).items():
        assert np.abs(one.grey.astype(int) - speckle(number, 40, 50)).max() <= 1
    with pytest.raises(Unusable, match="no frame 3"):
        read_frames(path, [3])


def test_a_picture_20000_pixels_wide(tmp_path):
    wide = np.tile(speckle(1), (10, 125))
    assert wide.shape == (1200, 20000)
    Image.fromarray(wide).save(tmp_path / "a.png", compress_level=1)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").grey, wide)


# above our limit, above the one from which Pillow warns, and above the one at which it stops
@pytest.mark.parametrize(
    ("suffix", "height"),
    [("png", 3000), ("png", 6000), ("png", 20000), ("tiff", 3000), ("tiff", 20000), ("bmp", 6000), ("gif", 2600)],
)
def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, suffix, height):
    path = tmp_path / f"a.{suffix}"
    Image.new("1" if suffix != "gif" else "L", (20000, height)).save(path)
    why = refused(path)
    assert why.kind == "too many pixels" and str(MAX_PIXELS) in why.expected
    assert refusal(read_mask, path, 20000, height).kind == "too many pixels"


def test_a_dicom_file_with_too_many_pixels(tmp_path):
    made = made_dataset(speckle(1))
    made.Rows, made.Columns = 60000, 60000
    assert refused(save_dicom(made, tmp_path / "a.dcm")).kind == "too many pixels"


def test_nothing_at_all(tmp_path):
    (tmp_path / "a.png").touch()
    assert refusal(find_file, tmp_path, "a.png").kind == "empty file"
    assert refused(tmp_path / "a.png").kind == "not a picture"
    (tmp_path / "a.mp4").touch()
    assert refused(tmp_path / "a.mp4").kind == "damaged clip"


def test_dicom_without_pixels(tmp_path):
    made = made_dataset(speckle(1))
    del made["PixelData"]
    why = refused(save_dicom(made, tmp_path / "a.dcm"))
    assert why.kind == "DICOM without pixels"
    del made.Rows, made.Columns
    assert refused(save_dicom(made, tmp_path / "b.dcm")).kind == "DICOM without pixels"


@pytest.mark.parametrize(
    ("modality", "found"), [("CT", "CT"), ("SR", "SR"), ("", "no modality"), ("DOE JANE", "another word")]
)
def test_dicom_of_another_modality(tmp_path, modality, found):
    made = made_dataset(speckle(1))
    made.Modality = modality
    why = refused(save_dicom(made, tmp_path / "a.dcm"))
    assert why.kind == "another modality" and why.found == found


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("NumberOfFrames", "Doe^Jane"),
        ("BitsAllocated", 7),
        ("SamplesPerPixel", 2),
        ("PhotometricInterpretation", "Doe^Jane"),
    ],
)
def test_a_header_that_makes_no_sense_is_told_without_its_values(tmp_path, keyword, value):
    made = made_dataset(speckle(1))
    made[keyword] = DataElement(keyword, "LO" if isinstance(value, str) else "US", value)
    why = refused(save_dicom(made, tmp_path / "a.dcm"))
    assert "Doe" not in str(why) and why.kind in ("damaged DICOM", "pixels that cannot be decoded")


def test_an_unknown_compression(tmp_path):
    for syntax in ("1.2.3.4.5", "1.2.840.10008.1.2.4.201"):  # nobody's, and High-Throughput JPEG 2000
        path = save_frames(made_dataset(speckle(1)), tmp_path / "a.dcm", syntax, [b"1234"])
        why = refused(path)
        assert why.kind == "pixels that cannot be decoded" and "1.2.3" not in str(why)


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"])
@pytest.mark.parametrize("coloured", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_compressed_pixels_that_are_cut_off(tmp_path, syntax, coloured, share):
    """The frame ends early, inside a file that is whole."""
    made = made_dataset(flow_picture(), "RGB") if coloured else made_dataset(speckle(1))
    whole = pydicom.dcmread(recoded(save_dicom(made, tmp_path / "a.dcm"), syntax))
    frame = pydicom.encaps.get_frame(whole.PixelData, 0, number_of_frames=1)
    cut = frame[: int(len(frame) * share) // 2 * 2]
    path = save_frames(made, tmp_path / "b.dcm", whole.file_meta.TransferSyntaxUID, [cut])
    assert refused(path).kind == "pixels that cannot be decoded"


def test_pixels_that_are_not_what_the_header_says(tmp_path):
    path = save_frames(made_dataset(speckle(1)), tmp_path / "a.dcm", JPEGLosslessSV1, [b"no JPEG at all"])
    assert refused(path).kind == "pixels that cannot be decoded"


def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "a.png").mkdir()
    why = refusal(find_file, tmp_path, "a.png")
    assert str(why).startswith("folder in place of a file: found the folder a.png; expected")
    assert refused(tmp_path / "a.png").kind == "unreadable file"


@pytest.mark.parametrize("name", ["a.png", "a.dcm", "a.mp4"])
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, name):
    save_dicom(made_dataset(speckle(1)), tmp_path / name)

    def no_permission(self, *_args, **_how):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "open", no_permission)
    why = refused(tmp_path / name)
    assert why.kind == "unreadable file" and why.found == "Permission denied"
    assert header_report(tmp_path / name) == HeaderReport()


def test_a_ring_of_links_and_names_that_no_system_has(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    for name in ("a.png", "a\0b.png", "x" * 5000):
        why = refusal(find_file, tmp_path, name)
        assert why.kind in ("unreadable file", "missing file")
        assert name not in why.found and str(why).count(shown_name(name)) == 1


def test_a_reason_travels_between_processes_with_its_name():
    again = pickle.loads(pickle.dumps(Unusable("missing file", "no file", "a file", "mask").naming("a.png")))
    assert str(again) == "missing file: found no file a.png; expected a file"


def test_a_link_out_of_the_folder(tmp_path):
    save(tmp_path, "secret.png", speckle(1))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a.png").symlink_to(tmp_path / "secret.png")
    why = refusal(find_file, tmp_path / "site", "a.png")
    assert str(why) == "file outside the folder: found the path a.png; expected a file inside the site's folder"


@pytest.mark.parametrize(
    "name", [b"new\nline.png", b"not-utf8-\xff\xfe.png", "Größe 日本.png".encode(), b"%03d.png", b"-v.png"]
)
@pytest.mark.parametrize("kind", ["picture", "clip", "dicom"])
def test_strange_names(tmp_path, name, kind):
    from made_seeds import write_coloured_clip

    if kind == "picture":
        data = Path(tmp_path / save(tmp_path, "a.png", speckle(1))).read_bytes()
    elif kind == "clip":
        data = write_coloured_clip(tmp_path / "a.mp4", "libx264").read_bytes()
    else:
        data = save_dicom(made_dataset(speckle(1)), tmp_path / "a.dcm").read_bytes()
    (tmp_path / os.fsdecode(name)).write_bytes(data)
    path = find_file(tmp_path, os.fsdecode(name))
    assert count_frames(path) == (4 if kind == "clip" else 1) and read_frames(path, [0])[0].grey.ndim == 2
    path.write_bytes(data[:40])
    why = refused(path)
    str(why).encode()


def test_shown_names_can_be_written_anywhere():
    assert shown_name("Größe 日本.png") == "Größe 日本.png"
    assert shown_name("new\nline.png") == "new\\nline.png"
    assert shown_name(os.fsdecode(b"\xff.png")) == "\\udcff.png" and shown_name("\x1b[31m").isprintable()


def test_one_pixel_and_one_row(tmp_path):
    for shape in ((1, 1), (1, 4000), (4000, 1)):
        Image.fromarray(np.full((*shape, 3), (200, 0, 0), np.uint8)).save(tmp_path / "a.png")
        found = read_picture(tmp_path / "a.png")
        assert found.grey.shape == shape and found.colour and found.coloured_share == 1 and (found.grey == 60).all()


def test_nothing_is_written_beside_the_files(tmp_path):
    names = {"a.png": b"\x89PNG\r\n\x1a\n" + bytes(40), "a.mp4": b"\0\0\0\x18ftypmp42", "a.dcm": bytes(128) + b"DICM"}
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name)
        header_report(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == set(names)
