"""Tables of the report, made from records, from run.json and from what the paper reports (paper.yaml)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ultrafm.reporting.records import interval_text
from ultrafm.reporting.rendering import templates

Record = Mapping[str, Any]
PAPER = Path(__file__).resolve().parent / "paper.yaml"
AVERAGES = ("macro_average", "macro average")
ALL = (None, "all", "all_sites", "mean over sites")
NUMBER = "number [95% interval]"
CAUTIONS = {"smoke": "Profile smoke is so small that none of its numbers means anything: it shows that all steps run."}
ORDER = ("federated", "pooled", "one site", "random", "pixels", "readers", "all", "junior", "mid-level", "expert")
# Ways of asking that a page about the whole study shows; those of a section that is not named here are all shown.
SHOWN = {"diagnosis": ("linear_probe", "fine_tuning")}
CONTROLS = ("shortcut/everything", "shortcut/all but grey values")
# Which records are headlines: the section, its heading, the metric, and which rows of the section.
HEADLINES: tuple[tuple[str, str, str, Callable[[Record], bool]], ...] = (
    ("diagnosis", "Disease diagnosis: AUROC, average over tasks", "auroc", lambda found: found["task"] in AVERAGES),
    ("segmentation", "Lesion segmentation: Dice, average over tasks", "dice", lambda found: found["task"] in AVERAGES),
    (
        "controls",
        "Controls: AUROC of what is told without looking at tissue, and how far the model is ahead of it",
        "auroc",
        lambda found: found["method"] in CONTROLS or found["comparator"] in CONTROLS,
    ),
    (
        "reader_study",
        "Reader study, the model against readers: AUROC, average over diseases",
        "auroc",
        lambda found: found["task"] in AVERAGES and "one reader" not in (found["method"], found["comparator"]),
    ),
    (
        "pretraining",
        "Pre-training: squared error on hidden patches of held-out pictures, in units of the patch variance",
        "normalised_squared_error",
        lambda found: found["level"] is None,
    ),
    (
        "privacy",
        "Membership inference: AUROC of an attack that asks who was in the training set (0.5 is chance)",
        "auroc",
        lambda found: found["level"] in ALL,
    ),
)


@dataclass(frozen=True)
class Table:
    """A table with its title, a note below it, and a label that says whether its numbers are real or simulated."""

    title: str
    frame: pd.DataFrame
    note: str = ""
    label: str = ""

    @property
    def kind(self) -> str:
        """The label in one word: real, simulated (if anything in the table is) or nothing."""
        return "simulated" if "simulated" in self.label else "real" if self.label else ""

    def _repr_html_(self) -> str:
        """The table as a notebook shows it."""
        return str(templates().get_template("parts.html.j2").module.table(self))


def headline_tables(records: Sequence[Record]) -> list[Table]:
    """The main numbers of a study, one table for each section and kind of images and readers; never mixed."""
    made = []
    for section, title, metric, chosen in HEADLINES:
        rows = [found for found in records if found["section"] == section and found["metric"] == metric]
        rows = [found for found in rows if is_shown(found)]
        rows = sorted(filter(chosen, rows), key=_rank)
        for images, readers in sorted({(found["images"], found["readers"] or "") for found in rows}):
            group = [found for found in rows if (found["images"], found["readers"] or "") == (images, readers)]
            label = f"{images} images" + (f", {readers} readers" if readers else "")
            made.append(Table(title, _headline_frame(group), _interval_note(group), label))
    return made


def is_shown(found: Record) -> bool:
    """Does a record stand on pages about the whole study (see SHOWN)?"""
    shown = SHOWN.get(found["section"])
    return shown is None or str(found["method"]).partition("/")[0] in shown


def record_frame(records: Sequence[Record], section: str, metric: str, differences: bool) -> pd.DataFrame:
    """Shown records of one section and metric for drawing, either values or differences (method minus comparator).

    Columns task, model ("linear probe"), encoder ("federated", or "federated − random"), level, estimate, ci_low,
    ci_high, n, n_patients, fold, images. Averages over tasks come last.
    """
    wanted = [found for found in records if found["section"] == section and found["metric"] == metric]
    wanted = [found for found in wanted if (found["comparator"] is not None) == differences and is_shown(found)]
    wanted.sort(key=lambda found: (found["task"] in AVERAGES, found["task"] or ""))
    kept = ("level", "estimate", "ci_low", "ci_high", "n", "n_patients", "fold", "images")
    rows = []
    for found in wanted:
        model, encoder = _parts(found["method"])
        other = f" − {_parts(found['comparator'])[1]}" if differences else ""
        task = "average over tasks" if found["task"] in AVERAGES else _words(found["task"])
        rows.append({"task": task, "model": model, "encoder": encoder + other} | {name: found[name] for name in kept})
    return pd.DataFrame(rows, columns=["task", "model", "encoder", *kept]).astype(
        {"estimate": float, "ci_low": float, "ci_high": float}
    )


def reported_table() -> Table:
    """What the paper reports, with its source. These numbers are not ours and stand in no table with ours."""
    paper = _paper()
    rows = [
        {"what": row["what"], "measure": row["measure"]}
        | {"the paper reports": row["value"], "known of it": row["circumstances"]}
        for row in paper["results"]
    ]
    return Table("What the paper reports", pd.DataFrame(rows), f"Source: {paper['citation']} {paper['caution']}")


def setting_table(records: Sequence[Record], parameters: Mapping[str, Any], sites: int | None) -> Table:
    """How this study differs from the paper's: `parameters` are those of the profile, `sites` their number if known."""
    ours = _our_setting(records, parameters, sites)
    rows = [
        {"": row["aspect"], "the paper": row["paper"], "this study": ours[row["key"]]} for row in _paper()["setting"]
    ]
    return Table("How this study differs from the paper", pd.DataFrame(rows))


