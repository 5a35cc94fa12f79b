import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.pretraining.masking import (
    POLICIES,
    Patches,
    choose_wanted,
    kept_count,
    polar_blocks,
    policy_named,
    published,
    sector,
    texture,
    texture_guided,
    uniform,
    wanted_in_turn,
    weighted_order,
)
from ultrafm.pretraining.model import ABSENT

DRAWS = 4000


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def patches_with(weights, batch=1, content=None):
    """Patches whose texture is `weights` (T,): one bright pixel in the middle of each, so bright as is asked."""
    count = len(weights)
    pixels = torch.zeros(batch, count, 9)
    pixels[:, :, 4] = torch.as_tensor(weights, dtype=torch.float32) / 4  # |Laplacian| in the middle of 3 x 3
    content = torch.ones(batch, count, dtype=torch.bool) if content is None else content
    side = round(count**0.5)
    places = torch.linspace(0, 1, side)
    depth, line = places.repeat_interleave(side), places.repeat(side)
    return Patches(pixels, content, depth.expand(batch, -1), line.expand(batch, -1))


def chance_of_hiding(policy, weights, ratio=0.75, seed=1):
    _keep, mask = policy(patches_with(weights, DRAWS), ratio, seeded(seed))
    return mask.float().mean(dim=0).numpy()


