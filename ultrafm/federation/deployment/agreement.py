"""What a site agrees to before it joins: shown in words and sizes, asked for, and written down with its hash."""

from __future__ import annotations

import datetime
import getpass
import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ultrafm import __version__
from ultrafm.curation.identity.release import require_release
from ultrafm.curation.store import decode_png, read_table
from ultrafm.errors import UltraFMError
from ultrafm.federation.compression import expected_arrays
from ultrafm.federation.deployment.changes import describe_changes
from ultrafm.federation.deployment.gate import ANY, array_length, hash_terms
from ultrafm.federation.deployment.plans import JoiningSite, Plan, allowed_keys
from ultrafm.federation.driver import described, round_config
from ultrafm.federation.licences import TOLD
from ultrafm.federation.plan import Federation
from ultrafm.federation.secure.ring import LONG, kind_for
from ultrafm.federation.secure.session import guarantee, largest_round, schedule_of
from ultrafm.federation.vector import layout
from ultrafm.files import read_json, write_json
from ultrafm.manifests.vocabulary import UNKNOWN, load_vocabulary, miss
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.recipe import Recipe, build_model
from ultrafm.study import REPOSITORY

FILE = "acceptance.json"
VOCABULARY = REPOSITORY / "data_manifests"
BYTES_PER_WEIGHT = 4

ORGANS = "how many images of each organ"
ORIGIN = "publisher, licence and citation of the images as the data sheet tells them; whether they are simulated"
MEANING = {
    "query.describe": "at the start of a run: the site's name; how many training images; sums of their grey values and "
    f"squares; {ORIGIN}",
    "train": "after each round of training: the weights below; how many images were seen; their mean loss; the round",
    "evaluate": "after each pass: how many validation images; their mean loss; the round",
}
SECURE_MEANING = {
    "query.keys": "before each round: two public keys, made for this round, with a signature",
    "query.shares": "before each round: for each other site, a part of this site's two secrets, sealed for that site",
    "train": "after each round of training: the weights below with images and loss, masked: only the sum over sites "
    "can be read; the round",
    "query.consent": "after each round: a signature of which sites are in the sum",
    "query.unmask": "after each round: of every site one part, of what masks its numbers or of its key, never both",
}
AGREED_GREY = ("grey_mean", "grey_deviation")  # parts of the plan that are known only when all sites have answered


