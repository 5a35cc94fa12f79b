"""STUDY.yaml: what is registered before the first reading. A field that is not named here is an error."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ultrafm.manifests.schema import Share, Strict

UNAIDED, AIDED, TRAINING = "unaided", "aided", "training"
HEALTHY = "healthy"
OFFICE = "office"  # the administrator
Word = Annotated[str, Field(min_length=1, max_length=200)]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


class TaskCases(Strict):
    """All pictures of a diagnosis task of the site manifests, in some folds; of a clip all frames, as one case."""

    manifests: str = Field(description="folder of the site manifests, relative to STUDY.yaml")
    name: str
    folds: tuple[str, ...] = ("test", "evaluation")


class Chosen(Strict):
    """Which pictures and clips of the curated stores are shown: lists of their names, or a task."""

    images: tuple[Word, ...] = ()
    clips: tuple[Word, ...] = ()
    task: TaskCases | None = None

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        named = [*self.images, *self.clips]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is listed twice")
        return self


class Disease(Strict):
    """One disease that readers rate from 0 to 100. organ: asked of cases of this organ only; without it, of all.

    positive, negative: labels of the curated store that mean diseased and not, where the truth comes from labels.
    """

    name: Word
    organ: Word | None = None
    positive: tuple[Word, ...] = ()
    negative: tuple[Word, ...] = ()


class Truth(Strict):
    """Where the truth comes from: the labels of the curated store, or a CSV (case, disease, truth 0 or 1)."""

    source: Literal["labels", "file"] = "labels"
    file: str | None = Field(default=None, description="relative to STUDY.yaml")
    reference: Word = Field(description="reference standard in words, such as histology")

    @model_validator(mode="after")
    def _file_is_named(self) -> Self:
        if (self.source == "file") != (self.file is not None):
            raise ValueError("file belongs to source: file, and to no other")
        return self


class Reader(Strict):
    """A reader: the code stands in all tables, no name does."""

    code: Code
    level: Word
    years: int = Field(ge=0, le=80, description="years of experience")


class Design(Strict):
    """Fully crossed: every reader reads every case in every part, in an order of her own."""

    parts: tuple[Literal["unaided", "aided"], ...] = (UNAIDED, AIDED)
    washout_days: float = Field(
        default=28, ge=0, le=3650, description="between a reader's last unaided and first aided"
    )

    @model_validator(mode="after")
    def _unaided_first(self) -> Self:
        if self.parts not in ((UNAIDED,), (UNAIDED, AIDED)):
            raise ValueError("parts is [unaided] or [unaided, aided], in this order")
        return self


class ArtificialReader(Strict):
    """The AI. scores: CSV (case, disease, score 0..1). threshold: score from which it calls a case diseased."""

    scores: str = Field(description="relative to STUDY.yaml")
    threshold: Share
    name: Code = "AI"


class Analysis(Strict):
    """The options of `ultrafm readers analyse` that are registered. against_ai: compare the AI with the readers."""

    against_ai: bool = False
    primary: Word = Field(description="the primary endpoint and comparison, in words")
    cluster: Literal["patient"] | None = "patient"
    covariance: Literal["delong", "jackknife", "bootstrap"] = "delong"
    endpoint: Literal["auc", "partial_auc", "sensitivity", "specificity", "diagnosis"] = "auc"
    min_specificity: Share | None = Field(default=None, description="of a partial AUROC")
    margin: Share | None = Field(default=None, description="non-inferiority of the AI, a difference of the endpoint")
    equivalence: Share | None = None
    by: Literal["level"] | None = None
    threshold: float | None = Field(default=None, ge=0, le=100, description="a rating of at least this is positive")
    claims: tuple[str, ...] = Field(default=(), description="the family, KIND:LEVEL[:MARGIN]; adjusted by Holm")

    @model_validator(mode="after")
    def _needs_an_ai(self) -> Self:
        if not self.against_ai and (self.margin is not None or self.equivalence is not None or self.claims):
            raise ValueError("margin, equivalence and claims are about AI minus readers: against_ai: true as well")
        return self


class Protocol(Strict):
    """The whole study. marking: may readers mark a region? simulated readers have no place here: people read."""

    title: Word
    demonstration: bool = Field(default=False, description="shown on every page; its readings count as simulated")
    seed: int = Field(ge=0, description="decides every reader's order")
    curated: str = Field(description="folder of the curated stores, relative to STUDY.yaml")
    consent: Word = "I take part of my own will, and my readings may be analysed under my code."
    cases: Chosen
    training: Chosen = Chosen()
    diseases: tuple[Disease, ...] = Field(min_length=1, max_length=9)
    truth: Truth
    readers: tuple[Reader, ...] = Field(min_length=1)
    design: Design = Design()
    ai: ArtificialReader | None = None
    marking: bool = True
    analysis: Analysis

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for names in ([reader.code for reader in self.readers], [disease.name for disease in self.diseases]):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{twice[0]!r} is listed twice")
        if OFFICE in [reader.code for reader in self.readers]:
            raise ValueError(f"no reader can be called {OFFICE!r}: that is the administrator, whose link sees it all")
        if HEALTHY in [disease.name.lower() for disease in self.diseases]:
            raise ValueError("no disease can be called healthy: that is the diagnosis without one")
        if self.ai is None and (AIDED in self.design.parts or self.analysis.against_ai):
            raise ValueError("aided readings and a comparison with the AI need its scores: the field ai")
        if self.ai is not None and self.ai.name in [reader.code for reader in self.readers]:
            raise ValueError(f"the AI and a reader are both called {self.ai.name!r}")
        if AIDED in self.design.parts and not self.design.washout_days and not self.demonstration:
            raise ValueError("washout_days: 0 is for a demonstration only (demonstration: true)")
        unlabelled = [one.name for one in self.diseases if not (one.positive and one.negative)]
        if self.truth.source == "labels" and unlabelled:
            raise ValueError(f"{unlabelled[0]!r} needs positive and negative labels, or the truth a file")
        return self

    def reader(self, code: str) -> Reader | None:
        """The reader of this code, None when there is none."""
        return next((one for one in self.readers if one.code == code), None)

    def diseases_of(self, organ: str) -> tuple[Disease, ...]:
        """The diseases that are asked of a case of this organ."""
        return tuple(one for one in self.diseases if one.organ in (None, organ))
