"""The model card: what weights are, what they were made from, under which licences, and what they are not for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ultrafm.errors import UltraFMError
from ultrafm.files import read_json, write_text

CARD = "README.md"
LIBRARIES = {"timm": "timm", "vitmae": "transformers", "onnx": "onnx"}
LICENCES = {  # a licence's name -> what the Hub calls it
    r"MIT( licen[cs]e)?": "mit",
    r"Apache([- ]licen[cs]e)?[-, ]*(version )?2\.0": "apache-2.0",
    r"BSD[- ]3[- ]clause": "bsd-3-clause",
    r"CC[- ]?(0|zero)([- ]1\.0)?": "cc0-1.0",
    r"CC[- ](BY(?:-(?:NC|SA|ND))*)[- ](\d\.\d)": "cc-{0}-{1}",
}
LIMITS = (
    "Not a medical device: not cleared or approved anywhere, and not for the care of patients.",
    "Not validated clinically. Reconstruction errors and probes say how images are represented, not how well anyone is "
    "diagnosed.",
    "Grey pictures only: colour Doppler and coloured overlays lose what their colours say.",
    "Other scanners, organs, countries and patient groups than those named here may give other results.",
    "That images stayed in their hospitals does not make weights private: they can carry traces of what they saw.",
)


def write_card(folder: Path, form: str = "timm") -> Path:
    """Write the model card README.md of the weights in `folder`, from its config.json; returns its path.

    `form`: "timm", "vitmae" or "onnx", see `model_card`. Raises UltraFMError without a config.json.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise UltraFMError(str(folder), "no config.json", "a folder of weights", "name the folder of an encoder")
    config = read_json(path)
    if not {"model_args", "pretrained_cfg"} <= config.keys():
        raise UltraFMError(
            str(path), "no model_args and pretrained_cfg", "an encoder's, as timm reads it", "import it first"
        )
    card = Path(folder) / CARD
    write_text(card, model_card(config, form))
    return card


def model_card(config: Mapping[str, Any], form: str = "timm") -> str:
    """A model card in Markdown, with the head in YAML that model hubs read.

    `config` is that of `save_encoder`. Of its description `ultrafm` it uses, where they are there: `sites` (names),
    `numbers` ({site: {"images": count, "validation_loss": loss}}), `images` ("real" or "simulated"), `licences` (see
    `carried`), `recipe`, `federation`, `arm`, `seed`, `privacy` and `imported from`. `form` decides how
    loading is shown.
    """
    about = config.get("ultrafm") or {}
    head = {"library_name": LIBRARIES[form], "license": licence_id(about), "tags": tags(about)}
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n",
        f"# {title(config, about)}\n",
        "## What it is\n", what_it_is(config, about),
        "## Data\n", *data(about),
        "## Licences\n", *licences(about),
        "## How it was trained\n", *training(about), *privacy(about),
        "## Limits\n", bullets([*LIMITS, *local_limits(about)]),
        "## How to load it\n", loading(config, form),
    ]  # fmt: skip
    return "\n".join(parts).rstrip() + "\n"


def local_limits(about: Mapping[str, Any]) -> list[str]:
    """What is to be said where weights stayed at the sites."""
    patterns = about.get("federation", {}).get("local_weights", "")
    said = (
        f"Weights named `{patterns}` stayed at the sites; where they belong to this network, they are untrained here."
    )
    return [said] if patterns else []


def licence_id(about: Mapping[str, Any]) -> str:
    """The Hub's word for the licence, "other" where several apply or none is known by name."""
    found = {hub_licence(name) for name in licence_names(about)}
    return found.pop() if len(found) == 1 else "other"


def licence_names(about: Mapping[str, Any]) -> list[str]:
    """Every licence that the weights come under."""
    names = [site["licence"] for site in about.get("licences", {}).get("sites", [])]
    return names + ([about["imported from"]["licence"]] if "imported from" in about else [])


def hub_licence(name: str) -> str:
    """A licence as the Hub calls it ("CC BY-NC 4.0" is "cc-by-nc-4.0"), or "other"."""
    for pattern, word in LICENCES.items():
        if match := re.fullmatch(pattern, name.strip(), re.IGNORECASE):
            return word.format(*(group and group.lower() for group in match.groups()))
    return "other"


def tags(about: Mapping[str, Any]) -> list[str]:
    """Words by which a hub finds the weights; simulated data is one of them."""
    federated = ["federated-learning"] if about.get("arm") == "federated" else []
    simulated = ["simulated-data"] if images_kind(about) == "simulated" else []
    return ["ultrasound", "medical-imaging", "masked-autoencoder", "vision-transformer", *federated, *simulated]


def images_kind(about: Mapping[str, Any]) -> str:
    """ "real", "simulated" (as soon as one site's images are) or "not stated"."""
    sites = about.get("licences", {}).get("sites", [])
    told = "simulated" if any(site.get("simulated") for site in sites) else "real" if sites else "not stated"
    return about.get("images") or told


