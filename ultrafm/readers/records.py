"""From the results of a reader study to records of results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ultrafm.readers.cases import StudyCases
from ultrafm.readers.operating import Matched
from ultrafm.reporting.records import record

SECTION, FOLD, AVERAGE = "reader_study", "out_of_sample", "macro average"


def study_records(found: Mapping[str, Any], study: StudyCases, method: str) -> list[dict[str, Any]]:
    """Records of an analysis of AI against readers: AUROCs, differences AI minus readers, p values, levels, readers.

    found: what `analyse` returned; method: the AI's name in the records, such as "linear_probe/federated".
    """
    overall = {"task": AVERAGE, "images": study.overall_images(), **_numbers(found["counts"])}
    primary = found["ai_versus_readers"]
    made = [
        _auc_record(found, overall, method, "all", primary["ai"]),
        _auc_record(found, overall, "readers", "all", primary["readers"]),
        *_difference_records(found, overall, method, "all", primary, None, found["non_inferiority"]),
    ]
    for level, entry in found["levels"].items():
        test = entry["ai_versus_readers"]
        made.append(_auc_record(found, overall, "readers", level, test["readers"]))
        made += _difference_records(found, overall, method, level, test, entry["p_holm"], entry["non_inferiority"])
    for entry in found["individual_readers"]:
        made.append(_auc_record(found, overall, "one reader", entry["reader"], entry["value"]))
        alone = overall | {"comparator": "one reader"}
        made += _difference_records(found, alone, method, entry["reader"], entry["difference"], entry["p_holm"], None)
    for entry in found["diseases"]:
        about = {"task": entry["disease"], "images": study.images[entry["disease"]]}
        about |= {"n": entry["cases"], "n_patients": entry["units"] if found["cluster"] else None}
        made.append(_auc_record(found, about, method, "all", entry["ai"]))
        made.append(_auc_record(found, about, "readers", "all", entry["readers"]))
        made += _difference_records(
            found, about, method, "all", entry["difference"], entry["p_holm"], entry["non_inferiority"]
        )
    return made


def claim_records(found: Mapping[str, Any], study: StudyCases, method: str) -> list[dict[str, Any]]:
    """Holm's p of every claim that was stated beforehand."""
    about = _overall(found, study) | {"method": method, "comparator": "readers"}
    made = []
    for row in found["claims"]:
        margin = "" if row["margin"] is None else f", margin {row['margin']:g}"
        metric = f"p of {row['claim']}, one-sided, Holm over claims{margin}"
        made.append(_record(about, metric, row["p_holm"], "probability", level=row["level"]))
    return [one for one in made if one["estimate"] is not None]


def aided_records(found: Mapping[str, Any], study: StudyCases) -> list[dict[str, Any]]:
    """Readers aided by the AI minus the same readers unaided: all, and each level."""
    key, about = "random_readers_random_cases", _overall(found, study)
    about |= {"method": "readers, aided", "comparator": "readers, unaided"}
    made = []
    for level, place in (("all", found), *found["levels"].items()):
        test = place["tests"][key]
        ends = {
            "ci_low": test["ci_low"],
            "ci_high": test["ci_high"],
            "ci_method": _interval_words(found, test["model"]),
        }
        made.append(_record(about, "auroc with and without aid", test["difference"], "AUROC", level=level, **ends))
        p_value, name = (test["p"], "p two-sided") if level == "all" else (test["p_holm"], "p two-sided, Holm")
        if p_value is not None:
            made.append(_record(about, f"{name}, with and without aid", p_value, "probability", level=level))
    return made


def matched_records(
    matched: Sequence[Matched], found: Mapping[str, Any], study: StudyCases, method: str
) -> list[dict[str, Any]]:
    """Specificity of the AI at the readers' sensitivity, minus the readers' specificity, for each disease."""
    made, sizes = [], {entry["disease"]: entry for entry in found["diseases"]}
    for row in matched:
        own = sizes[row.disease]
        about = {"n": own["cases"], "n_patients": own["units"] if found["cluster"] else None, "task": row.disease}
        about |= {"images": study.images[row.disease], "readers": found["readers"], "level": "all"}
        about |= {"method": method, "comparator": "readers"}
        how = f"{row.confidence:.0%}, percentiles of {row.replicates} bootstraps"
        how += f" of {row.cluster or 'case'}s, {row.readers}"
        ends = {"ci_low": row.ci_low, "ci_high": row.ci_high, "ci_method": how}
        metric = "specificity at the readers' sensitivity"
        made.append(_record(about, metric, row.difference, "specificity", **ends))
    return made


