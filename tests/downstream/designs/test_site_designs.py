"""Designs across sites: who trains and who is asked, an effect that sites share and one that they do not, few sites."""

import made_designs
import numpy as np
import pandas as pd
import pytest
import timm
import torch

from ultrafm.downstream.designs.asking import Look
from ultrafm.downstream.designs.federated_tuning import (
    fit_head,
    joined_weights,
    let_move,
    tune_blocks,
    tune_together_or_alone,
)
from ultrafm.downstream.designs.settings import ALONE, FEDERATED, POOLED, Tuning
from ultrafm.downstream.designs.sites import leave_one_site_out, left_out_sites, site_matrix, why_not_site
from ultrafm.downstream.designs.summaries import (
    WITHIN_SITES,
    change_table,
    condition_table,
    elsewhere_changes,
    tuning_table,
)
from ultrafm.downstream.methods.probe import DEFAULT_PENALTY, fit_probe
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, TaskData

DESIGNS = (FIXED_FOLDS, CROSS_VALIDATION)
HEAD_ONLY = Tuning(rounds=20, local_steps=3, blocks=0)


def asked_of(data: TaskData) -> set[str]:
    return set(data.table["image_id"][data.table["fold"].isin(["test", "evaluation"])])


def sites_against_each_other(data: TaskData) -> Look:
    """A finding that shows at site 1 as a higher value, at all others as a lower one."""
    sign = np.where(data.table["site"] == "site_01_x", 1, -1)
    features = np.random.default_rng(0).normal(size=(len(sign), 6))
    features[:, 0] += 3 * sign * (2 * data.truth - 1)
    return Look(data, "federated", features.astype(np.float32))


@pytest.mark.parametrize("design", DESIGNS)
def test_a_site_left_out_is_asked_whole_and_trains_nothing(design: str) -> None:
    data = made_designs.made_task(sites=3, design=design)
    table = leave_one_site_out(made_designs.seen_by(data, 2.0))
    for trained, rows in table.groupby("trained_on"):
        assert sorted(rows["image_id"]) == sorted(asked_of(data))
        assert (rows["site"] == rows["held_out_site"]).all()
        # 48 patients a site: half train with fixed folds; else all of other sites, or two thirds of all sites
        expected = {
            "other sites": {48} if design == FIXED_FOLDS else {96},
            "all sites": {72} if design == FIXED_FOLDS else {96},
        }
        assert set(rows["labelled"]) == expected[trained]


def test_labels_of_the_site_left_out_do_not_matter_for_it() -> None:
    data = made_designs.made_task(sites=3)
    look = made_designs.seen_by(data, 2.0)
    here = (data.table["site"] == "site_02_x").to_numpy()
    spoilt = TaskData(**{**vars(data), "truth": np.where(here, 1 - data.truth, data.truth)})
    first, other = (
        leave_one_site_out(one).query("held_out_site == 'site_02_x' and trained_on == 'other sites'")
        for one in (look, Look(spoilt, look.encoder, look.features))
    )
    assert (
        np.array_equal(first["score"], other["score"])
        and (first["truth"].to_numpy() != other["truth"].to_numpy()).all()
    )


@pytest.mark.parametrize("design", DESIGNS)
def test_the_matrix_has_every_pair_and_the_diagonal_other_patients(design: str) -> None:
    data = made_designs.made_task(sites=2, design=design)
    table = site_matrix(made_designs.seen_by(data, 2.0))
    assert len(table.groupby(["train_site", "test_site"])) == 4
    for (train, test), rows in table.groupby(["train_site", "test_site"]):
        assert sorted(rows["image_id"]) == sorted(one for one in asked_of(data) if one.startswith(test))
        # no patient of the diagonal's probe is asked: 48 patients less the third (or the two of six folds) that is
        own = {FIXED_FOLDS: 24, CROSS_VALIDATION: 32 if train == test else 48}[design]
        assert set(rows["labelled"]) == {own}


