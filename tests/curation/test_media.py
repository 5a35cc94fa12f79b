"""Clips and DICOM files: written here with their truth, and the real ones beside the repository."""

import av
import numpy as np
import pydicom
import pytest
from made_archives import SITE, fan, made_manifest, made_source, speckle, write_table
from made_dicom import flow_picture, made_dataset, made_region, save_dicom, save_frames
from made_seeds import write_coloured_clip
from PIL import Image
from pydicom.uid import MPEG2MPML, MPEG4HP41, RLELossless

from ultrafm.curation import curate_site, load_pictures
from ultrafm.curation.reading import media
from ultrafm.curation.reading.media import choose_frames, count_frames, read_frames
from ultrafm.curation.reasons import Unusable
from ultrafm.errors import UltraFMError
from ultrafm.files import read_json
from ultrafm.manifests.schema import DicomSource, VideoSource


def read_frame(path, number, wanted=()):
    """One frame, read together with others."""
    return read_frames(path, {number, *wanted})[number]


ORIGIN = {
    "publisher": "Testing", "country": "not stated", "licence": "CC0-1.0", "citation": "none",
    "deidentification": {"pseudonyms": "public", "sign_off": False},
}  # fmt: skip


def write_dicom(path, pixels, interpretation="MONOCHROME2", patient="Doe^Jane", modality="US", regions=(), bits=8):
    """A DICOM file of `pixels`, see made_dataset; returns the data set."""
    made = made_dataset(pixels, interpretation, bits)
    made.Modality, made.PatientID = modality, patient
    if regions:
        made.SequenceOfUltrasoundRegions = [made_region(*box) for box in regions]
    save_dicom(made, path)
    return made


