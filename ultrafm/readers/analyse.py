"""From a ratings table to everything that a reviewer asks for, as one dictionary that can be written as JSON."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import ultrafm
from ultrafm.errors import UltraFMError, nearest
from ultrafm.files import write_json
from ultrafm.readers.against import against_readers
from ultrafm.readers.covariance import check_covariance, describe_covariance
from ultrafm.readers.modalities import between_modalities
from ultrafm.readers.ratings import AI_NAME, check_ratings, load_ratings

CONFIDENCE = 0.95


def analyse_file(
    path: Path,
    ai: str | None = None,
    cluster: str | None = None,
    covariance: str = "delong",
    margin: float | None = None,
    by: str | None = None,
    json_out: Path | None = None,
) -> dict[str, Any]:
    """`analyse` for a ratings CSV; writes the result as JSON to `json_out` where given. Raises UltraFMError."""
    found = analyse(load_ratings(path), ai, cluster, covariance, margin, by, source=Path(path).name)
    if json_out is not None:
        write_json(Path(json_out), found)
    return found


def analyse(
    ratings: pd.DataFrame,
    ai: str | None = None,
    cluster: str | None = None,
    covariance: str = "delong",
    margin: float | None = None,
    by: str | None = None,
    source: str = "ratings",
) -> dict[str, Any]:
    """Multi-reader multi-case analysis of a ratings table.

    ai: name of the reader that is the AI; it is compared with all others (AI minus readers). Without it the
    modalities are compared (earlier minus later in order of name), or, if there is one only, its mean AUROC is given.
    cluster: column that binds cases together (patient). covariance: "delong" (clustered: Obuchowski 1997) or
    "jackknife". margin: non-inferiority margin on AI minus readers, 0..1, tested one-sided. by: column of the readers
    (level) for secondary results. With several diseases the endpoint is the unweighted mean of their AUROCs. The
    dictionary holds None where something is not estimable, with the reason beside it. Raises UltraFMError for
    anything in the table or the options that does not fit.
    """
    check_covariance(covariance)
    _check_margin(margin, ai)
    table = check_ratings(ratings, source)
    if by is not None:
        check_groups(table, by, ai, source)
    if ai is None:
        found = between_modalities(table, cluster, covariance, by, CONFIDENCE, source)
        if AI_NAME in set(table["reader"]):
            counted = f"reader {AI_NAME!r} counts as one of the readers; --ai {AI_NAME} compares it with them"
            found["warnings"].append(counted)
    else:
        found = against_readers(table, ai, cluster, covariance, margin, by, CONFIDENCE, source)
    head = {
        "source": source,
        "kind": found.pop("kind"),
        "covariance": describe_covariance(covariance, cluster),
        "cluster": cluster,
        "confidence": CONFIDENCE,
        "alpha": round(1 - CONFIDENCE, 12),
        "sidedness": "two-sided",
        "readers": who_reads(table, ai),
    }
    return plain(head | found | {"versions": versions()})


def check_groups(table: pd.DataFrame, by: str, ai: str | None, source: str) -> None:
    """UltraFMError unless column `by` exists and gives each reader (the AI aside) one value."""
    if by not in table.columns:
        known = [str(name) for name in table.columns]
        raise UltraFMError(f"{source}, --by", repr(by) + nearest(by, known), f"one of the columns {', '.join(known)}")
    readers = table[table["reader"] != ai]
    for reader, values in readers.groupby("reader")[by]:
        if values.nunique(dropna=False) != 1 or str(values.iloc[0]) in ("", "nan"):
            found = f"reader {reader!r} with {values.nunique(dropna=False)} values, the first {values.iloc[0]!r}"
            raise UltraFMError(f"{source}, column {by!r}", found, f"one {by} for each reader")


def who_reads(table: pd.DataFrame, ai: str | None) -> str | None:
    """ "simulated" when any reader's rows say so, "real" when all say not, None when the table does not say."""
    if "simulated" not in table:
        return None
    words = set(table.loc[table["reader"] != ai, "simulated"].str.lower())
    if "yes" in words:
        return "simulated"
    return "real" if words == {"no"} else None


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


def _check_margin(margin: float | None, ai: str | None) -> None:
    """UltraFMError for a margin that is not in 0..1 or has nothing to compare."""
    if margin is None:
        return
    if ai is None:
        raise UltraFMError(
            "--margin", f"{margin} without an AI", "--ai NAME as well", "non-inferiority is AI minus readers"
        )
    if not 0 < margin < 1:
        raise UltraFMError("--margin", f"{margin}", "a difference of AUROCs above 0 and below 1, such as 0.05")