@pytest.mark.parametrize("design", DESIGNS)
def test_sites_that_contradict_each_other_are_found_out(design: str) -> None:
    data = made_designs.made_task(sites=2, design=design)
    table = site_matrix(sites_against_each_other(data))
    cells = condition_table(table, ["train_site", "test_site"], made_designs.described(data))
    values = cells[cells["task"] == "mass"].set_index(["train_site", "test_site"])["estimate"]
    assert values["site_01_x", "site_01_x"] > 0.95 and values["site_01_x", "site_02_x"] < 0.05
    away = elsewhere_changes(table, made_designs.described(data))
    assert (away["ci_high"] < -0.5).all() and set(away["against"]) == {"own site"} and len(away) == 2


def test_a_finding_that_sites_share_costs_nothing_to_take_along() -> None:
    data = made_designs.made_task(sites=3)
    table = leave_one_site_out(made_designs.seen_by(data, 2.5))
    lost = change_table(table, ["trained_on"], {"trained_on": "all sites"}, made_designs.described(data), WITHIN_SITES)
    average = lost[lost["task"] == "macro_average"].iloc[0]
    assert average["ci_low"] < 0 < average["ci_high"] and abs(average["estimate"]) < 0.05


def test_one_site_or_one_class_at_a_site_is_said_and_not_asked() -> None:
    data = made_designs.made_task(sites=1)
    assert left_out_sites(data) == {"designs across sites": "one site only"}
    assert leave_one_site_out(made_designs.seen_by(data, 1.0)).empty
    assert site_matrix(made_designs.seen_by(data, 1.0)).empty
    assert tune_together_or_alone(made_designs.seen_by(data, 1.0), HEAD_ONLY, 0).empty
    data = made_designs.made_task(sites=2)
    healthy = TaskData(**{**vars(data), "truth": np.where(data.table["site"] == "site_02_x", 0, data.truth)})
    assert "0 patients with the finding" in why_not_site(healthy, "site_02_x")
    assert why_not_site(healthy, "site_01_x") is None
    assert "fewer than two sites" in left_out_sites(healthy)["designs across sites"]
    assert site_matrix(made_designs.seen_by(healthy, 1.0)).empty


def test_a_site_of_one_class_is_not_asked_but_trains_with_the_others() -> None:
    data = made_designs.made_task(sites=3)
    healthy = TaskData(**{**vars(data), "truth": np.where(data.table["site"] == "site_03_x", 0, data.truth)})
    table = leave_one_site_out(made_designs.seen_by(healthy, 1.0))
    assert set(table["held_out_site"]) == {"site_01_x", "site_02_x"}
    assert set(table.loc[table["trained_on"] == "other sites", "labelled"]) == {48}
    tuned = tune_together_or_alone(made_designs.seen_by(healthy, 1.0), HEAD_ONLY, 0)
    assert set(tuned["site"]) == {"site_01_x", "site_02_x"}


def test_joined_weights_are_the_mean_by_images() -> None:
    old = np.zeros(3, np.float32)
    found = joined_weights(old, [np.array([1, 0, 4], np.float32), np.array([4, 0, 1], np.float32)], [10, 20])
    assert found == pytest.approx([3, 0, 2]) and found.dtype == np.float32


@pytest.mark.parametrize(("task", "classes"), [(made_designs.BINARY, 2), (made_designs.CLASSES, 3)])
def test_one_local_step_a_round_is_pooled_gradient_descent(task, classes: int) -> None:
    data = made_designs.made_task(task, sites=3, classes=classes)
    look = made_designs.seen_by(data, 1.0)
    sites = data.table["site"].to_numpy()
    parts = {
        str(site): np.flatnonzero(sites == site)[: 20 + 10 * number] for number, site in enumerate(np.unique(sites))
    }
    rows = np.concatenate(list(parts.values()))
    # the step's length is agreed on by the steepest part, so both take the same one only when it is given by one part
    apart = fit_head(look.features, look.answers, parts, 400, 1, **look.data.relation)
    whole = fit_head(look.features, look.answers, {"all": rows}, 400, 1, **look.data.relation)
    assert np.allclose(apart.score(look.features), whole.score(look.features), atol=1e-6)


