"""Tables of operating points and the AI at matched sensitivity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ultrafm.errors import UltraFMError
from ultrafm.readers.operating import matched_specificity, operating_table, pair_table


def test_counts_and_shares_by_hand(small_study: pd.DataFrame) -> None:
    found = operating_table(small_study, 1.0, "AI", 2.0).set_index(["disease", "reader"])
    rows = small_study[(small_study["disease"] == "gout") & (small_study["reader"] == "ann")]
    row = found.loc[("gout", "ann")]
    assert row["true_positive"] == ((rows["truth"] == 1) & (rows["rating"] >= 1)).sum()
    assert row["false_positive"] == ((rows["truth"] == 0) & (rows["rating"] >= 1)).sum()
    assert row["sensitivity"] == row["true_positive"] / (row["true_positive"] + row["false_negative"])
    assert row["specificity_low"] < row["specificity"] < row["specificity_high"]
    assert found.loc[("gout", "AI"), "threshold"] == 2.0 and found.loc[("gout", "ann"), "level"] == "junior"
    assert len(found) == 2 * 5


def test_clusters_widen_or_change_the_interval(small_study: pd.DataFrame) -> None:
    plain = operating_table(small_study, 1.0)
    clustered = operating_table(small_study, 1.0, cluster="patient")
    assert plain["sensitivity"].tolist() == pytest.approx(clustered["sensitivity"].tolist())
    assert (plain["sensitivity_low"] != clustered["sensitivity_low"]).any()
    assert set(plain["interval"]) == {"Wilson"} and set(clustered["interval"]) == {"normal, clustered by patient"}


def test_pairs_have_both_kinds_and_holm(small_study: pd.DataFrame) -> None:
    found = pair_table(small_study, "AI", 1.0, 1.0, margin=0.1)
    assert len(found) == 2 * 2 * 4
    assert (found["p_holm"] >= found["p_exact"]).all()
    assert found["model"].str.contains("fixed readers, cases taken as independent").all()
    assert (found["tango_low"] <= found["difference"]).all() and (found["difference"] <= found["tango_high"]).all()
    assert found["non_inferiority_p"].between(0, 1).all()


def test_matched_specificity_by_hand() -> None:
    """Readers find 2 of 3 diseased with 1 of 3 false alarms; the AI finds 2 of 3 from .6 on, without any."""
    truth, ai, reader = [1, 1, 1, 0, 0, 0], [0.9, 0.6, 0.2, 0.5, 0.4, 0.1], [5, 5, 1, 5, 1, 1]
    rows = [("AI", "standalone", case, truth[case], ai[case]) for case in range(6)]
    rows += [(name, "unaided", case, truth[case], reader[case]) for name in ("a", "b") for case in range(6)]
    table = pd.DataFrame(rows, columns=["reader", "modality", "case", "truth", "rating"])
    (found,) = matched_specificity(table, "AI", 3, np.random.default_rng(0), replicates=200)
    assert (found.sensitivity_readers, found.sensitivity_ai) == pytest.approx((2 / 3, 2 / 3))
    assert (found.specificity_readers, found.specificity_ai) == pytest.approx((2 / 3, 1.0))
    assert found.threshold_ai == 0.6
    assert found.ci_low <= found.difference <= found.ci_high


def test_readers_who_call_nothing_need_no_threshold_of_the_ai(small_study: pd.DataFrame) -> None:
    found = matched_specificity(small_study, "AI", 1000.0, np.random.default_rng(0), replicates=20)
    assert [(one.threshold_ai, one.specificity_ai, one.sensitivity_readers) for one in found] == [(None, 1.0, 0.0)] * 2


def test_matched_intervals_repeat_and_random_readers_widen_them(small_study: pd.DataFrame) -> None:
    one, again, fixed = (
        matched_specificity(small_study, "AI", 1.0, np.random.default_rng(3), "patient", random)[0]
        for random in (True, True, False)
    )
    assert one == again
    assert one.difference == fixed.difference
    assert fixed.readers.startswith("fixed") and one.readers.startswith("random")
    assert one.ci_high - one.ci_low > 0.9 * (fixed.ci_high - fixed.ci_low)


def test_threshold_is_estimated_anew_in_every_replicate(small_study: pd.DataFrame) -> None:
    """With the threshold held at its estimate, the AI's specificity varies less than when it is found anew."""
    (found,) = matched_specificity(
        small_study[small_study["disease"] == "gout"], "AI", 1.0, np.random.default_rng(4), None, False, 4000
    )
    table = small_study[small_study["disease"] == "gout"]
    wide = table.pivot(index="reader", columns="case", values="rating")
    truth = table.drop_duplicates("case").set_index("case")["truth"].loc[wide.columns].to_numpy()
    quiet = (wide.loc["AI"].to_numpy() < found.threshold_ai)[truth == 0]
    held = np.sqrt(quiet.mean() * (1 - quiet.mean()) / quiet.size)
    assert (found.ci_high - found.ci_low) / 3.92 > held


def test_two_modalities_cannot_be_matched(small_study: pd.DataFrame) -> None:
    aided = small_study[small_study["reader"] != "AI"].assign(modality="aided")
    with pytest.raises(UltraFMError, match="aided, unaided"):
        matched_specificity(pd.concat([small_study, aided]), "AI", 1.0, np.random.default_rng(0))
