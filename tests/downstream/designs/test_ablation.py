"""The ablation of pre-training: which arms there are, that no test fold is read, and hand-computed tables."""

from dataclasses import replace

import made_tasks
import numpy as np
import pandas as pd
import pytest
import small_site

from ultrafm.downstream.designs.ablation import (
    RANDOM,
    Arm,
    all_arms,
    probe_arms,
    repeat_best,
    validation_turns,
)
from ultrafm.downstream.designs.ablation_figures import (
    ablation_figure,
    ablation_style,
    main_effects_figure,
    main_effects_style,
    seeds_style,
)
from ultrafm.downstream.designs.ablation_tables import ablation_table, main_effects, repeat_records
from ultrafm.downstream.records import diagnosis_records
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, describe_tasks
from ultrafm.errors import UltraFMError
from ultrafm.manifests.schema import Task
from ultrafm.pretraining.recipe import Recipe
from ultrafm.reporting.repeats import seeds_table

ARMS = all_arms(["uniform", "texture"], ["none", "correct"], [0.0, 0.5], seed=0)


def screening():
    """Two choices, known numbers."""
    rows = [(arm.choices, 0.6 + 0.01 * number) for number, arm in enumerate(ARMS)]
    table = pd.DataFrame(rows, columns=["choices", "estimate"])
    table = table.assign(ci_low=table.estimate - 0.1, ci_high=table.estimate + 0.1, difference=table.estimate - 0.6)
    table = table.assign(difference_low=table.difference - 0.05, difference_high=table.difference + 0.05)
    return table.assign(images="simulated", fold="validation", seed=0)


def test_every_combination_is_an_arm_and_the_first_is_plain():
    assert len({arm.folder for arm in ARMS}) == 8 and ARMS[0].choices == "uniform, none, clean"
    recipe = ARMS[-1].recipe(Recipe())
    assert (recipe.masking, recipe.scan_conversion, recipe.degraded_share) == ("texture", "correct", 0.5)
    assert ARMS[0].recipe(Recipe()) == Recipe()


def test_the_best_are_repeated_beside_the_reference():
    untrained = screening().iloc[[0]].assign(choices=RANDOM, estimate=0.99)
    again = repeat_best(pd.concat([screening(), untrained]), ARMS, 2, [1, 2])
    assert [arm.choices for arm in again[::2]] == [ARMS[0].choices, ARMS[7].choices, ARMS[6].choices]
    assert [arm.seed for arm in again] == [1, 2] * 3
    with pytest.raises(UltraFMError, match="other seeds"):
        repeat_best(screening(), ARMS, 2, [0, 1])


def test_options_have_names_of_their_own():
    many = all_arms(["uniform", "uniform"], ["none"], [0.0, 0.25, 0.5], seed=0)
    assert [arm.choices for arm in many] == [
        "uniform, none, clean", "uniform, none, degraded 0.25", "uniform, none, degraded 0.5",
    ]  # fmt: skip


def test_no_picture_of_the_test_fold_is_read():
    data = made_tasks.made_diagnosis(np.random.default_rng(0), FIXED_FOLDS, patients=48)
    (turn,) = validation_turns(data, np.random.default_rng(1))
    fold = data.table["fold"].to_numpy()
    assert set(fold[turn.predict]) == {"validation"} and turn.fold == "validation"
    assert set(fold[turn.train]) == {"train"}
    for fit, held in turn.selection:
        assert set(fold[fit]) | set(fold[held]) == {"train"}
        assert not set(data.patients[fit]) & set(data.patients[held])


def test_sets_without_folds_are_cross_validated():
    data = made_tasks.made_diagnosis(np.random.default_rng(0), CROSS_VALIDATION)
    found = validation_turns(data, np.random.default_rng(1))
    assert sorted(np.concatenate([turn.predict for turn in found])) == list(range(len(data.table)))
    assert {turn.fold for turn in found} == {"cross-validation"}


