"""What to analyse and how: the choices of the person who analyses, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ultrafm.errors import UltraFMError
from ultrafm.readers.claims import Claim
from ultrafm.readers.covariance import REPLICATES, Sampling, check_covariance
from ultrafm.readers.endpoints import AUC, Endpoint
from ultrafm.readers.study import Options
from ultrafm.seeds import spawn

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Plan:
    """What to analyse and how; every field is stated in the result.

    ai: name of the reader that is the AI; it is compared with the others (AI minus readers; in several modalities with
    each, first of all "unaided"). Modalities are compared whenever the readers have two or more (earlier minus later in
    order of name). endpoint: what is compared; an AUROC with a `threshold` also brings operating points and agreement
    at it. cluster: column that binds cases together (patient). covariance: "delong" (clustered: Obuchowski 1997),
    "jackknife" or "bootstrap" (`replicates` draws from `seed`). margin: non-inferiority on AI minus readers, 0..1,
    one-sided, then superiority in closed order. equivalence: margin of two one-sided tests. claims: the pre-specified
    family, Holm. floor: a negative Cov2 - Cov3 counts as zero in all models, as RJafroc has it. by: column of the
    readers (level) for secondary results.
    """

    ai: str | None = None
    cluster: str | None = None
    covariance: str = "delong"
    margin: float | None = None
    by: str | None = None
    endpoint: Endpoint = AUC
    equivalence: float | None = None
    claims: Sequence[Claim] = ()
    seed: int = 0
    replicates: int = REPLICATES
    floor: bool = False


def check_plan(plan: Plan) -> None:
    """UltraFMError for choices that do not fit together."""
    check_covariance(plan.covariance, plan.endpoint)
    if plan.replicates < 2:
        raise UltraFMError("replicates", f"{plan.replicates}", "two at least, such as 2000")
    for name, value in (("--margin", plan.margin), ("--equivalence", plan.equivalence), ("--claim", plan.claims)):
        _check_margin(name, value, plan.ai)


def options_of(plan: Plan, source: str) -> Options:
    """The plan as the steps of the analysis need it."""
    sampling = Sampling(plan.covariance, plan.replicates, spawn(plan.seed, "readers bootstrap"))
    return Options(
        plan.ai, plan.cluster, sampling, plan.margin, plan.equivalence, plan.by, tuple(plan.claims), plan.endpoint,
        plan.floor, CONFIDENCE, source,
    )  # fmt: skip


def _check_margin(name: str, value: Any, ai: str | None) -> None:
    """UltraFMError for a margin that is not in 0..1 or has nothing to compare."""
    if not value and value != 0:
        return
    if ai is None:
        raise UltraFMError(name, f"{value} without an AI", "--ai NAME as well", "the difference is AI minus readers")
    if isinstance(value, float | int) and not 0 < value < 1:
        raise UltraFMError(name, f"{value}", "a difference above 0 and below 1, such as 0.05")
