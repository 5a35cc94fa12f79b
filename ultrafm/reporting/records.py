"""Records: every scientific number that a report shows, in one flat shape (see results.json in the design)."""

from __future__ import annotations

import math
import numbers
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ultrafm.errors import UltraFMError, nearest
from ultrafm.files import read_json, write_json

SCHEMA_VERSION = 1
FEWEST_PATIENTS = 5  # with fewer, an interval would claim more than it can know
NAMING = ("section", "task", "method", "comparator", "metric", "fold", "level")
KEYS = (
    *("id", *NAMING, "estimate", "ci_low", "ci_high", "ci_method"),
    *("n", "n_patients", "unit", "images", "readers"),
)
REALITY = ("real", "simulated")


def record(
    *,
    section: str,
    metric: str,
    estimate: float | None,
    images: str,
    task: str | None = None,
    method: str | None = None,
    comparator: str | None = None,
    fold: str | None = None,
    level: str | None = None,
    ci_low: float | None = None,
    ci_high: float | None = None,
    ci_method: str | None = None,
    n: int | None = None,
    n_patients: int | None = None,
    unit: str | None = None,
    readers: str | None = None,
) -> dict[str, Any]:
    """One number with its interval and its circumstances, as results.json holds it.

    The first seven words name the number and make up its `id`: section ("diagnosis"), task ("breast_lesion"), method
    ("linear_probe/federated"), comparator ("linear_probe/random": the estimate is a difference, method minus
    comparator), metric ("auroc"), fold ("test") and level ("macro", "site_03_liver", "expert").
    `estimate`, `ci_low` and `ci_high` are in `unit`; NaN becomes None, which means "not defined". An interval with only
    one end is one-sided; any interval needs a `ci_method`. `n` counts images or cases, `n_patients` patients.
    `images` is "real" or "simulated"; `readers` too, or None where no reader is involved.

    Raises UltraFMError for an empty section or metric, an infinite number, ends in the wrong order, a count that is not
    a whole number or a word other than real and simulated.
    """
    words = {"section": section, "task": task, "method": method, "comparator": comparator}
    words |= {"metric": metric, "fold": fold, "level": level}
    words = {name: _word(name, value) for name, value in words.items()}
    where = f"record {make_id(words)}"
    values = {
        name: _number(where, name, value)
        for name, value in (("estimate", estimate), ("ci_low", ci_low), ("ci_high", ci_high))
    }
    made = {"id": make_id(words), **words, **values, "ci_method": _word("ci_method", ci_method)}
    made |= {"n": _count(where, "n", n), "n_patients": _count(where, "n_patients", n_patients)}
    made |= {"unit": _word("unit", unit), "images": images, "readers": readers}
    check_record(made)
    return made


def make_id(words: Mapping[str, str | None]) -> str:
    """The naming words of a record as one path of slugs; a word that is not given is "-"."""
    return "/".join(_slug(words.get(name)) for name in NAMING)


def check_record(found: Mapping[str, Any]) -> None:
    """Raise UltraFMError unless `found` has exactly the keys of a record, with sound values."""
    where = f"record {found.get('id', '(without id)')}"
    if set(found) != set(KEYS):
        odd = sorted(set(found) ^ set(KEYS))
        raise UltraFMError(where, f"missing or unknown keys {', '.join(odd)}", f"exactly the keys {', '.join(KEYS)}")
    if found["id"] != make_id(found):
        raise UltraFMError(where, f"an id that does not match its words ({make_id(found)})", "an id made by record()")
    for name in ("section", "metric"):
        if not found[name]:
            raise UltraFMError(where, f"no {name}", f"a {name}")
    _check_reality(where, "images", found["images"], REALITY)
    _check_reality(where, "readers", found["readers"], (*REALITY, None))
    _check_interval(where, found)


