"""Intervals over patients and draws: hand-computed, reducing to the plain interval, and covering what they promise."""

import made_designs
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from ultrafm.downstream.designs.contrasts import contrast, curves_of, drawn_interval
from ultrafm.downstream.designs.summaries import change_table, condition_table, design_records
from ultrafm.downstream.metrics import Cases, Estimates, auroc, interval
from ultrafm.errors import UltraFMError
from ultrafm.reporting.records import merge_records


def table_of(
    scores: dict[tuple[str, int], np.ndarray], truth: np.ndarray, task: str = "mass", **own: object
) -> pd.DataFrame:
    """Rows of one task with a patient an image, by (encoder, repeat)."""
    names = [f"p{one}" for one in range(len(truth))]
    base = pd.DataFrame(
        {
            "task": task, "method": "linear_probe", "answer": "cancer", "image_id": names, "site": "s",
            "patient": names, "fold": "test", "truth": truth,
        }
    )  # fmt: skip
    return pd.concat(
        [base.assign(encoder=name, repeat=repeat, score=values, **own) for (name, repeat), values in scores.items()]
    )


def noisy(truth: np.ndarray, strength: float, seed: int) -> np.ndarray:
    return strength * truth + np.random.default_rng(seed).normal(size=len(truth))


TRUTH = np.arange(60) % 2


def test_one_draw_is_the_plain_interval() -> None:
    scores = {("federated", 0): noisy(TRUTH, 1.0, 0), ("random", 0): noisy(TRUTH, 0.3, 1)}
    curves = curves_of(table_of(scores, TRUTH), ())
    order = list(curves.names["encoder"])
    expected = auroc([Cases(np.array([scores[name, 0] for name in order]), TRUTH, np.arange(60).astype(str))])
    assert contrast(curves, {"encoder": "federated"}) == interval(expected, np.array([1.0, 0.0]))
    assert contrast(curves, {"encoder": "federated"}, {"encoder": "random"}) == interval(
        expected, np.array([1.0, -1.0])
    )
    assert (curves.images, curves.patients) == (60, 60)


def test_draws_add_their_variance_by_hand() -> None:
    estimates = Estimates(np.array([0.7, 0.8, 0.6, 0.6]), "m", np.diag([0.001] * 4), degenerate=np.zeros(4, bool))
    found = drawn_interval(estimates, np.array([0.5, 0.5, -0.5, -0.5]), np.array([0.1, 0.2]))
    # patients: 4 * 0.25 * 0.001; draws: var(0.1, 0.2) / 2 = 0.005 / 2; freedom: (0.0035 / 0.0025)^2
    half = student.ppf(0.975, (0.0035 / 0.0025) ** 2) * np.sqrt(0.0035)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.15, 0.15 - half, 0.15 + half))
    assert found.method == "m and 2 draws"


def test_equal_draws_give_the_interval_of_one_and_never_less() -> None:
    values = noisy(TRUTH, 1.0, 0)
    single = contrast(curves_of(table_of({("a", 0): values}, TRUTH), ()), {"encoder": "a"})
    same = contrast(curves_of(table_of({("a", repeat): values for repeat in range(3)}, TRUTH), ()), {"encoder": "a"})
    assert (same.low, same.high) == pytest.approx((single.low, single.high), abs=1e-9)
    other = {("a", repeat): values + np.random.default_rng(repeat).normal(size=60) for repeat in range(3)}
    varied = contrast(curves_of(table_of(other, TRUTH), ()), {"encoder": "a"})
    mean = np.mean([roc_auc_score(TRUTH, one) for one in other.values()])
    assert varied.estimate == pytest.approx(mean) and varied.high - varied.low > 0


def test_the_interval_covers_the_mean_over_patients_and_draws() -> None:
    """Simulated: scores = draw's own strength * truth + noise of patient and of draw; the true mean AUROC is known."""
    generator, covered, times, draws = np.random.default_rng(0), 0, 400, 5
    strengths = np.random.default_rng(1).normal(1.0, 0.4, 20000)
    truth = np.arange(80) % 2
    expected = norm.cdf(strengths / np.sqrt(2)).mean()
    for _ in range(times):
        own = generator.normal(size=80) * np.sqrt(0.7)
        scores = {
            ("a", repeat): generator.normal(1.0, 0.4) * truth + own + generator.normal(size=80) * np.sqrt(0.3)
            for repeat in range(draws)
        }
        names = np.arange(80).astype(str)
        estimates = auroc([Cases(np.array(list(scores.values())), truth, names)])
        found = drawn_interval(estimates, np.full(draws, 1 / draws), estimates.values)
        covered += found.low <= expected <= found.high
    # 0.95 with a Monte-Carlo error of 0.011; variances that are added twice make it a little too wide
    assert 0.93 <= covered / times <= 0.995


