import math

import pytest
import torch

from ultrafm.pretraining.degradation import (
    KIND_CHANCE,
    KINDS,
    RANGES,
    STRONGEST,
    apply_kind,
    degradation_examples,
    degrade,
    depth_gain,
    draw_kinds,
    draw_settings,
    gain,
    gaussian_blur,
    gaussian_weights,
    motion_blur,
    motion_kernels,
    salt_and_pepper,
    shadow,
    speckle,
)

WITHOUT_NOISE = [kind for kind in KINDS if kind not in ("speckle", "salt_and_pepper")]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def flat(grey, batch=1, side=32):
    return torch.full((batch, 1, side, side), grey)


def impulse(side=31):
    picture = torch.zeros(1, 1, side, side)
    picture[..., side // 2, side // 2] = 1
    return picture


@pytest.fixture
def batch():
    """Six pictures of noise in a triangular sector that opens downwards, with a soft rim; black outside."""
    row, column = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    inside = (row / 2 + 1 - (column - 15.5).abs()).clamp(0, 1).expand(6, 1, 32, 32).clone()
    return (0.2 + 0.6 * torch.rand(6, 1, 32, 32, generator=seeded())) * inside, inside


# Blurs


def test_blurs_leave_a_flat_picture_as_it_is():
    pictures = flat(0.4, batch=3)
    lengths, angles = torch.tensor([1.0, 6.5, 24.0]), torch.tensor([10.0, 45.0, 150.0])
    torch.testing.assert_close(motion_blur(pictures, lengths, angles), pictures)
    torch.testing.assert_close(gaussian_blur(pictures, torch.tensor([0.0, 0.5, 9.0])), pictures)


def test_blurs_leave_a_flat_sector_as_it_is_up_to_its_rim(batch):
    _, inside = batch
    torch.testing.assert_close(motion_blur(0.4 * inside, 9.0, 30.0, inside), 0.4 * inside)
    torch.testing.assert_close(gaussian_blur(0.4 * inside, 2.0, inside), 0.4 * inside)


def test_motion_along_the_rows_averages_as_many_pixels_as_it_is_long():
    blurred = motion_blur(impulse(), 5.0, 0.0)[0, 0]
    expected = torch.zeros(31, 31)
    expected[15, 13:18] = 1 / 5
    torch.testing.assert_close(blurred, expected)


def test_motion_along_the_columns_shares_the_two_ends_of_an_even_length():
    blurred = motion_blur(impulse(), 4.0, 90.0)[0, 0]
    torch.testing.assert_close(blurred[13:18, 15], torch.tensor([0.5, 1, 1, 1, 0.5]) / 4)
    assert blurred.sum() == pytest.approx(1, abs=1e-5)


def test_motion_at_45_degrees_rises_to_the_right():
    blurred = motion_blur(impulse(), 5 * math.sqrt(2), 45.0)[0, 0]
    diagonal = torch.zeros(31, 31)
    for step in range(-2, 3):
        diagonal[15 - step, 15 + step] = 1 / 5
    torch.testing.assert_close(blurred, diagonal, atol=1e-5, rtol=0)


@pytest.mark.parametrize("angle", [0, 20, 45, 70, 90, 115, 135, 160, 180])
def test_a_line_has_its_length_and_its_angle(angle):
    kernel = motion_kernels(torch.tensor([21.0]), torch.tensor([float(angle)]))[0]
    assert kernel.sum() == pytest.approx(1, abs=1e-6) and kernel.min() >= 0
    assert torch.allclose(kernel, kernel.flip(0, 1), atol=1e-6)
    steps = torch.arange(len(kernel)) - len(kernel) // 2
    right, up = steps[None, :], -steps[:, None]
    direction = math.radians(angle)
    along = right * math.cos(direction) + up * math.sin(direction)
    across = up * math.cos(direction) - right * math.sin(direction)
    assert (kernel * along**2).sum() == pytest.approx(21**2 / 12, rel=0.03)  # variance of an even line
    assert (kernel * across**2).sum() < 0.26  # within half a pixel of the line


def test_no_motion_is_no_blur():
    picture = torch.rand(1, 1, 16, 16, generator=seeded())
    torch.testing.assert_close(motion_blur(picture, 0.0, 30.0), picture)
    torch.testing.assert_close(gaussian_blur(picture, 0.0), picture)


@pytest.mark.parametrize("deviation", [0.3, 0.8, 1.5, 3.0])
def test_a_gaussian_has_the_variance_asked_for(deviation):
    row = gaussian_weights(torch.tensor([deviation], dtype=torch.float64), 63)[0, 31]
    steps = torch.arange(63) - 31
    assert row.sum() == pytest.approx(1) and (row * steps).sum() == pytest.approx(0, abs=1e-9)
    assert (row * steps**2).sum() == pytest.approx(deviation**2)


def test_a_gaussian_blur_has_its_variance_in_both_directions():
    blurred = gaussian_blur(impulse(63), 2.0)[0, 0]
    steps = (torch.arange(63) - 31) ** 2
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert (blurred.sum(dim=0) * steps).sum() == pytest.approx(4, rel=2e-3)
    assert (blurred.sum(dim=1) * steps).sum() == pytest.approx(4, rel=2e-3)


def test_a_wide_gaussian_is_the_bell_curve():
    row = gaussian_weights(torch.tensor([4.0]), 63)[0, 31]
    bell = torch.exp(-((torch.arange(63) - 31) ** 2) / 32) / (4 * math.sqrt(2 * math.pi))
    torch.testing.assert_close(row, bell, atol=1e-3, rtol=0)


# Noise


def test_speckle_keeps_the_mean_and_has_the_deviation_asked_for():
    noisy = speckle(flat(0.4, batch=2, side=256), torch.tensor([0.1, 0.25]), seeded())
    # 65,536 pixels alike over about a pixel are worth some 10,000: a hundredth of the deviation
    for picture, strength in zip(noisy, (0.1, 0.25)):
        assert picture.mean() == pytest.approx(0.4, rel=4 * strength / 100)
        assert picture.std() / picture.mean() == pytest.approx(strength, rel=0.05)


def test_speckle_is_alike_in_neighbours_and_not_further():
    grain = speckle(flat(0.4, side=256), 0.1, seeded())[0, 0] - 0.4

    def correlation(shift):
        return float((grain[:, shift:] * grain[:, : 256 - shift]).mean() / grain.var())

    assert correlation(1) == pytest.approx(2 / 3, abs=0.05)
    assert correlation(2) == pytest.approx(1 / 6, abs=0.05)
    assert correlation(4) == pytest.approx(0, abs=0.05)


def test_speckle_leaves_black_black():
    assert not speckle(flat(0.0), 0.4, seeded()).any()


def test_salt_and_pepper_have_their_density_in_equal_parts():
    noisy = salt_and_pepper(flat(0.4, batch=2, side=256), torch.tensor([0.1, 0.02]), seeded())
    for picture, density in zip(noisy, (0.1, 0.02)):
        for grey in (0, 1):
            expected = density / 2
            error = math.sqrt(expected / 256**2)
            assert (picture == grey).float().mean() == pytest.approx(expected, abs=4 * error)
        assert ((picture == 0) | (picture == 1) | (picture == 0.4)).all()


# Gain and shadow


def test_gain_adds_its_share_of_the_dynamic_range_to_what_is_not_black():
    picture = torch.tensor([0.0, 0.05, 0.5, 0.95]).reshape(1, 1, 2, 2)
    torch.testing.assert_close(gain(picture, 6.0).flatten(), torch.tensor([0, 0.15, 0.6, 1.0]))
    torch.testing.assert_close(gain(picture, -6.0).flatten(), torch.tensor([0, 0, 0.4, 0.85]))
    torch.testing.assert_close(gain(picture, 6.0, dynamic_range=40.0).flatten(), torch.tensor([0, 0.2, 0.65, 1.0]))


def test_each_picture_has_its_own_gain():
    pictures = gain(flat(0.5, batch=2), torch.tensor([6.0, -6.0]))
    torch.testing.assert_close(pictures.amax(dim=(1, 2, 3)), torch.tensor([0.6, 0.4]))


def test_depth_gain_is_linear_in_depth():
    rows = depth_gain(flat(0.5, side=5), 12.0, -12.0)[0, 0]
    torch.testing.assert_close(rows, torch.tensor([0.7, 0.6, 0.5, 0.4, 0.3])[:, None].expand(5, 5))


def test_depth_gain_follows_the_depth_map():
    depth = torch.linspace(0, 1, 5)[None, None, None, :].expand(1, 1, 5, 5)
    columns = depth_gain(flat(0.5, side=5), 12.0, -12.0, depth)[0, 0]
    torch.testing.assert_close(columns, torch.tensor([0.7, 0.6, 0.5, 0.4, 0.3])[None, :].expand(5, 5))


def test_a_shadow_lies_behind_its_start_and_within_its_width():
    side = 101
    shaded = shadow(flat(0.5, side=side), centre=0.3, width=0.2, strength=0.8, start=0.4)[0, 0]
    share = torch.arange(side) / (side - 1)
    touched = (shaded < 0.5 - 1e-6).nonzero()
    assert (share[touched[:, 0]] > 0.4).all() and ((share[touched[:, 1]] - 0.3).abs() < 0.1).all()
    torch.testing.assert_close(shaded[50:, 26:35], torch.full((51, 9), 0.5 * 0.2))  # the middle half, past the onset
    assert (shaded[60, 20:31].diff() <= 1e-6).all() and (shaded[60, 30:41].diff() >= -1e-6).all()
    assert shaded[60, 22:24].min() > 0.1 and shaded[60, 22:24].max() < 0.5  # soft at the side


def test_a_shadow_follows_the_beams():
    row, column = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    line = (torch.atan2(column, row + 0.3) / (math.pi / 2) + 0.5)[None, None]  # beams that meet above the picture
    depth = torch.hypot(column, row + 0.3)[None, None] - 0.3
    shaded = shadow(flat(0.5, side=64), 0.7, 0.1, 1.0, line, depth, start=0.2)
    dark = shaded < 0.05
    assert dark.any() and ((line[dark] - 0.7).abs() < 0.03).all() and (depth[dark] > 0.2).all()
    columns = [float(dark[0, 0, y].nonzero().float().mean()) for y in (20, 60)]
    assert columns[1] > columns[0] + 5  # it leans outwards


# All kinds


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_keeps_its_argument_the_range_the_type_and_black(kind, batch):
    pictures, inside = batch
    before = pictures.clone()
    degraded = apply_kind(kind, pictures, inside, STRONGEST[kind], None, None, seeded())
    assert torch.equal(pictures, before)
    assert degraded.dtype == torch.float32 and degraded.shape == pictures.shape
    assert degraded.min() >= 0 and degraded.max() <= 1
    if kind != "salt_and_pepper":  # noise of the finished picture; `degrade` keeps it within the sector
        assert not degraded[inside == 0].any()


@pytest.mark.parametrize("kind", WITHOUT_NOISE)
def test_a_picture_does_not_depend_on_its_batch(kind, batch):
    pictures, inside = batch
    settings = dict(zip(RANGES[kind], draw_settings(6, seeded())[kind].unbind(dim=1)))
    together = apply_kind(kind, pictures, inside, settings, None, None, seeded())
    for row in range(6):
        own = {name: values[row : row + 1] for name, values in settings.items()}
        alone = apply_kind(kind, pictures[row : row + 1], inside[row : row + 1], own, None, None, seeded())
        torch.testing.assert_close(alone, together[row : row + 1], atol=1e-6, rtol=0)


def test_an_unknown_kind_is_told():
    with pytest.raises(ValueError, match="'fog'"):
        apply_kind("fog", flat(0.5), flat(1.0), {}, None, None, seeded())


def test_settings_lie_in_their_ranges_and_take_both_signs():
    assert list(KINDS) == list(RANGES) == list(STRONGEST)
    drawn = draw_settings(500, seeded())
    for kind, ranges in RANGES.items():
        for (name, (low, high)), values in zip(ranges.items(), drawn[kind].T):
            assert low <= STRONGEST[kind][name] <= high
            assert low - 1e-6 <= values.abs().min() < low + 0.05 * (high - low)
            assert high - 0.05 * (high - low) < values.abs().max() <= high + 1e-4
            assert (values < 0).float().mean() == pytest.approx(0.5 if name in ("tilt", "decibels") else 0, abs=0.1)


def test_kinds_come_as_often_as_they_should_and_never_none():
    kinds = draw_kinds(20_000, 1.0, seeded())
    assert kinds.any(dim=1).all()
    chance = KIND_CHANCE + (1 - KIND_CHANCE) ** 7 / 7  # its own, or standing in for none
    torch.testing.assert_close(kinds.float().mean(dim=0), torch.full((7,), chance), atol=0.02, rtol=0)
    alone = kinds[kinds.sum(dim=1) == 1].float()  # some of these stand in for none; any kind may
    torch.testing.assert_close(alone.mean(dim=0), torch.full((7,), 1 / 7), atol=0.04, rtol=0)
    assert draw_kinds(4000, 0.3, seeded()).any(dim=1).float().mean() == pytest.approx(0.3, abs=0.03)


def test_degrading_none_or_all(batch):
    pictures, inside = batch
    assert torch.equal(degrade(pictures, inside, seeded(), share=0.0), pictures)
    changed = degrade(pictures, inside, seeded(), share=1.0) != pictures
    assert changed.flatten(1).any(dim=1).all()


def test_degrading_half_leaves_the_rest_as_it_is(batch):
    pictures, inside = batch
    chosen = draw_kinds(6, 0.5, seeded(1)).any(dim=1)
    changed = (degrade(pictures, inside, seeded(1)) != pictures).flatten(1).any(dim=1)
    assert 0 < chosen.sum() < 6 and torch.equal(changed, chosen)


@pytest.mark.parametrize("seed", range(5))
def test_degrading_keeps_its_arguments_the_range_the_type_and_what_is_outside(seed, batch):
    pictures, inside = batch
    before = pictures.clone(), inside.clone()
    degraded = degrade(pictures, inside, seeded(seed), share=1.0)
    assert torch.equal(pictures, before[0]) and torch.equal(inside, before[1])
    assert degraded.dtype == torch.float32 and degraded.min() >= 0 and degraded.max() <= 1
    assert torch.equal(degraded[inside == 0], pictures[inside == 0])


def test_the_same_generator_degrades_the_same_way(batch):
    first, second, other = (degrade(*batch, seeded(seed), share=1.0) for seed in (4, 4, 5))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_the_generator_moves_on_alike_whatever_the_pictures_and_the_share(batch):
    pictures, inside = batch
    states = []
    for grey, share in ((pictures, 0.0), (pictures, 1.0), (torch.zeros_like(pictures), 0.5)):
        generator = seeded()
        degrade(grey, inside, generator, share)
        states.append(generator.get_state())
    assert torch.equal(states[0], states[1]) and torch.equal(states[0], states[2])


@pytest.mark.parametrize("kind", ["shadow", "depth_gain"])
def test_beams_along_the_rows_of_a_turned_picture_do_the_same_to_it(kind):
    picture, inside = 0.2 + 0.6 * torch.rand(1, 1, 16, 16, generator=seeded()), flat(1.0, side=16)
    down = torch.linspace(0, 1, 16)[None, None, :, None].expand(1, 1, 16, 16)
    turned = apply_kind(kind, picture.mT, inside, STRONGEST[kind], down, down.mT, seeded())
    torch.testing.assert_close(turned.mT, apply_kind(kind, picture, inside, STRONGEST[kind], None, None, seeded()))


def test_each_picture_is_degraded_along_its_own_beams():
    pictures, inside = flat(0.5, batch=8, side=16), flat(1.0, batch=8, side=16)
    depth = torch.linspace(0, 1, 16)[None, None, :, None].repeat(8, 1, 1, 16)
    line = depth.mT.clone()
    straight = degrade(pictures, inside, seeded(), 1.0)
    torch.testing.assert_close(degrade(pictures, inside, seeded(), 1.0, line, depth), straight)
    kinds = draw_kinds(8, 1.0, seeded())
    shaded, drifting = (kinds[:, list(KINDS).index(kind)] for kind in ("shadow", "depth_gain"))
    mirrored = degrade(pictures, inside, seeded(), 1.0, 1 - line, depth)
    upended = degrade(pictures, inside, seeded(), 1.0, line, 1 - depth)
    assert torch.equal((mirrored != straight).flatten(1).any(dim=1), shaded)
    assert torch.equal((upended != straight).flatten(1).any(dim=1), shaded | drifting)


def test_an_empty_sector_and_a_single_picture():
    black, nothing = torch.zeros(4, 1, 32, 32), torch.zeros(4, 1, 32, 32)
    assert torch.equal(degrade(black, nothing, seeded(), share=1.0), black)
    one = 0.2 + 0.6 * torch.rand(1, 1, 32, 32, generator=seeded())
    degraded = degrade(one, torch.ones_like(one), seeded(), share=1.0)
    assert degraded.shape == one.shape and not torch.equal(degraded, one)


def test_examples_show_each_kind(batch):
    pictures, inside = batch
    examples = degradation_examples(pictures[0, 0], inside[0, 0], seeded())
    assert list(examples) == list(KINDS)
    for example in examples.values():
        assert example.shape == (32, 32) and not torch.equal(example, pictures[0, 0])
        assert not example[inside[0, 0] == 0].any()
