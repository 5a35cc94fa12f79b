from __future__ import annotations

import made_tasks
import numpy as np
import pytest
import torch

from ultrafm.downstream.methods.drawing import (
    choose_threshold,
    choose_thresholds,
    dice,
    draw,
    fitting_rows,
    label_map,
    mean_dice,
    structure_masks,
)
from ultrafm.downstream.methods.features import extract_patch_features
from ultrafm.downstream.methods.patch_head import (
    PENALTIES,
    PatchHead,
    cell_of,
    cell_pixels,
    fit_head,
    head_shares,
    ridge_solutions,
)
from ultrafm.downstream.methods.segmentation import fine_tune_segmentation, segmentation_loss
from ultrafm.downstream.tasks import CROSS_VALIDATION, FIXED_FOLDS, TaskData, Turn, turns
from ultrafm.errors import UltraFMError


def drawn(head: PatchHead, features: np.ndarray, data: TaskData, turn: Turn) -> np.ndarray:
    return draw(lambda rows: head_shares(head, features[rows]), data, turn).masks


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
    head = fit_head(features, data, turn)
    masks = drawn(head, features, data, turn)
    assert masks.shape == (len(turn.predict), 32, 32) and set(np.unique(masks)) <= {0, 1}
    assert dice(masks, data.truth[turn.predict]).mean() > 0.6
    _, held = fitting_rows(turn)
    shares = head_shares(head, features[held])
    assert choose_threshold(shares[:, 0], data.truth[held]) in (0.45, 0.5, 0.55)  # the cut is folded into the head
    hidden = data.truth.copy()
    hidden[turn.predict] = 0
    blind = type(data)(**{**vars(data), "truth": hidden})
    again = fit_head(features, blind, turn)
    assert (drawn(again, features, blind, turn) == masks).all()


def test_fine_tuning_is_deterministic_blind_to_test_masks_and_usable():
    data, encoder = made_tasks.made_segmentation(np.random.default_rng(0)), made_tasks.tiny_encoder()
    (turn,) = turns(data)
    features = extract_patch_features(encoder, data.images)
    head = fit_head(features, data, turn)
    before = drawn(head, features, data, turn)
    masks = fine_tune_segmentation(encoder, head, data, turn, 3, "fp32", torch.Generator().manual_seed(1)).masks
    hidden = data.truth.copy()
    hidden[turn.predict] = 0
    blind = type(data)(**{**vars(data), "truth": hidden})
    again = fine_tune_segmentation(encoder, head, blind, turn, 3, "fp32", torch.Generator().manual_seed(1)).masks
    assert (masks == again).all()
    assert (drawn(head, features, data, turn) == before).all()  # neither encoder nor head was changed
    assert dice(masks, data.truth[turn.predict]).mean() > 0.6


def test_structures_are_numbered_and_the_surest_one_has_the_pixel():
    truth = np.array([[[0, 1], [2, 2]]])
    masks = structure_masks(truth, 2)
    assert masks[0, 0].tolist() == [[0, 1], [0, 0]] and masks[0, 1].tolist() == [[0, 0], [1, 1]]
    shares = np.array([[[[0.2, 0.9], [0.6, 0.3]], [[0.1, 0.8], [0.9, 0.4]]]])
    assert label_map(shares, np.array([0.5, 0.4])).tolist() == [[[0, 1], [2, 2]]]  # a tie goes to the first
    assert label_map(shares, np.array([0.5, 0.35])).tolist() == [[[0, 2], [2, 2]]]
    assert choose_thresholds(np.stack([masks * 0.37], 0)[0], masks).tolist() == [0.35, 0.35]
    assert mean_dice(truth, truth, 2) == 1 and mean_dice(truth * 0, truth, 2) == 0


def test_several_structures_are_drawn_and_held_out_images_come_too():
    data, encoder = made_tasks.made_structures(np.random.default_rng(0)), made_tasks.tiny_encoder()
    (turn,), features = turns(data), extract_patch_features(encoder, data.images)
    head = fit_head(features, data, turn)
    found = draw(lambda rows: head_shares(head, features[rows]), data, turn)
    assert set(np.unique(found.masks)) == {0, 1, 2} and mean_dice(found.masks, data.truth[turn.predict], 2) > 0.6
    assert (found.held == turn.selection[0][1]).all() and found.held_masks.shape == (len(found.held), 32, 32)
    tuned = fine_tune_segmentation(encoder, head, data, turn, 2, "fp32", torch.Generator().manual_seed(0))
    assert mean_dice(tuned.masks, data.truth[turn.predict], 2) > 0.6


def test_images_that_were_fitted_on_are_no_held_out_ones():
    data, encoder = made_tasks.made_segmentation(np.random.default_rng(0)), made_tasks.tiny_encoder()
    turn, features = Turn(np.arange(20), (), np.arange(20, 30), "test"), extract_patch_features(encoder, data.images)
    head = fit_head(features, data, turn)
    assert len(draw(lambda rows: head_shares(head, features[rows]), data, turn).held) == 0


@pytest.mark.parametrize(("side", "patch"), [(64, 16), (48, 16), (32, 4)])
def test_an_encoder_of_other_patches_draws_at_the_size_of_the_pictures(side, patch):
    data = made_tasks.made_segmentation(np.random.default_rng(0))
    encoder, (turn,) = made_tasks.tiny_encoder(img_size=side, patch_size=patch), turns(data)
    features = extract_patch_features(encoder, data.images)
    masks = drawn(fit_head(features, data, turn), features, data, turn)
    assert masks.shape == (len(turn.predict), 32, 32) and dice(masks, data.truth[turn.predict]).mean() > 0.5


def test_cells_cover_the_picture_and_hold_its_pixels():
    assert [cell_of(*sizes) for sizes in ((64, 64), (64, 196), (32, 16))] == [8, 5, 8]
    masks = np.zeros((1, 1, 8, 8), np.uint8)
    masks[0, 0, :4, 4:] = 1
    assert cell_pixels(masks, 4, 4).tolist() == [[0.0] * 16, [1.0] * 16, [0.0] * 16, [0.0] * 16]
    assert cell_pixels(masks, 3, 9).shape == (9, 9) and cell_pixels(masks, 3, 9).mean() == pytest.approx(0.25, abs=0.02)


def test_broken_features_are_a_clear_error():
    data = made_tasks.made_segmentation(np.random.default_rng(0))
    features = np.zeros((48, 16, 4), np.float32)
    features[0] = np.nan
    with pytest.raises(UltraFMError, match="patch features of the training images: found NaN"):
        fit_head(features, data, turns(data)[0])
    with pytest.raises(UltraFMError, match="probabilities of pixels: found NaN"):
        draw(lambda rows: np.full((len(rows), 1, 32, 32), np.nan), data, turns(data)[0])