@pytest.mark.parametrize("name", POLICIES)
@given(side=st.integers(3, 14), ratio=st.floats(0.2, 0.9), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_every_patch_is_either_kept_or_hidden(name, side, ratio, seed):
    count = side * side
    patches = patches_with(np.random.default_rng(seed).lognormal(size=count), batch=3)
    keep, mask = policy_named(name)(patches, ratio, seeded(seed))
    assert keep.shape == (3, kept_count(count, ratio))
    for row in range(3):
        kept = keep[row].tolist()
        assert kept == sorted(set(kept)), "sorted, no repeats"
        assert not mask[row, kept].any()
        assert mask[row].sum().item() == count - len(kept)


@pytest.mark.parametrize("name", POLICIES)
def test_same_generator_same_masks(name):
    patches = patches_with(np.random.default_rng(0).lognormal(size=64), batch=5)
    first, again, other = (policy_named(name)(patches, 0.75, seeded(seed))[0] for seed in (7, 7, 8))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_three_quarters_of_sixty_four_hides_forty_eight():
    assert kept_count(64, 0.75) == 16


@pytest.mark.parametrize(("patches", "ratio"), [(10, 0.0), (10, 1.0), (10, 0.99), (10, 0.01), (10, -1), (0, 0.5)])
def test_a_ratio_that_hides_or_keeps_nothing_is_refused(patches, ratio):
    with pytest.raises(UltraFMError, match=r"mask ratio.*keeps and hides a patch"):
        kept_count(patches, ratio)


def test_an_unknown_policy_is_refused_with_a_hint():
    with pytest.raises(UltraFMError, match="did you mean 'texture'"):
        policy_named("textures")


def test_uniform_gives_every_patch_the_same_chance():
    share = chance_of_hiding(uniform, np.arange(16))
    assert np.abs(share - 0.75).max() < 0.035  # five standard errors of 4,000 draws


def test_texture_is_the_mean_absolute_laplacian():
    plane = torch.arange(4.0)[None, :].expand(4, 4).reshape(1, 1, 16)
    assert texture(plane).item() == 0, "a ramp has none"
    tile = torch.zeros(1, 1, 16)
    tile[0, 0, 5] = 1.0  # row 1, column 1 of 4 x 4: seen by itself as -4, by two inner neighbours as 1
    assert texture(tile).item() == pytest.approx((4 + 1 + 1 + 0) / 4)


def test_the_draw_is_the_weighted_one_without_replacement():
    """Two kept of three with weights 3, 2, 1, worked out by hand."""
    textures = np.array([1.0, 2.0, 3.0])  # weights max + min - texture: 3, 2, 1
    _keep, mask = texture_guided(patches_with(textures, 40_000), 1 / 3, seeded())
    hidden = mask.float().mean(dim=0).numpy()
    # P(patch i comes last) = sum over orders of the other two
    w = np.array([3.0, 2.0, 1.0])
    expected = [
        sum(w[a] / w.sum() * w[b] / (w.sum() - w[a]) for a, b in ((j, k), (k, j))) for j, k in ((1, 2), (0, 2), (0, 1))
    ]
    assert hidden == pytest.approx(expected, abs=0.012)


def test_texture_guided_follows_texture_wherever_it_lies():
    textures = np.random.default_rng(3).lognormal(size=64)
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(textures)
        correlation = np.corrcoef(shuffled, chance_of_hiding(texture_guided, shuffled))[0, 1]
        assert correlation > 0.85
    order = np.argsort(textures)
    share = chance_of_hiding(texture_guided, textures)[order]
    assert share[:16].mean() < share[16:32].mean() < share[32:48].mean() < share[48:].mean()


def test_moving_patches_moves_their_chances_with_them():
    textures = np.random.default_rng(3).lognormal(size=16)
    order = np.random.default_rng(4).permutation(16)
    moved = chance_of_hiding(texture_guided, textures[order], seed=2)
    assert moved == pytest.approx(chance_of_hiding(texture_guided, textures)[order], abs=0.045)


def test_the_published_code_does_not_follow_texture():
    textures = np.random.default_rng(3).lognormal(size=64)
    found = []
    for seed in range(8):
        shuffled = np.random.default_rng(seed).permutation(textures)
        found.append(np.corrcoef(shuffled, chance_of_hiding(published, shuffled))[0, 1])
    assert abs(np.mean(found)) < 0.2


def test_the_published_code_keeps_the_ranks_at_which_low_patches_were_drawn():
    patches = patches_with(np.random.default_rng(0).lognormal(size=16))
    order = torch.arange(16)
    drawn = weighted_order(patches, seeded(5)).argsort(dim=1)[0]
    keep, _mask = published(patches, 0.75, seeded(5))
    assert keep[0].tolist() == order[drawn < 4].tolist()


def test_a_picture_of_equal_patches_is_masked_uniformly_by_texture():
    for value in (0.0, 1.0):
        assert np.abs(chance_of_hiding(texture_guided, np.full(16, value)) - 0.75).max() < 0.035


def test_sector_keeps_and_scores_only_what_was_scanned():
    content = torch.zeros(3, 64, dtype=torch.bool)
    content[0, :40], content[1, :8], content[2] = True, True, True
    keep, mask = sector(patches_with(np.ones(64), 3, content), 0.75, seeded())
    kept = [row[row != ABSENT] for row in keep]
    assert [len(row) for row in kept] == [10, 2, 16]
    for row in range(3):
        assert content[row, kept[row]].all() and not mask[row, kept[row]].any()
        assert mask[row].sum() == content[row].sum() - len(kept[row])
        assert not (mask[row] & ~content[row]).any()
        assert kept[row].tolist() == sorted(set(kept[row].tolist()))


@pytest.mark.parametrize("inside", [0, 1, 2])
def test_sector_survives_pictures_with_hardly_any_content(inside):
    content = torch.zeros(1, 16, dtype=torch.bool)
    content[0, :inside] = True
    keep, mask = sector(patches_with(np.ones(16), 1, content), 0.75, seeded())
    assert keep.shape == (1, 1) and keep.item() >= 0
    assert mask.sum() == max(inside - 1, 0)


def test_polar_blocks_hide_neighbours_together():
    count, side = 196, 14

    def shared(policy):
        _keep, mask = policy(patches_with(np.ones(count), 400), 0.75, seeded())
        grid = mask.reshape(-1, side, side)
        return (grid[:, 1:] == grid[:, :-1]).float().mean().item()

    assert shared(polar_blocks) > shared(uniform) + 0.1
    assert shared(uniform) == pytest.approx(0.75**2 + 0.25**2, abs=0.01)


def test_polar_blocks_follow_depth_and_line_not_rows():
    patches = patches_with(np.ones(64), 200)
    order = torch.randperm(64, generator=seeded(1))
    moved = Patches(patches.pixels, patches.content, patches.depth[:, order], patches.line[:, order])
    _keep, mask = polar_blocks(moved, 0.75, seeded())
    back = mask[:, order.argsort()].reshape(-1, 8, 8)
    assert (back[:, 1:] == back[:, :-1]).float().mean() > 0.7


def test_polar_blocks_keep_their_size_when_less_of_the_scan_is_seen():
    """A crop to a quarter of the scan shows the same patches with half the steps in depth and line."""
    whole = patches_with(np.ones(196), 400)
    part = Patches(whole.pixels, whole.content, whole.depth / 2 + 0.2, whole.line / 2 + 0.3)

    def shared(patches):
        _keep, mask = polar_blocks(patches, 0.75, seeded())
        grid = mask.reshape(-1, 14, 14)
        return (grid[:, 1:] == grid[:, :-1]).float().mean().item()

    assert shared(part) == pytest.approx(shared(whole), abs=0.02)


def test_polar_blocks_hide_what_is_outside_patch_by_patch():
    content = torch.ones(400, 196, dtype=torch.bool)
    content[:, 98:] = False
    _keep, mask = polar_blocks(patches_with(np.ones(196), 400, content), 0.75, seeded())
    assert mask[:, 98:].float().mean() == pytest.approx(0.75, abs=0.03)
    grid = mask.reshape(-1, 14, 14)[:, 7:]
    assert (grid[:, 1:] == grid[:, :-1]).float().mean() == pytest.approx(0.75**2 + 0.25**2, abs=0.03)


def test_patches_too_small_for_a_texture_are_told():
    with pytest.raises(UltraFMError, match="patches of 2 pixels"):
        texture(torch.zeros(1, 4, 4))


def test_wanted_are_hidden_patches_with_content_first():
    content = torch.ones(2, 16, dtype=torch.bool)
    content[1, 6:] = False
    keep, mask = uniform(patches_with(np.ones(16), 2, content), 0.75, seeded())
    everything, scored = choose_wanted(mask, content, 1.0, seeded())
    assert everything.shape == (2, 12)
    for row in range(2):
        assert sorted([*everything[row].tolist(), *keep[row].tolist()]) == list(range(16))
        assert scored[row].sum() == (mask[row] & content[row]).sum()
    half, scored = choose_wanted(mask, content, 0.5, seeded())
    assert half.shape == (2, 6)
    assert scored[0].all() and scored[1].sum() == min(int((mask[1] & content[1]).sum()), 6)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.3])
