"""From a ratings table to everything that a reviewer asks for, as one dictionary that can be written as JSON."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import ultrafm
from ultrafm.errors import UltraFMError, nearest
from ultrafm.files import write_json
from ultrafm.readers.against import against_readers
from ultrafm.readers.covariance import describe_covariance
from ultrafm.readers.deviations import protocol_of, protocol_warnings
from ultrafm.readers.endpoints import Endpoint
from ultrafm.readers.modalities import between_modalities
from ultrafm.readers.names import natural_order, text
from ultrafm.readers.plan import CONFIDENCE, Plan, check_plan, options_of
from ultrafm.readers.ratings import AI_NAME, check_ratings, find_ai, load_ratings
from ultrafm.readers.reading_time import reading_time
from ultrafm.readers.sentences import conclusion
from ultrafm.readers.study import Options, reader_modalities

UNAIDED = "unaided"
FROM_MODALITIES = ("sign", "modalities", "tests", "reader_differences")


def analyse_file(path: Path, json_out: Path | None = None, **plan: Any) -> dict[str, Any]:
    """`analyse` for a ratings CSV; writes the result as JSON to `json_out` where given. Raises UltraFMError."""
    found = analyse_checked(load_ratings(path), Plan(**plan), Path(path).name)
    if json_out is not None:
        write_json(Path(json_out), found)
    return found


def analyse(ratings: pd.DataFrame, ai: str | int | None = None, source: str = "ratings", **plan: Any) -> dict[str, Any]:
    """Multi-reader multi-case analysis of a ratings table; the other keywords are the fields of `Plan`.

    ai: as it stands in the column reader. With several diseases the endpoint is averaged over them. None stands where
    something is not estimable, with the reason beside it. Raises UltraFMError for anything in the table or the plan
    that does not fit.
    """
    return analyse_checked(check_ratings(ratings, source), Plan(None if ai is None else text(ai), **plan), source)


def analyse_checked(table: pd.DataFrame, plan: Plan, source: str = "ratings") -> dict[str, Any]:
    """`analyse` for a table that `check_ratings` or `load_ratings` returned. Raises UltraFMError."""
    check_plan(plan)
    if plan.by is not None:
        check_groups(table, plan.by, plan.ai, source)
    options = options_of(plan, source)
    found = _analysed(table, options)
    if plan.endpoint.kind == "auc" and plan.endpoint.threshold is not None:
        from ultrafm.readers.points import at_threshold  # brings SciPy's distributions, which are slow to import

        found |= at_threshold(table, options, found["design"])
    if plan.endpoint.kind == "auc" and "diagnosis" in table:
        found["final_diagnosis"] = _final_diagnosis(table, options)
    found["reading_time"] = reading_time(table, plan.ai, plan.by, CONFIDENCE)
    protocol = protocol_of(table, plan.ai)
    if protocol is not None:
        found["protocol"] = protocol
        found["warnings"] = [*found["warnings"], *protocol_warnings(protocol)]
    whole = plain(_head(table, plan, found, source) | found)
    return whole | {"conclusion": conclusion(whole), "versions": dict(versions())}


def _head(table: pd.DataFrame, plan: Plan, found: dict[str, Any], source: str) -> dict[str, Any]:
    """What was analysed and how, first in the result."""
    head = {
        "source": source,
        "kind": found.pop("kind"),
        "design": found.pop("design"),
        "covariance": plan.covariance,
        "covariance_name": describe_covariance(plan.covariance, plan.cluster, plan.endpoint),
        "cluster": plan.cluster,
        "endpoint_kind": plan.endpoint.kind,
        "confidence": CONFIDENCE,
        "alpha": round(1 - CONFIDENCE, 12),
        "sidedness": "two-sided",
        "readers": who_reads(table, plan.ai),
    }
    drawn = {"seed": plan.seed, "replicates": plan.replicates} if plan.covariance == "bootstrap" else {}
    return head | drawn


def _final_diagnosis(table: pd.DataFrame, options: Options) -> dict[str, Any]:
    """The second endpoint, accuracy of the final diagnosis: the same tests."""
    sampling = replace(options.sampling, method="delong")
    second = replace(options, endpoint=Endpoint("diagnosis"), sampling=sampling, claims=())
    found = _analysed(table, second)
    kept = ("endpoint", "sign", "values", "modalities", "ai_versus_readers", "tests", "components", "warnings")
    about = {"covariance_name": describe_covariance("delong", options.cluster, second.endpoint)}
    return about | {name: found[name] for name in kept if name in found}


def _analysed(table: pd.DataFrame, options: Options) -> dict[str, Any]:
    """AI against readers, modalities of the readers, or both in one."""
    if options.ai is not None:
        find_ai(table, options.ai, options.source)
    curves = reader_modalities(table, options.ai)
    if options.ai is None:
        _check_lonely_ai(curves, options.source)
        found = between_modalities(table, curves, options)
        if AI_NAME in {reader for reader, _ in curves}:
            counted = f"reader {AI_NAME!r} counts as one of the readers; --ai {AI_NAME} compares it with them"
            found["warnings"].append(counted)
        return found
    modalities = natural_order(modality for _, modality in curves)
    if len(modalities) < 2:
        return against_readers(table, curves, options)
    return _both(table, curves, modalities, options)


def _both(
    table: pd.DataFrame, curves: Sequence[tuple[str, str]], modalities: Sequence[str], options: Options
) -> dict[str, Any]:
    """The AI against each modality of the readers, and the modalities against each other."""
    main = UNAIDED if UNAIDED in modalities else modalities[0]
    against = {name: against_readers(table, [one for one in curves if one[1] == name], options) for name in modalities}
    between = between_modalities(table, curves, options)
    found = against[main]
    found["ai_versus_readers"]["by_modality"] = {name: dict(one["ai_versus_readers"]) for name, one in against.items()}
    found["ai_components"], found["components"] = found["components"], between["components"]
    found |= {name: between[name] for name in FROM_MODALITIES}
    key = "auc" if "auc" in found else "values"
    found[key] = found[key][:1] + between[key]
    for level, entry in found["levels"].items():
        other, entry["ai_components"] = between["levels"][level], entry["components"]
        entry |= {name: other[name] for name in (key, "modalities", "tests", "components") if name in other}
    found["model_of_modalities"] = between["model"]
    told = [warning for one in (*against.values(), between) for warning in one["warnings"]]
    if main != UNAIDED:
        told.append(
            f"no modality is called {UNAIDED!r}: the AI is first compared with {main!r}, first in order of name"
        )
    found["sign"] = f"AI minus readers; {between['sign']}"
    found["warnings"] = list(dict.fromkeys(told))
    found["design"], found["divided"] = between["design"], between["divided"]
    found["counts"] |= {name: between["counts"][name] for name in ("modalities", "readers", "missing_readings")}
    return found


def _check_lonely_ai(curves: Sequence[tuple[str, str]], source: str) -> None:
    """UltraFMError when a reader called AI, alone in its modality, was not named as the AI."""
    own = {modality for reader, modality in curves if reader == AI_NAME}
    if own and len(curves) > len(own) and own.isdisjoint(modality for reader, modality in curves if reader != AI_NAME):
        found = f"reader {AI_NAME!r} alone in modality {min(own)!r}"
        raise UltraFMError(f"{source}, readers", found, "readers in every modality", f"name it with --ai {AI_NAME}")


def check_groups(table: pd.DataFrame, by: str, ai: str | None, source: str) -> None:
    """UltraFMError unless column `by` exists and gives each reader (the AI aside) one value."""
    if by not in table.columns:
        known = [str(name) for name in table.columns]
        raise UltraFMError(f"{source}, --by", repr(by) + nearest(by, known), f"one of the columns {', '.join(known)}")
    pairs = table.loc[(table["reader"] != ai).to_numpy(), ["reader", by]].drop_duplicates()
    for reader, values in pairs.groupby("reader", observed=True)[by]:
        if len(values) != 1 or str(values.iloc[0]) in ("", "nan"):
            found = f"reader {reader!r} with {len(values)} values, the first {values.iloc[0]!r}"
            found = f"reader {reader!r} without one" if len(values) == 1 else found
            raise UltraFMError(f"{source}, column {by!r}", found, f"one {by} for each reader")


def who_reads(table: pd.DataFrame, ai: str | None) -> str | None:
    """ "simulated" when any reader's rows say so, "real" when all say not, None when the table does not say."""
    if "simulated" not in table:
        return None
    words = {str(word).lower() for word in table.loc[(table["reader"] != ai).to_numpy(), "simulated"].unique()}
    if "yes" in words:
        return "simulated"
    return "real" if words == {"no"} else None


@cache
def versions() -> dict[str, str]:
    """Versions of what computed the result."""
    names = ("numpy", "scipy", "pandas")
    return {"ultrafm": ultrafm.__version__, "python": platform.python_version()} | {
        name: version(name) for name in names
    }


def plain(value: Any) -> Any:
    """The value as JSON holds it: dataclasses as dictionaries, tuples as lists, NumPy numbers plain, NaN as None."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