@lru_cache(maxsize=2)
def layout_of(recipe: Recipe, local: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Names and shapes of all tensors of the model of a recipe, but for those that stay at the site."""
    return layout(build_model(recipe, seed=0), local)


def count_weights(recipe: Recipe, local: tuple[str, ...] = ()) -> int:
    """How many numbers the model of a recipe has, without those that stay at the site."""
    return sum(array_length(shape_of(text)) for text in layout_of(recipe, local)["shapes"])


def leaving(federation: Federation, sites: Sequence[str] = ()) -> dict[str, dict[str, list[str]]]:
    """Kind of message -> record of the answer -> the names in it; a test holds it against what the ClientApp answers.

    The one name ANY stands for names that only the site's images tell. Secure sums name the `sites`.
    """
    answer: dict[str, list[str]] = {
        "metrics": ["images", "grey", "squares"], "names": ["site"], "licence": list(TOLD),
    }  # fmt: skip
    if federation.weighting == "organs":
        answer["organs"] = [ANY]
    arrays, metrics = list(expected_arrays(1, federation.compression)), ["images", "loss", "round"]
    leaves: dict[str, dict[str, list[str]]] = {"query.describe": answer}
    if federation.secure_aggregation:
        leaves |= {
            "query.keys": {"keys": ["masking", "sealing", "signature"]},
            "query.shares": {"sealed": list(sites)},
            "train": {"arrays": ["masked"], "metrics": ["round"]},
            "query.consent": {"consent": ["signature"]},
            "query.unmask": {"revealed": list(sites)},
        }
    else:
        leaves["train"] = {"arrays": arrays, "metrics": metrics}
    return leaves if federation.is_private else leaves | {"evaluate": {"metrics": metrics}}


def shape_of(text: str) -> tuple[int, ...]:
    """ "64x1x8x8" as numbers; a single number has the shape ""."""
    return tuple(int(side) for side in text.split("x") if side)


def terms_of(plan: Plan, site: str) -> dict[str, Any]:
    """All that a site agrees to: who asks, what it may be asked, what it answers."""
    federation, recipe, seed = plan.federation, plan.recipe, plan.file.seed
    rounds = federation.schedule(len(plan.sites), seed).rounds
    weights = layout_of(recipe, federation.local_patterns)
    config = round_config(recipe, federation, rounds, GreyScale(0.0, 1.0), weights, seed)
    asked: dict[str, dict[str, Any]] = {"recipe": {}, "layout": {}, "plan": {}}
    for key, value in config.items():
        record, name = key.split("/", 1)
        if name not in AGREED_GREY:
            asked.setdefault(record, {})[name] = value
    terms = {
        "federation": plan.file.name, "site": site, "coordinator": plan.file.address, "ultrafm": __version__,
        "asked": asked, "leaves": leaving(federation, plan.sites), "arrays": arrays_of(plan),
        "describe": described(federation, licences=True),
    }  # fmt: skip
    if federation.secure_aggregation:
        terms["keys"] = {one: hashlib.sha256(key).hexdigest() for one, key in allowed_keys(plan).items()}
    return terms


def arrays_of(plan: Plan) -> dict[str, list[Any]]:
    """Name -> type and shape of the arrays that leave after each round."""
    count = count_weights(plan.recipe, plan.federation.local_patterns)
    if plan.federation.secure_aggregation:
        sites = largest_round(plan.federation.schedule(len(plan.sites), plan.file.seed))
        return {"masked": [str(kind_for(sites)), [count + LONG]]}
    expected = expected_arrays(count, plan.federation.compression)
    return {name: [kind, list(shape)] for name, (kind, shape) in expected.items()}


def bytes_of(terms: dict[str, Any]) -> int:
    """Bytes of all arrays that leave after each round."""
    return sum(np.dtype(kind).itemsize * array_length(shape) for kind, shape in terms["arrays"].values())


def describe_terms(terms: dict[str, Any], images: dict[str, int]) -> list[str]:
    """The terms as lines for a person; `images`: fold -> number of images of the site."""
    plan, weights = terms["asked"]["plan"], terms["asked"]["layout"]
    pairs = list(zip(weights["names"], weights["shapes"]))
    widest = max(len(name) for name, _shape in pairs)
    rows = [
        f"    {name:<{widest}}  {shape:>12}  {array_length(shape_of(shape)) * BYTES_PER_WEIGHT:>12,} bytes"
        for name, shape in pairs
    ]
    packed, secure = plan["compression"] != "none", terms["asked"].get("secure")
    how = f"packed as {plan['compression']} into {bytes_of(terms):,} bytes" if packed else f"{bytes_of(terms):,} bytes"
    meanings = meaning_of(terms) | (SECURE_MEANING if secure else {})
    meaning = [f"{kind}: {meanings[kind]}" for kind in terms["leaves"]]
    meaning[0] += f"; {ORGANS}" * terms["describe"]["organs"]
    folds = ", ".join(f"{count} {fold}" for fold, count in sorted(images.items()))
    return [
        f"Federation {terms['federation']}, coordinator {terms['coordinator']}, this site: {terms['site']}",
        f"Images of the site: {folds}. They stay here, with every name, date and path.",
        f"Up to {plan['rounds']} rounds a run. In each, this site is sent a model and trains it on training images.",
        *protection_of(plan),
        "What leaves the site:",
        *(f"  {line}" for line in meaning),
        f"  the weights, {len(pairs)} tensors, {how} each time:",
        *rows,
        "Nothing else: a message that asks for more is refused by this site's own program, and written down.",
        "Weights can tell something of the images that they were trained on: see docs/hospital.md.",
        *(describe_secure(terms) if secure else []),
    ]


def describe_secure(terms: dict[str, Any]) -> list[str]:
    """How sums are kept secure, and by whose keys, as lines for a person."""
    secure, keys = terms["asked"]["secure"], terms["keys"]
    fewest, partners = guarantee(secure["threshold"], schedule_of(secure, len(keys)))
    losses = "Validation losses are not summed. " * ("evaluate" in terms["leaves"])
    return [
        "Secure aggregation (experimental until reviewed outside): the coordinator reads only sums of updates,",
        f"  each of at least {fewest} sites, as long as no more than {partners} of them work together with it.",
        f"  {losses}All rests on these keys; compare them with each site by telephone:",
        *(f"    {site}  {mark[:16]} .. {mark[-8:]}" for site, mark in keys.items()),
    ]


def earlier_acceptance(path: Path) -> dict[str, Any] | None:
    """What was accepted before; None where there is nothing, or the file was changed since."""
    if not path.is_file():
        return None
    earlier = read_json(path)
    return earlier if earlier["hash"] == hash_terms(earlier["terms"]) else None


def changed_terms(earlier: dict[str, Any], terms: dict[str, Any]) -> list[str]:
    """What differs from an earlier acceptance, as lines for a person."""
    return [
        f"Federation {terms['federation']}, coordinator {terms['coordinator']}, this site: {terms['site']}",
        f"The terms differ from those that {earlier['by']} accepted on {earlier['on']}:",
        *(f"  {line}" for line in describe_changes(earlier["terms"], terms)),
        f"All else is as it was accepted; to see all of it, put {FILE} away and start again.",
    ]


def meaning_of(terms: dict[str, Any]) -> dict[str, str]:
    """Kind of message -> what its answer tells, in words."""
    unit = {"patients": "patients", "sites": "images"}.get(terms["describe"].get("privacy", ""), "")
    return {
        "query.describe": f"once a run: the site's name; how many training {unit}; zeros in place of grey sums; "
        f"{ORIGIN}",
        "train": f"after each round of training: the weights below; how many {unit} a round has; no loss; the round",
    } if unit else MEANING  # fmt: skip


def protection_of(plan: dict[str, Any]) -> list[str]:
    """The privacy of the agreed plan, as lines; none without."""
    if plan.get("privacy", "none") == "none":
        return []
    told = f"noise of {plan['noise']:g} times the clip {plan['clip']:g}, epsilon at delta {plan['delta']:g}"
    limit = f", at most {plan['epsilon']:g} in this run" if plan["epsilon"] else ", without a limit in this plan"
    who = {
        "patients": "Differential privacy of patients: this site adds noise before anything leaves it",
        "sites": "Differential privacy of sites: the coordinator, who sees this site's weights, adds noise",
    }[plan["privacy"]]
    seeded = ["The noise comes from a seed: for simulated images only."] * (not plan["secure_noise"])
    return [f"{who}; {told}{limit}.", *seeded]


def count_images(site: JoiningSite) -> dict[str, int]:
    """Fold -> number of images in the site's store.

    Raises UltraFMError without a store, a signature for it or a training image, when its pictures have another size
    than the plan's, or organs that are not words of the common vocabulary.
    """
    require_release(site.curated, site.file.site)
    table, pixels = read_table(site.curated, site.file.site), site.plan.recipe.image_size
    folds = table["fold"].to_pylist()
    counts = {fold: folds.count(fold) for fold in sorted(set(folds))}
    if not counts.get("train"):
        mend = "curate more images, or let the site stay out"
        raise UltraFMError(site.place("curated"), f"no training image of {site.file.site}", "at least one", mend)
    if (side := len(decode_png(table["image"][0].as_py()["bytes"]))) != pixels:
        mend = f"curate again with --image-size {pixels}"
        raise UltraFMError(site.place("curated"), f"pictures of {side} pixels", f"the plan's {pixels}", mend)
    known = load_vocabulary(VOCABULARY).organs
    if strange := sorted(set(table["organ"].to_pylist()) - {*known, UNKNOWN}):
        found, expected = miss(strange[0], known, "organ")
        mend = "write organs in the words of this version's data_manifests/vocabulary.yaml, and curate again"
        raise UltraFMError(site.place("curated"), found, expected, mend)
    return counts


def ensure_acceptance(site: JoiningSite, accept: bool, ask: Callable[[str], str], tell: Callable[[str], None]) -> Path:
    """The file of the acceptance of exactly these terms; shows them and asks when there is none yet.

    Where other terms were accepted before, it shows what is new, gone or changed. Raises UltraFMError when the person
    at the site does not agree; nothing has been sent then.
    """
    terms, path, images = terms_of(site.plan, site.file.site), site.folder / FILE, count_images(site)
    earlier = earlier_acceptance(path)
    known = earlier is not None and earlier["hash"] == hash_terms(terms)
    for line in describe_terms(terms, images) if earlier is None or known else changed_terms(earlier, terms):
        tell(line)
    if known:
        tell(f"Accepted on {earlier['on']} by {earlier['by']}: {path}")
        return path
    if not accept and ask("Join and let this leave the site? Type yes to accept: ").strip().lower() != "yes":
        raise UltraFMError(
            "joining", "no acceptance", "the word yes, or --accept", "nothing was sent; ask again any time"
        )
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(path, {"hash": hash_terms(terms), "on": now, "by": getpass.getuser(), "terms": terms})
    tell(f"Written down: {path}, hash {hash_terms(terms)[:16]}")
    return path
