"""Telling the site from features, and label permutation: both find what is planted and nothing where nothing is."""

from dataclasses import replace

import numpy as np
import pytest
from made_tasks import made_diagnosis

from ultrafm.downstream.controls import figures
from ultrafm.downstream.controls.origin import site_from_features, site_records, site_table
from ultrafm.downstream.controls.permutation import (
    Permuted,
    permutation_records,
    permutation_table,
    permutation_test,
    permute_patients,
)
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, turns
from ultrafm.downstream.tasks.leaks import task_leaks
from ultrafm.errors import UltraFMError

SITES = np.repeat(["a", "b", "c"], 40)
PATIENTS = np.array([f"{site}/{number // 2}" for number, site in enumerate(SITES)])


def test_features_that_hold_the_site_tell_it_and_noise_does_not():
    noise = np.random.default_rng(0).normal(size=(120, 6))
    held = noise + 3 * (SITES == "a")[:, None] - 3 * (SITES == "b")[:, None]
    told = site_from_features(held, SITES, PATIENTS, np.random.default_rng(1))
    guessed = site_from_features(noise, SITES, PATIENTS, np.random.default_rng(1))
    assert told.accuracy > 0.95 and told.low > 0.8 and told.high <= 1
    assert guessed.low < guessed.chance == pytest.approx(1 / 3) and guessed.chance < guessed.high
    assert (told.sites, told.patients) == (3, 60)


def test_a_large_site_does_not_count_for_more():
    """Features that tell one site of 40 patients and mix up two of 5: half of balanced accuracy or so, not 40 of 50."""
    sites = np.repeat(["large", "small 1", "small 2"], [40, 5, 5])
    features = np.random.default_rng(0).normal(size=(50, 2))
    features[:40, 0] += 10
    told = site_from_features(
        features, sites, np.array([f"p{number}" for number in range(50)]), np.random.default_rng(1)
    )
    assert 0.4 < told.accuracy < 0.85


def test_patients_are_never_on_both_sides():
    """Features that name the patient and nothing else do not tell its site."""
    features = np.eye(60)[np.repeat(np.arange(60), 2)]
    told = site_from_features(features, SITES, PATIENTS, np.random.default_rng(1))
    assert told.low < told.chance + 0.05


@pytest.mark.parametrize("sites", [["a"] * 4, ["a", "a", "a", "b"]])
def test_one_site_and_one_patient_at_a_site_are_told(sites):
    with pytest.raises(UltraFMError, match="at least two sites"):
        site_from_features(np.zeros((4, 2)), np.array(sites), np.array(list("pqrs")), np.random.default_rng(0))


def test_tasks_of_one_site_are_left_out_with_their_reason():
    data = made_diagnosis(np.random.default_rng(0), patients=48)
    table = data.table.assign(site=np.repeat(["site_01_a", "site_02_b"], 48))
    both = replace(data, table=table)
    features = {"one": np.zeros((96, 2)), "two": np.random.default_rng(1).normal(size=(96, 2))}
    found = site_table({"one": data, "two": both}, features, np.random.default_rng(2))
    assert found["why"].tolist() == ["one site only (site_01_a: 48 patients)", ""]
    records = site_records(found, "linear_probe/federated")
    assert [row["task"] for row in records] == ["two"] and "0.500" in records[0]["ci_method"]
    assert "site_01_a: 48 patients" in figures.site_style(found).to_html()


def ask_memory(features, answers, turn):
    """A pipeline that learns patients by heart: the answer of the nearest training image."""
    gaps = ((features[turn.predict][:, None] - features[turn.train][None]) ** 2).sum(axis=2)
    return answers[turn.train][gaps.argmin(axis=1)].astype(float)


def made(design=FIXED_FOLDS, patients=80):
    """A task whose features tell the disease a little and the patient exactly."""
    generator = np.random.default_rng(0)
    data = made_diagnosis(generator, design, patients)
    own = np.repeat(generator.normal(size=(patients, 8)), 2, axis=0)
    features = own + 0.01 * generator.normal(size=own.shape)
    features[:, 0] += 4 * data.truth
    return data, features


