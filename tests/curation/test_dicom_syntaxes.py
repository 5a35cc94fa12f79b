"""Every transfer syntax and kind of colour against the pixels that went in, and only the frames that are asked for."""

from __future__ import annotations

import io
import timeit

import numpy as np
import pydicom
import pytest
from made_archives import speckle
from made_dicom import (
    PLAIN,
    flow_picture,
    jpeg_bytes,
    luminance,
    made_dataset,
    pixel_element,
    recoded,
    save_dicom,
    save_frames,
)
from PIL import Image
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from ultrafm.curation.reading import codestreams
from ultrafm.curation.reading.media import count_frames, read_frames
from ultrafm.curation.reasons import Unusable

LOSSLESS = [
    "RLELossless", "JPEGLosslessProcess14", "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "JPEG2000",
]  # fmt: skip
NAMES = ["RLE", "JPEG lossless", "JPEG lossless, first order", "JPEG-LS", "JPEG 2000", "JPEG 2000 that may lose"]


def only(path, number=0):
    return read_frames(path, [number])[number]


@pytest.mark.parametrize("syntax", PLAIN, ids=["implicit", "explicit", "big-endian"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_plain_grey_of_any_depth_and_byte_order(tmp_path, syntax, bits):
    values = np.arange(0, 2**bits, (2**bits - 1) // 60, dtype=np.uint16)[:60].reshape(6, 10)
    values = values.astype(np.uint8) if bits == 8 else values
    found = only(save_dicom(made_dataset(values, bits=bits), tmp_path / "a.dcm", syntax))
    np.testing.assert_array_equal(found.grey, np.round(values * (255 / (2**bits - 1))))
    assert found.grey.dtype == np.uint8 and found.rgb is None and not found.colour and found.coloured_share == 0


def test_bytes_that_were_written_as_words_in_big_endian_order(tmp_path):
    """8-bit pixels of type OW: every two bytes are swapped (PS3.5, Annex A.3 and 8.1.1), odd frames included."""
    frames = np.stack([speckle(1, 15, 21), speckle(2, 15, 21)])
    made = made_dataset(frames)
    words = np.frombuffer(frames.tobytes(), "<u2").byteswap().tobytes()
    made["PixelData"].value, made["PixelData"].VR = words, "OW"
    found = read_frames(save_dicom(made, tmp_path / "a.dcm", ExplicitVRBigEndian), [0, 1])
    assert all((found[number].grey == frames[number]).all() for number in (0, 1))


@pytest.mark.parametrize("syntax", PLAIN, ids=["implicit", "explicit", "big-endian"])
@pytest.mark.parametrize("planes", [0, 1], ids=["by pixel", "by plane"])
def test_plain_colour_of_any_byte_order(tmp_path, syntax, planes):
    picture = flow_picture(31, 43)  # an odd number of bytes
    made = made_dataset(picture, "RGB")
    if planes:
        made.PlanarConfiguration = 1
        made.PixelData = np.moveaxis(picture, 2, 0).tobytes() + b"\0"
    found = only(save_dicom(made, tmp_path / "a.dcm", syntax))
    np.testing.assert_array_equal(found.rgb, picture)
    assert np.abs(found.grey - luminance(picture)).max() <= 1 and found.colour and 0.01 < found.coloured_share < 0.9


@pytest.mark.parametrize("syntax", LOSSLESS, ids=NAMES)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_grey(tmp_path, syntax, bits):
    values = speckle(1).astype(np.uint16) * (2**bits // 256) if bits > 8 else speckle(1)
    plain = save_dicom(made_dataset(values, bits=bits), tmp_path / "a.dcm")
    np.testing.assert_array_equal(only(recoded(plain, syntax)).grey, only(plain).grey)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=NAMES)
def test_lossless_colour(tmp_path, syntax):
    plain = save_dicom(made_dataset(flow_picture(), "RGB"), tmp_path / "a.dcm")
    found = only(recoded(plain, syntax))
    np.testing.assert_array_equal(found.rgb, flow_picture())
    np.testing.assert_array_equal(found.grey, only(plain).grey)


@pytest.mark.parametrize("marker", [True, False], ids=["with marker", "without marker"])
@pytest.mark.parametrize("interpretation", ["RGB", "YBR_FULL"])
def test_lossless_jpeg_with_and_without_a_marker_of_its_colours(tmp_path, interpretation, marker):
    stored = flow_picture() if interpretation == "RGB" else np.asarray(Image.fromarray(flow_picture()).convert("YCbCr"))
    plain = save_dicom(made_dataset(stored, interpretation), tmp_path / "a.dcm")
    coded = pydicom.dcmread(recoded(plain, "JPEGLosslessProcess14_1"))
    frame = pydicom.encaps.get_frame(coded.PixelData, 0, number_of_frames=1)
    if not marker and frame[3:4] == b"\xee":  # GDCM gives one to RGB only
        frame = without_first_segment(frame)
    path = save_frames(made_dataset(stored, interpretation), tmp_path / "b.dcm", JPEGLosslessSV1, [frame])
    np.testing.assert_array_equal(only(path).rgb, only(plain).rgb)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=NAMES)
def test_eight_bits_in_sixteen(tmp_path, syntax):
    plain = save_dicom(made_dataset(speckle(1).astype(np.uint16), bits=8), tmp_path / "a.dcm")
    np.testing.assert_array_equal(only(recoded(plain, syntax)).grey, speckle(1))


def test_near_lossless_jpeg_ls(tmp_path):
    plain = save_dicom(made_dataset(speckle(1)), tmp_path / "a.dcm")
    difference = only(recoded(plain, "JPEGLSNearLossless")).grey.astype(int) - speckle(1)
    assert np.abs(difference).max() <= 3


@pytest.mark.parametrize("syntax", ["", "RLELossless", "JPEGLosslessProcess14_1", "JPEG2000Lossless"])
def test_low_values_are_bright_in_monochrome1(tmp_path, syntax):
    plain = save_dicom(made_dataset(255 - speckle(1), "MONOCHROME1"), tmp_path / "a.dcm")
    np.testing.assert_array_equal(only(recoded(plain, syntax) if syntax else plain).grey, speckle(1))


@pytest.mark.parametrize("subsampling", [0, 1, 2], ids=["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("interpretation", ["YBR_FULL", "YBR_FULL_422", "RGB"])
def test_baseline_jpeg_with_its_own_marker_is_right_whatever_the_header_says(tmp_path, interpretation, subsampling):
    frame = jpeg_bytes(flow_picture(), subsampling=subsampling)
    made = made_dataset(flow_picture(), interpretation)
    found = only(save_frames(made, tmp_path / "a.dcm", JPEGBaseline8Bit, [frame]))
    assert np.abs(found.rgb.astype(int) - flow_picture()).mean() < 3
    assert np.abs(found.grey - luminance(flow_picture())).max() <= 12


def without_first_segment(frame: bytes) -> bytes:
    """A JPEG whose first segment, the marker of its colours (JFIF or Adobe), is cut out."""
    assert frame[2:4] in (b"\xff\xe0", b"\xff\xee")
    return frame[:2] + frame[4 + int.from_bytes(frame[4:6], "big") :]


def adobe(transform: int) -> bytes:
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])


def test_baseline_jpeg_without_a_marker_follows_the_header(tmp_path):
    ybr = without_first_segment(jpeg_bytes(flow_picture()))
    made = made_dataset(flow_picture(), "YBR_FULL_422")
    found = only(save_frames(made, tmp_path / "ybr.dcm", JPEGBaseline8Bit, [ybr]))
    assert np.abs(found.rgb.astype(int) - flow_picture()).mean() < 3
    channels = Image.merge("YCbCr", Image.fromarray(flow_picture()).split())  # RGB, stored without conversion
    rgb = without_first_segment(jpeg_bytes(np.asarray(channels)) if channels.mode == "RGB" else saved(channels))
    found = only(save_frames(made_dataset(flow_picture(), "RGB"), tmp_path / "rgb.dcm", JPEGBaseline8Bit, [rgb]))
    assert np.abs(found.rgb.astype(int) - flow_picture()).mean() < 3


def saved(picture: Image.Image) -> bytes:
    handle = io.BytesIO()
    picture.save(handle, "JPEG", quality=95, subsampling=0)
    return handle.getvalue()


@pytest.mark.parametrize("interpretation", ["YBR_FULL_422", "RGB"])
def test_the_adobe_marker_counts_too(tmp_path, interpretation):
    frame = without_first_segment(jpeg_bytes(flow_picture()))
    made = made_dataset(flow_picture(), interpretation)
    found = only(save_frames(made, tmp_path / "a.dcm", JPEGBaseline8Bit, [frame[:2] + adobe(1) + frame[2:]]))
    assert np.abs(found.rgb.astype(int) - flow_picture()).mean() < 3


def test_a_grey_baseline_jpeg(tmp_path):
    for interpretation, picture in (("MONOCHROME2", speckle(1)), ("MONOCHROME1", 255 - speckle(1))):
        made = made_dataset(picture, interpretation)
        found = only(save_frames(made, tmp_path / "a.dcm", JPEGBaseline8Bit, [jpeg_bytes(picture)]))
        assert np.abs(found.grey.astype(int) - speckle(1)).mean() < 2


def test_plain_luminance_and_chrominance(tmp_path):
    ybr = np.asarray(Image.fromarray(flow_picture()).convert("YCbCr"))
    found = only(save_dicom(made_dataset(ybr, "YBR_FULL"), tmp_path / "full.dcm"))
    assert np.abs(found.rgb.astype(int) - flow_picture()).max() <= 3, "rounding, there and back"


def test_plain_chrominance_of_every_second_pixel_in_every_frame(tmp_path):
    """Two pixels of a row share one blue and one red difference: Y1 Y2 B R (PS3.3, C.7.6.3.1.2)."""
    ybr = np.asarray(Image.fromarray(flow_picture()).convert("YCbCr"))
    packed = np.empty((2, 60, 40, 4), dtype=np.uint8)
    packed[..., 0], packed[..., 1] = ybr[:, ::2, 0], ybr[:, 1::2, 0]
    packed[..., 2:] = ybr[:, ::2, 1:]
    packed[1] = packed[0][::-1]
    made = made_dataset(np.stack([ybr, ybr]), "YBR_FULL_422")
    made.PixelData = packed.tobytes()
    frames = read_frames(save_dicom(made, tmp_path / "a.dcm"), [1, 0])
    assert np.abs(frames[0].rgb.astype(int) - flow_picture()).mean() < 2
    np.testing.assert_array_equal(frames[1].rgb, frames[0].rgb[::-1])


@pytest.mark.parametrize("entry_bits", [8, 16, -8], ids=["8 bits", "16 bits", "8 bits in 16"])
@pytest.mark.parametrize("syntax", ["", "RLELossless", "JPEGLosslessProcess14_1", "JPEG2000Lossless"])
def test_palette_colour(tmp_path, entry_bits, syntax):
    palette = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    numbers = speckle(3)
    made = made_dataset(numbers, "PALETTE COLOR")
    for channel, name in enumerate(("Red", "Green", "Blue")):
        entries = palette[:, channel].astype(np.uint16) * (257 if entry_bits == 16 else 1)
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [256, 0, abs(entry_bits) if entry_bits > 0 else 16])
        data = palette[:, channel].tobytes() if entry_bits == 8 else entries.tobytes()
        setattr(made, f"{name}PaletteColorLookupTableData", data)
    path = save_dicom(made, tmp_path / "a.dcm")
    if syntax:  # by way of grey, because GDCM compresses no palettes, or changes them
        path = with_palette(recoded(save_dicom(made_dataset(numbers), tmp_path / "grey.dcm"), syntax), made)
    np.testing.assert_array_equal(only(path).rgb, palette[numbers])


def with_palette(path, made):
    """The compressed pixels of one file under the palette of another."""
    grey = pydicom.dcmread(path)
    made.file_meta.TransferSyntaxUID = grey.file_meta.TransferSyntaxUID
    made["PixelData"] = grey["PixelData"]
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    return path


def test_a_palette_that_starts_later_and_is_short(tmp_path):
    made = made_dataset(np.array([[0, 5, 6, 7, 8, 200]], dtype=np.uint8), "PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [4, 5, 8])
        setattr(made, f"{name}PaletteColorLookupTableData", bytes([10, 20, 30, 40]))
    found = only(save_dicom(made, tmp_path / "a.dcm"))
    assert found.grey.tolist() == [[10, 10, 20, 30, 40, 40]]


def compressed_loop(tmp_path, syntax, table, count=6):
    frames = np.stack([speckle(seed) for seed in range(count)])
    made = made_dataset(frames)
    if syntax == JPEGBaseline8Bit:
        coded = [jpeg_bytes(frame) for frame in frames]
    else:
        name = "RLELossless" if syntax == RLELossless else "JPEG2000Lossless"
        whole = recoded(save_dicom(made, tmp_path / "plain.dcm"), name)
        coded = list(pydicom.encaps.generate_frames(pydicom.dcmread(whole).PixelData, number_of_frames=count))
        made = made_dataset(frames)
    return frames, save_frames(made, tmp_path / "loop.dcm", syntax, coded, table)


@pytest.mark.parametrize("table", [True, False], ids=["with table", "without table"])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGBaseline8Bit, JPEG2000Lossless])
def test_only_the_frames_asked_for_are_decompressed(tmp_path, monkeypatch, syntax, table):
    frames, path = compressed_loop(tmp_path, syntax, table)
    seen = []
    decode = codestreams._decode_packed
    monkeypatch.setattr(codestreams, "_decode_packed", lambda *both: seen.append(both[1]) or decode(*both))
    found = read_frames(path, [4, 1, 4])
    assert seen == [1, 4] and set(found) == {1, 4} and count_frames(path) == 6
    for number, decoded in found.items():
        assert np.abs(decoded.grey.astype(int) - frames[number]).mean() < 2


