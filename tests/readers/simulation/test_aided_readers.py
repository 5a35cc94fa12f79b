"""Readers who see the AI: the benefit, the harm of wrong advice, and the unaided reading that stays as it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.readers import analyse
from ultrafm.readers.simulation import Aid, ReaderDesign, simulate_aided, simulate_readers

DESIGN = ReaderDesign(readers_per_level=5)


def cases(count: int = 400, skill: float = 2.5) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    truth = np.arange(count) % 2
    score = 0.1 * (skill * truth + generator.normal(size=count)) + 0.3
    return pd.DataFrame({"case": [f"c{place}" for place in range(count)], "truth": truth, "score": score})


def difference(table: pd.DataFrame) -> float:
    """Aided minus unaided."""
    return analyse(table)["tests"]["random_readers_random_cases"]["difference"]


def test_unaided_rows_are_those_without_aid() -> None:
    both = simulate_aided(cases(40), DESIGN, Aid(), np.random.default_rng(2))
    alone = simulate_readers(cases(40), DESIGN, np.random.default_rng(2))
    unaided = both[both["modality"] == "unaided"].reset_index(drop=True)
    pd.testing.assert_frame_equal(unaided, alone)
    assert set(both["simulated"]) == {"yes"} and set(both["modality"]) == {"unaided", "aided"}


def test_a_good_ai_helps_and_helps_juniors_most() -> None:
    found = analyse(simulate_aided(cases(), DESIGN, Aid(over_reliance=0.0), np.random.default_rng(3)), by="level")
    assert found["tests"]["random_readers_random_cases"]["first"] == "aided"
    gains = [entry["tests"]["random_readers_random_cases"]["difference"] for entry in found["levels"].values()]
    assert list(found["levels"]) == ["junior", "mid-level", "expert"]
    assert gains[0] > gains[1] > gains[2] > 0


def test_over_reliance_on_wrong_advice_costs_what_aid_brings() -> None:
    gains = [
        difference(simulate_aided(cases(skill=1.2), DESIGN, Aid(over_reliance=extra), np.random.default_rng(4)))
        for extra in (-0.25, 0.0, 0.5)
    ]
    assert gains[0] > gains[1] > gains[2]
    assert gains[2] < 0


def test_without_trust_only_the_second_look_differs() -> None:
    aid = Aid(trust={"junior": 0.0, "mid-level": 0.0, "expert": 0.0}, over_reliance=0.0, new_noise=0.0)
    table = simulate_aided(cases(60), DESIGN, aid, np.random.default_rng(5))
    wide = table.pivot(index=["reader", "case"], columns="modality", values="rating")
    assert (wide["aided"] == wide["unaided"]).all()
    noisy = simulate_aided(cases(60), DESIGN, Aid(trust=aid.trust, over_reliance=0.0), np.random.default_rng(5))
    assert abs(difference(noisy)) < 0.05


def test_scale_of_the_score_does_not_matter() -> None:
    one = simulate_aided(cases(60), DESIGN, Aid(), np.random.default_rng(6))
    stretched = cases(60).assign(score=lambda table: 40 * table["score"] - 7)
    other = simulate_aided(stretched, DESIGN, Aid(), np.random.default_rng(6))
    assert one["rating"].tolist() == other["rating"].tolist()


def test_parameters_are_stated() -> None:
    table = Aid(trust={"junior": 0.5}).table(DESIGN).set_index("level")
    assert table["trust in advice"].to_dict() == {"junior": 0.5, "mid-level": 0.3, "expert": 0.3}


@pytest.mark.parametrize("change", [{"trust": {"junior": 1.5}}, {"over_reliance": 2.0}, {"new_noise": -0.1}])
def test_senseless_aid_is_refused(change: dict) -> None:
    with pytest.raises(UltraFMError, match="aid"):
        Aid(**change)


def test_cases_need_scores_that_vary() -> None:
    with pytest.raises(UltraFMError, match="'score'"):
        simulate_aided(cases(10).drop(columns="score"), DESIGN, Aid(), np.random.default_rng(0))
    with pytest.raises(UltraFMError, match="without spread"):
        simulate_aided(cases(10).assign(score=0.5), DESIGN, Aid(), np.random.default_rng(0))
