"""Spellings that mean the same to people and not to a program: of words, of patients and of files."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

LONG_NUMBER = 6  # digits; so long a number is written with marks inside by habit (12-34-56), a shorter one may be two


def plain(text: str) -> str:
    """A text for comparing names: digits, and small letters without accents ("Modalität 2" -> modalitat2)."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if letter.isalnum())


def same_word(word: str, known: Iterable[str]) -> str | None:
    """The known word that differs from `word` in nothing but upper and lower case and spaces, or None."""
    wanted = _without_case(word)
    return next((other for other in known if _without_case(other) == wanted), None)


def alike_patients(patients: Iterable[str]) -> list[list[str]]:
    """Groups of two or more ids that differ only in case, punctuation, spaces or leading zeros; all in sorted order.

    P001, p001, P-001, P 1 are one group. Digits that differ are different patients, and so are 1-11 and 11-1.
    """
    ids = sorted(set(patients))
    unmarked = {plain(name) for name in ids if plain(name) == name.casefold()}
    groups = defaultdict(list)
    for name in ids:
        groups[_patient_key(name, unmarked)].append(name)
    return sorted(group for key, group in groups.items() if key and len(group) > 1)


def file_key(name: str) -> str:
    """A path for comparing: slashes forward, small letters, and accents composed, which some systems take apart."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()


def _without_case(word: str) -> str:
    return " ".join(word.split()).casefold()


def _patient_key(name: str, unmarked: set[str]) -> tuple[str, ...]:
    """The runs of letters and of digits in an id, digits without leading zeros; marks inside a long number count not.

    unmarked: the ids of the site that have no marks, in small letters.
    """
    bare = plain(name)
    if bare in unmarked and sum(letter.isdigit() for letter in bare) >= LONG_NUMBER:
        name = bare
    runs = re.findall(r"[^\W\d_]+|\d+", unicodedata.normalize("NFKC", name).casefold())
    return tuple(run.lstrip("0") or "0" if run.isdigit() else run for run in runs)
