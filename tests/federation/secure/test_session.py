"""How many sites must remain, and that everything is bound to its session."""

import pytest

from tests.federation.secure.rounds import session_of
from ultrafm.errors import UltraFMError
from ultrafm.federation.secure.session import threshold_of


@pytest.mark.parametrize(
    ("wanted", "sites", "threshold"),
    [(0, 3, 3), (0, 4, 3), (0, 16, 11), (0, 17, 12), (0.6, 16, 10), (1.0, 16, None), (9, 16, 9), (16, 16, 16)],
)
def test_the_threshold_is_more_than_two_thirds_a_share_or_a_number(wanted, sites, threshold):
    if threshold is None:
        with pytest.raises(UltraFMError, match="1 of 16 sites"):
            threshold_of(wanted, sites)
    else:
        assert threshold_of(wanted, sites) == threshold


@pytest.mark.parametrize(
    ("wanted", "sites", "told"),
    [
        (0, 1, "1 sites in a round"),
        (0, 2, "each site reads the other's update by taking off its own"),
        (8, 16, r"8 of 16 sites of a round; expected from 9 to 16"),
        (0.3, 16, "from 9 to 16"),
        (17, 16, "17 of 16"),
        (2, 3, "from 3 to 3"),
        (10.5, 16, "10.5"),
        (-1, 16, "-1"),
        (float("nan"), 16, "nan"),
    ],
)
def test_a_threshold_that_protects_nothing_is_refused(wanted, sites, told):
    with pytest.raises(UltraFMError, match=told):
        threshold_of(wanted, sites)


def test_no_two_sessions_purposes_or_words_are_bound_alike():
    bound = {
        session_of(4).bind("keys", "a"), session_of(4, number=2).bind("keys", "a"), session_of(4).bind("keys", "a", ""),
        session_of(4, attempt="b").bind("keys", "a"), session_of(4, run="other").bind("keys", "a"),
        session_of(5).bind("keys", "a"), session_of(4, 4).bind("keys", "a"), session_of(4).bind("shares", "a"),
        session_of(4).bind("keys", "a, b"), session_of(4).bind("keys", "a", "b"),
    }  # fmt: skip
    assert len(bound) == 10


def test_sites_are_put_into_the_order_of_the_plan():
    session = session_of(3)
    assert session.in_order(["site_02", "site_00"]) == ["site_00", "site_02"]
    with pytest.raises(UltraFMError, match="each site once"):
        session.in_order(["site_00", "site_00"])
    with pytest.raises(UltraFMError, match="did you mean"):
        session.in_order(["site_09"])