@pytest.mark.parametrize("design", [FIXED_FOLDS, CROSS_VALIDATION])
def test_permuted_labels_scatter_about_chance_and_true_ones_do_not(design):
    data, features = made(design, 96 if design == FIXED_FOLDS else 48)
    found = permutation_test(data, features, 9, np.random.default_rng(1))
    low, high = found.mean_interval
    assert low < 0.5 < high and found.warning == ""
    assert found.auroc > 0.8 and found.p_value == pytest.approx(1 / 10)


def plant_leak(data, share, generator):
    """The task with a planted mistake: `share` of the patients of the test fold (or of each group) are trained on too.

    Their images are added to the train fold, under the same names.
    """
    held = data.table["fold"].isin(["test", "evaluation"]).to_numpy()
    names = np.unique(data.patients[held].astype(str))
    leaked = generator.choice(names, max(1, round(share * len(names))), replace=False)
    again = np.flatnonzero(held & np.isin(data.patients.astype(str), leaked))
    rows = np.concatenate([np.arange(len(data.table)), again])
    table = data.table.iloc[rows].reset_index(drop=True)
    table.loc[len(data.table) :, ["fold", "group"]] = ["train", -1]
    return replace(data, images=data.images[rows], sectors=data.sectors[rows], truth=data.truth[rows], table=table)


def test_a_leak_of_patients_is_found_by_permutation_and_by_the_leak_check():
    data, features = made()
    leaky = plant_leak(data, 1.0, np.random.default_rng(2))
    again = leaky.table["image_id"].map(dict(zip(data.table["image_id"], range(len(data.table))))).to_numpy()
    found = permutation_test(leaky, features[again], 9, np.random.default_rng(1), ask_memory)
    assert found.mean_interval[0] > 0.9 and "still ranks better" in found.warning
    columns = {"sha256": "", "source_hash": ""}
    assert task_leaks(data.table.assign(**columns)) == []
    assert any("the patient" in words for words in task_leaks(leaky.table.assign(**columns)))


def test_without_the_leak_the_same_pipeline_finds_nothing():
    data, features = made()
    found = permutation_test(data, features, 19, np.random.default_rng(1), ask_memory)
    assert found.mean_interval[0] < 0.5 and found.warning == ""


def test_labels_stay_inside_their_site_and_with_whole_patients():
    data, _ = made()
    sites = np.repeat(["site_01_a", "site_02_b"], [120, 40])
    truth = np.where(sites == "site_01_a", data.truth, 0)
    truth[-20:] = 1
    data = replace(data, table=data.table.assign(site=sites), truth=truth)
    dealt = permute_patients(data, data.answer_truth, np.random.default_rng(3))[:, 0]
    for site in set(sites):
        assert dealt[sites == site].sum() == truth[sites == site].sum()
    assert (dealt[::2] == dealt[1::2]).all(), "both images of a patient have one label"
    assert (dealt != truth).any()


def test_every_part_keeps_both_classes_or_says_that_it_cannot():
    data, _ = made(patients=16)
    for number in range(20):
        dealt = permute_patients(data, data.answer_truth, np.random.default_rng(number))[:, 0]
        assert all(set(dealt[part]) == {0, 1} for turn in turns(data) for part in (turn.train, turn.predict))
    one = replace(data, truth=np.zeros_like(data.truth))
    with pytest.raises(UltraFMError, match="one class"):
        permute_patients(one, one.answer_truth, np.random.default_rng(0))


def test_p_counts_the_true_labels_and_ties():
    found = Permuted("t", 0.7, np.array([0.4, 0.7, 0.5]), 10, "simulated")
    assert found.p_value == pytest.approx(2 / 4)
    table = permutation_table({"t": found})
    assert table["permuted_mean"].iloc[0] == pytest.approx(0.5333, abs=1e-4)
    records = permutation_records({"t": found}, "linear_probe/federated")
    assert [row["metric"] for row in records] == ["auroc_permuted_labels", "permutation_p"]
    assert "0.500" in figures.permutation_style(table).to_html()
    single = Permuted("t", 0.7, np.array([0.4]), 10, "simulated")
    assert np.isnan(single.mean_interval[0]) and permutation_records({"t": single}, "m")[0]["ci_low"] is None