def write_clip(path, frames, codec="mpeg4"):
    """A clip of (N, H, W) grey frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 8_000_000
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.repeat(frame[:, :, None], 3, axis=2), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def stripes(count, height=96, width=128):
    """Frames that are told apart by their grey: frame n is 20 + 10 n everywhere."""
    return np.stack([np.full((height, width), 20 + 10 * number, np.uint8) for number in range(count)])


def test_frames_are_spread_over_a_clip():
    assert choose_frames(3, 5) == (0, 1, 2)
    assert choose_frames(101, 5) == (8, 29, 50, 71, 92)
    assert choose_frames(100, 1) == (50,)
    assert len(set(choose_frames(7, 6))) == 6


def test_a_clip_is_counted_and_read_by_number(tmp_path):
    write_clip(tmp_path / "clip.mp4", stripes(12))
    assert count_frames(tmp_path / "clip.mp4") == 12
    for number in (0, 5, 11):
        assert read_frame(tmp_path / "clip.mp4", number, (0, 5, 11)).grey.mean() == pytest.approx(
            20 + 10 * number, abs=4
        )
    with pytest.raises(Unusable, match="no frame 12"):
        read_frame(tmp_path / "clip.mp4", 12)


def test_a_clip_is_decoded_once_and_no_further_than_the_last_frame_that_is_asked_for(tmp_path, monkeypatch):
    write_clip(tmp_path / "clip.mp4", stripes(20))
    turned = []
    real = media.from_pillow
    monkeypatch.setattr(media, "from_pillow", lambda picture: turned.append(1) or real(picture))
    found = read_frames(tmp_path / "clip.mp4", [7, 2, 7])
    assert list(found) == [2, 7] and len(turned) == 2
    with media.opened_clip(tmp_path / "clip.mp4") as clip:
        media.clip_frames(clip, [3])
        assert next(clip.decode(video=0)).to_ndarray(format="gray").mean() < 20 + 10 * 10, "later frames are left alone"


@pytest.mark.parametrize(("codec", "suffix"), [("mpeg4", "avi"), ("libx264", "mp4"), ("mpeg2video", "mpg")])
def test_clips_of_several_kinds_are_read_and_read_the_same_again(tmp_path, codec, suffix):
    frames = np.stack([speckle(number, 96, 128) for number in range(5)])
    write_clip(tmp_path / f"a.{suffix}", frames, codec)
    path = tmp_path / f"a.{suffix}"
    count = count_frames(path)
    assert count in (5, 6)
    found, again = read_frames(path, [0, 2, 4]), read_frames(path, [4])
    for number, one in found.items():
        assert np.abs(one.grey.astype(int) - frames[number]).mean() < 8
        assert one.grey.shape == (96, 128) and not one.colour and one.spacing_mm is None
    np.testing.assert_array_equal(found[4].grey, again[4].grey)


def test_colour_of_a_clip_and_of_an_animation_is_kept(tmp_path):
    write_coloured_clip(tmp_path / "a.mp4", "libx264")
    picture = Image.fromarray(flow_picture(48, 64))
    picture.save(tmp_path / "a.gif", save_all=True, append_images=[picture.rotate(180), picture])
    picture.save(tmp_path / "a.webp", save_all=True, append_images=[picture.rotate(180), picture], lossless=True)
    for name in ("a.mp4", "a.gif", "a.webp"):
        found = read_frames(tmp_path / name, [0, 1])
        assert all(one.colour and one.rgb.shape == (48, 64, 3) for one in found.values()), name
        assert np.abs(found[0].rgb.astype(int) - flow_picture(48, 64)).mean() < 16, name
    np.testing.assert_array_equal(read_frames(tmp_path / "a.webp", [1])[1].rgb, flow_picture(48, 64)[::-1, ::-1])


def test_a_file_is_what_its_content_says(tmp_path):
    """Wrong extensions: a clip called picture, a picture called clip, DICOM called both."""
    write_clip(tmp_path / "a.mp4", stripes(5))
    (tmp_path / "clip.jpg").write_bytes((tmp_path / "a.mp4").read_bytes())
    Image.fromarray(speckle(1)).save(tmp_path / "a.png")
    (tmp_path / "picture.mp4").write_bytes((tmp_path / "a.png").read_bytes())
    write_dicom(tmp_path / "dicom.avi", speckle(2))
    assert count_frames(tmp_path / "clip.jpg") == 5
    assert read_frame(tmp_path / "clip.jpg", 4).grey.mean() == pytest.approx(60, abs=4)
    np.testing.assert_array_equal(read_frame(tmp_path / "picture.mp4", 0).grey, speckle(1))
    np.testing.assert_array_equal(read_frame(tmp_path / "dicom.avi", 0).grey, speckle(2))


def test_a_playlist_called_clip_opens_no_other_file(tmp_path):
    write_clip(tmp_path / "secret.ts", stripes(5), "mpeg2video")
    for name, text in {
        "list.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n",
        "concat.avi": "ffconcat version 1.0\nfile secret.ts\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(Unusable, match="damaged clip"):
            read_frame(tmp_path / name, 0)


def test_a_cameras_preview_is_no_second_frame(tmp_path):
    picture = Image.fromarray(speckle(1))
    picture.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[picture.resize((80, 60))])
    assert count_frames(tmp_path / "a.jpg") == 1 and read_frame(tmp_path / "a.jpg", 0).grey.shape == (120, 160)


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_video_inside_dicom_is_decoded(tmp_path, codec):
    name = "clip.mpg" if codec == "mpeg2video" else "clip.mp4"
    write_clip(tmp_path / name, stripes(5, 48, 64), codec)
    data = (tmp_path / name).read_bytes()
    made = made_dataset(np.zeros((5, 48, 64, 3), np.uint8), "YBR_FULL")
    made.SequenceOfUltrasoundRegions = [made_region(10, 10, 63, 47)]
    syntax = MPEG2MPML if codec == "mpeg2video" else MPEG4HP41
    path = save_frames(made, tmp_path / "video.dcm", syntax, [data + bytes(len(data) % 2)])
    made.NumberOfFrames = 5
    made.save_as(path)
    assert count_frames(path) == 5
    for number, one in read_frames(path, [1, 3]).items():
        assert one.grey[10:, 10:].mean() == pytest.approx(20 + 10 * number, abs=4) and not one.grey[:10].any()
        assert one.spacing_mm == pytest.approx((0.2, 0.2))


def test_an_animated_gif_is_a_clip_too(tmp_path):
    frames = [Image.fromarray(frame) for frame in stripes(4)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert count_frames(tmp_path / "a.gif") == 4
    assert read_frame(tmp_path / "a.gif", 3).grey.mean() == pytest.approx(50, abs=1)


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x18ftypmp42 and then nothing", b"no clip"])
def test_a_damaged_clip_is_unusable(tmp_path, data):
    (tmp_path / "clip.mp4").write_bytes(data)
    with pytest.raises(Unusable, match="damaged clip"):
        count_frames(tmp_path / "clip.mp4")


def test_dicom_pixels_come_out_as_they_went_in(tmp_path):
    grey = speckle(1)
    write_dicom(tmp_path / "grey.dcm", grey)
    np.testing.assert_array_equal(read_frame(tmp_path / "grey.dcm", 0).grey, grey)
    write_dicom(tmp_path / "inverse.dcm", 255 - grey, "MONOCHROME1")
    np.testing.assert_array_equal(read_frame(tmp_path / "inverse.dcm", 0).grey, grey)
    write_dicom(tmp_path / "deep.dcm", grey.astype(np.uint16) * 16, bits=12)
    np.testing.assert_allclose(read_frame(tmp_path / "deep.dcm", 0).grey, grey * (16 * 255 / 4095), atol=0.51)
    colour = np.repeat(grey[:, :, None], 3, axis=2)
    write_dicom(tmp_path / "colour.dcm", colour, "RGB")
    assert not read_frame(tmp_path / "colour.dcm", 0).colour
    colour[:60, :, 0] = 255
    write_dicom(tmp_path / "red.dcm", colour, "RGB")
    assert read_frame(tmp_path / "red.dcm", 0).colour


def test_one_frame_of_many_is_read_compressed_or_not(tmp_path):
    frames = np.stack([speckle(seed) for seed in range(3)])
    file = write_dicom(tmp_path / "loop.dcm", frames)
    file.compress(RLELossless)
    file.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    for name in ("loop.dcm", "rle.dcm"):
        assert count_frames(tmp_path / name) == 3
        np.testing.assert_array_equal(read_frame(tmp_path / name, 2).grey, frames[2])


def test_only_two_dimensional_regions_are_kept_and_give_the_size_of_a_pixel(tmp_path):
    boxes = [(20, 10, 119, 89), (130, 0, 159, 119, 4)]  # tissue, and a trace beside it
    write_dicom(tmp_path / "a.dcm", speckle(1), regions=boxes)
    decoded = read_frame(tmp_path / "a.dcm", 0)
    assert decoded.spacing_mm == pytest.approx((0.2, 0.2))
    assert (decoded.grey[10:90, 20:120] > 0).all() and decoded.grey.sum() == decoded.grey[10:90, 20:120].sum()
    write_dicom(tmp_path / "b.dcm", speckle(1))
    assert read_frame(tmp_path / "b.dcm", 0).spacing_mm is None


def test_what_is_no_ultrasound_or_has_no_pixels_is_unusable(tmp_path):
    write_dicom(tmp_path / "ct.dcm", speckle(1), modality="CT")
    with pytest.raises(Unusable, match="another modality: found CT"):
        count_frames(tmp_path / "ct.dcm")
    file = write_dicom(tmp_path / "a.dcm", speckle(1))
    del file.PixelData
    file.save_as(tmp_path / "empty.dcm", enforce_file_format=True)
    with pytest.raises(Unusable):
        read_frame(tmp_path / "empty.dcm", 0)
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unusable):
        read_frame(tmp_path / "cut.dcm", 0)


def test_a_site_of_dicom_files_needs_no_table_and_keeps_no_identity(tmp_path):
    for patient in range(4):
        for shot in range(2):
            picture, _inside = fan(10 * patient + shot, text="")
            place = tmp_path / "data" / "export" / f"DOE_{patient}" / f"IM{shot}"
            write_dicom(place, picture, patient=f"Doe-{patient}", regions=[(0, 0, 399, 299)])
    (tmp_path / "data" / "export" / "README.txt").write_text("exported for Jane Doe")
    source = DicomSource.model_validate({"kind": "dicom", "path": "export", **ORIGIN})
    curate_site(made_manifest(source), source, tmp_path / "out", tmp_path / "data", 0, 64)
    table = load_pictures(tmp_path / "out", [SITE], ["train", "validation", "test"]).table
    assert len(table) == 8 and table.patient.nunique() == 4
    assert table.pixel_mm.between(0.2 * 200 / 64, 0.2 * 400 / 64).all()
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.parent.name != "house"]
    written = b"".join(path.read_bytes() for path in files)  # what is in the house names files, and stays there
    for name in (b"Doe-", b"Doe^", b"DOE_", b"/IM0", b"Jane Doe"):  # too long to stand in a picture by chance
        assert name not in written, name


def test_the_frames_of_a_clip_stay_in_one_fold_and_are_no_duplicates_of_each_other(tmp_path):
    for patient in range(4):
        frames = np.stack([speckle(100 * patient + number, 96, 128) for number in range(8)])
        write_clip(tmp_path / "clips" / f"p{patient}_malignant.mp4", frames)
    source = VideoSource.model_validate(
        {"kind": "video", "path": "clips", "patient_pattern": r"p(\d)_", "label_pattern": r"_(\w+)\.", **ORIGIN}
        | {"frames_per_clip": 3}
    )
    manifest = made_manifest(source, label_map={"malignant": "malignant"})
    curate_site(manifest, source, tmp_path / "out", tmp_path, 0, 64)
    table = load_pictures(tmp_path / "out", [SITE], ["train", "validation", "test"]).table
    assert len(table) == 12 and set(table.label) == {"malignant"}
    assert table.groupby("clip").fold.nunique().eq(1).all() and table["clip"].nunique() == 4


def test_a_table_may_name_clips_and_a_bad_one_is_quarantined_with_its_name(tmp_path):
    write_clip(tmp_path / "good.mp4", np.stack([speckle(number, 96, 128) for number in range(8)]))
    (tmp_path / "bad.mp4").write_bytes(b"no clip")
    rows = [
        {"file": f"{name}.mp4", "patient": name, "label": "good", "mask": "", "clip": ""} for name in ("good", "bad")
    ]
    write_table(tmp_path, rows)
    curate_site(made_manifest(), made_source(), tmp_path / "out", tmp_path, 0, 64)
    sheet = read_json(tmp_path / "out" / SITE / "datasheet.json")
    assert sheet["flow"]["kept"] == 5 and sheet["flow"]["quarantined"] == 1
    (quarantine,) = (tmp_path / "out").rglob("quarantine.csv")
    assert "bad.mp4" in quarantine.read_text()


def test_a_folder_without_dicom_is_an_error_that_names_it(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    source = DicomSource.model_validate({"kind": "dicom", **ORIGIN})
    with pytest.raises(UltraFMError, match="at least one DICOM file"):
        curate_site(made_manifest(source), source, tmp_path / "out", tmp_path, 0, 64)


@pytest.mark.parametrize("pattern", ["no group", "(two)(groups)", "(never closed"])
def test_a_pattern_has_one_group(pattern):
    with pytest.raises(ValueError, match=r"group|regular expression"):
        VideoSource.model_validate({"kind": "video", "patient_pattern": pattern, **ORIGIN})


def test_the_real_dicom_files_are_read(real_data):
    """Lossless JPEG, palette colour raw and run-length coded, JPEG 2000 and plain RGB of the same picture."""
    folder = real_data / "dicom"
    assert {path.name: count_frames(path) for path in folder.iterdir()}["OBXXXX1A_rle_2frame.dcm"] == 2
    decoded = {path.name: read_frame(path, 0) for path in sorted(folder.iterdir())}
    assert len(decoded) == 5 and all(one.grey.std() > 10 for one in decoded.values())
    assert decoded["OBXXXX1A.dcm"].spacing_mm == pytest.approx((0.2623, 0.2623), rel=1e-3)
    difference = decoded["US1_J2KR.dcm"].grey.astype(int) - decoded["US1_UNCR.dcm"].grey
    assert np.abs(difference).max() <= 1
    header = pydicom.dcmread(folder / "OBXXXX1A.dcm", stop_before_pixels=True)
    outside = np.ones((header.Rows, header.Columns), bool)
    for box in (one for one in header.SequenceOfUltrasoundRegions if one.RegionSpatialFormat == 1):
        rows = slice(box.RegionLocationMinY0, box.RegionLocationMaxY1 + 1)
        outside[rows, box.RegionLocationMinX0 : box.RegionLocationMaxX1 + 1] = False
    assert outside.mean() > 0.2 and not decoded["OBXXXX1A.dcm"].grey[outside].any()


REAL_DICOM = {
    "JPGLosslessP14SV1_1s_1f_8b.dcm": ((768, 1024), 0.254767, False), "OBXXXX1A.dcm": ((600, 800), 0.262288, False),
    "OBXXXX1A_rle_2frame.dcm": ((600, 800), 0.262288, False), "US1_J2KR.dcm": ((480, 640), None, True),
    "US1_UNCR.dcm": ((480, 640), None, True),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL_DICOM)
def test_size_spacing_and_colour_of_the_real_dicom_files(real_data, name):
    shape, millimetres, colour = REAL_DICOM[name]
    path = real_data / "dicom" / name
    found = read_frames(path, range(count_frames(path)))
    assert len(found) == (2 if "2frame" in name else 1) and found[0].colour == colour  # its second frame was made up
    for one in found.values():
        assert one.grey.shape == shape
        assert one.spacing_mm == (pytest.approx((millimetres, millimetres), rel=1e-4) if millimetres else None)


REAL_CLIPS = {  # frames, height, width
    "Cov_Atlas_pleural.mp4": (77, 364, 364), "Cov_combatting_Image5.mp4": (182, 394, 394),
    "Pneu_Avi_Video_004.mp4": (31, 606, 606), "Pneu_liftl_pneu_case3_clip5.mp4": (26, 272, 272),
    "Pneu_prospective_file3.mp4": (151, 260, 260), "Reg_Image_181432_crop.mp4": (137, 242, 242),
    "Reg_NormalLungs.mp4": (131, 141, 148), "Reg_northumbria_0409_set3_vid1.avi": (91, 470, 470),
    "Reg_pat1Image_133410.mpeg": (183, 370, 370), "Vir_liftl_H1N1_case2_clip2.mp4": (36, 358, 358),
    "Vir_whitelung_h1n1.mp4": (123, 270, 270),
}  # fmt: skip


def test_the_real_clips_are_read(real_data):
    folder = real_data / "lung_pocus" / "videos"
    assert {path.name for path in folder.iterdir()} == set(REAL_CLIPS)
    for name, (count, *shape) in REAL_CLIPS.items():
        assert count_frames(folder / name) == count, name
        for number, one in read_frames(folder / name, choose_frames(count, 3)).items():
            assert list(one.grey.shape) == shape and one.grey.std() > 10 and one.spacing_mm is None, (name, number)
