"""The same simulated sites, simulated otherwise: more or less alike, confounded, harder, or with wrong labels."""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ultrafm.errors import UltraFMError
from ultrafm.files import replacing, write_text
from ultrafm.manifests.json_schema import EDITOR_LINE, write_json_schema
from ultrafm.manifests.load import load_sites
from ultrafm.manifests.schema import Device, PhantomSource, SiteManifest
from ultrafm.manifests.vocabulary import FILE as VOCABULARY

# Fields of a device that differ between sites: those that are compared by ratio, and by difference.
RATIOS = ("frequency_mhz", "bandwidth", "depth_mm", "focus_mm", "width_mm", "radius_mm", "half_angle_degrees")
DIFFERENCES = ("gain_db", "dynamic_range_db", "depth_gain_error_db")
LOOKS = ("overlays", "tint", "picture_width", "picture_height")  # of one site for all where sites are to be identical
MOST_HETEROGENEITY = 100.0


@dataclass(frozen=True)
class Variation:
    """What is changed. None: as the manifest says.

    heterogeneity: how far sites with one kind of probe lie from their mean: 0 identical, 1 as they are, 3 extreme.
    """

    heterogeneity: float = 1.0
    shortcut: bool | None = None
    best_auroc: float | None = None
    label_noise: float | None = None


def vary_manifests(folder: Path, out: Path, variation: Variation) -> list[Path]:
    """Write the manifests of `folder` to the new folder `out`, varied, with vocabulary and schema beside them.

    Only the simulated sources change. Raises UltraFMError for a folder with a site that has none, a value that cannot
    be, or when `out` exists already.
    """
    folder, out = Path(folder), Path(out)
    if not 0 <= variation.heterogeneity <= MOST_HETEROGENEITY:
        expected = f"0 (identical sites) to {MOST_HETEROGENEITY:g}; 1 leaves them as they are"
        raise UltraFMError("heterogeneity", f"{variation.heterogeneity:g}", expected)
    if out.exists():
        raise UltraFMError(f"folder {out}", "something is there already", "a new folder", "name another with --out")
    sites = load_sites(folder)
    varied = vary_sources(sites, variation)
    with replacing(out) as unfinished:
        unfinished.mkdir(parents=True)
        shutil.copy(folder / VOCABULARY, unfinished)
        write_json_schema(unfinished)
        for site in sites:
            document = yaml.safe_load((folder / f"{site.site}.yaml").read_text(encoding="utf-8"))
            document["sources"]["phantom"] |= _changed(site.sources.phantom, varied[site.site])
            text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
            told = f"# Made by `ultrafm manifests vary` from {site.site}: {_told(variation)}.\n"
            write_text(unfinished / f"{site.site}.yaml", f"{EDITOR_LINE}\n{told}{text}")
        load_sites(unfinished)
    return [out / f"{site.site}.yaml" for site in sites]


def vary_sources(sites: Sequence[SiteManifest], variation: Variation) -> dict[str, PhantomSource]:
    """Site -> its simulated source, varied. Raises UltraFMError for a site without one, and for a wrong value."""
    sources = {site.site: _phantom(site) for site in sites}
    devices = _varied_devices({name: source.device for name, source in sources.items()}, variation.heterogeneity)
    shares = {(name, ""): source.findings for name, source in sources.items()}
    for name, source in sources.items():
        shares |= {(name, organ): own for organ, own in source.findings_by_organ.items()}
    moved = _varied_shares(shares, variation.heterogeneity)
    asked = {name: getattr(variation, name) for name in ("shortcut", "best_auroc", "label_noise")}
    asked = {name: value for name, value in asked.items() if value is not None}
    varied = {}
    for name, source in sources.items():
        by_organ = {organ: moved[name, organ] for organ in source.findings_by_organ}
        cells = {"device": devices[name], "findings": moved[name, ""], "findings_by_organ": by_organ} | asked
        varied[name] = _checked(source.model_dump() | cells)
    return varied


