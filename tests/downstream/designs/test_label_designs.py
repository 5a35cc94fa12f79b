"""Label efficiency and few-shot: nested and equal draws, strata, no leak, a planted effect and a planted null."""

import warnings
from itertools import pairwise

import made_designs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from ultrafm.downstream.designs.asking import Look, ask_inner, inner_turn, patient_classes, why_not_trainable
from ultrafm.downstream.designs.choosing import choose_penalty, path_scores
from ultrafm.downstream.designs.labels import (
    evenly,
    few_shot,
    first_of_each,
    first_share,
    label_draws,
    label_efficiency,
    left_out_labels,
)
from ultrafm.downstream.designs.summaries import condition_table
from ultrafm.downstream.methods.probe import PENALTIES
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, TaskData, Turn, turns

DESIGNS = (FIXED_FOLDS, CROSS_VALIDATION)
SHARES = (0.25, 0.5, 1.0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(0, 10**6))
def test_every_beginning_holds_the_classes_evenly(sizes: list[int], seed: int) -> None:
    classes = pd.Series(np.repeat(np.arange(len(sizes)), sizes))
    shuffled = np.random.default_rng(seed).permutation(sum(sizes))
    order = evenly(shuffled, classes)
    assert sorted(order) == list(range(sum(sizes)))
    for number in range(len(sizes)):
        assert list(order[classes[order] == number]) == list(shuffled[classes[shuffled] == number])
    for count in range(1, len(order) + 1):
        found = np.bincount(classes[order[:count]], minlength=len(sizes))
        # the i-th of n stands at (i + 1/2) / n, so a beginning is at most one patient a class away from its share
        assert np.all(np.abs(found - count * np.array(sizes) / sum(sizes)) <= 1 + 0.5 * len(sizes))


def test_orders_differ_between_draws_and_not_between_calls() -> None:
    data = made_designs.made_task()
    first, again, other = (label_draws(data, repeat, seed=3)[0] for repeat in (0, 0, 1))
    assert list(first) == list(again) and list(first) != list(other)


@pytest.mark.parametrize("design", DESIGNS)
def test_draws_are_nested_and_stay_among_the_training_patients(design: str) -> None:
    data = made_designs.made_task(design=design)
    order, classes = label_draws(data, 0, seed=0)
    for turn in turns(data):
        inside = np.unique(data.patients[turn.train])
        shares = [set(first_share(order, inside, classes, share)) for share in (0.05, 0.1, 0.25, 0.5, 1.0)]
        shots = [set(first_of_each(order, inside, classes, count)) for count in (1, 2, 4, 8)]
        for small, large in [*pairwise(shares), *pairwise(shots)]:
            assert small <= large
        assert shares[-1] == set(inside) and not shares[-1] & set(data.patients[turn.predict])
        assert [len(one) for one in shots] == [2, 4, 8, 16]
        assert [len(one) for one in shares[1:]] == [
            np.floor(share * len(inside) + 0.5) for share in (0.1, 0.25, 0.5, 1)
        ]


def test_a_patient_counts_for_the_class_of_most_of_its_images_or_the_rarer_one() -> None:
    answers = np.array([[1], [0], [0], [0], [0], [1], [1]])
    found = patient_classes(answers, np.array(["a", "a", "a", "b", "b", "c", "b"]))
    assert found.to_dict() == {"a": 0, "b": 0, "c": 1}
    even = patient_classes(np.array([[0], [1], [0], [0]]), np.array(["a", "a", "b", "c"]))
    assert even.to_dict() == {"a": 1, "b": 0, "c": 0}


