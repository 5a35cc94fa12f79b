"""The data sheet as Markdown, for notebooks and repositories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ultrafm.curation.sheets.counting import MEASURES, plain


def write_markdown(sheet: Mapping[str, Any]) -> str:
    """The data sheet for people; no file or patient is named in it."""
    flow = sheet["flow"]
    lines = [f"# Data sheet: {sheet['site']}", "", f"{sheet['title']}. The images are **{sheet['images']}**.", ""]
    lines += ["## Origin", "", *_listed(f"{name}: {value}" for name, value in origin_facts(sheet).items())]
    lines += ["", "## From the table to the store", ""]
    lines += _table(("step", "images"), [(name.replace("_", " "), count) for name, count in flow.items()])
    if sheet["left_out"]:
        reasons = [(entry["stage"].replace("_", " "), entry["kind"], entry["images"]) for entry in sheet["left_out"]]
        lines += ["", *_table(("left out as", "because of", "images"), reasons)]
    lines += ["", "## What is in the store", "", f"{flow['kept']} images of {sheet['patients']} patients.", ""]
    counted = [
        (column.replace("_", " "), value, both["images"], both["patients"])
        for column, values in sheet["counts"].items()
        for value, both in values.items()
    ]
    lines += _table(("column", "value", "images", "patients"), counted)
    lines += ["", "## Pictures", "", *_listed(picture_lines(sheet) + quality_lines(sheet))]
    lines += ["", "## De-identification", "", *_listed(deidentification_lines(sheet))]
    if sheet["removed_tags"]:
        lines += ["", *_table(("header field removed", "files"), list(sheet["removed_tags"].items()))]
    lines += ["", "## Notes", "", *_listed(sheet["notes"])]
    return "\n".join(lines) + "\n"


def origin_facts(sheet: Mapping[str, Any]) -> dict[str, str]:
    """Where the images come from and what may be done with them, in words."""
    origin, carried = sheet["origin"], sheet["carried"]
    told = {name: origin[name] for name in ("publisher", "country", "address", "citation", "licence")}
    told["conditions"] = ", ".join(carried["conditions"])
    told["what they ask of weights"] = carried["sentence"]
    if sheet["images"] == "real":
        told["country and licence"] = "read at the source" if origin["checked"] else "from memory, not checked"
    return plain(told)


def deidentification_lines(sheet: Mapping[str, Any]) -> list[str]:
    """What was done so that nobody can be recognised, in sentences."""
    policy, text = sheet["deidentification"], sheet["text"]
    keyed = {
        "secret": "with a key that stays at the site",
        "public": "in public: who knows a name of the source can find its hash",
    }
    lines = ["Of file headers only what is on a keep-list is read. Everything outside the scan area is black."]
    if text is not None:
        done = "blacked out" if policy["text"] == "black out" else "reported and left in place"
        lines.append(f"Text and markers in or at the scan area: {text['marks']} in {text['images']} images, {done}.")
    lines.append(f"Patients, clips and files carry hashes, keyed {keyed[policy['pseudonyms']]}.")
    lines.append(
        "A person signs the contact sheet before the store is released to training."
        if policy["sign_off"]
        else "The manifest asks for no signature on the contact sheet."
    )
    return lines


def picture_lines(sheet: Mapping[str, Any]) -> list[str]:
    """What the pictures are like, in short lines."""
    areas = ", ".join(f"{count} {kind}" for kind, count in sheet["scan_area"].items())
    lines = [f"scan area: {areas} (whole: no border was found)"]
    modes = sheet["scan_modes"]
    if modes and modes["comparable"]:
        lines.append(f"scan mode read from the pixels: as stated in {modes['agree']} of {modes['comparable']} images")
    lines.append(f"with colour: {100 * sheet['colour_share']:.1f}%; curated pictures are grey")
    lines.append(f"with mask: {sheet['masks']['with_mask']}")
    depth = sheet["depth_mm"]
    if depth:
        lines.append(f"depth (mm), known for {depth['known']} images: {_told(depth['spread'])}")
    return lines


def quality_lines(sheet: Mapping[str, Any]) -> list[str]:
    """The spread of each quality measure, in short lines."""
    named = ((MEASURES[name], found) for name, found in sheet["quality"].items())
    return [f"{measure.words} ({measure.unit}): {_told(found)}" for measure, found in named]


def _told(found: Mapping[str, float]) -> str:
    half = f"middle half {found['lower_quartile']:.4g} to {found['upper_quartile']:.4g}"
    return f"median {found['median']:.4g}, {half}, all {found['lowest']:.4g} to {found['highest']:.4g}"


def _listed(lines: Iterable[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(map(_cell, cells)) + " |" for cells in lines]


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
