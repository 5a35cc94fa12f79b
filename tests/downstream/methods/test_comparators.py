"""Encoders from elsewhere, made on the spot: they are imported, resized for, compared, or refused with a word."""

from __future__ import annotations

from pathlib import Path

import made_tasks
import numpy as np
import pytest
import timm
import torch
from made_tasks import saved_encoder
from timm.models import save_for_hf

from ultrafm.downstream.evaluate import evaluate_diagnosis, evaluate_segmentation
from ultrafm.downstream.methods.cache import cached_features
from ultrafm.downstream.methods.comparators import comparators, describe_comparators
from ultrafm.downstream.methods.encoders import open_encoder
from ultrafm.errors import UltraFMError
from ultrafm.pretraining.exchange.importing import Wanted, import_checkpoint


def foreign_vit(**settings: object) -> torch.nn.Module:
    """A ViT of coloured pictures as timm has it, with random weights."""
    sizes = {"img_size": 48, "patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 1, "num_classes": 5}
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return timm.create_model("vit_tiny_patch16_224", **sizes | settings).eval()


@pytest.fixture
def study(tmp_path) -> Path:
    for seed, name in enumerate(("pooled", "federated", "random", "site_03_alone", "one_site")):
        saved_encoder(tmp_path / "study" / "20_pretrain" / "encoders" / name, seed)
    return tmp_path / "study"


@pytest.fixture
def imported(tmp_path) -> Path:
    torch.save(foreign_vit().state_dict(), tmp_path / "theirs.pth")
    import_checkpoint(tmp_path / "theirs.pth", tmp_path / "weights" / "theirs", Wanted(licence="MIT", heads=1))
    return tmp_path / "weights" / "theirs"


def test_a_study_and_extra_folders_give_all_encoders_in_order(study, imported):
    assert list(comparators(study)) == ["random", "one_site", "pooled", "federated", "site_03_alone"]
    for extra in (imported, imported.parent):  # one encoder, or a folder of them
        assert list(comparators(study, [extra]).items())[-1] == ("theirs", imported)
    told = describe_comparators(comparators(study, [imported])).set_index("encoder")
    assert told.loc["theirs", "picture"] == "48 pixels" and "licence: MIT" in told.loc["theirs", "what"]
    assert told.loc["random", "what"] == "untrained network, the same sizes"
    assert told.loc["theirs", "weights"] == sum(weight.numel() for weight in open_encoder(imported).parameters())


def test_folders_without_an_encoder_and_names_that_occur_twice_are_clear_errors(study, tmp_path):
    with pytest.raises(UltraFMError, match="no encoder"):
        comparators(tmp_path / "nowhere")
    saved_encoder(tmp_path / "mine" / "pooled")
    with pytest.raises(UltraFMError, match="a second encoder called 'pooled'"):
        comparators(study, [tmp_path / "mine"])


def test_an_imported_checkpoint_sees_resized_grey_pictures_as_the_original_sees_them(imported):
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 32), dtype=np.uint8)
    tokens = cached_features(imported, images, np.ones(images.shape, bool), "tokens")
    grey = torch.from_numpy(images).float()[:, None] / 255
    large = torch.nn.functional.interpolate(grey, size=(48, 48), mode="bilinear", antialias=True)
    mean, deviation = (
        torch.tensor(numbers)[:, None, None] for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.inference_mode():
        theirs = foreign_vit().forward_features((large.expand(-1, 3, -1, -1) - mean) / deviation)
    assert tokens == pytest.approx(theirs.numpy(), abs=1e-4)


def test_a_coloured_folder_of_timm_gives_the_same_features_as_its_import(imported, tmp_path):
    plain = foreign_vit(num_classes=0)
    plain.load_state_dict({name: one for name, one in foreign_vit().state_dict().items() if "head" not in name})
    plain.pretrained_cfg |= {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    sizes = {"img_size": 48, "patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 1}
    save_for_hf(plain, tmp_path / "timm", model_args=sizes, safe_serialization=True)
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 32), dtype=np.uint8)
    sectors = np.ones(images.shape, bool)
    found = [cached_features(folder, images, sectors) for folder in (imported, tmp_path / "timm")]
    assert found[0] == pytest.approx(found[1], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("resnet10t", {}, "a ResNet"),
        ("vit_tiny_patch16_224", {"class_token": False, "global_pool": "avg"}, "without a class token"),
        ("vit_tiny_patch16_224", {"img_size": (32, 64)}, "pictures of 32 x 64 pixels"),
        ("vit_tiny_patch16_224", {"in_chans": 2}, "2 colours"),
    ],
)
def test_what_is_no_plain_transformer_is_refused_with_its_reason(name, settings, words, tmp_path):
    small = {"embed_dim": 24, "depth": 1, "num_heads": 1, "img_size": 32} if name.startswith("vit") else {}
    model = timm.create_model(name, num_classes=0, **small | settings)
    save_for_hf(model, tmp_path / "other", model_args=small | settings, safe_serialization=True)
    with pytest.raises(UltraFMError, match=words):
        open_encoder(tmp_path / "other")


def test_an_imported_encoder_is_evaluated_beside_those_of_the_study(study, imported):
    encoders = {name: comparators(study, [imported])[name] for name in ("random", "theirs")}
    tasks = {"diagnosis": made_tasks.made_diagnosis(np.random.default_rng(0))}
    methods = ("nearest_neighbours", "linear_probe", "ridge_probe", "attentive_probe", "light_tuning", "fine_tuning")
    found = evaluate_diagnosis(tasks, encoders, 0, 1, precision="fp32", methods=methods)
    assert found.failures.empty and set(found.predictions["encoder"]) == {"random", "theirs", "pixels"}
    assert found.predictions.groupby(["method", "encoder"]).size().eq(12).all()


@pytest.mark.slow
def test_an_imported_encoder_draws_beside_those_of_the_study(study, imported):
    encoders = {name: comparators(study, [imported])[name] for name in ("random", "theirs")}
    tasks = {"disc": made_tasks.made_segmentation(np.random.default_rng(0))}
    methods = ("linear_head", "fine_tuning", "dpt_frozen", "dpt_tuned")
    found = evaluate_segmentation(tasks, encoders, 0, 1, precision="fp32", methods=methods)
    assert found.failures.empty and found.masks.shape[1:] == (32, 32)
    assert found.scores.groupby(["method", "encoder"]).size().eq(12).all() and found.scores["method"].nunique() == 4
