"""The words for lesions are those of the traits that they were drawn from."""

from dataclasses import replace

import numpy as np
import pytest

from ultrafm.phantom.lesions import draw_lesion
from ultrafm.phantom.lexicon import describe, roughness

ANGLES = np.linspace(0, 2 * np.pi, 257)
PLAIN = replace(
    draw_lesion("benign", 0.0, (0, 0.5), 0.3, np.random.default_rng(0)), outline=np.ones(257), aspect=0.7,
    echo_db=-10.0, heterogeneity_db=0.5, posterior_db=0.0, margin=0.05, calcifications=np.empty((0, 2)),
    vessels=np.empty((0, 2)),
)  # fmt: skip


def test_a_plain_lesion_in_all_words():
    assert describe(PLAIN) == {
        "shape": "oval", "orientation": "parallel", "margin": "circumscribed", "echo": "hypoechoic",
        "pattern": "homogeneous", "posterior": "no features", "calcifications": "none", "vessels": "absent",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "category", "word"),
    [
        ({"aspect": 1.0}, "shape", "round"),
        ({"aspect": 1.3}, "orientation", "taller than wide"),
        ({"outline": 1 + 0.2 * np.cos(3 * ANGLES)}, "shape", "irregular"),
        ({"outline": 1 + 0.05 * np.cos(20 * ANGLES)}, "margin", "spiculated"),
        ({"margin": 0.2}, "margin", "indistinct"),
        ({"echo_db": -16.0}, "echo", "markedly hypoechoic"),
        ({"echo_db": -4.0}, "echo", "isoechoic"),
        ({"heterogeneity_db": 5.0}, "pattern", "heterogeneous"),
        ({"posterior_db": -6.0}, "posterior", "shadowing"),
        ({"posterior_db": 6.0}, "posterior", "enhancement"),
        ({"calcifications": np.array([[0.9, 0.0]])}, "calcifications", "at the rim"),
        ({"calcifications": np.array([[0.1, 0.2]])}, "calcifications", "in the mass"),
        ({"vessels": np.array([[0.0, 1.0]])}, "vessels", "in the rim"),
        ({"vessels": np.array([[0.0, 0.3]])}, "vessels", "internal"),
    ],
)
def test_each_trait_has_its_word(changes, category, word):
    assert describe(replace(PLAIN, **changes))[category] == word


def test_roughness_by_hand():
    """A cosine of amplitude a has the deviation a / sqrt 2; three lobes are coarse, twenty are fine."""
    assert roughness(1 + 0.2 * np.cos(3 * ANGLES)) == pytest.approx((0.2 / 2**0.5, 0), abs=1e-6)
    assert roughness(1 + 0.1 * np.cos(20 * ANGLES)) == pytest.approx((0, 0.1 / 2**0.5), abs=1e-6)


def test_typical_lesions_are_called_typically():
    generators = [[np.random.default_rng(seed) for seed in range(200)] for _kind in range(2)]
    found = {
        label: [describe(draw_lesion(label, 0.0, (0, 0.5), 0.3, generator)) for generator in own]
        for label, own in zip(("benign", "malignant"), generators)
    }
    share = lambda label, category, word: np.mean([one[category] == word for one in found[label]])  # noqa: E731
    for category, word in (("shape", "irregular"), ("posterior", "shadowing"), ("pattern", "heterogeneous")):
        assert share("malignant", category, word) > 0.75 > 0.35 > share("benign", category, word)
    assert share("benign", "margin", "circumscribed") > 0.75 > 0.2 > share("malignant", "margin", "circumscribed")
    # how many have calcifications at all depends on nothing
    assert share("benign", "calcifications", "none") == share("malignant", "calcifications", "none")