def test_frames_that_are_not_asked_for_may_be_broken(tmp_path):
    """Proof from the bytes: frame 0 is rubbish, and frame 2 still comes out."""
    frames = [speckle(seed) for seed in range(3)]
    coded = [jpeg_bytes(frame) for frame in frames]
    coded[0] = coded[0][:20] + bytes(len(coded[0]) - 22) + b"\xff\xd9"
    path = save_frames(made_dataset(np.stack(frames)), tmp_path / "a.dcm", JPEGBaseline8Bit, coded, table=False)
    assert np.abs(only(path, 2).grey.astype(int) - frames[2]).mean() < 2
    with pytest.raises(Unusable, match="cannot be decoded"):
        only(path, 0)


def test_frames_are_found_by_an_extended_offset_table(tmp_path):
    frames = [speckle(seed) for seed in range(3)]
    made = made_dataset(np.stack(frames))
    data, offsets, lengths = encapsulate_extended([jpeg_bytes(frame) for frame in frames])
    made.ExtendedOffsetTable, made.ExtendedOffsetTableLengths = offsets, lengths
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    made["PixelData"] = pixel_element(data)
    made["PixelData"].is_undefined_length = True
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    for number, found in read_frames(tmp_path / "a.dcm", [0, 2]).items():
        assert np.abs(found.grey.astype(int) - frames[number]).mean() < 2


