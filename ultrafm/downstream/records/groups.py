"""Records of subgroups: by site, device, organ or scan mode, and whether they differ by more than chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ultrafm.downstream.metrics import (
    Cases,
    Estimates,
    Interval,
    Resampling,
    auroc,
    auroc_bootstrap,
    draw_patients,
    mean_value,
    subgroups,
)
from ultrafm.downstream.metrics.heterogeneity import Heterogeneity, Subgroup
from ultrafm.downstream.records.comparisons import MACRO_AVERAGE, MAIN, Comparison, comparisons, wide
from ultrafm.downstream.records.diagnosis import draw_inside_classes
from ultrafm.downstream.records.rows import row
from ultrafm.downstream.tasks import TaskData, patient_names
from ultrafm.errors import UltraFMError


def subgroup_records(
    table: pd.DataFrame,
    described: Mapping[str, Mapping[str, Any]],
    groups: pd.Series,
    generator: np.random.Generator,
    replicates: int = 2000,
    metric: str = "auroc",
    encoders: Sequence[str] = (MAIN,),
    section: str = "subgroups",
) -> list[dict[str, Any]]:
    """A record for each subgroup of each task (level "device: A"), and of heterogeneity (level "device").

    table: predictions (metric "auroc") or scores of masks (metric "dice"). groups: image_id ->
    subgroup, named by what it is ("site", "device", "organ", "scan_mode"). Metrics of heterogeneity: "auroc_q"
    (Cochran), "auroc_q_p" and "auroc_i2" with its interval. A subgroup that is too small says so, and a task whose
    images are all of one subgroup has no rows. Raises UltraFMError for a table without these images.
    """
    if table.empty:
        return []
    of_ranking = metric == "auroc"
    if of_ranking:
        draws, measure = draw_inside_classes(table, replicates, generator), _ranking
    else:
        draws, measure = draw_patients(patient_names(table), replicates, generator), mean_value
    rows = []
    for one, cases, images in _single(table, "score" if of_ranking else metric, described):
        names = _names(groups, images)
        if len(set(names)) > 1:
            for encoder in (name for name in encoders if name in one.encoders):
                place = one.encoders.index(encoder)
                part = Cases(cases.scores[[place]], cases.truth, cases.patients)
                listed, differ = subgroups(part, names, measure, draws)
                rows += [_subgroup(section, one, metric, encoder, groups.name, found) for found in listed]
                rows += _differences(section, one, metric, encoder, str(groups.name), differ, len(listed))
    return rows


def groups_of(tasks: Iterable[TaskData], by: str) -> pd.Series:
    """image_id -> subgroup of each image of the tasks by a column of their tables ("site", "device", ...), or None."""
    tables = [data.table[["image_id", by]] for data in tasks]
    found = pd.concat(tables or [pd.DataFrame(columns=["image_id", by])]).drop_duplicates("image_id")
    groups = found.set_index("image_id")[by].astype(object)
    return groups.where(groups.notna(), None)


def _ranking(tasks: Sequence[Cases], draws: Resampling) -> Estimates:
    """AUROC by bootstrap; of a perfect ranking, which does not vary there, with the variance of a score interval."""
    found = auroc_bootstrap(tasks, draws)
    perfect = found.replicates is not None and np.nanstd(found.replicates) < 1e-12
    return auroc(tasks) if perfect else found


def _single(
    table: pd.DataFrame, value: str, described: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[Comparison, Cases, pd.Index]]:
    """Each task and answer: its comparison, its cases, and the names of their images."""
    for one in comparisons(table, value, described):
        if one.task == MACRO_AVERAGE or len(one.cases) > 1:
            continue
        rows = table[(table["task"] == one.task) & (table["method"] == one.method)]
        if one.cases[0].name:
            rows = rows[rows["answer"].astype(str) == one.cases[0].name]
        yield one, one.cases[0], wide(rows, value, one.encoders)[1].index


def _names(groups: pd.Series, images: pd.Index) -> np.ndarray:
    unknown = images.difference(groups.index)
    if len(unknown):
        found = f"no subgroup for image {unknown[0]}, and {len(unknown) - 1} more"
        raise UltraFMError(f"subgroups by {groups.name}", found, "one for each image, None where unknown")
    found = groups.loc[images].astype(object)
    return found.where(found.notna(), "unknown").astype(str).to_numpy()


def _subgroup(section: str, one: Comparison, metric: str, encoder: str, by: object, found: Subgroup) -> dict[str, Any]:
    level = f"{f'{one.level}, ' if one.level else ''}{by}: {found.name}"
    made = row(section, one, metric, encoder, None, found.interval, level=level)
    return made | {"n": found.images, "n_patients": found.patients}


def _differences(
    section: str, one: Comparison, metric: str, encoder: str, by: str, found: Heterogeneity, count: int
) -> list[dict[str, Any]]:
    level = f"{f'{one.level}, ' if one.level else ''}{by}"
    why = f"not defined: {found.reason}" if found.reason else f"{found.groups} of {count} subgroups, logit scale"
    values = {
        f"{metric}_q": Interval(found.q, None, None, why),
        f"{metric}_q_p": Interval(found.p_value, None, None, why),
        f"{metric}_i2": Interval(found.i2, found.i2_low, found.i2_high, f"{why}, test-based"),
    }
    return [row(section, one, name, encoder, None, value, level=level) for name, value in values.items()]
