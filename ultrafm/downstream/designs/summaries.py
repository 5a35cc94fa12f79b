"""Tables and records of the designs: what each encoder reaches under each condition, and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ultrafm.downstream.designs.contrasts import Curves, contrast, curves_of
from ultrafm.downstream.designs.settings import ALONE, FEDERATED, POOLED
from ultrafm.downstream.metrics import Interval
from ultrafm.downstream.records import MACRO_AVERAGE
from ultrafm.downstream.records.comparisons import MAIN
from ultrafm.files import write_text
from ultrafm.reporting.records import record

ANSWERS, WITHIN_SITES = ("task", "answer"), ("task", "answer", "site")
SUMMARY = ("task", "images", "encoder", "against", "estimate", "ci_low", "ci_high", "ci_method", "n", "n_patients")
Described = Mapping[str, Mapping[str, Any]]


def condition_table(
    table: pd.DataFrame, conditions: Sequence[str], described: Described, parts: Sequence[str] = ANSWERS
) -> pd.DataFrame:
    """AUROC of every encoder under every condition, and the difference federated minus each other encoder.

    For each task, and for the average over those that averages count (task "macro_average", real and simulated images
    apart) where all of them have the condition. Columns: the `conditions`, fold, then SUMMARY; `against` names the
    encoder that is subtracted, or is missing. described: what `describe_tasks` says. parts: see `curves_of`.
    """
    rows = []
    for about, tasks, chosen in _groups(table, described):
        for values, here in chosen.groupby([*conditions], sort=True):
            if here["task"].nunique() < tasks:
                continue
            curves = curves_of(here, (), parts)
            row = about | dict(zip(conditions, values)) | {"fold": _folds(here)}
            encoders = list(dict.fromkeys(curves.names["encoder"]))
            others = [name for name in encoders if name != MAIN] if MAIN in encoders else []
            found = [(name, None, contrast(curves, {"encoder": name})) for name in encoders]
            found += [(MAIN, name, contrast(curves, {"encoder": MAIN}, {"encoder": name})) for name in others]
            rows += [_summary(row, curves, *one) for one in found]
    return pd.DataFrame(rows, columns=[*conditions, "fold", *SUMMARY])


def change_table(
    table: pd.DataFrame,
    conditions: Sequence[str],
    reference: Mapping[str, object],
    described: Described,
    parts: Sequence[str] = ANSWERS,
) -> pd.DataFrame:
    """How much each encoder's AUROC changes from the `reference` condition to every other one, paired over patients.

    As `condition_table`, but `against` is the reference in words ("level 0"), and every row is a difference. All rows
    of a task must be about the same images.
    """
    rows = []
    for about, _, chosen in _groups(table, described):
        curves = curves_of(chosen, conditions, parts)
        words = ", ".join(f"{name} {value:g}" if isinstance(value, float) else str(value)
                          for name, value in reference.items())  # fmt: skip
        others = curves.names[[*conditions]].drop_duplicates().to_dict("records")
        for encoder in dict.fromkeys(curves.names["encoder"]):
            for other in others:
                if other != dict(reference):
                    own = {"encoder": encoder}
                    found = contrast(curves, own | other, own | dict(reference))
                    row = about | other | {"fold": _folds(chosen)}
                    rows.append(_summary(row, curves, encoder, words, found))
    return pd.DataFrame(rows, columns=[*conditions, "fold", *SUMMARY])


def perturbation_changes(table: pd.DataFrame, described: Described) -> pd.DataFrame:
    """`change_table` of the rows of robustness: every level of each kind of perturbation against clean pictures."""
    kinds = table.groupby("perturbation", sort=False)
    parts = [change_table(rows, ["level"], {"level": 0.0}, described).assign(perturbation=kind) for kind, rows in kinds]
    return pd.concat(parts, ignore_index=True) if parts else _none(["perturbation", "level"])


def farthest(changes: pd.DataFrame) -> pd.DataFrame:
    """The rows of `perturbation_changes` at the two ends of each kind's levels."""
    levels = changes.groupby("perturbation")["level"]
    ends = (changes["level"] == levels.transform("min")) | (changes["level"] == levels.transform("max"))
    away = changes["level"].abs() == changes["level"].abs().groupby(changes["perturbation"]).transform("max")
    return changes[ends & away].reset_index(drop=True)


