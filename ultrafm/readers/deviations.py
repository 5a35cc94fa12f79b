"""Under which registered protocol the readings were made, where the table says so (the reading room's tables do)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ultrafm.readers.names import texts

HASH = r"[0-9a-f]{64}"  # SHA-256; a column `protocol` without any means something else
NONE = "no protocol"


def protocol_of(table: pd.DataFrame, ai: str | None) -> dict[str, Any] | None:
    """Hash of the registered protocol, and readings under another or none with the reason; None without such a column.

    A reading is a reader's answer to a case in a modality; the AI makes none. The registered hash is the one without a
    reason (of several, that of most readings; the others count as deviations without a reason).
    """
    if "protocol" not in table:
        return None
    rows = table[(table["reader"] != ai).to_numpy()].drop_duplicates(["reader", "modality", "case"])
    written = texts(rows["protocol"]).astype(str)
    known = written.str.fullmatch(HASH)
    if not known.any():
        return None
    hashes = written.where(known, NONE)
    reasons = texts(rows["deviation"]).astype(str) if "deviation" in rows else pd.Series("", index=rows.index)
    plain = hashes[(known & (reasons == "")).to_numpy()]
    registered = None if plain.empty else str(plain.mode().iloc[0])
    other = ((hashes != registered) | (reasons != "")).to_numpy()
    counts = pd.DataFrame({"protocol": hashes, "reason": reasons})[other].value_counts(sort=False)
    deviations = [
        {"protocol": str(key[0]), "reason": str(key[1]) or "no reason given", "readings": int(number)}
        for key, number in counts.items()
    ]
    return {"registered": registered, "readings": len(rows), "deviations": deviations}


def protocol_warnings(protocol: dict[str, Any] | None) -> list[str]:
    """A sentence for each deviation."""
    if protocol is None:
        return []
    return [
        f"deviation from the registered protocol in {one['readings']} of {protocol['readings']} readings, made under "
        f"{one['protocol'][:12]}: {one['reason']}"
        for one in protocol["deviations"]
    ]


def protocol_lines(protocol: dict[str, Any] | None) -> list[str]:
    """The registered hash, for the summary of an analysis."""
    if protocol is None:
        return []
    return [f"Protocol    registered, {protocol['registered'] or 'but no reading was made under it'}"]