def test_tasks_weigh_alike_whatever_the_number_of_their_answers() -> None:
    binary = table_of({("federated", 0): noisy(TRUTH, 1.0, 0)}, TRUTH)
    answers = [
        table_of({("federated", 0): noisy(TRUTH, 0.2 * one, one)}, TRUTH, "finding").assign(answer=str(one))
        for one in range(3)
    ]
    table = pd.concat([binary, *answers])
    values = [roc_auc_score(rows["truth"], rows["score"]) for _, rows in table.groupby(["task", "answer"])]
    found = contrast(curves_of(table, ()), {"encoder": "federated"})
    assert found.estimate == pytest.approx((np.mean(values[:3]) + values[3]) / 2)
    assert found.low < found.estimate < found.high


def test_a_curve_without_some_image_is_an_error_and_so_is_an_unknown_curve() -> None:
    table = table_of({("a", 0): noisy(TRUTH, 1, 0), ("b", 0): noisy(TRUTH, 1, 1)}, TRUTH)
    with pytest.raises(UltraFMError, match="without a score by"):
        curves_of(table.iloc[:-1], ())
    with pytest.raises(UltraFMError, match="0 curves"):
        contrast(curves_of(table, ()), {"encoder": "c"})
    uneven = table_of({("a", 0): noisy(TRUTH, 1, 0), ("a", 1): noisy(TRUTH, 1, 2), ("b", 0): noisy(TRUTH, 1, 1)}, TRUTH)
    with pytest.raises(UltraFMError, match="as many draws"):
        contrast(curves_of(uneven, ()), {"encoder": "a"}, {"encoder": "b"})


def test_few_patients_one_class_and_perfect_rankings_are_told_and_not_hidden() -> None:
    few = table_of({("a", 0): np.arange(4.0), ("a", 1): np.arange(4.0)}, np.array([0, 1, 0, 1]))
    found = contrast(curves_of(few, ()), {"encoder": "a"})
    assert found.estimate == pytest.approx(0.75) and found.low is None and "too few patients (4)" in found.method
    one = contrast(curves_of(table_of({("a", 0): np.arange(9.0)}, np.zeros(9, int)), ()), {"encoder": "a"})
    assert one.estimate is None and "one class only" in one.method
    perfect = table_of(
        {("a", repeat): TRUTH + 0.1 * np.random.default_rng(repeat).random(60) for repeat in range(2)}, TRUTH
    )
    found = contrast(curves_of(perfect, ()), {"encoder": "a"})
    assert found.estimate == 1.0 and 0.8 < found.low < 1.0 and found.high == 1.0


def test_averages_are_made_where_all_tasks_have_the_condition_and_reality_stays_apart() -> None:
    scores = {(name, 0): noisy(TRUTH, 1, seed) for seed, name in enumerate(("federated", "random"))}
    tables = [
        table_of(scores, TRUTH, task, share=share)
        for task, share in (("a", 0.1), ("a", 1.0), ("b", 1.0), ("c", 1.0))
    ]  # fmt: skip
    said = {"a": {"images": "real"}, "b": {"images": "real"}, "c": {"images": "simulated"}}
    found = condition_table(pd.concat(tables), ["share"], said)
    average = found[(found["task"] == "macro_average") & found["against"].isna()]
    assert sorted(set(zip(average["share"], average["images"]))) == [(1.0, "real"), (1.0, "simulated")]
    assert set(found.loc[found["against"].notna(), "encoder"]) == {"federated"}
    records = design_records(found, "label_efficiency", ["share"])
    assert {row["level"] for row in records} == {"share 1, real images", "share 1, simulated images"}
    assert len(merge_records([records])["records"]) == len(records) == 6


def test_changes_in_either_direction_have_records_of_their_own() -> None:
    data = made_designs.made_task()
    parts = [
        table_of({("federated", 0): noisy(TRUTH, 1, number)}, TRUTH, level=level)
        for number, level in enumerate((-6.0, 0.0, 6.0))
    ]
    changes = change_table(pd.concat(parts), ["level"], {"level": 0.0}, made_designs.described(data))
    records = design_records(changes, "robustness", ["level"])
    assert {row["level"] for row in records} == {"level 6", "level minus 6"}
    assert {row["comparator"] for row in records} == {"robustness/level 0"}
    assert len(merge_records([records])["records"]) == 2
