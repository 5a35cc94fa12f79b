"""Perturbations as pure functions, and probes of clean pictures that are asked about perturbed ones."""

import made_designs
import numpy as np
import pytest
import torch

from ultrafm.downstream.designs.asking import Look, ask
from ultrafm.downstream.designs.perturbations import PERTURBATIONS, Scanned, coarser, perturb, perturbed_images, scanned
from ultrafm.downstream.designs.robustness import robustness
from ultrafm.downstream.designs.summaries import condition_table, farthest, perturbation_changes
from ultrafm.downstream.methods.features import pixel_features
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, turns
from ultrafm.geometry.frames import ScanFrames

KINDS = tuple(PERTURBATIONS)


def some_scans(count: int = 3, side: int = 32, inside: np.ndarray | None = None) -> Scanned:
    images = np.random.default_rng(0).integers(30, 200, (count, side, side)).astype(np.uint8)
    sectors = np.ones(images.shape, bool) if inside is None else np.repeat(inside[None], count, axis=0)
    numbers = torch.tensor([[0.0, 0.0, side - 1, side - 1, 0.0, 0.0]]).repeat(count, 1)
    return scanned(images, sectors, ScanFrames(torch.zeros(count, dtype=torch.bool), numbers))


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def as_bytes(scans: Scanned) -> np.ndarray:
    return (scans.pictures[:, 0] * 255).round().to(torch.uint8).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_level_0_is_the_clean_picture_and_others_are_not(kind: str) -> None:
    scans = some_scans()
    assert 0.0 in PERTURBATIONS[kind].levels
    for level in PERTURBATIONS[kind].levels:
        found = perturb(kind, level, scans, seed())
        assert found.shape == (3, 32, 32) and found.dtype == np.uint8
        assert np.array_equal(found, as_bytes(scans)) == (level == 0)
        assert np.array_equal(found, perturb(kind, level, scans, seed()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_level_changes_more_and_nothing_outside_the_sector(kind: str) -> None:
    inside = np.zeros((32, 32), bool)
    inside[4:28, 6:26] = True
    scans = some_scans(inside=inside)
    clean = as_bytes(scans).astype(int)
    levels = sorted(level for level in PERTURBATIONS[kind].levels if level > 0)
    away = [np.abs(perturb(kind, level, scans, seed()).astype(int) - clean) for level in levels]
    assert all(not change[:, ~inside].any() for change in away)
    means = [change[:, inside].mean() for change in away]
    assert means == sorted(means) and means[0] > 0


def test_gain_is_a_shift_on_a_60_db_scale() -> None:
    scans = some_scans()
    found = perturb("gain", 6.0, scans, seed()).astype(int)
    assert np.abs(found - (as_bytes(scans).astype(int) + 25.5).clip(0, 255)).max() <= 1


def test_depth_gain_follows_the_beams_of_a_sector() -> None:
    """A sector upside down on the picture's side: depth runs from its apex, not from the picture's top."""
    side = 33
    images = np.full((1, side, side), 100, np.uint8)
    sector = torch.tensor([[16.0, 0.0, 0.0, 32.0, -90.0, 90.0]])
    scans = scanned(images, np.ones(images.shape, bool), ScanFrames(torch.tensor([True]), sector))
    found = perturb("depth_gain", 24.0, scans, seed())[0].astype(float)
    assert found[0, 16] == pytest.approx(100 + 12 / 60 * 255, abs=1) and found[32, 16] == pytest.approx(49, abs=1)
    # 16 pixels from the apex, straight down and to either side, are equally deep
    assert found[16, 16] == pytest.approx(100, abs=1)
    assert found[0, 0] == pytest.approx(found[16, 16], abs=1) and found[0, 32] == pytest.approx(found[16, 16], abs=1)
    flat = scanned(images, np.ones(images.shape, bool), ScanFrames(torch.tensor([False]), sector * 0 + 32))
    assert not np.array_equal(perturb("depth_gain", 24.0, flat, seed())[0], found)


def test_half_the_lines_are_averaged_in_pairs() -> None:
    pictures = torch.zeros(1, 1, 8, 8)
    pictures[..., ::2] = 1.0
    assert torch.allclose(coarser(pictures, 1.0), torch.full((1, 1, 8, 8), 0.5))
    assert torch.equal(coarser(torch.ones(1, 1, 8, 8), 10.0), torch.ones(1, 1, 8, 8))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of gain"):
        perturb("rain", 1.0, some_scans(), seed())


def look_at(data, encoder: str = "federated") -> Look:
    return Look(data, encoder, pixel_features(data.images, 4))


def extract(images: np.ndarray, sectors: np.ndarray) -> np.ndarray:
    return pixel_features(images, 4)


def bright_corner(images: np.ndarray, sectors: np.ndarray) -> np.ndarray:
    """Is the corner brighter than 200? After 12 dB less it never is."""
    return (images[:, :4, :4].mean(axis=(1, 2)) > 200).astype(np.float32)[:, None]


def bright_task(design: str = FIXED_FOLDS):
    """Diseased pictures are brighter in one corner."""
    data = made_designs.made_task(design=design)
    data.images[data.truth == 1, :4, :4] = 220
    return data


@pytest.mark.parametrize("design", [FIXED_FOLDS, CROSS_VALIDATION])
def test_level_0_gives_the_scores_of_the_study(design: str) -> None:
    data = bright_task(design)
    look = look_at(data)
    table = robustness(look, made_designs.whole_frames(data), extract, ["gain", "shadow"], seed=0)
    clean = np.concatenate([ask(look, turn)[:, 0] for turn in turns(data)])
    images = np.concatenate([data.table["image_id"].to_numpy()[turn.predict] for turn in turns(data)])
    for _, rows in table[table["level"] == 0.0].groupby("perturbation"):
        assert dict(zip(rows["image_id"], rows["score"])) == dict(zip(images, clean))
    assert set(table["level"]) == {*PERTURBATIONS["gain"].levels, *PERTURBATIONS["shadow"].levels}


def test_all_encoders_see_the_same_perturbed_pictures() -> None:
    data = made_designs.made_task()
    frames, rows = made_designs.whole_frames(data), np.arange(5)
    first, again = (perturbed_images("speckle", 30.0, data, rows, frames, seed=1) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, perturbed_images("speckle", 30.0, data, rows, frames, seed=2))


def test_a_probe_is_hurt_when_its_sign_is_hidden_and_not_when_features_do_not_move() -> None:
    data = bright_task()
    frames, said = made_designs.whole_frames(data), made_designs.described(data)
    saturated = Look(data, "federated", bright_corner(data.images, data.sectors))
    hurt = perturbation_changes(robustness(saturated, frames, bright_corner, ["blur", "gain"], 0), said)
    darkest = hurt[(hurt["task"] == "mass") & (hurt["perturbation"] == "gain") & (hurt["level"] == -12.0)].iloc[0]
    assert darkest["estimate"] == pytest.approx(-0.5) and darkest["ci_high"] < 0
    ends = farthest(hurt)
    assert set(zip(ends["perturbation"], ends["level"])) == {("blur", 4.0), ("gain", -12.0), ("gain", 12.0)}

    (turn,) = turns(data)
    blind = made_designs.seen_by(data, 1.0, size=4)
    table = robustness(blind, frames, lambda images, sectors: blind.features[turn.predict], ["gain"], 0)
    still = perturbation_changes(table, said)
    assert (still["estimate"] == 0).all() and still["ci_low"].isna().all()
    values = condition_table(table, ["perturbation", "level"], said)
    assert values["estimate"].nunique() == 1 and values["estimate"].iloc[0] > 0.5