def steps_table(run: Mapping[str, Any]) -> Table:
    """The steps of a study with their outcome, wall time and peak memory."""
    rows = [
        {
            "step": name,
            "outcome": "nothing to do" if idle_reason(entry) else entry.get("status", "unknown"),
            "wall time": duration(entry.get("seconds")),
            "peak memory": memory(entry.get("peak_memory_bytes")),
        }
        for name, entry in sorted(run.get("steps", {}).items())
    ]
    return Table("Steps", pd.DataFrame(rows, columns=["step", "outcome", "wall time", "peak memory"]))


def idle_reason(entry: Mapping[str, Any]) -> str:
    """Why a finished step (an entry of run.json) found nothing to do; empty when it did something."""
    return entry.get("note") or "" if entry.get("status") == "finished" else ""


def provenance_rows(run: Mapping[str, Any], step: str = "") -> list[tuple[str, str]]:
    """Where numbers come from, as pairs of name and value; what run.json does not tell is left out."""
    entry = run.get("steps", {}).get(step, {})
    commit = run.get("git_commit", "")
    machine = ", ".join(f"{name} {value}" for name, value in run.get("machine", {}).items())
    rows = [
        ("Profile", f"{run.get('profile', '')}, seed {run.get('seed', '?')}, source {run.get('source', 'default')}"),
        ("Code", commit[:12] + (" with changes that are not committed" if run.get("git_changed") else "")),
        ("Packages locked", f"SHA-256 {run['lock_sha256'][:16]}" if run.get("lock_sha256") else ""),
        ("Manifests", f"{len(run['manifests'])} files, hashes in run.json" if run.get("manifests") else ""),
        ("Versions", ", ".join(f"{name} {value}" for name, value in run.get("versions", {}).items())),
        ("Machine", machine),
        ("Device", _device(run)),
        ("Wall time", duration(entry.get("seconds")) if "seconds" in entry else ""),
        ("Peak memory", memory(entry.get("peak_memory_bytes")) if "peak_memory_bytes" in entry else ""),
    ]
    return [(name, value) for name, value in rows if value]


def duration(seconds: float | None) -> str:
    """Wall time for people: "4 s", "2 min 05 s", "1 h 12 min"; "–" when unknown."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def memory(amount: int | None) -> str:
    """Bytes for people, "0.8 GiB"; "–" when unknown."""
    return "–" if not amount else f"{amount / 2**30:.1f} GiB"


def _headline_frame(rows: Sequence[Record]) -> pd.DataFrame:
    several = len({found["task"] for found in rows}) > 1
    return pd.DataFrame(
        [
            {
                "": f"{_words(found['task'])}, {row_name(found)}" if several else row_name(found),
                NUMBER: _number_text(found),
                "images or cases": _count_text(found["n"]),
                "patients": _count_text(found["n_patients"]),
                "fold": _words(found["fold"]),
            }
            for found in rows
        ]
    )


def _rank(found: Record) -> tuple[bool, str, str, int, int, int]:
    """Values before differences; then by task and by model, and within it the main encoder first."""
    model, encoder = _parts(found["method"])
    names = (encoder, _parts(found["comparator"])[1], found["level"])
    places = [ORDER.index(name) if name in ORDER else len(ORDER) for name in names]
    return (found["comparator"] is not None, found["task"] or "", model, *places)


def row_name(found: Record) -> str:
    """A row's name: "linear probe: federated − random (expert)"."""
    model, encoder = _parts(found["method"])
    name = f"{model}: {encoder}" if model else encoder
    if found["comparator"]:
        other_model, other = _parts(found["comparator"])
        name += f" − {other}" if other_model in (model, "") else f" − {other_model}: {other}"
    level = found["level"]
    return name if level in ALL or level.endswith("images") else f"{name} ({_words(level)})"


