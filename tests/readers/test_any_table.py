"""Whatever the table and the options: a result that can be written as JSON, or a message; never anything else."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ultrafm.errors import UltraFMError
from ultrafm.readers import Endpoint, analyse, summarise
from ultrafm.readers.exchange import result_tables

READERS, MODALITIES = ("AI", "a", "b", "c", "d"), ("aided", "unaided", "standalone")


def any_table(generator: np.random.Generator) -> pd.DataFrame:
    """Some readers, modalities, diseases and cases, ratings with many ties, and perhaps holes."""
    cases, rows = int(generator.integers(4, 20)), []
    readers, modalities = READERS[: generator.integers(2, 6)], MODALITIES[: generator.integers(1, 3)]
    for disease in ("gout", "mumps")[: generator.integers(1, 3)]:
        truth = generator.integers(0, 2, cases)
        for reader in readers:
            for modality in MODALITIES[2:] if reader == "AI" else modalities:
                ratings = np.round(generator.normal(truth, 1.0), generator.integers(0, 2))
                rows += [(reader, modality, f"c{k}", truth[k], ratings[k], disease, f"p{k // 2}") for k in range(cases)]
    table = pd.DataFrame(rows, columns=["reader", "modality", "case", "truth", "rating", "disease", "patient"])
    table["level"] = table["reader"].map({"AI": "AI", "a": "junior", "b": "expert"}).fillna("mid-level")
    kind, number = generator.integers(0, 5), table["case"].str[1:].astype(int)
    kept = {
        0: generator.random(len(table)) < 0.8,
        1: (number % 2 == 0) == (table["reader"] < "c"),
        2: (table["modality"] == "aided") == (table["reader"] < "c"),
    }.get(int(kind), np.ones(len(table), dtype=bool))
    return table[kept | (table["reader"] == "AI")]


@given(st.integers(0, 10**6))
@example(1375)  # readers who call no case positive
@example(13542)  # readers of one modality each; a jackknife that leaves out the only healthy patient
@settings(max_examples=60, deadline=None)
def test_a_result_or_a_message(seed: int) -> None:
    generator = np.random.default_rng(seed)
    table = any_table(generator)
    kind = str(generator.choice(["auc", "auc", "partial_auc", "sensitivity"]))
    options = {
        "ai": "AI", "by": generator.choice([None, "level"]), "cluster": generator.choice([None, "patient"]),
        "covariance": str(generator.choice(["delong", "jackknife", "bootstrap"])), "replicates": 20,
        "endpoint": Endpoint(kind, threshold=0.5, ai_threshold=0.5), "margin": 0.1,
    }  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = analyse(table, **options)
    except UltraFMError as error:
        assert str(error).count("expected") >= 1
        return
    test = found["ai_versus_readers"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert test["p"] is None or 0 <= test["p"] <= 1
    assert test["ci_low"] is None or test["ci_low"] <= test["difference"] <= test["ci_high"]
    assert found["conclusion"] in summarise(found) and len(result_tables(found)["tests"]) > 0


def test_a_reader_with_one_class_is_named(small_study: pd.DataFrame) -> None:
    table = small_study[small_study["disease"] == "gout"]
    kept = table[(table["reader"] != "ann") | (table["truth"] == 1)]
    with pytest.raises(UltraFMError, match=r"reader 'ann' .modality 'unaided'. with cases of one class only"):
        analyse(kept, ai="AI")
