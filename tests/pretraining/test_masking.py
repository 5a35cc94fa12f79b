import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ultrafm.pretraining.masking import kept_count, uniform


@given(patches=st.integers(2, 200), ratio=st.floats(0.05, 0.95))
@settings(max_examples=50, deadline=None)
def test_every_patch_is_either_kept_or_hidden(patches, ratio):
    keep, hidden = uniform(3, patches, ratio, torch.Generator().manual_seed(1))
    assert keep.shape == (3, kept_count(patches, ratio))
    for row in range(3):
        kept = keep[row].tolist()
        assert kept == sorted(set(kept)), "sorted, no repeats"
        assert not hidden[row, kept].any()
        assert hidden[row].sum().item() == patches - len(kept)


def test_three_quarters_of_sixty_four_hides_forty_eight():
    assert kept_count(64, 0.75) == 16


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_something_is_always_kept_and_something_always_hidden(ratio):
    assert 1 <= kept_count(10, ratio) <= 9


def test_every_patch_has_the_same_chance():
    _, hidden = uniform(4000, 16, 0.75, torch.Generator().manual_seed(0))
    share = hidden.float().mean(dim=0)
    assert (share - 0.75).abs().max() < 0.03  # five standard errors of 4,000 draws


def test_same_generator_same_masks():
    first = uniform(5, 64, 0.75, torch.Generator().manual_seed(7))
    again = uniform(5, 64, 0.75, torch.Generator().manual_seed(7))
    other = uniform(5, 64, 0.75, torch.Generator().manual_seed(8))
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])