def _parts(method: str | None) -> tuple[str, str]:
    """("linear probe", "federated") from "linear_probe/federated"; a method without a slash has no first part."""
    model, _, encoder = _words(method).rpartition("/")
    return model, encoder


def _words(name: str | None) -> str:
    return (name or "–").replace("_", " ")


def _number_text(found: Record) -> str:
    text = interval_text(found["estimate"], found["ci_low"], found["ci_high"])
    signed = found["comparator"] and found["estimate"] is not None and not text.startswith("−")
    return f"+{text}" if signed else text


def _count_text(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _interval_note(rows: Sequence[Record]) -> str:
    """How the intervals were made: those of values, and those of differences where that is another way."""
    values = _interval_methods([found for found in rows if found["comparator"] is None])
    differences = _interval_methods([found for found in rows if found["comparator"] is not None])
    if values and differences and values != differences:
        return f"Intervals of values: {values}; of differences: {differences}."
    return f"Intervals: {values or differences}." if values or differences else ""


def _interval_methods(rows: Sequence[Record]) -> str:
    return ", or ".join(dict.fromkeys(found["ci_method"] for found in rows if found["ci_method"]))


def _paper() -> dict[str, Any]:
    return yaml.safe_load(PAPER.read_text(encoding="utf-8"))


def _our_setting(records: Sequence[Record], parameters: Mapping[str, Any], sites: int | None) -> dict[str, str]:
    kinds = sorted({found["images"] for found in records})
    readers = sorted({found["readers"] for found in records if found["readers"]})
    size, curated = parameters.get("image_size"), _curated_images(records)
    return {
        "sites": _site_words(sites) + (", fictional" if kinds == ["simulated"] else ""),
        "images": f"{curated:,} after curation, all folds" if curated else "see step 10",
        "organs": "see step 00",
        "kind": " and ".join(kinds) or "none yet",
        "encoder": f"ViT of size {parameters['size']}" if "size" in parameters else "see step 20",
        "image_size": f"{size} x {size} pixels" if size else "see step 10",
        "rounds": _round_words(parameters),
        "readers": " and ".join(readers) or "none",
        "choice": _choice_words(records),
        "intervals": "95%, clustered by patient",
    }


def _round_words(parameters: Mapping[str, Any]) -> str:
    """How training is cut into rounds, as far as the profile tells."""
    if "passes" not in parameters or "shares" not in parameters:
        return "see step 20"
    passes, shares, at_once = (parameters.get(name, 0) for name in ("passes", "shares", "sites_per_round"))
    passes_told = f"{passes} pass{'es' * (passes != 1)} over all images, each in {shares} share{'s' * (shares != 1)}"
    return f"{passes_told}, {at_once or 'all'} sites a round"


def _choice_words(records: Sequence[Record]) -> str:
    """How the models that were tested were chosen, by the folds in which they were."""
    words = {
        "test": "on the validation fold; the test fold is read once",
        "cross-validation": "in cross-validation on inner groups of patients; a group is read once",
    }
    folds = {found["fold"] for found in records if found["section"] in ("diagnosis", "segmentation")}
    return "; ".join(text for fold, text in words.items() if fold in folds) or "no model was tested"


def _site_words(sites: int | None) -> str:
    return "see step 00" if not sites else "1 site" if sites == 1 else f"{sites} sites"


def _curated_images(records: Sequence[Record]) -> int | None:
    """How many images the curation kept, if its records tell it."""
    found = [row for row in records if row["section"] == "curation" and row["metric"] == "images_kept"]
    total = [row["estimate"] for row in found if row["level"] in ALL and row["estimate"] is not None]
    return int(total[0]) if total else None


def _device(run: Mapping[str, Any]) -> str:
    parts = [run.get("device"), run.get("precision")]
    threads = run.get("torch_threads")
    parts.append(f"{threads} torch thread{'s' if threads != 1 else ''} in each worker" if threads else None)
    return ", ".join(part for part in parts if part)