def test_in_turn_every_hidden_patch_is_wanted_once(share):
    content = torch.ones(2, 16, dtype=torch.bool)
    content[1, 6:] = False
    _keep, mask = uniform(patches_with(np.ones(16), 2, content), 0.75, seeded())
    parts = wanted_in_turn(mask, content, share, seeded())
    for row in range(2):
        wanted = torch.cat([wanted[row] for wanted, _scored in parts]).tolist()
        assert sorted(wanted) == mask[row].nonzero()[:, 0].tolist()
        assert sum(int(scored[row].sum()) for _wanted, scored in parts) == int((mask[row] & content[row]).sum())


def test_every_hidden_patch_has_its_turn_to_be_wanted():
    patches = patches_with(np.ones(16), DRAWS)
    _keep, mask = uniform(patches, 0.75, seeded())
    wanted, _scored = choose_wanted(mask, patches.content, 0.5, seeded(1))
    share = torch.bincount(wanted.reshape(-1), minlength=16) / DRAWS
    assert (share - 6 / 16).abs().max() < 0.04


def test_wanted_of_a_sector_are_its_hidden_patches_and_nothing_else():
    content = torch.zeros(2, 16, dtype=torch.bool)
    content[0, :12], content[1, :4] = True, True
    keep, mask = sector(patches_with(np.ones(16), 2, content), 0.75, seeded())
    wanted, scored = choose_wanted(mask, content, 1.0, seeded())
    assert torch.equal(scored, wanted != ABSENT)
    for row in range(2):
        assert not set(wanted[row][scored[row]].tolist()) & set(keep[row][keep[row] != ABSENT].tolist())
        assert wanted[row][scored[row]].tolist() == mask[row].nonzero()[:, 0].tolist()