def merge_records(lists: Iterable[Iterable[Mapping[str, Any]]]) -> dict[str, Any]:
    """Join the records of all steps into the value of results.json, sorted by id.

    Raises UltraFMError when two records have the same id or one is not a record.
    """
    merged = [{key: found[key] for key in KEYS} for records in lists for found in _checked(records)]
    doubled = [name for name, times in Counter(found["id"] for found in merged).items() if times > 1]
    if doubled:
        raise UltraFMError(
            "the records of this study",
            f"{len(doubled)} ids more than once, first {doubled[0]!r}",
            "unique ids",
            "give the records different tasks, methods, comparators, folds or levels",
        )
    return {"schema_version": SCHEMA_VERSION, "records": sorted(merged, key=lambda found: found["id"])}


def write_results(path: Path, lists: Iterable[Iterable[Mapping[str, Any]]]) -> dict[str, Any]:
    """Merge the records of all steps, write them to `path` (results.json) and return what was written."""
    results = merge_records(lists)
    write_json(path, results)
    return results


def read_results(path: Path) -> dict[str, Any]:
    """The checked value of a results.json file; UltraFMError when its schema version or a record is not known."""
    results = read_json(path)
    if results.get("schema_version") != SCHEMA_VERSION:
        raise UltraFMError(str(path), f"schema version {results.get('schema_version')!r}", f"{SCHEMA_VERSION}")
    return merge_records([results["records"]])


def interval_text(estimate: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """An estimate with its interval, "0.912 [0.880, 0.941]"; "not defined" without estimate; an open end is "…"."""
    if _is_missing(estimate):
        return "not defined"
    text = _digits(estimate, digits)
    if _is_missing(low) and _is_missing(high):
        return text
    return f"{text} [{', '.join('…' if _is_missing(end) else _digits(end, digits) for end in (low, high))}]"


def _is_missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _digits(value: float, digits: int) -> str:
    """Rounded, with a true minus sign, and without one before zero."""
    rounded = round(value, digits) + 0.0
    return f"{rounded:.{digits}f}".replace("-", "−")


def _checked(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    records = list(records)
    for found in records:
        check_record(found)
    return records


def _word(name: str, value: str | None) -> str | None:
    if value is not None and not isinstance(value, str):
        raise UltraFMError(f"record, {name}", repr(value), "a word or None")
    return value.strip() or None if value is not None else None


def _slug(word: str | None) -> str:
    """Lower case; whatever is not a letter, digit, dot, plus or underscore becomes a hyphen."""
    return re.sub(r"[^\w.+]+", "-", (word or "").lower()).strip("-") or "-"


def _number(where: str, name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UltraFMError(f"{where}, {name}", repr(value), "a number or None")
    if math.isinf(value):
        raise UltraFMError(f"{where}, {name}", "an infinite number", "a finite number, or NaN for 'not defined'")
    return None if math.isnan(value) else float(value)


def _count(where: str, name: str, value: Any) -> int | None:
    number = _number(where, name, value)
    if number is None:
        return None
    if number < 0 or number != int(number):
        raise UltraFMError(f"{where}, {name}", repr(value), "a whole number that is not negative")
    return int(number)


def _check_reality(where: str, name: str, value: Any, known: tuple[str | None, ...]) -> None:
    if value not in known:
        hint = nearest(str(value), REALITY)
        raise UltraFMError(f"{where}, {name}", repr(value), " or ".join(map(repr, known)) + hint)


def _check_interval(where: str, found: Mapping[str, Any]) -> None:
    low, high = found["ci_low"], found["ci_high"]
    if low is None and high is None:
        return
    if not found["ci_method"]:
        raise UltraFMError(f"{where}, ci_method", "none", "the name of the method that gave the interval")
    if found["estimate"] is None:
        raise UltraFMError(f"{where}, estimate", "none, though there is an interval", "an estimate")
    if low is not None and high is not None and low > high:
        raise UltraFMError(f"{where}, interval", f"ci_low {low:g} above ci_high {high:g}", "ci_low at or below ci_high")