@pytest.mark.parametrize("design", DESIGNS)
def test_all_encoders_get_the_same_patients_and_every_test_image_is_asked(design: str) -> None:
    data = made_designs.made_task(design=design)
    asked = np.sort(np.concatenate([turn.predict for turn in turns(data)]))
    tables = [
        label_efficiency(made_designs.seen_by(data, one, name), SHARES, 2, 0) for one, name in ((1, "a"), (0, "b"))
    ]
    keys = ["share", "repeat", "image_id", "labelled"]
    first, other = (table.sort_values(keys).reset_index(drop=True)[keys] for table in tables)
    assert first.equals(other)
    for _, rows in tables[0].groupby(["share", "repeat"]):
        assert sorted(rows["image_id"]) == sorted(data.table["image_id"].iloc[asked])
    assert sorted(set(zip(tables[0]["share"], tables[0]["repeat"]))) == [
        (0.25, 0),
        (0.25, 1),
        (0.5, 0),
        (0.5, 1),
        (1, 0),
    ]


def test_labels_outside_of_the_draw_are_never_read() -> None:
    """Wrong labels of validation images, and of training patients that are not drawn, change no score."""
    data = made_designs.made_task()
    look = made_designs.seen_by(data, 1.0)
    (turn,) = turns(data)
    order, classes = label_draws(data, 0, seed=0)
    drawn = first_of_each(order, np.unique(data.patients[turn.train]), classes, 4)
    rows = turn.train[np.isin(data.patients[turn.train], drawn)]
    wrong = np.where(np.isin(np.arange(len(data.truth)), rows), data.truth, 1 - data.truth)
    spoilt = Look(TaskData(**{**vars(data), "truth": wrong}), look.encoder, look.features)
    scores = [ask_inner(one, rows, turn.predict, "test") for one in (look, spoilt)]
    assert np.array_equal(*scores) and np.unique(scores[0]).size > 1
    inner = inner_turn(look.answers, data.patients, rows, turn.predict, "test")
    assert {row for pair in inner.selection for part in pair for row in part} == set(rows)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(("task", "classes"), [(made_designs.BINARY, 2), (made_designs.CLASSES, 3)])
def test_a_planted_effect_is_found_and_a_planted_null_is_not(design: str, task, classes: int) -> None:
    data = made_designs.made_task(task, patients=54, design=design, classes=classes)
    looks = [
        made_designs.seen_by(data, 2.5),
        made_designs.seen_by(data, 0.0, "random", 1),
        made_designs.seen_by(data, 0.0, "pooled", 2),
    ]
    table = pd.concat([label_efficiency(look, (0.25, 1.0), 3, 0) for look in looks])
    found = condition_table(table, ["share"], made_designs.described(data)).set_index(
        ["task", "share", "encoder", "against"]
    )
    for share in (0.25, 1.0):
        effect = found.loc[("macro_average", share, "federated", "random")]
        assert effect["ci_low"] > 0 and effect["estimate"] > 0.2
    null = condition_table(
        table[table["encoder"] != "federated"].replace({"encoder": {"pooled": "federated"}}), ["share"],
        made_designs.described(data),
    )  # fmt: skip
    null = null[null["against"] == "random"]
    assert len(null) == 4 and (null["ci_low"] < 0).all() and (null["ci_high"] > 0).all()


def test_more_labels_help_where_there_is_something_to_learn() -> None:
    data = made_designs.made_task(patients=96)
    table = label_efficiency(made_designs.seen_by(data, 2.0, size=40), (0.1, 1.0), 5, 0)
    found = condition_table(table, ["share"], made_designs.described(data))
    values = found[found["task"] == "macro_average"].set_index("share")["estimate"]
    assert values[1.0] > values[0.1]


def test_the_average_counts_the_tasks_that_averages_count() -> None:
    mass, finding = made_designs.made_task(), made_designs.made_task(made_designs.CLASSES, classes=3)
    looks = [made_designs.seen_by(mass, 2.0), made_designs.seen_by(finding, 0.5)]
    table = pd.concat([label_efficiency(look, (1.0,), 1, 0) for look in looks])
    said = made_designs.described(mass, finding)
    both = condition_table(table, ["share"], said).set_index("task")["estimate"]
    said["finding"]["averaged"] = False
    one = condition_table(table, ["share"], said).set_index("task")["estimate"]
    assert both["macro_average"] == pytest.approx((both["mass"] + both["finding"]) / 2)
    assert one["macro_average"] == one["mass"] == both["mass"] != both["finding"] == one["finding"]