def test_a_task_of_several_classes_is_probed_class_by_class_and_left_out_of_the_average(tmp_path):
    data = made_tasks.made_diagnosis(np.random.default_rng(0), patients=48)
    classes = {"none": ("a",), "some": ("b",), "much": ("c",)}
    grades = np.repeat(np.arange(48) // 8 % 3, 2)
    images = (data.images // 2 + 40 * grades[:, None, None]).astype(np.uint8)
    task = Task(name="finding", kind="diagnosis", organ="breast", classes=classes)
    asked = {data.task.name: data, "finding": replace(data, task=task, truth=grades, images=images)}
    encoder = small_site.write_encoder(tmp_path / "encoder")
    scores = probe_arms(asked, {RANDOM: encoder}, 0)
    held = int((data.table["fold"] == "validation").sum())
    assert scores.groupby(["task", "answer"]).size().to_dict() == {
        (data.task.name, data.answers[0]): held, ("finding", "none"): held, ("finding", "some"): held,
        ("finding", "much"): held,
    }  # fmt: skip
    sums = scores[scores["task"] == "finding"].groupby("image_id")["score"].sum()
    assert np.allclose(sums, 1) and set(scores["fold"]) == {"validation"}
    records = diagnosis_records(scores, describe_tasks(asked), np.random.default_rng(1), 50, "ablation")
    found = {row["task"]: row["estimate"] for row in records if row["metric"] == "auroc" and row["level"] is None}
    assert found["macro_average"] == found[data.task.name] and found["finding"] > 0.9


def test_the_table_holds_differences_from_the_reference():
    scores = made_scores({ARMS[0].name: 1.0, ARMS[1].name: 3.0, RANDOM: 0.0})
    records = diagnosis_records(
        scores, {"t": {"images": "simulated"}}, np.random.default_rng(1), 50, "ablation", ARMS[0].name
    )
    table = ablation_table(records, ARMS).set_index("choices")
    assert list(table.index) == [ARMS[1].choices, ARMS[0].choices, RANDOM], "best first"
    for choices in (ARMS[1].choices, RANDOM):
        row = table.loc[choices]
        assert row["difference"] == pytest.approx(row["estimate"] - table.loc[ARMS[0].choices, "estimate"])
        assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert np.isnan(table.loc[ARMS[0].choices, "difference"])
    with pytest.raises(UltraFMError, match="no macro average"):
        ablation_table([], ARMS)


def test_repeats_are_paired_by_seed():
    rows = [("plain", 0, 0.60), ("plain", 1, 0.70), ("better", 0, 0.64), ("better", 1, 0.72)]
    found = seeds_table(pd.DataFrame(rows, columns=["choices", "seed", "estimate"]), "plain").set_index("choices")
    better = found.loc["better"]
    assert better["mean"] == pytest.approx(0.68) and (better["lowest"], better["highest"]) == (0.64, 0.72)
    # differences 0.04 and 0.02: mean 0.03, deviation 0.01414, Student's t with one degree of freedom 12.706
    assert better["difference"] == pytest.approx(0.03)
    assert better["difference_high"] == pytest.approx(0.03 + 12.706 * 0.01414 / 2**0.5, abs=1e-4)
    assert np.isnan(found.loc["plain", "difference"])


def test_one_seed_has_no_interval():
    rows = [("plain", 0, 0.60), ("better", 0, 0.64)]
    found = seeds_table(pd.DataFrame(rows, columns=["choices", "seed", "estimate"]), "plain")
    assert found["difference_low"].isna().all()


def made_scores(strengths):
    """Scores of a task of 40 patients by each named encoder, the better the stronger."""
    generator, truth = np.random.default_rng(0), np.arange(40) % 2
    base = pd.DataFrame({"image_id": range(40), "site": "s", "patient": [f"p{one}" for one in range(40)]})
    return pd.concat(
        [
            base.assign(
                task="t", method="linear_probe", encoder=name, fold="validation", truth=truth,
                score=truth * strength + generator.normal(size=40),
            )
            for name, strength in strengths.items()
        ]
    )  # fmt: skip


def test_a_main_effect_is_the_mean_over_the_other_choices():
    scores = made_scores({arm.name: 2.0 if arm.masking == "texture" else 0.5 for arm in ARMS} | {RANDOM: 0.0})
    found = main_effects(scores, {"t": {"images": "simulated"}}, ARMS).set_index("option")
    texture, uniform = found.loc["texture"], found.loc["uniform"]
    assert texture["difference"] == pytest.approx(texture["mean"] - uniform["mean"]) and np.isnan(uniform["difference"])
    assert 0 < texture["low"] < texture["difference"] < texture["high"]
    assert found.loc["degraded 0.5", "low"] < 0 < found.loc["degraded 0.5", "high"]
    assert set(found["arms"]) == {4}


def test_repeats_are_compared_with_the_reference_of_their_seed():
    arms = [Arm(masking, "none", 0.0, seed) for masking in ("uniform", "texture") for seed in (1, 2)]
    scores = made_scores({arm.name: 1.0 for arm in arms})
    records = repeat_records(scores, {"t": {"images": "simulated"}}, arms, np.random.default_rng(0))
    pairs = {(row["method"], row["comparator"]) for row in records if row["comparator"]}
    assert pairs == {
        (f"linear_probe/texture, none, clean, seed {seed}", f"linear_probe/uniform, none, clean, seed {seed}")
        for seed in (1, 2)
    }


def test_figures_and_tables_can_be_drawn():
    untrained = screening().iloc[[0]].assign(choices=RANDOM)
    table = pd.concat([screening(), untrained], ignore_index=True)
    assert "simulated" in ablation_figure(table).axes[0].get_title(loc="left")
    assert len(main_effects_figure(table).axes) == 3
    effects = main_effects(made_scores({arm.name: 1.0 for arm in ARMS}), {"t": {"images": "simulated"}}, ARMS)
    assert "degraded 0.5" in main_effects_style(effects).to_html()
    assert "uniform, none, clean" in ablation_style(table).to_html()
    rows = [("plain", 0, 0.60), ("plain", 1, 0.70), ("better", 0, 0.64), ("better", 1, 0.72)]
    by_seed = seeds_table(pd.DataFrame(rows, columns=["choices", "seed", "estimate"]), "plain")
    assert "0.030 [−0.097, 0.157]" in seeds_style(by_seed).to_html()
