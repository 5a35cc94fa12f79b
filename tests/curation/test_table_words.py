"""How the words of a row become words of the vocabulary, and what an unknown word is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_archives import made_manifest

from ultrafm.curation.reading.rows import blank_row
from ultrafm.curation.reading.table import Words, row_words
from ultrafm.curation.reasons import Unusable

WORD_MAP = {
    "organ": {"Mamma": "breast", "Axilla": "lymph node", "?": "unknown"},
    "modality": {"B-Bild": "B-mode"},
    "scan_mode": {"L12-5": "linear"},
}
SITE = {"organs": ["breast", "lymph node"], "scan_modes": ["linear", "convex"], "word_map": WORD_MAP}


def row(label: str = "", **words: str):
    return replace(blank_row(2, "a.png", "P1", label), **words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"organ": "Mamma", "modality": "B-Bild", "scan_mode": "L12-5"}, ("breast", "B-mode", "linear")),
        ({"organ": "Axilla", "scan_mode": "convex"}, ("lymph node", "B-mode", "convex")),
        ({"organ": "?"}, ("unknown", "B-mode", "unknown")),
        ({}, ("unknown", "B-mode", "unknown")),
    ],
)
def test_words_of_the_hospital_are_translated(words, expected):
    assert row_words(row(**words), made_manifest(**SITE)) == Words(None, *expected)


def told(manifest, **words: str) -> str:
    with pytest.raises(Unusable) as caught:
        row_words(row(**words), manifest)
    return str(caught.value)


def test_an_unknown_word_is_told_with_the_likeliest_one_and_where_to_map_it():
    message = told(made_manifest(**SITE), organ="brest")
    assert message == (
        "unknown organ: found 'brest'; expected one of the site's: breast, lymph node (did you mean 'breast'?); "
        "if it means one of them, add it to word_map.organ in the manifest"
    )
    assert told(made_manifest(**SITE), scan_mode="C5-1").startswith("unknown scan mode: found 'C5-1'")


def test_a_word_in_another_case_is_told_so():
    message = told(made_manifest(**SITE), organ="Breast")
    assert "differs only in upper/lower case or spaces from 'breast'" in message
    assert message.endswith("add 'Breast': breast to word_map.organ in the manifest")
    assert told(made_manifest(**SITE), organ="MAMMA").endswith("add 'MAMMA': breast to word_map.organ in the manifest")


def test_a_label_in_another_case_is_told_so():
    message = told(made_manifest(), label="Good")
    assert message == (
        "unknown label: found 'Good'; expected one of unknown, good, bad; it differs only in upper/lower case or "
        "spaces from 'good': add 'Good': benign to label_map in the manifest"
    )
    spaced = made_manifest(label_map={"viral pneumonia": "viral pneumonia"})
    assert "add ' viral  pneumonia': viral pneumonia to label_map" in told(spaced, label=" viral  pneumonia")


def test_a_word_of_the_vocabulary_that_label_map_lacks_is_told_so():
    message = told(made_manifest(), label="Benign")
    assert message.endswith("from 'benign': add 'Benign': benign to label_map in the manifest")
    message = told(made_manifest(), label="benign")
    assert message.endswith("good, bad; add 'benign': benign to label_map in the manifest") and "case" not in message


def test_another_label_is_told_with_the_likeliest_one():
    assert told(made_manifest(), label="goood").endswith("(did you mean 'good'?); add it to label_map in the manifest")
