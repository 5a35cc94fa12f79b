from __future__ import annotations

import made_tasks
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ultrafm.downstream.methods.features import extract_features
from ultrafm.downstream.methods.finetune import head_from
from ultrafm.downstream.methods.light_tuning import RANK, tune_lightly, with_adapters
from ultrafm.downstream.methods.probe import probe_turn
from ultrafm.downstream.tasks import turns


def test_only_adapters_and_head_get_gradients():
    encoder = made_tasks.tiny_encoder()
    adapted = with_adapters(encoder, torch.Generator().manual_seed(0))
    head = torch.nn.Linear(24, 1)
    head(adapted.model(torch.rand(2, 1, 32, 32))).sum().backward()
    moved = {name for name, weight in adapted.model.named_parameters() if weight.grad is not None}
    assert moved == {
        f"blocks.{block}.attn.{layer}.lora_{side}.default.weight"
        for block in (0, 1)
        for layer in ("qkv", "proj")
        for side in "AB"
    }
    assert head.weight.grad is not None
    learning = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    assert learning == 2 * RANK * ((24 + 72) + (24 + 24))


def test_it_starts_as_the_encoder_and_merging_changes_no_output():
    encoder, pictures = made_tasks.tiny_encoder(), torch.rand(3, 1, 32, 32)
    adapted = with_adapters(encoder, torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(adapted.model.forward_features(pictures), encoder.forward_features(pictures), atol=1e-5)
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(1)).mul_(0.1)
        before = adapted.model.forward_features(pictures)
        merged = adapted.merge_and_unload()
        after = merged.forward_features(pictures)
    assert torch.allclose(before, after, atol=1e-5)
    assert not torch.allclose(after, encoder.forward_features(pictures), atol=1e-2)
    assert merged.state_dict().keys() == encoder.state_dict().keys()  # an ordinary encoder again


def test_the_adapters_depend_on_the_generator_alone():
    first = with_adapters(made_tasks.tiny_encoder(), torch.Generator().manual_seed(0)).state_dict()
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    again = with_adapters(made_tasks.tiny_encoder(), torch.Generator().manual_seed(0)).state_dict()
    assert all((again[name] == weight).all() for name, weight in first.items())
    assert (torch.random.get_rng_state() == before).all()


def test_light_tuning_trains_is_blind_to_test_labels_and_leaves_the_encoder_alone():
    data, encoder = made_tasks.made_diagnosis(np.random.default_rng(0), brightness=40), made_tasks.tiny_encoder()
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    (turn,) = turns(data)
    start = probe_turn(extract_features(encoder, data.images, data.sectors), data.answer_truth, turn)
    flipped = data.truth.copy()
    flipped[turn.predict] = 1 - flipped[turn.predict]
    blind = type(data)(**{**vars(data), "truth": flipped})
    found = [
        tune_lightly(encoder, start, one, turn, 3, "fp32", torch.Generator().manual_seed(0)) for one in (data, blind)
    ]
    scores = [one.score(data, turn.predict) for one in found]
    assert (scores[0] == scores[1]).all() and roc_auc_score(data.truth[turn.predict], scores[0]) > 0.9
    assert all((weight == before[name]).all() for name, weight in encoder.state_dict().items())


def test_no_epoch_is_the_probe_itself():
    data, encoder = made_tasks.made_diagnosis(np.random.default_rng(0), patients=16), made_tasks.tiny_encoder()
    (turn,) = turns(data)
    start = probe_turn(extract_features(encoder, data.images, data.sectors), data.answer_truth, turn)
    tuned = tune_lightly(encoder, start, data, turn, 0, "fp32", torch.Generator())
    features = extract_features(encoder, data.images[turn.predict], data.sectors[turn.predict])
    assert tuned.score(data, turn.predict) == pytest.approx(start.score(features), abs=1e-5)
    assert (tuned.head.weight == head_from(start).weight).all()
