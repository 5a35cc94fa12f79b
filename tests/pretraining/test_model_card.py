import pytest
import yaml

from ultrafm.errors import UltraFMError
from ultrafm.files import write_json
from ultrafm.pretraining.exchange.card import hub_licence, model_card, write_card


def made_config(**description):
    """A config.json as `save_encoder` writes it."""
    return {
        "architecture": "vit_tiny_patch16_224",
        "model_args": {"img_size": 64, "patch_size": 8, "embed_dim": 128, "depth": 6, "num_heads": 4},
        "pretrained_cfg": {"input_size": [1, 64, 64], "mean": [0.25], "std": [0.125]},
        "ultrafm": description,
    }


def site(name, licence="CC BY 4.0", simulated=False, **more):
    return {"site": name, "licence": licence, "citation": "", "images": 100, "simulated": simulated, **more}


def head(card):
    """The YAML between the first two lines of dashes."""
    return yaml.safe_load(card.split("---\n")[1])


def test_a_federated_study_on_its_card():
    licences = {
        "sites": [site("site_01", citation="A. Author, 2020"), site("site_02", simulated=True)],
        "conditions": ["attribution"], "sentence": "Name the publishers and cite them.",
    }  # fmt: skip
    numbers = {"site_01": {"images": 1234, "validation_loss": 0.51234}}
    card = model_card(made_config(
        arm="federated", sites=["site_01", "site_02"], numbers=numbers, licences=licences, seed=3,
        recipe={"mask_ratio": 0.75}, federation={"passes": 10},
    ))  # fmt: skip
    assert head(card)["library_name"] == "timm" and head(card)["license"] == "cc-by-4.0"
    assert {"ultrasound", "federated-learning", "simulated-data"} <= set(head(card)["tags"])
    assert "| site_01 | 1,234 | CC BY 4.0 | 0.512 |" in card and "| site_02 | 100 | CC BY 4.0 |  |" in card
    assert "**simulated**" in card and "Name the publishers" in card and "- site_01: A. Author, 2020" in card
    assert "| mask_ratio | 0.75 |" in card and "| passes | 10 |" in card and "Seed: 3." in card
    assert "Not a medical device" in card and "Not validated clinically" in card and "Grey pictures only" in card
    assert 'timm.create_model("local-dir:FOLDER", pretrained=True)' in card and "(picture - 0.25) / 0.125" in card


@pytest.mark.parametrize(
    ("licences", "word"),
    [(["MIT", "MIT"], "mit"), (["MIT", "CC BY 4.0"], "other"), (["by agreement"], "other"), ([], "other")],
)
def test_the_licence_in_the_head_is_the_one_of_all_sites(licences, word):
    sites = [site(f"site_{number}", licence) for number, licence in enumerate(licences)]
    assert head(model_card(made_config(licences={"sites": sites})))["license"] == word


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Apache-2.0", "apache-2.0"), ("Apache License 2.0", "apache-2.0"), ("MIT licence", "mit"),
        ("CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0"), ("CC0 1.0", "cc0-1.0"), ("CC-BY-4.0", "cc-by-4.0"),
        ("CC BY 4.0 for the images only", "other"), ("not stated: ask the authors", "other"),
    ],
)  # fmt: skip
def test_licences_as_the_hub_calls_them(name, word):
    assert hub_licence(name) == word


def test_real_images_are_called_real_only_when_all_are():
    assert "Images: real." in model_card(made_config(sites=["a"], licences={"sites": [site("a")]}))
    assert "Images: real." in model_card(made_config(sites=["a"], images="real"))
    assert "Images: not stated." in model_card(made_config(sites=["a"]))


def test_imported_weights_say_whose_they_are():
    origin = {"file": "x.pth", "sha256": "ab12", "layout": "mae", "licence": "MIT", "colours": 3, "settings": {}}
    card = model_card(made_config(**{"imported from": origin}))
    assert head(card)["license"] == "mit" and "`x.pth` (layout mae, SHA-256 `ab12`)" in card
    assert "not UltraFM's own work" in card and "from colours to grey, exactly" in card


def test_a_bare_description_is_enough():
    for description in ({}, {"arm": "random", "sites": []}):
        assert head(model_card(made_config(**description)))["license"] == "other"
    assert "weights before training" in model_card(made_config(arm="random", sites=[]))


@pytest.mark.parametrize(("form", "library"), [("timm", "timm"), ("vitmae", "transformers"), ("onnx", "onnx")])
def test_each_form_shows_how_it_is_loaded(form, library):
    card = model_card(made_config(), form)
    code = card.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert head(card)["library_name"] == library and {"onnx": "onnxruntime"}.get(library, library) in code


def test_a_bar_in_a_setting_does_not_break_the_table():
    assert "| a | x \\| y z |" in model_card(made_config(recipe={"a": "x | y\nz"}))


def test_the_card_is_written_beside_the_weights(tmp_path):
    write_json(tmp_path / "config.json", made_config())
    assert write_card(tmp_path) == tmp_path / "README.md"
    assert (tmp_path / "README.md").read_text() == model_card(made_config())


def test_a_folder_without_weights_has_no_card(tmp_path):
    for content in (None, {"model_type": "vit_mae"}):
        if content:
            write_json(tmp_path / "config.json", content)
        with pytest.raises(UltraFMError):
            write_card(tmp_path)
