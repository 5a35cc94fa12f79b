"""Precision, attention and compiling: chosen by the device, told, and without effect on what is computed."""

import copy

import numpy as np
import pytest
import torch

from ultrafm import processor
from ultrafm.pretraining import precision
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.loop import make_optimizer, prepare, train
from ultrafm.pretraining.recipe import Recipe, build_model, decide_precision, recipe_of_size
from ultrafm.pretraining.scans import as_scans

CPU, CARD = torch.device("cpu"), torch.device("cuda")
TINY = Recipe(image_size=32, width=32, depth=1, heads=2, decoder_width=16, decoder_depth=1, batch_size=4)


def has_bf16(monkeypatch, answer):
    monkeypatch.setattr(precision, "processor_has_bf16", lambda: answer)
    monkeypatch.setattr(processor, "processor_has_bf16", lambda: answer)


def test_a_recipe_says_in_what_precision_it_is_trained(monkeypatch):
    paper = recipe_of_size("base", image_size=224, batch_size=8, precision="auto")
    small = recipe_of_size("laptop", batch_size=4, precision="auto")
    has_bf16(monkeypatch, True)
    assert decide_precision(paper, CPU).precision == "bf16" and decide_precision(small, CPU).precision == "fp32"
    pooled = recipe_of_size("laptop", batch_size=16, precision="auto")
    assert decide_precision(pooled, CPU).precision == "bf16"
    assert decide_precision(pooled, CPU, smallest_step=4).precision == "fp32"
    assert decide_precision(pooled, CPU, smallest_step=4).batch_size == 16
    has_bf16(monkeypatch, False)
    assert decide_precision(paper, CPU).precision == "fp32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert decide_precision(small, CARD).precision == "bf16"
    assert decide_precision(Recipe(precision="fp32"), CARD).precision == "fp32"


def test_the_facts_of_a_run_say_what_auto_comes_to(monkeypatch):
    has_bf16(monkeypatch, True)
    assert "bf16 where a step gains" in processor.describe_precision("auto")
    has_bf16(monkeypatch, False)
    assert processor.describe_precision("auto") == "auto: fp32 (no bf16 here)"
    assert processor.describe_precision("fp32") == "fp32"


def test_attention_is_fused_where_that_is_faster_and_computes_the_same():
    model = build_model(TINY, 0).eval()
    pictures, keep, wanted = torch.rand(2, 1, 32, 32), torch.tensor([[0, 5]] * 2), torch.tensor([[1, 2]] * 2)
    found = []
    for chosen in ("fp32", "bf16"):
        precision.choose_attention(model, chosen, CPU)
        fused = {block.attn.fused_attn for block in (*model.encoder.blocks, *model.decoder)}
        assert fused == {chosen == "fp32"}
        found.append(model(pictures, keep, wanted))
    assert torch.allclose(*found, atol=1e-6)
    precision.choose_attention(model, "bf16", CARD)
    assert model.decoder[0].attn.fused_attn


def test_bf16_is_close_to_full_precision():
    scans = as_scans(np.random.default_rng(0).integers(0, 256, (8, 32, 32), dtype=np.uint8), np.ones((8, 32, 32), bool))
    losses = []
    for chosen in ("fp32", "bf16"):
        recipe = Recipe(**{**TINY.settings(), "precision": chosen})
        model = build_model(recipe, 0)
        generator = torch.Generator().manual_seed(0)
        batches = [np.arange(8)] * 5
        optimizer = make_optimizer(model, 0.05)
        losses.append(train(model, optimizer, scans, batches, lambda _: 1e-3, GreyScale(0.5, 0.3), recipe, generator))
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.01)


def test_what_is_compiled(monkeypatch):
    model = build_model(TINY, 0)
    compiled = []
    monkeypatch.setattr(type(model), "compile", lambda self, dynamic: compiled.append(dynamic))
    monkeypatch.setattr(precision, "can_compile", lambda device: True)
    ask = precision.compile_model
    assert not ask(model, "off", CARD, 10**9, True) and not ask(model, "auto", CPU, 1000, True) and not compiled
    assert ask(model, "auto", CARD, 1000, True) and ask(model, "auto", CPU, 1 << 20, True)
    assert compiled == [False, False]
    assert not ask(model, "auto", CARD, 1000, False), "unequal numbers of patches"
    with pytest.warns(UserWarning, match="unequal numbers"):
        ask(model, "on", CPU, 1000, False)
    monkeypatch.setattr(precision, "can_compile", lambda device: False)
    with pytest.warns(UserWarning, match="no compiler for cpu"):
        assert not ask(model, "auto", CPU, 1 << 20, True)
    with pytest.warns(UserWarning, match="no compiler for cpu; training goes on uncompiled"):
        assert not ask(model, "on", CPU, 1000, True)
    assert compiled == [False, False]


@pytest.mark.slow
@pytest.mark.skipif(not precision.can_compile(CPU), reason="no C++ compiler on this machine")
def test_a_compiled_step_learns_as_an_uncompiled_one():
    scans = as_scans(np.random.default_rng(0).integers(0, 256, (6, 32, 32), dtype=np.uint8), np.ones((6, 32, 32), bool))
    start = build_model(TINY, 0)
    losses = []
    for compiled in ("off", "on"):
        recipe = Recipe(**{**TINY.settings(), "compiled": compiled})
        model = copy.deepcopy(start)
        batches = [np.arange(4), np.arange(4, 6), np.arange(4)]  # the small one goes uncompiled
        optimizer, generator = make_optimizer(model, 0.05), torch.Generator().manual_seed(0)
        assert prepare(model, recipe, CPU) == "fp32"
        losses.append(train(model, optimizer, scans, batches, lambda _: 1e-3, GreyScale(0.5, 0.3), recipe, generator))
        assert (model._compiled_call_impl is not None) == (compiled == "on")
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
