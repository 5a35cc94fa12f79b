"""Claims stated beforehand: closed order, equivalence, Holm over the family, words on the command line."""

from __future__ import annotations

import pandas as pd
import pytest
from scipy import stats

from ultrafm.errors import UltraFMError
from ultrafm.readers import Claim, analyse
from ultrafm.readers.claims import closed_order, equivalence, judge, parse_claim
from ultrafm.readers.inference import infer, missing


@pytest.mark.parametrize("estimate", [-0.08, -0.02, 0.0, 0.008, 0.0083, 0.02, 0.08])
def test_equivalence_agrees_with_the_interval(estimate: float) -> None:
    """SE .02, df 20: half width .04172, so margins of .05 hold up to .00828."""
    difference = infer("test", estimate, 4e-4, 20.0)
    found = equivalence(difference, 0.05)
    assert found.equivalent == (difference.ci_low > -0.05 and difference.ci_high < 0.05)
    assert found.p_value == pytest.approx(stats.t.sf((0.05 - abs(estimate)) / 0.02, 20))
    assert found.alpha == 0.025


def test_superiority_waits_for_non_inferiority() -> None:
    worse = closed_order(infer("test", -0.02, 4e-4, 20.0), 0.05)
    assert (worse.non_inferior, worse.superiority_tested, worse.superior) == (False, False, None)
    even = closed_order(infer("test", 0.01, 4e-4, 20.0), 0.05)
    assert (even.non_inferior, even.superiority_tested, even.superior) == (True, True, False)
    better = closed_order(infer("test", 0.06, 4e-4, 20.0), 0.05)
    assert (better.superior, better.verdict) == (True, "superior")
    assert better.p_superiority == pytest.approx(stats.t.sf(3, 20))


def test_nothing_can_be_said_without_a_variance() -> None:
    gone = missing("test", 0.1, "no test: the estimated variance is zero")
    assert closed_order(gone, 0.05).non_inferior is None
    assert equivalence(gone, 0.05).equivalent is None
    (row,) = judge([Claim("superiority")], {"all": gone})
    assert row["holds"] is None and "cannot be estimated" in row["sentence"]


def test_family_is_adjusted_by_holm() -> None:
    """Superiority over mid-level readers: t 2.2, one-sided p .0199; equivalence to experts: t 2.5, p .0106."""
    differences = {"all": infer("t", 0.0, 1e-4, 20.0), "mid-level": infer("t", 0.022, 1e-4, 20.0)}
    differences["expert"] = infer("t", 0.0, 4e-4, 20.0)
    claims = [Claim("superiority", "mid-level"), Claim("equivalence", "expert", 0.05)]
    first, second = judge(claims, differences)
    assert (first["p"], second["p"]) == pytest.approx((stats.t.sf(2.2, 20), stats.t.sf(2.5, 20)))
    assert second["p_holm"] == pytest.approx(2 * stats.t.sf(2.5, 20))
    assert first["p_holm"] == pytest.approx(max(stats.t.sf(2.2, 20), 2 * stats.t.sf(2.5, 20)))
    assert first["holds"] and second["holds"]
    assert first["sentence"] == "The AI is superior to the mid-level readers."
    assert second["sentence"] == "The AI is equivalent to the expert readers within 0.05."


def test_a_claim_alone_may_hold_and_not_in_its_family() -> None:
    differences = {"all": infer("t", 0.042, 4e-4, None), "expert": infer("t", 0.0, 4e-4, None)}
    assert judge([Claim("superiority")], differences)[0]["holds"]
    both = judge([Claim("superiority"), Claim("superiority", "expert")], differences)
    assert not both[0]["holds"] and "was not shown" in both[0]["sentence"]


def test_words_of_the_command_line() -> None:
    assert parse_claim("equivalence:expert:0.05") == Claim("equivalence", "expert", 0.05)
    assert parse_claim("superiority:mid-level") == Claim("superiority", "mid-level")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("superiority", "KIND:LEVEL"),
        ("superior:expert", "did you mean 'superiority'"),
        ("equivalence:expert", "without a margin"),
        ("superiority:expert:0.1", "with a margin"),
        ("equivalence:expert:x", "as a number"),
        ("equivalence:expert:1.5", "above 0 and below 1"),
    ],
)
def test_bad_claims_are_told(text: str, words: str) -> None:
    with pytest.raises(UltraFMError, match=words):
        parse_claim(text)


def test_claims_in_the_result(small_study: pd.DataFrame) -> None:
    claims = [Claim("superiority", "junior"), Claim("equivalence", "expert", 0.2)]
    found = analyse(small_study, ai="AI", cluster="patient", by="level", claims=claims, margin=0.1, equivalence=0.1)
    assert [row["level"] for row in found["claims"]] == ["junior", "expert"]
    assert all(row["sentence"] in found["conclusion"] for row in found["claims"])
    assert found["closed_order"]["p_non_inferiority"] == found["non_inferiority"]["p_value"]
    assert found["equivalence"]["margin"] == 0.1


def test_claims_need_their_level(small_study: pd.DataFrame) -> None:
    with pytest.raises(UltraFMError, match="--by level"):
        analyse(small_study, ai="AI", claims=[Claim("superiority", "junior")])
    with pytest.raises(UltraFMError, match="without an AI"):
        analyse(small_study[small_study["reader"] != "AI"], claims=[Claim("superiority")])