def test_what_leaves_too_few_patients_is_left_out_with_its_reason() -> None:
    data = made_designs.made_task(patients=24)
    why = left_out_labels(data, (0.01, 0.5, 1.0), (1, 16), 2, 0)
    assert set(why) == {"1% of patients", "16 patients a class"}
    assert "0 patients with the finding, at least 2 needed" in why["1% of patients"]
    assert "6 training patients in a class, 16 needed" in why["16 patients a class"]
    look = made_designs.seen_by(data, 1.0)
    assert set(label_efficiency(look, (0.01, 1.0), 2, 0)["share"]) == {1.0}
    empty = few_shot(look, (16,), 2, 0)
    assert empty.empty and {"shots", "labelled", "score", "answer"} <= set(empty.columns)


def test_few_shot_is_not_asked_where_images_have_several_answers() -> None:
    data = made_designs.made_task(made_designs.LABELS, patients=48, classes=4)
    assert "several answers at once" in left_out_labels(data, (), (2,), 1, 0)["2 patients a class"]
    assert few_shot(made_designs.seen_by(data, 1.0), (2,), 1, 0).empty
    found = label_efficiency(made_designs.seen_by(data, 2.0), (1.0,), 1, 0)
    assert set(found["answer"]) == {"mass", "calcification"}
    assert len(found) == 2 * found["image_id"].nunique()


def test_one_patient_a_class_takes_the_default_penalty_and_still_ranks() -> None:
    data = made_designs.made_task(patients=48)
    table = few_shot(made_designs.seen_by(data, 6.0, size=4), (1,), 3, 0)
    assert set(table["labelled"]) == {2} and table["score"].between(0, 1).all()
    values = condition_table(table, ["shots"], made_designs.described(data))
    assert values["estimate"].min() > 0.8


def test_inner_groups_are_patients_and_as_many_as_the_rarest_answer_allows() -> None:
    patients = np.array(["a", "a", "b", "c", "d", "e", "f"])
    answers = np.array([[1], [1], [1], [1], [0], [0], [0]])
    turn = inner_turn(answers, patients, np.arange(7), np.array([]), "test")
    assert len(turn.selection) == 3
    for fit, held in turn.selection:
        assert not set(patients[fit]) & set(patients[held])
        assert set(answers[held, 0]) == {0, 1}
    assert inner_turn(answers[2:5], patients[2:5], np.arange(3), np.array([]), "test").selection == ()
    assert "1 patient without" in why_not_trainable(answers[:5], patients[:5])


def test_the_quick_choice_solves_the_same_problem_as_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    for count, size in ((10, 40), (60, 12)):
        features = generator.normal(size=(count, size))
        truth = (features[:, 0] + generator.normal(size=count) > 0).astype(int)
        asked = generator.normal(size=(7, size))
        standard, mean, deviation = features, features.mean(axis=0), features.std(axis=0)
        found = path_scores(features, truth, asked)
        for penalty, logits in zip(PENALTIES, found):
            model = LogisticRegression(C=penalty, class_weight="balanced", tol=1e-10, max_iter=10000)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit((standard - mean) / deviation, truth)
            expected = model.decision_function((asked - mean) / deviation)
            assert np.abs(logits - expected).max() < 1e-3 * max(1.0, np.abs(expected).max())


def test_without_a_choice_the_penalty_is_the_default() -> None:
    turn = Turn(np.arange(4), ((np.array([0, 1]), np.array([2])),), np.array([3]), "test")
    assert choose_penalty(np.eye(4), np.array([[1], [1], [0], [0]]), turn) == 1e-3
