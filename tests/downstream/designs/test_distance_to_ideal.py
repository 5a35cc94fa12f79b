"""The distance to the ideal observer: numbers by hand, intervals, and which tasks have a known best."""

from types import SimpleNamespace

import numpy as np
import pytest
from made_tasks import made_diagnosis

from ultrafm.downstream.designs import distance, distance_figures, distance_trials
from ultrafm.downstream.designs.distance import SeedScores, SeedValues, encoder_auroc, gain, seed_values, share_closed
from ultrafm.downstream.metrics import Cases, auroc
from ultrafm.errors import NothingToDo, UltraFMError
from ultrafm.manifests import choose_source, load_sites
from ultrafm.study import REPOSITORY

VALUES = np.array([[0.60, 0.80, 0.70], [0.62, 0.78, 0.76], [0.58, 0.82, 0.70]])  # random, pooled, federated


def known(values=VALUES, spread=0.0, best=1.0):
    """Made values; `spread` is the variance that all seeds and encoders share because of the patients."""
    seeds, encoders = values.shape
    return SeedValues(values, np.full((seeds, encoders, seeds, encoders), spread), best, 100, 50)


def test_gains_and_shares_by_hand():
    assert encoder_auroc(known(), "pooled").estimate == pytest.approx(0.80)
    assert gain(known(), "pooled", "federated").estimate == pytest.approx(0.08)
    # (0.72 - 0.60) / (1 - 0.60)
    assert share_closed(known(), "federated").estimate == pytest.approx(0.3)
    assert share_closed(known(), "pooled").estimate == pytest.approx(0.5)


def test_without_spread_of_patients_the_interval_is_students_over_seeds():
    found = gain(known(), "pooled", "federated")  # differences 0.10, 0.02, 0.12: deviation 0.05292, t(2) = 4.3027
    assert found.ci_high - found.estimate == pytest.approx(4.3027 * 0.05292 / 3**0.5, rel=1e-3)


def test_what_patients_add_is_in_the_interval_of_an_auroc_and_cancels_in_a_difference():
    alone, with_patients = known(), known(spread=0.01)
    assert encoder_auroc(with_patients, "random").standard_error > encoder_auroc(alone, "random").standard_error
    assert gain(with_patients, "pooled", "random").standard_error == pytest.approx(
        gain(alone, "pooled", "random").standard_error
    )


def test_the_interval_of_a_share_is_that_of_its_linear_part():
    found = share_closed(known(), "federated")
    linear = (VALUES[:, 2] - VALUES[:, 0] - 0.3 * (1 - VALUES[:, 0])) / 0.4
    error = linear.std(ddof=1) / 3**0.5
    assert found.standard_error == pytest.approx(error)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.3 - 4.3027 * error, 0.3 + 4.3027 * error), rel=1e-3)


def test_no_share_where_random_may_be_as_good_as_the_ideal_observer():
    found = share_closed(known(VALUES + 0.39), "federated")
    assert found.ci_low is None and "random initialisation" in found.status
    assert np.isnan(share_closed(known(best=0.5), "federated").estimate)


def test_values_are_those_of_the_metrics_averaged_over_draws():
    generator = np.random.default_rng(0)
    truth, patients = np.arange(40) % 2, np.repeat([f"p{number}" for number in range(20)], 2)
    scores = generator.normal(size=(2, 3, 2, 40)) + truth
    found = seed_values([SeedScores("t", scores, truth, patients, 0.9)])
    one = auroc([Cases(scores[1, 2], truth, patients)])
    assert found.values[1, 2] == pytest.approx(one.values.mean())
    assert found.covariance[1, 2, 1, 2] == pytest.approx(one.covariance.mean())
    assert (found.best, found.images, found.patients) == (0.9, 40, 20)


def test_one_seed_says_that_it_is_one():
    found = known(VALUES[:1], spread=0.01)
    assert encoder_auroc(found, "random").model == distance.ONE_SEED
    assert "one seed" in distance.how_found(encoder_auroc(found, "random"), 1)


def test_one_class_among_test_patients_is_an_error():
    scores = SeedScores("t", np.zeros((2, 3, 1, 4)), np.zeros(4, int), np.array(list("abcd")), 0.9)
    with pytest.raises(UltraFMError, match="one class"):
        seed_values([scores])


def test_tables_records_and_figures_say_the_same():
    found = {"10% of labels": known(spread=1e-4), "100% of labels": known(VALUES + 0.05, 1e-4)}
    table = distance.distance_table(found)
    assert len(table) == 16 and table["how"].str.contains("Hillis").all()
    records = distance.distance_records(found["10% of labels"], "macro_average", "10% of labels")
    first = table[table["level"] == "10% of labels"]
    assert [row["estimate"] for row in records] == pytest.approx(list(first["estimate"]))
    assert {row["images"] for row in records} == {"simulated"}
    for draw in (distance_figures.auroc_figure, distance_figures.shares_figure, distance_figures.differences_figure):
        assert "simulated" in draw(found, "simulated").alt
    assert "0.300 [" in distance_figures.distance_style(found).to_html()


SITES = {site.site: site for site in load_sites(REPOSITORY / "data_manifests")}


def asked_of(*sites, skipped=None, **changes):
    data = made_diagnosis(np.random.default_rng(0))
    table = data.table.assign(site=np.resize(list(sites), len(data.table)))
    task = data.task.model_copy(update=changes)
    return SimpleNamespace(task=task, table=table, design=data.design, skipped=skipped)


def test_the_usual_lesions_have_a_known_best_and_other_tasks_say_why_not():
    breast = [name for name, site in SITES.items() if "breast" in site.organs][:2]
    asked = {
        "mass": asked_of(*breast),
        "normal": asked_of(*breast, positive=("malignant", "benign"), negative=("normal",)),
        "few": asked_of(*breast, skipped="too few patients"),
        "clips": asked_of(*breast, unit="clip"),
    }
    best, unknown = distance_trials.known_best(SITES, asked)
    assert best == {"mass": pytest.approx(0.9997, abs=1e-4)}
    assert "malignant, benign against normal" in unknown["normal"] and unknown["few"] == "too few patients"
    assert unknown["clips"] == "asked by clip"


def test_a_confounded_site_has_no_known_best():
    name = next(name for name, site in SITES.items() if "breast" in site.organs)
    source = choose_source(SITES[name], "phantom")[1].model_copy(update={"shortcut": True})
    site = SITES[name].model_copy(update={"sources": SITES[name].sources.model_copy(update={"phantom": source})})
    with pytest.raises(NothingToDo, match="confounded"):
        distance_trials.known_best({name: site}, {"t": asked_of(name)})
