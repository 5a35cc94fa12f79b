"""The words that manifests may use, so that sites mean the same thing when they write the same word."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ultrafm.errors import UltraFMError, nearest
from ultrafm.manifests.document import read_document
from ultrafm.manifests.parts import Strict
from ultrafm.manifests.problems import validate

FILE = "vocabulary.yaml"
UNKNOWN = "unknown"
FIELD_LISTS = {"organ": "organs", "modality": "modalities", "scan_mode": "scan_modes"}  # field of a row -> list
NOT_STATED = "not stated"  # a country that the source does not give; it is not counted

Words = Annotated[dict[str, str], Field(min_length=1)]


class Vocabulary(Strict):
    """Known words, each with a short definition; `word in field` and iterating over a field use the words alone."""

    organs: Words
    modalities: Words
    scan_modes: Words
    labels: Words
    diseases: Words


def read_vocabulary(folder: Path) -> tuple[Vocabulary | None, list[UltraFMError]]:
    """The vocabulary of a folder of manifests, or None and its problems."""
    try:
        return validate(read_document(Path(folder) / FILE), Vocabulary)
    except UltraFMError as error:
        return None, [error]


def load_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a folder of manifests (its file vocabulary.yaml).

    Raises:
        UltraFMError: the first problem of the file.
    """
    vocabulary, problems = read_vocabulary(folder)
    if vocabulary is None:
        raise problems[0]
    return vocabulary


def miss(word: str, known: dict[str, str], kind: str) -> tuple[str, str]:
    """What was found and what was expected, for a word that is not in a list of the vocabulary."""
    return f"the {kind} {word!r}", f"one of {', '.join(known)}{nearest(word, known)}"
