"""Agreement against printed examples, definitions and other programs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss

from ultrafm.errors import UltraFMError
from ultrafm.readers.agreement import (
    agreement_page,
    agreement_table,
    bland_altman,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    intraclass_correlation,
    limits_table,
)
from ultrafm.readers.agreement.kappa import category_counts, cluster_interval

SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]).T


def ratings(seed: int = 0, readers: int = 4, cases: int = 50) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.normal(size=cases) + 0.8 * generator.normal(size=(readers, cases)) > 0.5).astype(int)


def test_cohen_by_hand() -> None:
    """20, 5, 10, 15 of 50: agreement .7, by chance .5, kappa .4."""
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    found = cohen_kappa(first, second)
    assert found.value == pytest.approx(0.4)
    assert found.ci_low < 0.4 < found.ci_high


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_weighted_kappa_is_that_of_scikit_learn(weights: str | None) -> None:
    generator = np.random.default_rng(1)
    first = generator.integers(1, 6, 80)
    second = np.clip(first + generator.integers(-1, 2, 80), 1, 5)
    assert cohen_kappa(first, second, weights).value == pytest.approx(cohen_kappa_score(first, second, weights=weights))


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_weights_count_steps_that_neither_reader_used(weights: str) -> None:
    """Ratings 1, 2 and 5 of a scale of five; words have no distances but their order."""
    first, second = np.array([1, 1, 2, 5, 5, 2, 1, 5]), np.array([1, 2, 2, 5, 2, 1, 1, 5])
    wanted = cohen_kappa_score(first, second, weights=weights, labels=[1, 2, 3, 4, 5])
    assert cohen_kappa(first, second, weights).value == pytest.approx(wanted)
    words = {1: "a", 2: "b", 5: "c"}
    named = [[words[one] for one in ratings] for ratings in (first, second)]
    assert cohen_kappa(*named, weights).value == pytest.approx(cohen_kappa_score(*named, weights=weights))


def test_one_category_gives_a_reason() -> None:
    assert cohen_kappa([1, 1, 1], [1, 1, 1]).value is None
    assert "one category" in fleiss_kappa(np.ones((3, 5))).status
    assert cohen_kappa([1, 1, 0], [1, 1, 0]).value == pytest.approx(1)


def test_fleiss_value_is_that_of_statsmodels() -> None:
    counts = category_counts(ratings())
    assert fleiss_kappa(ratings()).value == pytest.approx(statsmodels_fleiss(counts))


def test_gwet_by_hand() -> None:
    """Two readers, calls 1/1, 1/1, 1/0, 0/0: pa .75, pi .625 and .375; pe = 2 * .625 * .375 = .46875."""
    found = gwet_ac1(np.array([[1, 1, 1, 0], [1, 1, 0, 0]]))
    assert found.value == pytest.approx((0.75 - 0.46875) / (1 - 0.46875))
    # Fleiss: pe = .625^2 + .375^2 = .53125
    assert fleiss_kappa(np.array([[1, 1, 1, 0], [1, 1, 0, 0]])).value == pytest.approx(0.21875 / 0.46875)


def test_ac1_holds_where_kappa_falls_with_prevalence() -> None:
    """118 of 120 cases agreed negative: kappa is near 0, AC1 near 1 (the paradox of Feinstein and Cicchetti)."""
    first, second = np.zeros(120, int), np.zeros(120, int)
    first[0] = second[1] = 1
    assert fleiss_kappa([first, second]).value < 0.05
    assert gwet_ac1([first, second]).value > 0.95


@pytest.mark.parametrize("statistic", [fleiss_kappa, gwet_ac1])
def test_intervals_are_near_a_bootstrap(statistic) -> None:
    values = ratings(2, 4, 120)
    found = statistic(values)
    drawn = cluster_interval(found, category_counts(values), np.arange(120), np.random.default_rng(3), 1500)
    assert found.standard_error == pytest.approx(drawn.standard_error, rel=0.12)
    assert drawn.ci_low < found.value < drawn.ci_high


def test_copies_of_cases_in_a_cluster_add_nothing() -> None:
    values = ratings(4, 3, 40)
    threefold, units = np.repeat(values, 3, axis=1), np.repeat(np.arange(40), 3)
    single = cluster_interval(
        fleiss_kappa(values), category_counts(values), np.arange(40), np.random.default_rng(1), 800
    )
    found = cluster_interval(fleiss_kappa(threefold), category_counts(threefold), units, np.random.default_rng(1), 800)
    assert (found.ci_low, found.ci_high) == pytest.approx((single.ci_low, single.ci_high), abs=0.02)
    naive = fleiss_kappa(threefold)
    assert naive.ci_high - naive.ci_low < 0.7 * (found.ci_high - found.ci_low)


def test_shrout_and_fleiss() -> None:
    """Their table 2: ICC(2,1) .29, ICC(3,1) .71; interval of ICC(2,1) .02 to .76."""
    found = intraclass_correlation(SHROUT_FLEISS)
    assert found.value == pytest.approx(0.2898, abs=5e-5)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.0188, 0.7611), abs=5e-5)
    consistent = intraclass_correlation(SHROUT_FLEISS, "ICC(3,1)")
    assert consistent.value == pytest.approx(0.7148, abs=5e-5)
    assert (consistent.ci_low, consistent.ci_high) == pytest.approx((0.3425, 0.9459), abs=5e-5)


def test_a_constant_shift_lowers_absolute_agreement_only() -> None:
    values = np.array([1.0, 2, 3, 4, 6])
    both = np.array([values, values + 2])
    assert intraclass_correlation(both, "ICC(3,1)").value == pytest.approx(1)
    assert intraclass_correlation(both).value < 0.75
    assert intraclass_correlation([values, values]).value == 1
    assert intraclass_correlation(np.ones((2, 4))).value is None


def test_limits_by_hand() -> None:
    """Differences 1, 2, 3, 2: mean 2, sd .8165; limits 2 -+ 1.96 * .8165; t(3) = 3.1824."""
    found = bland_altman([1, 4, 6, 8], [0, 2, 3, 6])
    assert found.bias == 2
    assert found.standard_deviation == pytest.approx(np.sqrt(2 / 3))
    assert (found.lower, found.upper) == pytest.approx((2 - 1.959964 * 0.816497, 2 + 1.959964 * 0.816497), abs=1e-5)
    assert found.bias_high - 2 == pytest.approx(3.18245 * 0.816497 / 2, abs=1e-5)
    assert found.lower_high - found.lower == pytest.approx(
        3.18245 * np.sqrt((2 / 3) * (1 / 4 + 1.959964**2 / 6)), abs=1e-4
    )


def test_limits_heed_clusters() -> None:
    generator = np.random.default_rng(5)
    patients = np.repeat(np.arange(30), 4)
    difference = generator.normal(size=30)[patients] + 0.3 * generator.normal(size=120)
    plain, clustered = (bland_altman(difference, np.zeros(120), units) for units in (None, patients))
    assert clustered.standard_deviation == pytest.approx(np.sqrt(1.09), rel=0.3)
    assert clustered.bias_high - clustered.bias_low > 1.4 * (plain.bias_high - plain.bias_low)
    alone = bland_altman(difference, np.zeros(120), np.arange(120))
    assert (alone.standard_deviation, alone.bias_low) == pytest.approx((plain.standard_deviation, plain.bias_low))


def test_table_by_level(small_study: pd.DataFrame) -> None:
    found = agreement_table(small_study, 1.0, ai="AI")
    assert set(found["group"]) == {"all", "junior", "expert"}
    assert set(found["statistic"]) == {"Fleiss' kappa", "Gwet's AC1", "ICC(2,1)", "ICC(3,1)"}
    assert len(found) == 2 * 3 * 4
    assert (found["ci_low"] <= found["value"]).all() and (found["value"] <= found["ci_high"]).all()
    kappas = found[found["statistic"].str.contains("kappa")]
    assert kappas["prevalence"].tolist() == [0.5] * 6 and kappas["observed_agreement"].notna().all()


def test_page_has_a_line_per_group(small_study: pd.DataFrame) -> None:
    found = agreement_table(small_study, 1.0, ai="AI")
    page = agreement_page(found)
    assert page["group"].tolist() == ["all", "junior", "expert"] * 2
    first = found[found["statistic"] == "Gwet's AC1"].iloc[0]
    assert page["Gwet's AC1 [95% interval]"].iloc[0].startswith(f"{first['value']:.3f} [")


def test_table_with_clusters_says_so(small_study: pd.DataFrame) -> None:
    found = agreement_table(small_study, 1.0, ai="AI", cluster="patient", replicates=100)
    assert set(found.loc[found["statistic"] == "Gwet's AC1", "method"]) == {"bootstrap of 24 clusters"}
    assert set(found.loc[found["statistic"] == "ICC(2,1)", "status"]) == {"the interval treats cases as independent"}
    again = agreement_table(small_study, 1.0, ai="AI", cluster="patient", replicates=100)
    pd.testing.assert_frame_equal(found, again)


def test_pairs_of_readers(small_study: pd.DataFrame) -> None:
    coarse = small_study.assign(rating=small_study["rating"].round().clip(-1, 3))
    found = limits_table(coarse, ai="AI")
    assert found[["first", "second"]].drop_duplicates().to_numpy().tolist() == [["ann", "bob"], ["cem", "dan"]]
    assert found["kappa"].between(-1, 1).all()
    assert limits_table(small_study, ai="AI")["kappa"].isna().all()
    assert (found["lower"] < found["bias"]).all() and (found["bias"] < found["upper"]).all()


@pytest.mark.parametrize(
    "work",
    [
        lambda: cohen_kappa([1, 0], [1]),
        lambda: cohen_kappa([1, 0], [1, 1], "cubic"),
        lambda: fleiss_kappa([[1, 0, 1]]),
        lambda: intraclass_correlation([[1.0, 2.0]]),
        lambda: intraclass_correlation([[1.0, np.nan], [1, 2]]),
        lambda: intraclass_correlation([[1.0, 2], [1, 2]], "ICC(1,1)"),
        lambda: bland_altman([1.0], [2.0]),
        lambda: bland_altman([1.0, 2], [2.0, 3], ["a", "a"]),
    ],
)
def test_bad_input_is_told(work) -> None:
    with pytest.raises(UltraFMError):
        work()
