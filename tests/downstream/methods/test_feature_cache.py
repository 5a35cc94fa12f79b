from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_tasks import saved_encoder

from ultrafm.downstream.methods import cache
from ultrafm.downstream.methods.cache import KINDS, cached_features, picture_hash
from ultrafm.downstream.methods.encoders import encoder_hash
from ultrafm.errors import UltraFMError


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 255, (5, 32, 32), dtype=np.uint8)
    return images, np.ones(images.shape, dtype=bool)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_is_what_is_computed_bit_for_bit(kind, pictures, tmp_path, monkeypatch):
    folder = saved_encoder(tmp_path / "encoder")
    computed = cached_features(folder, *pictures, kind)
    first = cached_features(folder, *pictures, kind, tmp_path / "cache")
    monkeypatch.setattr(cache, "open_encoder", lambda folder: pytest.fail("computed again"))
    again = cached_features(folder, *pictures, kind, tmp_path / "cache")
    assert (computed == first).all() and (first == again).all() and again.dtype == np.float32
    assert again.shape == {"pooled": (5, 48), "tokens": (5, 17, 24), "patches": (5, 16, 48)}[kind]


def test_other_weights_pictures_sectors_kinds_and_precisions_are_other_features(pictures, tmp_path):
    (images, sectors), kept = pictures, tmp_path / "cache"
    one, two = (saved_encoder(tmp_path / str(seed), seed) for seed in (0, 1))
    other, half = images.copy(), sectors.copy()
    other[0, 0, 0] ^= 1
    half[:, :, 16:] = False
    asked = [
        (one, images, sectors), (two, images, sectors), (one, other, sectors), (one, images, half),
        (one, images[::-1], sectors), (one, images, sectors, "tokens"), (one, images, sectors, "pooled", "bf16"),
    ]  # fmt: skip
    for encoder, seen, inside, *more in asked:
        cached_features(encoder, seen, inside, *(more[:1] or ["pooled"]), kept, *more[1:])
    assert len(list(kept.iterdir())) == len(asked)


def test_a_damaged_file_is_computed_anew_and_nothing_half_is_left(pictures, tmp_path):
    folder = saved_encoder(tmp_path / "encoder")
    first = cached_features(folder, *pictures, "pooled", tmp_path / "cache")
    (place,) = (tmp_path / "cache").iterdir()
    for content in (b"", place.read_bytes()[:-40], b"no features"):
        place.write_bytes(content)
        assert (cached_features(folder, *pictures, "pooled", tmp_path / "cache") == first).all()
        assert [file.name for file in (tmp_path / "cache").iterdir()] == [place.name]
        assert (np.load(place) == first).all()


def test_the_hash_of_an_encoder_does_not_depend_on_where_it_lies(tmp_path):
    one, two = saved_encoder(tmp_path / "one"), saved_encoder(tmp_path / "two")
    (two / "README.md").write_text("a card")
    assert encoder_hash(one) == encoder_hash(two) != encoder_hash(saved_encoder(tmp_path / "three", 1))


def test_pictures_of_another_shape_are_others():
    images = np.zeros((2, 8, 8), np.uint8)
    assert picture_hash(images, images > 0) != picture_hash(images.reshape(1, 16, 8), images.reshape(1, 16, 8) > 0)


def test_unknown_kinds_and_missing_encoders_are_clear_errors(pictures, tmp_path):
    with pytest.raises(UltraFMError, match=r"kind of features: found 'patch'; expected one of .* 'patches'"):
        cached_features(tmp_path, *pictures, "patch")
    for kept in (None, tmp_path / "cache"):
        with pytest.raises(UltraFMError, match="run 20_pretrain first"):
            cached_features(Path("nowhere"), *pictures, "pooled", kept)


def test_features_in_bf16_are_nearly_those_in_fp32(pictures, tmp_path):
    folder = saved_encoder(tmp_path / "encoder")
    exact, rounded = (cached_features(folder, *pictures, precision=one) for one in ("fp32", "bf16"))
    assert rounded.dtype == np.float32 and (exact != rounded).any()
    assert abs(exact - rounded).max() < 0.1 * exact.std() + 0.1
