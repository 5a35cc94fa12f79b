"""Decoding of every kind of file that an archive holds, sound or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_archives import save, speckle
from PIL import Image

from ultrafm.curation.fitting import binarise, fit_grey, fitted_size
from ultrafm.curation.reading.decode import find_file, read_mask, read_picture, to_eight_bits
from ultrafm.curation.reasons import Unusable


def written(folder, picture: Image.Image, name: str = "a.png", **how):
    picture.save(folder / name, **how)
    return folder / name


def test_grey_png_comes_back_as_it_was(tmp_path):
    found = read_picture(written(tmp_path, Image.fromarray(speckle(0))))
    assert np.array_equal(found.grey, speckle(0)) and not found.colour


def test_sixteen_bits_are_scaled_by_the_bits_in_use(tmp_path):
    deep = np.array([[0, 2048, 4095]], dtype=np.uint16)
    found = read_picture(written(tmp_path, Image.fromarray(deep)))
    assert found.grey.tolist() == [[0, 128, 255]]


def test_colour_becomes_luminance_and_is_told(tmp_path):
    red = np.zeros((40, 40, 3), dtype=np.uint8)
    red[10:30, 10:30, 0] = 200
    found = read_picture(written(tmp_path, Image.fromarray(red)))
    assert found.colour and found.grey[20, 20] == round(0.299 * 200) and found.grey[0, 0] == 0


def test_grey_stored_as_colour_is_not_called_coloured(tmp_path):
    found = read_picture(written(tmp_path, Image.fromarray(speckle(1)).convert("RGB"), "a.jpg", quality=90))
    assert not found.colour and np.abs(found.grey.astype(int) - speckle(1)).mean() < 3


def test_rgb_is_given_where_anything_is_coloured_be_it_thin_writing(tmp_path):
    grey = np.repeat(speckle(1, 600, 800)[:, :, None], 3, axis=2)
    assert read_picture(written(tmp_path, Image.fromarray(grey))).rgb is None
    for suffix in ("png", "jpg"):
        written_on = grey.copy()
        written_on[300:320, 400:401] = [200, 160, 0]  # one stroke, 1 x 20 pixels
        found = read_picture(written(tmp_path, Image.fromarray(written_on), f"b.{suffix}"))
        assert found.rgb.shape == (600, 800, 3) and not found.colour and found.coloured_share < 0.001
        assert np.ptp(found.rgb[310, 400].astype(int)) > 60


def test_the_coloured_share_is_that_of_the_area(tmp_path):
    picture = np.full((320, 160, 3), 90, np.uint8)
    picture[:80] = [180, 40, 40]
    found = read_picture(written(tmp_path, Image.fromarray(picture)))
    assert found.coloured_share == 0.25 and found.colour
    np.testing.assert_array_equal(found.rgb, picture)
    tint = np.full((160, 160, 3), [100, 90, 85], np.uint8)  # a difference of 15 is no colour, but is handed on
    found = read_picture(written(tmp_path, Image.fromarray(tint)))
    assert not found.colour and found.coloured_share == 0 and found.rgb is not None


@pytest.mark.parametrize(
    ("name", "how", "error"),
    [("a.bmp", {}, 0), ("a.tiff", {"compression": "tiff_lzw"}, 0), ("a.tif", {"compression": "packbits"}, 0),
     ("a.webp", {"lossless": True}, 0), ("a.webp", {"quality": 95}, 4), ("a.png", {"interlace": 1}, 0),
     ("a.jpg", {"quality": 95, "progressive": True}, 2), ("a.gif", {}, 0)],
)  # fmt: skip
def test_every_format_gives_back_its_pixels(tmp_path, name, how, error):
    picture = Image.fromarray(speckle(2)) if name.endswith("gif") else Image.fromarray(speckle(2)).convert("RGB")
    found = read_picture(written(tmp_path, picture, name, **how))
    assert np.abs(found.grey.astype(int) - speckle(2)).mean() <= error and not found.colour


def test_decoding_again_gives_the_same_bytes(tmp_path):
    path = written(tmp_path, Image.fromarray(speckle(3)).convert("RGB"), "a.jpg", quality=80)
    assert read_picture(path).grey.tobytes() == read_picture(path).grey.tobytes()


@given(
    arrays(st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.float32]), (3, 4)),
    st.sampled_from([0, 8, 10, 12, 16]),
)
def test_scaling_to_eight_bits_keeps_order_and_range(values, bits):
    found = to_eight_bits(values, bits)
    assert found.dtype == np.uint8 and found.shape == values.shape
    finite = np.isfinite(values)
    order = np.argsort(values[finite], kind="stable")
    assert (np.diff(found[finite][order].astype(int)) >= 0).all() and not found[~finite].any()
    assert not found[values <= 0].any()


@pytest.mark.parametrize("mode", ["P", "1", "LA", "RGBA", "CMYK"])
def test_other_modes_are_read(tmp_path, mode):
    name = "a.tiff" if mode == "CMYK" else "a.png"
    found = read_picture(written(tmp_path, Image.fromarray(speckle(2)).convert(mode), name))
    assert found.grey.shape == (120, 160) and found.grey.dtype == np.uint8 and found.grey.std() > 5


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_file_is_unusable(tmp_path, suffix):
    path = written(tmp_path, Image.fromarray(speckle(3)), f"a.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Unusable, match="damaged file"):
        read_picture(path)


@pytest.mark.parametrize(
    ("data", "said"), [(b"hello, no picture", "not a picture"), (bytes(128) + b"DICM" + bytes(50), "a DICOM file")]
)
def test_other_files_are_unusable(tmp_path, data, said):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(Unusable, match="not a picture") as caught:
        read_picture(tmp_path / "a.png")
    assert said in str(caught.value)


def test_files_are_found_only_inside_the_folder(tmp_path):
    inner = tmp_path / "site"
    save(inner, "a.png", speckle(5))
    save(tmp_path, "secret.png", speckle(6))
    assert find_file(inner, "a.png").name == "a.png"
    for name, said in (("../secret.png", "outside"), ("b.png", "missing"), (str(tmp_path / "secret.png"), "outside")):
        with pytest.raises(Unusable, match=said):
            find_file(inner, name)


def test_mask_of_a_palette_picture_is_its_indices(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [2, 0]], dtype=np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    mask = read_mask(written(tmp_path, picture), 2, 2)
    assert mask.tolist() == [[0, 1], [2, 0]]


def test_mask_of_another_size_is_unusable(tmp_path):
    path = written(tmp_path, Image.fromarray(speckle(7)))
    with pytest.raises(Unusable, match="found 160 x 120 pixels; expected 200 x 100"):
        read_mask(path, 200, 100)


def test_structures_are_numbered_by_name():
    mask = np.array([[0, 10, 20, 30]])
    found = binarise(mask, {"vessel": (10,), "nerve": (20, 30)})
    assert found.tolist() == [[0, 2, 1, 1]]


def test_mask_without_values_is_one_lesion():
    assert binarise(np.array([[0, 7, 255]]), {}).tolist() == [[0, 1, 1]]


def test_unknown_mask_value_is_unusable():
    with pytest.raises(Unusable, match="the values 3"):
        binarise(np.array([[0, 1, 3]]), {"nerve": (1,)})


def test_negative_mask_value_is_unusable():
    with pytest.raises(Unusable, match="the values -1"):
        binarise(np.array([[0, 1, -1]], dtype=np.int32), {"nerve": (1,)})


def test_fitting_keeps_aspect_and_averages_areas():
    picture = np.zeros((40, 80), dtype=np.uint8)
    picture[:, ::2] = 200
    fitted = fit_grey(picture, 20)
    assert fitted_size(80, 40, 20) == (20, 10)
    assert (fitted[:5] == 0).all() and (fitted[15:] == 0).all()
    assert (fitted[5:15] == 100).all(), "each pixel is the mean of 4 x 4 pixels"
