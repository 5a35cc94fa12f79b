"""Two proportions of the same cases: printed examples, identities, and the edges."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from ultrafm.errors import UltraFMError
from ultrafm.readers.operating.paired import (
    from_counts,
    mcnemar_exact,
    newcombe_interval,
    paired_proportions,
    tango_interval,
    tango_statistic,
    wilson,
)


def test_printed_example() -> None:
    """36, 12, 2, 0: Tango (.0611, .3447), Newcombe (.0569, .3404)."""
    assert tango_interval((36, 12, 2, 0)) == pytest.approx((0.0611, 0.3447), abs=5e-5)
    assert newcombe_interval((36, 12, 2, 0)) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_tango_at_zero_is_mcnemars_chi_squared() -> None:
    for counts in ((36, 12, 2, 0), (10, 5, 5, 3), (4, 0, 9, 1)):
        b, c = counts[1], counts[2]
        assert tango_statistic(counts, 0.0) ** 2 == pytest.approx((b - c) ** 2 / (b + c))


@pytest.mark.parametrize(("b", "c"), [(12, 2), (0, 0), (5, 5), (0, 7), (30, 41)])
def test_exact_p_is_that_of_statsmodels(b: int, c: int) -> None:
    assert mcnemar_exact(b, c) == pytest.approx(min(1, mcnemar([[3, b], [c, 4]], exact=True).pvalue))


def test_mid_p_by_hand() -> None:
    """b 3, c 1: exact 2 * 5/16 = .625, less P(3 of 4) = .25."""
    found = from_counts(5, 3, 1, 5)
    assert (found.p_exact, found.p_mid) == pytest.approx((0.625, 0.375))
    assert from_counts(5, 2, 2, 5).p_mid == 1


@pytest.mark.parametrize(
    "counts", [(20, 0, 0, 0), (0, 0, 0, 20), (0, 20, 0, 0), (0, 0, 20, 0), (10, 0, 0, 10), (7, 1, 6, 2)]
)
def test_intervals_hold_the_difference_and_stay_inside(counts: tuple) -> None:
    for low, high in (tango_interval(counts), newcombe_interval(counts)):
        assert -1 - 1e-9 <= low <= (counts[1] - counts[2]) / sum(counts) <= high <= 1 + 1e-9


def test_limits_are_where_the_score_test_turns() -> None:
    counts = (36, 12, 2, 0)
    low, high = tango_interval(counts)
    assert [tango_statistic(counts, low), tango_statistic(counts, high)] == pytest.approx(
        [1.959964, -1.959964], abs=1e-6
    )


def test_turning_the_pair_round_mirrors_the_interval() -> None:
    low, high = tango_interval((30, 9, 4, 7))
    assert tango_interval((30, 4, 9, 7)) == pytest.approx((-high, -low), abs=1e-9)


def test_lists_become_counts_and_non_inferiority_agrees_with_the_interval() -> None:
    first, second = [1, 1, 1, 0, 1, 0], [1, 0, 1, 1, 0, 0]
    found = paired_proportions(first, second, margin=0.5)
    assert (found.both, found.first_only, found.second_only, found.neither) == (2, 2, 1, 1)
    assert found.difference == pytest.approx(1 / 6)
    assert (found.non_inferiority_p < 0.025) == (found.tango[0] > -0.5)


def test_wilson_is_that_of_statsmodels() -> None:
    for successes, total in ((0, 9), (9, 9), (4, 11)):
        assert wilson(successes, total) == pytest.approx(
            proportion_confint(successes, total, method="wilson"), abs=1e-12
        )


@pytest.mark.parametrize(("first", "second"), [([1, 0], [1]), ([], []), ([1, 2], [0, 1]), ([np.nan], [1])])
def test_other_lists_are_refused(first: list, second: list) -> None:
    with pytest.raises(UltraFMError, match="0 and 1"):
        paired_proportions(first, second)
