"""Rules that a manifest's shape alone does not show: words of the vocabulary, and parts that must fit each other."""

from __future__ import annotations

from collections.abc import Iterator

from ultrafm.errors import UltraFMError, nearest
from ultrafm.manifests.document import Document, FieldPath
from ultrafm.manifests.schema import FileSource, PhantomSource, SiteManifest
from ultrafm.manifests.task_rules import Finding, task_problems, task_words
from ultrafm.manifests.vocabulary import FIELD_LISTS, FILE, UNKNOWN, Vocabulary, miss

FILL_IN = "FILL IN"  # what `ultrafm manifests new` writes where a person must decide
UNFILLED = (repr(FILL_IN), "what the field's comment asks for", "fill it in")
REAL_KINDS = "'folder', 'dicom', 'video', 'archive' or 'huggingface'"


def site_problems(document: Document, manifest: SiteManifest, vocabulary: Vocabulary | None) -> list[UltraFMError]:
    """All problems of one manifest that has the right shape; words are checked when there is a vocabulary."""
    findings = [] if vocabulary is None else [*_word_problems(manifest, vocabulary)]
    findings += [*_mapped_words(manifest, vocabulary), *_own_problems(document, manifest)]
    for position in range(len(manifest.tasks)):
        findings += task_problems(position, manifest)
    return [UltraFMError(document.place(field), *rest) for field, *rest in findings]


def site_warnings(document: Document, manifest: SiteManifest) -> list[UltraFMError]:
    """What is allowed in one manifest and should not be there without a thought; not raised."""
    return [UltraFMError(document.place(field), *rest) for field, *rest in _deidentification_warnings(manifest)]


def unfilled_problems(document: Document) -> list[UltraFMError]:
    """What a draft left open, for a manifest whose shape is wrong because of it."""
    return [UltraFMError(document.place(field), *UNFILLED) for field in _unfilled(document.data)]


def _own_problems(document: Document, manifest: SiteManifest) -> Iterator[Finding]:
    """Name of the file, what a draft left open, choice of source, and what a simulated source must say."""
    for field in _unfilled(document.data):
        yield field, *UNFILLED
    if document.path.stem != manifest.site:
        yield ("site",), repr(manifest.site), f"{document.path.stem!r}, the name of the file", "rename one of the two"
    available = manifest.sources.available()
    if not available:
        yield ("sources",), "no source", "at least one of phantom, open, local", ""
    elif manifest.default_source and manifest.default_source not in available:
        yield ("default_source",), repr(manifest.default_source), f"one of {', '.join(available)}", ""
    for name in available:
        source = getattr(manifest.sources, name)
        if isinstance(source, PhantomSource):
            yield from _phantom_problems(("sources", name), source, manifest)
            continue
        yield from _source_words(("sources", name), source, manifest)
        if name == "phantom":
            yield (
                ("sources", name, "kind"),
                repr(source.kind),
                "'phantom'",
                "move real images to sources.open or sources.local",
            )


def _deidentification_warnings(manifest: SiteManifest) -> Iterator[Finding]:
    """The choices for public sets, made for images of a hospital's own."""
    source, field = manifest.sources.local, ("sources", "local", "deidentification")
    if not isinstance(source, FileSource):
        return
    if source.deidentification.pseudonyms == "public":
        yield (
            (*field, "pseudonyms"),
            "'public': whoever knows or guesses a patient's id can compute the hash and find the patient in the store",
            "'secret' for images of a hospital's own",
            "write pseudonyms: secret, or leave the line out",
        )
    if not source.deidentification.sign_off:
        yield (
            (*field, "sign_off"),
            "false: images are trained on without a person looking for names that curation did not find in them",
            "true for images of a hospital's own",
            "write sign_off: true, or leave the line out, and sign after a look at the contact sheet",
        )


def _unfilled(value: object, field: FieldPath = ()) -> Iterator[FieldPath]:
    """The fields that still hold the mark of a draft."""
    if value == FILL_IN:
        yield field
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, below in items:
            yield from _unfilled(below, (*field, str(name)))


