"""Which of a site's pictures are kept, and in which fold: words, duplicates, quality, patients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from sys import intern
from typing import NamedTuple

from ultrafm.curation.duplicates import Likeness, find_duplicates
from ultrafm.curation.identity.registry import Registry
from ultrafm.curation.likeness import Compared, compared
from ultrafm.curation.quality import Measured, require
from ultrafm.curation.reading.decode import shown_name
from ultrafm.curation.reading.table import Row, Words, row_words
from ultrafm.curation.reasons import LeftOut, Unusable, leave_out
from ultrafm.curation.split import Place, Ties, deal_patients
from ultrafm.curation.store import decode_png
from ultrafm.curation.work import Note, Work
from ultrafm.manifests.schema import Quality, SiteManifest

MEASURES = [field.name for field in fields(Measured)]
REMEMBERED = 512  # pictures at comparing size in memory
RULES = 3  # raised whenever the same pictures would be kept, tied or placed otherwise than before


class Box(NamedTuple):
    """The box of a scan area: columns and rows in pixels, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture that was read: its row with the frame, what the row says, pseudonyms, and what it is judged by.

    number: where the rest lies in the partial work. flaw: why its quality does not do, if so.
    """

    row: Row
    words: Words
    number: int
    likeness: Likeness
    flaw: Unusable | None


@dataclass(frozen=True)
class Judged:
    """kept: in the order of the rows. places: of every patient with a kept picture. read: pictures looked at."""

    kept: list[Candidate]
    places: dict[str, Place]
    left_out: list[LeftOut]
    read: int
    tied: int


def judge(
    manifest: SiteManifest, rows: Sequence[Row], keys: Sequence[str], registry: Registry, work: Work, listed: bool
) -> Judged:
    """Decide on every picture that was read; `keys` are those of the rows' files in `work`.

    Reasons name rows of the site's table or, where no table lists them, files.
    """
    left_out: list[LeftOut] = []
    candidates = list(_candidates(manifest, rows, keys, registry, work, left_out))
    read = len(candidates) + len(left_out)
    placed = registry.placed()
    ties = Ties(placed)
    kept = _keep(candidates, ties, work, left_out, listed)
    labels: dict[str, set[str]] = defaultdict(set)
    for candidate in kept:
        labels[candidate.likeness.patient] |= {candidate.words.label} - {None}
    places = deal_patients(manifest.split, labels, ties, placed)
    left_out.sort(key=lambda entry: entry.row)
    return Judged(kept, places, left_out, read, _tied(labels, ties))


def _candidates(
    manifest: SiteManifest, rows: Sequence[Row], keys: Sequence[str], registry: Registry, work: Work,
    left_out: list[LeftOut],
) -> Iterator[Candidate]:  # fmt: skip
    """The pictures that could be read and whose row is understood; the others are noted in `left_out`."""
    same_words: dict[Words, Words] = {}
    for row, key in zip(rows, keys):
        for note in work.notes(key):
            other_frame = (row.frame, row.frames) != (note.frame, note.frames)
            named = replace(row, frame=note.frame, frames=note.frames) if other_frame else row
            try:
                words = row_words(row, manifest)
                if note.failure is not None:
                    raise _with_name(note.failure, row)
            except Unusable as why:
                left_out.append(leave_out(named.name, row.number, "quarantined", why))
                continue
            likeness = _likeness(named, words, note, registry)
            words = same_words.setdefault(words, words)  # a site has few, and many pictures
            yield Candidate(named, words, note.number, likeness, _flaw(note, manifest.quality))


def _with_name(why: Unusable, row: Row) -> Unusable:
    """The reason with the name of the file that it is about, which the partial work does not hold."""
    return why.naming(shown_name(getattr(row, why.name))) if why.name else why


def _likeness(row: Row, words: Words, note: Note, registry: Registry) -> Likeness:
    clip = row.clip or (row.file if row.frames > 1 else "")
    return Likeness(
        intern(registry.pseudonyms.of("patient", row.patient)),
        intern(registry.pseudonyms.of("clip", clip)) if clip else "",
        words.label, note.pixels, note.perceptual,
    )  # fmt: skip


def _flaw(note: Note, least: Quality) -> Unusable | None:
    try:
        require(Measured(**{name: note.facts[name] for name in MEASURES}), Box(*note.facts["crop"]), least)
    except Unusable as why:
        return why
    return None


def _keep(
    candidates: Sequence[Candidate], ties: Ties, work: Work, left_out: list[LeftOut], listed: bool
) -> list[Candidate]:
    """The candidates that are neither duplicates nor of too low quality; the others are noted in `left_out`."""

    @lru_cache(maxsize=REMEMBERED)
    def look(position: int) -> Compared:
        _facts, image, sector, _mask = next(work.pictures([candidates[position].number]))
        return compared(decode_png(image), decode_png(sector))

    def tell(position: int) -> str:
        row = candidates[position].row
        return f"row {row.number} ({row.name})" if listed else row.name

    duplicates = find_duplicates([candidate.likeness for candidate in candidates], ties, look, tell)
    kept = []
    for position, candidate in enumerate(candidates):
        row = candidate.row
        if position in duplicates:
            left_out.append(leave_out(row.name, row.number, "duplicates", duplicates[position]))
        elif candidate.flaw is not None:
            left_out.append(leave_out(row.name, row.number, "low_quality", candidate.flaw))
        else:
            kept.append(candidate)
    return kept


def _tied(patients: dict[str, set[str]], ties: Ties) -> int:
    """How many patients share their place with another because their pictures are nearly the same."""
    sizes: dict[str, int] = defaultdict(int)
    for patient in patients:
        sizes[ties.root(patient)] += 1
    return sum(size for size in sizes.values() if size > 1)
