"""Simulated readers do what their parameters say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from ultrafm.downstream.auc import placements
from ultrafm.errors import UltraFMError
from ultrafm.readers.design import cross
from ultrafm.readers.ratings import COLUMNS, check_ratings
from ultrafm.readers.simulation.sonographers import EXPERT, JUNIOR, Level, ReaderDesign, simulate_readers


def cases(count: int, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"case": [f"c{number}" for number in range(count)], "truth": np.arange(count) % 2} | columns)


def separations(ratings: pd.DataFrame) -> pd.Series:
    """Each reader's d' as estimated from her AUROC."""
    readers = list(dict.fromkeys(ratings["reader"]))
    (found,) = cross(check_ratings(ratings), [(reader, "unaided") for reader in readers])
    return pd.Series(np.sqrt(2) * norm.ppf(placements(found.scores, found.truth).aucs), index=readers)


def test_stated_separation_and_spread_are_recovered() -> None:
    """40 readers, 6000 cases: the mean separation within three standard errors (.2/sqrt 40, .02 from cases)."""
    level = Level("expert", separation=1.6, reader_sd=0.2, years=(10, 12))
    design = ReaderDesign(40, (level,), disease_sd=0.0)
    found = separations(simulate_readers(cases(6000), design, np.random.default_rng(2)))
    assert found.mean() == pytest.approx(1.6, abs=0.12)
    assert found.std() == pytest.approx(0.2, abs=0.07)


def test_experts_read_better_than_juniors() -> None:
    found = separations(simulate_readers(cases(1000), ReaderDesign(), np.random.default_rng(3)))
    means = found.groupby([name.rsplit(" ", 1)[0] for name in found.index]).mean()
    assert means["junior"] < means["mid-level"] < means["expert"]


def test_difficult_cases_are_read_worse() -> None:
    design, ratings = ReaderDesign(6, (EXPERT,), difficulty_effect=0.8), []
    for difficulty in (0.0, 0.5, 1.0):
        made = simulate_readers(cases(3000, difficulty=difficulty), design, np.random.default_rng(4))
        ratings.append(separations(made).mean())
    assert ratings == pytest.approx([1.4 * ratings[1], ratings[1], 0.6 * ratings[1]], rel=0.06)


def test_readers_err_on_the_same_cases() -> None:
    """Correlation of two readers' suspicion among healthy cases is patient_share + case_share."""
    design = ReaderDesign(6, (JUNIOR,), patient_share=0.2, case_share=0.3)
    made = simulate_readers(cases(4000), design, np.random.default_rng(5))
    healthy = made[made["truth"] == 0].pivot(index="case", columns="reader", values="rating")
    inner = norm.ppf((healthy + 0.5) / 101)
    correlation = np.corrcoef(inner.T)
    assert correlation[np.triu_indices(6, 1)].mean() == pytest.approx(0.5, abs=0.03)


def test_table_format_and_years() -> None:
    made = simulate_readers(cases(10, disease="gout", patient="p"), ReaderDesign(), np.random.default_rng(6))
    assert tuple(made.columns) == COLUMNS
    assert len(made) == 10 * 18
    assert made["rating"].between(0, 100).all()
    assert (made["rating"] % 1 == 0).all()
    years = made.groupby("level")["years"].agg(["min", "max"])
    assert years.loc["junior"].between(1, 3).all()
    assert years.loc["mid-level"].between(4, 8).all()
    assert years.loc["expert"].min() >= 10
    assert made.groupby("level")["reader"].nunique().tolist() == [6, 6, 6]
    assert set(made["simulated"]) == {"yes"}


def test_same_seed_same_ratings_whatever_the_row_order() -> None:
    table = cases(40, patient=[f"p{number // 2}" for number in range(40)])
    one = simulate_readers(table, ReaderDesign(), np.random.default_rng(7))
    other = simulate_readers(table.sample(frac=1, random_state=1), ReaderDesign(), np.random.default_rng(7))
    pd.testing.assert_frame_equal(one, other)
    assert not one["rating"].equals(simulate_readers(table, ReaderDesign(), np.random.default_rng(8))["rating"])


def test_implied_auroc_is_stated() -> None:
    """d' = sqrt 2 times the normal quantile: separation 1.1 is AUROC .7817."""
    assert ReaderDesign().table()["implied AUROC"].iloc[0] == pytest.approx(0.78166, abs=1e-4)


@pytest.mark.parametrize(
    "change", [{"readers_per_level": 0}, {"case_share": 0.9}, {"disease_sd": -1.0}, {"levels": ()}]
)
def test_senseless_designs_are_refused(change: dict) -> None:
    with pytest.raises(UltraFMError, match="reader design"):
        ReaderDesign(**change)


def test_cases_need_a_truth() -> None:
    with pytest.raises(UltraFMError, match="'truth'"):
        simulate_readers(pd.DataFrame({"case": ["x"]}), ReaderDesign(), np.random.default_rng(0))