def _checked(cells: dict[str, Any]) -> PhantomSource:
    try:
        return PhantomSource.model_validate(cells)
    except ValidationError as error:
        first = error.errors()[0]
        field, found = ".".join(map(str, first["loc"])), str(first["input"])
        raise UltraFMError(f"sources.phantom.{field}", found, first["msg"].lower()) from error


def _phantom(site: SiteManifest) -> PhantomSource:
    source = site.sources.phantom
    if not isinstance(source, PhantomSource):
        raise UltraFMError(f"{site.site}, sources.phantom", "none", "a simulated source, which can be varied")
    return source


def _varied_devices(devices: Mapping[str, Device], amount: float) -> dict[str, dict[str, Any]]:
    """Site -> its device, moved away from (or towards) the mean of the devices with its kind of probe."""
    alike: dict[str, list[Device]] = defaultdict(list)
    for device in devices.values():
        alike[device.scan_mode].append(device)
    varied = {}
    for name, device in devices.items():
        others = alike[device.scan_mode]
        cells = device.model_dump()
        for field in (*RATIOS, *DIFFERENCES):
            scale, back = (math.log, math.exp) if field in RATIOS else (float, float)
            mean = sum(scale(getattr(other, field)) for other in others) / len(others)
            cells[field] = _bounded(field, back(mean + amount * (scale(cells[field]) - mean)))
        if amount != 1:
            cells["name"] = f"simulated {device.scan_mode} array"  # its own name tells sizes that no longer hold
        if amount == 0:
            cells |= {field: getattr(others[0], field) for field in LOOKS}
        varied[name] = cells
    return varied


def _bounded(field: str, value: float) -> float:
    """The value, rounded, within what the schema allows for the field."""
    limits = {type(limit).__name__: limit for limit in Device.model_fields[field].metadata}
    low = limits["Ge"].ge if "Ge" in limits else limits["Gt"].gt * 1.01 + 1e-3
    high = limits["Le"].le
    return round(min(max(value, low), high), 3)


def _varied_shares(
    shares: Mapping[tuple[str, str], Mapping[str, float]], amount: float
) -> dict[tuple[str, str], dict[str, float]]:
    """Findings moved by ratio away from, or towards, the mean of those with the same labels; a share of 0 stays so."""
    alike: dict[frozenset[str], list[Mapping[str, float]]] = defaultdict(list)
    for own in shares.values():
        alike[_had(own)].append(own)
    varied = {}
    for place, own in shares.items():
        others = alike[_had(own)]
        means = {label: sum(math.log(other[label]) for other in others) / len(others) for label in _had(own)}
        moved = {label: mean + amount * (math.log(own[label]) - mean) for label, mean in means.items()}
        most = max(moved.values())
        near = _rounded({label: math.exp(level - most) for label, level in moved.items()})
        varied[place] = dict(own) if amount == 1 else {label: near.get(label, 0.0) for label in own}
    return varied


def _had(findings: Mapping[str, float]) -> frozenset[str]:
    """The labels that some patients have."""
    return frozenset(label for label, share in findings.items() if share > 0)


def _rounded(shares: Mapping[str, float]) -> dict[str, float]:
    """The shares in thousandths, adding up to 1."""
    total = sum(shares.values())
    near = {label: round(share / total, 3) for label, share in shares.items()}
    largest = max(near, key=near.__getitem__)
    return near | {largest: round(near[largest] + 1 - sum(near.values()), 3)}


def _changed(before: PhantomSource, after: PhantomSource) -> dict[str, Any]:
    """The fields that are another now, as YAML takes them."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return {name: value for name, value in new.items() if value != old[name]}


def _told(variation: Variation) -> str:
    told = {"heterogeneity": variation.heterogeneity, "shortcut": variation.shortcut,
            "best_auroc": variation.best_auroc, "label_noise": variation.label_noise}  # fmt: skip
    return ", ".join(f"{name} {value:g}" for name, value in told.items() if value is not None)
