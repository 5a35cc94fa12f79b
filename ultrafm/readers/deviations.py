"""Under which registered protocol the readings were made, where the table says so (the reading room's tables do)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ultrafm.readers.names import texts


def protocol_of(table: pd.DataFrame, ai: str | None) -> dict[str, Any] | None:
    """Hash of the registered protocol, and readings under another one with the reason; None without the column.

    A reading is a reader's answer to a case in a modality; the AI makes none. A hash without a reason that is not the
    one of most readings counts as a deviation without a reason.
    """
    if "protocol" not in table:
        return None
    rows = table[(table["reader"] != ai).to_numpy()].drop_duplicates(["reader", "modality", "case"])
    reasons = texts(rows["deviation"]).astype(str) if "deviation" in rows else pd.Series("", index=rows.index)
    hashes = texts(rows["protocol"]).astype(str)
    plain = hashes[(reasons == "").to_numpy()]
    registered = None if plain.empty else str(plain.mode().iloc[0])
    other = (hashes != registered) | (reasons != "")
    counts = pd.DataFrame({"protocol": hashes, "reason": reasons})[other.to_numpy()].value_counts(sort=False)
    deviations = [
        {"protocol": str(key[0]), "reason": str(key[1]) or "no reason given", "readings": int(number)}
        for key, number in counts.items()
    ]
    return {"registered": registered, "readings": len(rows), "deviations": deviations}


def protocol_lines(protocol: dict[str, Any] | None) -> list[str]:
    """The same in words, for the summary of an analysis."""
    if protocol is None:
        return []
    lines = [f"Protocol    registered, {protocol['registered'] or 'no reading was made under it'}"]
    for one in protocol["deviations"]:
        told = f"{one['readings']} of {protocol['readings']} readings under {one['protocol'][:12]}: {one['reason']}"
        lines.append(f"DEVIATION   {told}")
    return lines