def tuning_table(tuned: pd.DataFrame, described: Described) -> pd.DataFrame:
    """What is trained together or alone, ranked within sites: values, then federated against pooled and alone.

    Columns as `condition_table` with the condition `trained`; `against` is an encoder or a way of training.
    """
    if tuned.empty:
        return _none(["trained"])
    parts = [condition_table(tuned, ["trained"], described, WITHIN_SITES)]
    for other in (POOLED, ALONE):
        found = change_table(tuned, ["trained"], {"trained": other}, described, WITHIN_SITES)
        parts.append(found[found["trained"] == FEDERATED])
    return pd.concat(parts, ignore_index=True)


def write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write each table as <name>.csv into `folder`."""
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))


def elsewhere_changes(matrix: pd.DataFrame, described: Described) -> pd.DataFrame:
    """`change_table` of a site matrix: for the images of each test site, trained elsewhere against trained there."""
    sites = matrix.groupby("test_site")
    parts = [change_table(rows, ["train_site"], {"train_site": site}, described) for site, rows in sites]
    tables = [part.assign(test_site=site, against="own site") for (site, _), part in zip(sites, parts)]
    found = pd.concat(tables, ignore_index=True) if tables else _none(["train_site", "test_site"])
    return found[found["task"] != MACRO_AVERAGE]


def design_records(
    summary: pd.DataFrame, design: str, conditions: Sequence[str], average: bool = True
) -> list[dict[str, Any]]:
    """Records of a summary's rows, those of the average over tasks alone unless `average` is False.

    method "label_efficiency/federated", level "share 0.1"; comparator "label_efficiency/random" or, of a change,
    "label_efficiency/level 0".
    """
    chosen = summary[summary["task"] == MACRO_AVERAGE] if average else summary
    kinds = summary["images"].nunique()
    made = []
    for row in chosen.to_dict("records"):
        level = ", ".join(f"{name} {_plain(row[name])}" for name in conditions)
        made.append(
            record(
                section="designs", task=row["task"], method=f"{design}/{row['encoder']}",
                comparator=f"{design}/{row['against']}" if isinstance(row["against"], str) else None,
                metric="auroc", fold=row["fold"], level=level + (f", {row['images']} images" if kinds > 1 else ""),
                images=row["images"], n=row["n"], n_patients=row["n_patients"],
                **{name: None if pd.isna(row[name]) else row[name]
                   for name in ("estimate", "ci_low", "ci_high", "ci_method")},
            )
        )  # fmt: skip
    return made


def _none(conditions: Sequence[str]) -> pd.DataFrame:
    """A summary without rows."""
    return pd.DataFrame(columns=[*conditions, "fold", *SUMMARY])


def _groups(table: pd.DataFrame, described: Described) -> Iterator[tuple[dict[str, Any], int, pd.DataFrame]]:
    """Each task, then all tasks of one kind of images that averages count: what it is, how many tasks, its rows."""
    for task, rows in table.groupby("task", sort=True):
        yield {"task": task, "images": described[task]["images"]}, 1, rows
    averaged = table[table["task"].map(lambda name: described[name].get("averaged", True)).astype(bool)]
    images = averaged["task"].map(lambda name: described[name]["images"])
    for kind, rows in averaged.groupby(images, sort=True):
        yield {"task": MACRO_AVERAGE, "images": kind}, rows["task"].nunique(), rows


def _summary(
    row: Mapping[str, Any], curves: Curves, encoder: str, against: str | None, found: Interval
) -> dict[str, Any]:
    numbers = {"estimate": found.estimate, "ci_low": found.low, "ci_high": found.high, "ci_method": found.method}
    counted = {"n": curves.images, "n_patients": curves.patients}
    return {**row, "encoder": encoder, "against": against, **numbers, **counted}


def _folds(rows: pd.DataFrame) -> str:
    return " and ".join(sorted(set(rows["fold"]), reverse=True))


def _plain(value: object) -> str:
    """A number in words that keep their sign as part of a record's id."""
    if not isinstance(value, float):
        return str(value)
    return f"minus {-value:g}" if value < 0 else f"{value:g}"
