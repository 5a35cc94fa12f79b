"""What a threshold adds to an analysis of AUROCs: operating points, AI against each reader there, and agreement."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ultrafm.readers.agreement import agreement_table, limits_table
from ultrafm.readers.design import CROSSED
from ultrafm.readers.operating import matched_specificity, operating_table, pair_table
from ultrafm.readers.study import Options, reader_modalities


def at_threshold(table: pd.DataFrame, options: Options, design: str) -> dict[str, Any]:
    """Tables at the readers' threshold, as lists of rows.

    `operating_points`: every reader; `ai_pairs`: AI minus each reader, with the AI's threshold and independent cases.
    Crossed designs also have `matched`, the AI at the readers' sensitivity (one modality), `agreement` of all readers
    and of each level, and `agreement_pairs`, weighted kappa and limits of agreement of every two of one level.
    """
    limit, own = options.endpoint.threshold, options.endpoint.ai_threshold
    ai = options.ai if own is not None else None
    readers = table if options.ai is None or ai else table[(table["reader"] != options.ai).to_numpy()]
    found: dict[str, Any] = {
        "operating_points": _rows(operating_table(readers, limit, ai, own, options.cluster, source=options.source))
    }
    if ai is not None:
        found["ai_pairs"] = _rows(pair_table(table, ai, limit, own, options.margin, source=options.source))
    if design != CROSSED:
        return found
    one_modality = len({modality for _, modality in reader_modalities(table, options.ai)}) == 1
    if options.ai is not None and one_modality:
        generator, replicates = options.sampling.generator, options.sampling.replicates
        found["matched"] = matched_specificity(
            table, options.ai, limit, generator, options.cluster, replicates=replicates, source=options.source
        )
    found["agreement"] = _rows(
        agreement_table(table, limit, options.ai, options.by, options.cluster, source=options.source)
    )
    pairs = limits_table(table, options.ai, options.by, options.cluster, source=options.source)
    found["agreement_pairs"] = _rows(pairs)
    return found


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dictionaries."""
    return table.to_dict(orient="records")