def test_the_pooled_head_is_the_probe_of_the_default_penalty() -> None:
    data = made_designs.made_task(sites=1)
    look = made_designs.seen_by(data, 1.0)
    rows = np.arange(60)
    head = fit_head(look.features, look.answers, {"all": rows}, 500, 1)
    probe = fit_probe(look.features[rows], look.answers[rows], DEFAULT_PENALTY)
    assert np.allclose(head.score(look.features), probe.score(look.features), atol=1e-3)


@pytest.mark.parametrize("design", DESIGNS)
def test_every_way_of_training_answers_for_every_site_once(design: str) -> None:
    data = made_designs.made_task(sites=2, design=design)
    table = tune_together_or_alone(made_designs.seen_by(data, 2.0), HEAD_ONLY, 0)
    assert set(table["trained"]) == {POOLED, FEDERATED, ALONE}
    for trained, rows in table.groupby("trained"):
        assert sorted(rows["image_id"]) == sorted(asked_of(data))
        assert ((rows["train_site"] == rows["site"]) if trained == ALONE else (rows["train_site"] == "all")).all()


def test_together_beats_alone_where_sites_are_small_and_agree() -> None:
    data = made_designs.made_task(sites=4, patients=24, each=1)
    looks = [made_designs.seen_by(data, 1.2, name, seed, 40) for name, seed in (("federated", 0), ("random", 1))]
    table = pd.concat([tune_together_or_alone(look, HEAD_ONLY, 0) for look in looks])
    found = tuning_table(table, made_designs.described(data)).query("task == 'macro_average'")
    gained = found[found["against"] == ALONE]
    assert len(gained) == 2 and (gained["estimate"] > 0).all()
    close = found[found["against"] == POOLED]
    assert len(close) == 2 and (close["estimate"].abs() < 0.05).all()


def tiny() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = {
            "img_size": made_designs.SIDE,
            "patch_size": 8,
            "in_chans": 1,
            "embed_dim": 12,
            "depth": 3,
            "num_heads": 2,
        }
        encoder = timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool="token", **settings)
    encoder.pretrained_cfg = {**encoder.pretrained_cfg, "mean": (0.3,), "std": (0.2,)}
    return encoder.eval()


def test_only_the_last_blocks_move_and_the_encoder_given_stays() -> None:
    data, encoder = made_designs.made_task(sites=2, patients=12), tiny()
    look = made_designs.seen_by(data, 1.0, size=24)
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    parts = {site: np.flatnonzero(data.table["site"] == site) for site in ("site_01_x", "site_02_x")}
    head = fit_head(look.features, look.answers, parts, 5, 1)
    tuned = tune_blocks(encoder, head, look, parts, Tuning(blocks=1, block_rounds=2), seed=0)
    again = tune_blocks(encoder, head, look, parts, Tuning(blocks=1, block_rounds=2), seed=0)
    moved = {name for name, weight in tuned.encoder.state_dict().items() if not torch.equal(weight, before[name])}
    assert moved and {name.split(".")[0] + "." + name.split(".")[1] for name in moved} <= {
        "blocks.2",
        "norm.weight",
        "norm.bias",
    }
    assert all(torch.equal(weight, before[name]) for name, weight in encoder.state_dict().items())
    rows = np.arange(10)
    assert np.array_equal(tuned.score(data, rows), again.score(data, rows))


def test_no_block_or_all_blocks_may_move() -> None:
    for blocks, expected in ((0, 0), (1, 1), (3, 3)):
        encoder = tiny()
        let_move(encoder, blocks)
        assert sum(next(block.parameters()).requires_grad for block in encoder.blocks) == expected
        assert not encoder.cls_token.requires_grad and encoder.norm.weight.requires_grad
