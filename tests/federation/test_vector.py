"""A model's weights as one vector, and the refusal of a model that is laid out otherwise."""

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Message, RecordDict
from torch import nn

from ultrafm.errors import UltraFMError
from ultrafm.federation.arrays import to_record
from ultrafm.federation.client_app import receive_model
from ultrafm.federation.grid import identify_process
from ultrafm.federation.vector import WEIGHTS, as_views, layout, load_vector, to_vector
from ultrafm.pretraining.recipe import Recipe, build_model

SMALL = Recipe(image_size=32, width=32, depth=1, heads=1, decoder_width=32, decoder_depth=1)


def test_a_vector_carries_every_weight_there_and_back():
    sent, received = build_model(SMALL, seed=1), build_model(SMALL, seed=2)
    load_vector(as_views(received), to_vector(sent))
    assert set(sent.state_dict()) == set(layout(sent)["names"]), "nothing but parameters"
    for name, weight in sent.state_dict().items():
        assert torch.equal(weight, received.state_dict()[name]), name


def test_the_vector_has_memory_of_its_own_on_both_sides():
    model = build_model(SMALL, seed=1)
    vector = to_vector(model)
    load_vector(as_views(model), vector)
    vector[:] = 0
    assert to_vector(model).any()


def test_views_and_model_are_one():
    model = build_model(SMALL, seed=1)
    vector = as_views(model)
    before = vector.clone()
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert (vector != before).any()
    vector.zero_()
    assert all(not weight.any() for weight in model.parameters())


def test_layout_names_shapes_in_the_order_of_the_vector():
    model = nn.Linear(2, 3)
    with torch.no_grad():
        model.weight.fill_(1)
        model.bias.fill_(2)
    assert layout(model) == {"names": ["weight", "bias"], "shapes": ["3x2", "3"]}
    assert to_vector(model).tolist() == [1] * 6 + [2] * 3


def test_what_would_not_travel_is_refused():
    with pytest.raises(ValueError, match="running_mean is no parameter"):
        layout(nn.BatchNorm1d(2))


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ValueError, match="expected 4 numbers"):
        load_vector(torch.zeros(4), np.zeros(3, np.float32))


def test_weights_that_stay_do_not_travel_and_are_not_overwritten():
    sent, received = build_model(SMALL, seed=1), build_model(SMALL, seed=2)
    before = {name: weight.clone() for name, weight in received.named_parameters()}
    load_vector(as_views(received, ["decoder*"]), to_vector(sent, ["decoder*"]))
    theirs = dict(sent.named_parameters())
    stayed = [name for name in before if name.startswith("decoder")]
    assert stayed and not set(stayed) & set(layout(sent, ["decoder*"])["names"])
    for name, weight in received.named_parameters():
        assert torch.equal(weight, before[name] if name in stayed else theirs[name]), name


@pytest.mark.parametrize("local, told", [(["decodr.*"], "no weight matches"), (["*"], "all weights")])
def test_patterns_that_match_nothing_or_all_are_refused(local, told):
    with pytest.raises(UltraFMError, match=told):
        layout(build_model(SMALL, seed=1), local)


def test_a_site_refuses_a_model_of_another_version():
    identify_process()
    model = build_model(SMALL, seed=1)
    theirs = layout(model)
    content = {"arrays": to_record({WEIGHTS: to_vector(model)}), "recipe": ConfigRecord(SMALL.settings())}
    content["plan"] = ConfigRecord({"local_weights": ""})
    message = Message(RecordDict(content | {"layout": ConfigRecord(theirs)}), 2, "train")
    assert np.array_equal(to_vector(receive_model(message)[1].model), to_vector(model))
    renamed = {**theirs, "names": ["encoder.other", *theirs["names"][1:]]}
    message.content["layout"] = ConfigRecord(renamed)
    with pytest.raises(ValueError, match=r"'encoder.other', .* this site's \('mask_token'"):
        receive_model(message)