def title(config: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The first line of the card."""
    if "imported from" in about:
        return f"Ultrasound encoder, imported from {about['imported from']['file']}"
    arm = f" ({about['arm'].replace('_', ' ')})" if about.get("arm") else ""
    return f"Ultrasound encoder{arm}, {config['pretrained_cfg']['input_size'][-1]} pixels"


def what_it_is(config: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The network, its input and its origin, in a few sentences."""
    sizes, pretrained = config["model_args"], config["pretrained_cfg"]
    tokens = 1 + sizes.get("reg_tokens", 0)
    side = sizes["img_size"]
    lines = [
        f"A plain Vision Transformer: width {sizes['embed_dim']}, {sizes['depth']} blocks, {sizes['num_heads']} heads, "
        f"patches of {sizes['patch_size']} pixels, {tokens} token{'s' * (tokens > 1)} before those of the patches.",
        f"It reads grey pictures of {side} x {side} pixels with values from 0 to 1, normalised with mean "
        f"{pretrained['mean'][0]:.4g} and deviation {pretrained['std'][0]:.4g}.",
    ]
    if origin := about.get("imported from"):
        where = f"`{origin['file']}` (layout {origin['layout']}, SHA-256 `{origin['sha256']}`)"
        lines.append(f"Its weights were imported from {where} and are not UltraFM's own work.")
        lines += ["Its first layer was changed from colours to grey, exactly."] if origin["colours"] > 1 else []
    else:
        lines += ["It was pre-trained as a masked autoencoder, without labels, by UltraFM."]
    return "\n".join(lines) + "\n"


def data(about: Mapping[str, Any]) -> list[str]:
    """Which images, from where; a table of sites when any is known."""
    kind, sites = images_kind(about), site_names(about)
    words = {
        "simulated": "Images: **simulated**. No patient's image was seen, and no result says anything about patients.",
        "real": "Images: real.",
    }.get(kind, "Images: not stated.")
    if "imported from" in about and not sites:
        return [words, "What the authors trained on is theirs to tell: see their publication.\n"]
    if not sites:
        return ["None: these are the weights before training.\n" if about.get("arm") == "random" else f"{words}\n"]
    entries = {entry["site"]: entry for entry in about.get("licences", {}).get("sites", [])}
    rows = [site_row(site, entries.get(site, {}), about.get("numbers", {}).get(site, {})) for site in sites]
    head = ("site", "images", "licence", "validation loss")
    return [f"{words} {len(sites)} site{'s' * (len(sites) != 1)}.\n", table(head, rows), LOSS_NOTE]


LOSS_NOTE = (
    "The validation loss is the squared error of hidden patches against pixels normalised per patch: 1.0 is what "
    "guessing each patch's mean costs.\n"
)


def site_names(about: Mapping[str, Any]) -> list[str]:
    """The sites whose images were used, in the order in which they are told."""
    return list(about.get("sites") or about.get("numbers") or ())


def site_row(site: str, entry: Mapping[str, Any], numbers: Mapping[str, Any]) -> list[str]:
    """One line of the table of sites; what is not known stays empty."""
    images, loss = numbers.get("images", entry.get("images")), numbers.get("validation_loss")
    return [
        site,
        "" if images is None else f"{images:,}",
        entry.get("licence", ""),
        "" if loss is None else f"{loss:.3f}",
    ]


def licences(about: Mapping[str, Any]) -> list[str]:
    """What may be done with the weights, as far as it is known."""
    lines = []
    if sentence := about.get("licences", {}).get("sentence"):
        lines.append(f"What the licences of the images ask of these weights: {sentence}\n")
        cited = [f"{site['site']}: {site['citation']}" for site in about["licences"]["sites"] if site.get("citation")]
        lines += [bullets(cited)] if cited else []
    if origin := about.get("imported from"):
        lines.append(f"Licence of the imported weights: {origin['licence']}.\n")
    return lines or ["Not stated.\n"]


def training(about: Mapping[str, Any]) -> list[str]:
    """Recipe, federation and seed, as tables of what was set."""
    lines = []
    if origin := about.get("imported from"):
        told = origin.get("settings") or {}
        lines = (
            ["By its authors. Settings that the file tells:\n", settings_table(told)] if told else ["By its authors.\n"]
        )
    for name in ("recipe", "federation"):
        if about.get(name):
            lines += [f"{name.capitalize()}:\n", settings_table(about[name])]
    if "seed" in about:
        lines.append(f"Seed: {about['seed']}.\n")
    return lines or ["Not stated.\n"]


def privacy(about: Mapping[str, Any]) -> list[str]:
    """What was spent of differential privacy, and under which assumptions; nothing where there is none."""
    if not (told := about.get("privacy")):
        return []
    head = list(told["sites"][0]) if told["sites"] else []
    rows = [["" if one is None else f"{one:.4g}" if isinstance(one, float) else str(one) for one in row.values()]
            for row in told["sites"]]  # fmt: skip
    return [f"## Differential privacy of {told['unit']}\n", table(head, rows), bullets(told["assumptions"])]


def loading(config: Mapping[str, Any], form: str) -> str:
    """The lines of Python that load the weights."""
    grey = config["pretrained_cfg"]
    scale = f"(picture - {grey['mean'][0]:.6g}) / {grey['std'][0]:.6g}"
    side = config["model_args"]["img_size"]
    shape = f"(B, 1, {side}, {side}), grey values from 0 to 1"
    code = {
        "timm": f"""
            import timm
            encoder = timm.create_model("local-dir:FOLDER", pretrained=True).eval()
            tokens = encoder.forward_features({scale})  # picture: {shape}""",
        "vitmae": f"""
            from transformers import ViTMAEForPreTraining
            model = ViTMAEForPreTraining.from_pretrained("FOLDER").eval()
            output = model({scale})  # picture: {shape}""",
        "onnx": f"""
            import onnxruntime
            session = onnxruntime.InferenceSession("encoder.onnx")
            tokens = session.run(None, {{"pictures": picture}})[0]  # float32 {shape}; normalised inside""",
    }[form]
    lines = [line.strip() for line in code.strip().splitlines()]
    return "\n".join(["```python", *lines, "```"])


def settings_table(settings: Mapping[str, Any]) -> str:
    """Settings and their values."""
    return table(("setting", "value"), [[str(name), str(value)] for name, value in settings.items()])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a bar within a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    clean = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in clean) + "\n"


def bullets(lines: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {line}" for line in lines) + "\n"