def test_the_time_for_one_frame_does_not_grow_with_the_frames(tmp_path):
    """A loop of 400 frames is read as quickly as one of 4: what is not asked for is skipped, plain or packed."""
    for syntax in (ExplicitVRLittleEndian, JPEGBaseline8Bit):
        times = {}
        for count in (4, 400):
            frames = np.stack([speckle(1)] * count)
            made, path = made_dataset(frames), tmp_path / f"{count}.dcm"
            if syntax == ExplicitVRLittleEndian:
                save_dicom(made, path)
            else:
                save_frames(made, path, syntax, [jpeg_bytes(speckle(1))] * count)
            times[count] = min(timeit.repeat(lambda path=path: read_frames(path, [3]), number=1, repeat=7))
        assert times[400] < 4 * times[4] + 0.01


def test_a_frame_in_several_fragments(tmp_path):
    made = made_dataset(np.stack([speckle(0), speckle(1)]))
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    frames = [jpeg_bytes(speckle(0)), jpeg_bytes(speckle(1))]
    path = save_frames(made, tmp_path / "a.dcm", JPEGBaseline8Bit, frames)
    made["PixelData"].value = encapsulate(frames, fragments_per_frame=3, has_bot=False)
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    assert np.abs(only(path, 1).grey.astype(int) - speckle(1)).mean() < 2