def _phantom_problems(field: FieldPath, source: PhantomSource, manifest: SiteManifest) -> Iterator[Finding]:
    if field[-1] != "phantom":
        yield (*field, "kind"), "'phantom'", REAL_KINDS, "move simulated images to sources.phantom"
    if "(fictional)" not in source.institution:
        yield (*field, "institution"), repr(source.institution), "a name that ends in '(fictional)'", ""
    mode = source.device.scan_mode
    if mode not in manifest.scan_modes:
        expected = f"a scan mode of the site: {', '.join(manifest.scan_modes)}{nearest(mode, manifest.scan_modes)}"
        yield (*field, "device", "scan_mode"), repr(mode), expected, ""


def _source_words(field: FieldPath, source: FileSource, manifest: SiteManifest) -> Iterator[Finding]:
    """What a source says of all its files must be said of the site too."""
    for name, known in FIELD_LISTS.items():
        word, words = getattr(source, name), getattr(manifest, known)
        if word not in (None, UNKNOWN, *words):
            expected = f"{UNKNOWN!r}, or one of the site's {known}: {', '.join(words)}{nearest(word, words)}"
            yield (*field, name), repr(word), expected, ""


def _mapped_words(manifest: SiteManifest, vocabulary: Vocabulary | None) -> Iterator[Finding]:
    """What word_map translates a word into must be said of the site too; words that nobody knows are told of once."""
    for name, known in FIELD_LISTS.items():
        words = getattr(manifest, known)
        for original, word in getattr(manifest.word_map, name).items():
            told = vocabulary is not None and word not in getattr(vocabulary, known)
            if not told and word not in (*words, UNKNOWN, FILL_IN):
                expected = f"{UNKNOWN!r}, or one of the site's {known}: {', '.join(words)}"
                yield ("word_map", name, original), repr(word), expected, f"add it to {known}, if the site has it"


def _word_problems(manifest: SiteManifest, vocabulary: Vocabulary) -> Iterator[Finding]:
    """Every word of the manifest that the vocabulary does not hold."""
    labels = {**vocabulary.labels, UNKNOWN: ""}
    for field, word, known, kind in _words(manifest, vocabulary, labels):
        if word not in (*known, FILL_IN):  # what a draft left open is told of elsewhere
            yield field, *miss(word, known, kind), f"use a known word, or add the new one to {FILE}"


def _words(
    manifest: SiteManifest, vocabulary: Vocabulary, labels: dict[str, str]
) -> Iterator[tuple[FieldPath, str, dict[str, str], str]]:
    """Field, word, list it must be in, and kind, for every word of a manifest."""
    for name, kind in (("organs", "organ"), ("modalities", "modality"), ("scan_modes", "scan mode")):
        for position, word in enumerate(getattr(manifest, name)):
            yield (name, str(position)), word, getattr(vocabulary, name), kind
    for original, word in manifest.label_map.items():
        yield ("label_map", original), word, labels, "label"
    for name, known in FIELD_LISTS.items():
        for original, word in getattr(manifest.word_map, name).items():
            words = {**getattr(vocabulary, known), UNKNOWN: ""}
            yield ("word_map", name, original), word, words, name.replace("_", " ")
    for name in manifest.sources.available():
        source = getattr(manifest.sources, name)
        if isinstance(source, PhantomSource):
            yield from _phantom_words(("sources", name), source, vocabulary, labels)
    for position, task in enumerate(manifest.tasks):
        yield from task_words(("tasks", str(position)), task, vocabulary)


def _phantom_words(
    place: FieldPath, source: PhantomSource, vocabulary: Vocabulary, labels: dict[str, str]
) -> Iterator[tuple[FieldPath, str, dict[str, str], str]]:
    for word in source.findings:
        yield (*place, "findings", word), word, labels, "label"
    for organ, shares in source.findings_by_organ.items():
        yield (*place, "findings_by_organ", organ), organ, vocabulary.organs, "organ"
        for word in shares:
            yield (*place, "findings_by_organ", organ, word), word, labels, "label"
