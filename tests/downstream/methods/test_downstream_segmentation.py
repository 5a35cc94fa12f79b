from __future__ import annotations

import made_tasks
import numpy as np
import pytest
import torch

from ultrafm.downstream.methods.features import extract_patch_features
from ultrafm.downstream.methods.segmentation import (
    PENALTIES,
    PatchHead,
    choose_threshold,
    dice,
    draw,
    fine_tune_segmentation,
    fit_head,
    fitting_rows,
    head_shares,
    ridge_solutions,
    segmentation_loss,
)
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, turns


def test_dice_by_hand():
    truth = np.array([[[1, 1], [0, 0]]] * 4)
    prediction = np.array([[[1, 1], [0, 0]], [[1, 0], [1, 0]], [[0, 0], [1, 1]], [[1, 1], [1, 1]]])
    assert dice(prediction, truth).tolist() == pytest.approx([1, 1 / 2, 0, 2 / 3])


def test_dice_of_empty_masks():
    empty, full = np.zeros((3, 3)), np.ones((3, 3))
    assert dice(empty, empty) == 1 and dice(empty, full) == 0 and dice(full, empty) == 0


def test_a_perfect_prediction_costs_nothing_so_the_sigmoid_is_applied_once():
    truth = torch.zeros(2, 1, 8, 8)
    truth[:, :, 2:5, 2:5] = 1
    assert segmentation_loss(40 * (2 * truth - 1), truth).item() == pytest.approx(0, abs=1e-5)
    assert segmentation_loss(-40 * (2 * truth - 1), truth).item() > 1


def test_threshold_is_the_best_one_and_ties_go_to_one_half():
    truth = np.zeros((2, 4, 4), dtype=int)
    truth[:, :2] = 1
    assert choose_threshold(truth * 0.37, truth) == 0.35
    assert choose_threshold(truth * 0.95, truth) == 0.5


def test_smoothing_keeps_a_flat_picture_flat_and_patches_in_their_place():
    head = PatchHead(torch.zeros(2), torch.ones(2), 4)
    with torch.no_grad():
        head.linear.weight.zero_(), head.linear.bias.zero_()
        head.linear.weight[:, 0] = 1
        flat = head(torch.ones(1, 4, 2))
        corner = head(torch.tensor([[[1.0, 0], [0, 0], [0, 0], [0, 0]]]))
    assert flat.shape == (1, 1, 8, 8) and flat.numpy() == pytest.approx(1)
    assert corner[0, 0, 1, 1] == 1 and corner[0, 0, 6, 6] == 0 and corner[0, 0, 1, 6] == 0


def test_ridge_solutions_solve_their_equations():
    generator = np.random.default_rng(0)
    tokens, pixels = generator.normal(size=(50, 6)), generator.normal(size=(50, 3))
    for penalty, weights in zip(PENALTIES, ridge_solutions(tokens, pixels)):
        assert tokens.T @ (tokens @ weights - pixels) + penalty * weights == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("design", [FIXED_FOLDS, CROSS_VALIDATION])
def test_rows_for_choosing_are_neither_fitted_on_nor_predicted(design):
    data = made_tasks.made_segmentation(np.random.default_rng(0), design)
    for turn in turns(data):
        parts = [set(data.patients[rows]) for rows in (*fitting_rows(turn), turn.predict)]
        assert all(parts) and not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


@pytest.mark.parametrize("design", [FIXED_FOLDS, CROSS_VALIDATION])
def test_discs_are_drawn_and_test_masks_change_nothing(design):
    data, encoder = made_tasks.made_segmentation(np.random.default_rng(0), design), made_tasks.tiny_encoder()
    features, turn = extract_patch_features(encoder, data.images), turns(data)[0]
    head = fit_head(features, data, turn, 8)
    masks = draw(head, features, data, turn)
    assert masks.shape == (len(turn.predict), 32, 32) and set(np.unique(masks)) <= {0, 1}
    assert dice(masks, data.truth[turn.predict]).mean() > 0.6
    _, held = fitting_rows(turn)
    shares = head_shares(head, features[held])
    assert choose_threshold(shares, data.truth[held]) in (0.45, 0.5, 0.55)  # the cut is folded into the head
    hidden = data.truth.copy()
    hidden[turn.predict] = 0
    blind = type(data)(**{**vars(data), "truth": hidden})
    again = fit_head(features, blind, turn, 8)
    assert (draw(again, features, blind, turn) == masks).all()


def test_fine_tuning_is_deterministic_blind_to_test_masks_and_usable():
    data, encoder = made_tasks.made_segmentation(np.random.default_rng(0)), made_tasks.tiny_encoder()
    (turn,) = turns(data)
    features = extract_patch_features(encoder, data.images)
    head = fit_head(features, data, turn, 8)
    before = draw(head, features, data, turn)
    masks = fine_tune_segmentation(encoder, head, data, turn, 3, "fp32", torch.Generator().manual_seed(1))
    hidden = data.truth.copy()
    hidden[turn.predict] = 0
    blind = type(data)(**{**vars(data), "truth": hidden})
    again = fine_tune_segmentation(encoder, head, blind, turn, 3, "fp32", torch.Generator().manual_seed(1))
    assert (masks == again).all()
    assert (draw(head, features, data, turn) == before).all()  # neither encoder nor head was changed
    assert dice(masks, data.truth[turn.predict]).mean() > 0.6