def test_the_header_is_read_once_for_all_frames(tmp_path, monkeypatch):
    path = save_dicom(made_dataset(np.stack([speckle(seed) for seed in range(5)])), tmp_path / "a.dcm")
    calls = []
    read = pydicom.dcmread
    monkeypatch.setattr(pydicom, "dcmread", lambda *args, **how: calls.append(args) or read(*args, **how))
    assert set(read_frames(path, range(5))) == set(range(5)) and len(calls) == 1


def test_a_deflated_file_is_refused_before_it_grows(tmp_path):
    with pytest.raises(Unusable, match="a deflated file"):
        only(save_dicom(made_dataset(speckle(1)), tmp_path / "a.dcm", DeflatedExplicitVRLittleEndian))


def test_a_compressed_frame_of_another_size_than_the_header_says_is_refused(tmp_path):
    path = save_frames(
        made_dataset(speckle(1)), tmp_path / "a.dcm", JPEGBaseline8Bit, [jpeg_bytes(speckle(1, 300, 40))]
    )
    with pytest.raises(Unusable, match="a frame of 40 x 300 pixels; expected 160 x 120"):
        only(path)


def test_a_frame_of_other_channels_or_bits_than_the_header_says_is_refused(tmp_path):
    """Some decoders would write beyond their memory, and end the process."""
    path = recoded(save_dicom(made_dataset(speckle(1)), tmp_path / "a.dcm"), "JPEGLosslessProcess14_1")
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc3") + 4
    for place, value in ((at, 12), (at + 5, 3), (at + 7, 0x22)):
        broken = data.copy()
        broken[place] = value
        path.write_bytes(broken)
        with pytest.raises(Unusable, match="channels"):
            only(path)


def test_what_a_code_stream_says_of_itself():
    frame = jpeg_bytes(flow_picture(), comment=b"a comment before the frame header", subsampling=2)
    assert codestreams.jpeg_header(frame) == codestreams.FrameHeader(60, 80, 8, (0x22, 0x11, 0x11))
    assert codestreams.jpeg_header(b"\xff\xd8" + b"\xff" * 9) is None and codestreams.jpeg_header(b"") is None
    handle = io.BytesIO()
    Image.fromarray(speckle(1)).save(handle, "JPEG2000", no_jp2=True)
    assert codestreams.jpeg_2000_header(handle.getvalue()) == codestreams.FrameHeader(120, 160, 8, (0x11,))
    assert codestreams.jpeg_2000_header(b"nothing") is None