def agreement_records(table: pd.DataFrame, found: Mapping[str, Any], study: StudyCases) -> list[dict[str, Any]]:
    """Coefficients of agreement of all readers and of each level, for each disease."""
    made = []
    for row in table.to_dict(orient="records"):
        about = {"task": row["disease"], "images": study.images[row["disease"]], "readers": found["readers"]}
        about |= {"method": "readers", "level": row["group"], "n": row["cases"]}
        how = f"{row['confidence']:.0%}, {row['method']}"
        ends = {"ci_low": row["ci_low"], "ci_high": row["ci_high"], "ci_method": how}
        made.append(_record(about, row["statistic"], row["value"], "agreement", **ends))
    return made


def size_records(table: pd.DataFrame, found: Mapping[str, Any], study: StudyCases, aim: str) -> list[dict[str, Any]]:
    """Cases that a planned study needs, by number of readers; aim: what it shall show."""
    about = _overall(found, study) | {"method": "planned study", "n": None, "n_patients": None}
    column = table.columns[1]
    return [
        _record(about, f"{column}, {aim}", None if pd.isna(cases) else float(cases), "cases", level=f"{count} readers")
        for count, cases in table.itertuples(index=False)
    ]


def _overall(found: Mapping[str, Any], study: StudyCases) -> dict[str, Any]:
    """What all records of the macro average have in common."""
    return {"task": AVERAGE, "images": study.overall_images(), "readers": found["readers"], **_numbers(found["counts"])}


def _record(about: Mapping[str, Any], metric: str, estimate: float | None, unit: str, **more: Any) -> dict[str, Any]:
    """One record of this section."""
    return record(section=SECTION, metric=metric, estimate=estimate, unit=unit, fold=FOLD, **{**about, **more})


def _numbers(counts: Mapping[str, Any]) -> dict[str, int | None]:
    """Cases and patients as a record names them."""
    return {"n": counts["cases"], "n_patients": counts["clusters"]}


def _interval_words(found: Mapping[str, Any], model: str) -> str:
    """How an interval was made."""
    return f"{found['confidence']:.0%}, {model}, {found['covariance_name']}"


def _auc_record(
    found: Mapping[str, Any], about: Mapping[str, Any], method: str, level: str, entry: Mapping[str, Any]
) -> dict[str, Any]:
    """One AUROC."""
    return record(
        section=SECTION,
        metric="auroc",
        method=method,
        fold=FOLD,
        level=level,
        estimate=entry["estimate"],
        ci_low=entry["ci_low"],
        ci_high=entry["ci_high"],
        ci_method=_interval_words(found, entry["model"]),
        unit="AUROC",
        readers=found["readers"],
        **about,
    )


def _difference_records(
    found: Mapping[str, Any],
    about: Mapping[str, Any],
    method: str,
    level: str,
    difference: Mapping[str, Any],
    p_holm: float | None,
    test: Mapping[str, Any] | None,
) -> list[dict[str, Any]]:
    """AI minus readers with its interval, and its p values as numbers of their own."""
    words = {"section": SECTION, "method": method, "comparator": "readers", "fold": FOLD, "level": level}
    words |= {"readers": found["readers"], **about}
    interval = {name: difference[name] for name in ("ci_low", "ci_high")}
    how = _interval_words(found, difference["model"])
    made = [record(metric="auroc", estimate=difference["difference"], ci_method=how, unit="AUROC", **interval, **words)]
    p_values = {"p two-sided": difference["p"], "p two-sided, Holm": p_holm}
    if test is not None:
        p_values[f"p of non-inferiority, one-sided, margin {test['margin']}"] = test["p_value"]
    named = [(name, value) for name, value in p_values.items() if value is not None]
    return made + [record(metric=name, estimate=value, unit="probability", **words) for name, value in named]
