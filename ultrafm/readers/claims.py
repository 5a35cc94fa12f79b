"""Claims that a study states beforehand: margins, non-inferiority then superiority, equivalence, Holm over the family.

All claims are about AI minus readers, one-sided at half of what the two-sided interval leaves out (2.5% for 95%), so a
claim and the interval always agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ultrafm.errors import UltraFMError, nearest
from ultrafm.readers.inference import Inference, holm, non_inferiority, upper_tail

KINDS = ("superiority", "non-inferiority", "equivalence")
EVERYONE = "all"


@dataclass(frozen=True)
class Claim:
    """One pre-specified claim: its kind, the level of readers it is about ("all" for everyone), and its margin."""

    kind: str
    level: str = EVERYONE
    margin: float | None = None

    def __post_init__(self) -> None:
        """Refuse kinds that are not known, and margins that are missing or make no sense."""
        if self.kind not in KINDS:
            raise UltraFMError("--claim", repr(self.kind) + nearest(self.kind, KINDS), f"one of {', '.join(KINDS)}")
        if (self.margin is None) != (self.kind == "superiority"):
            found = f"{self.kind} {'without a' if self.margin is None else 'with a'} margin"
            raise UltraFMError("--claim", found, "a margin for non-inferiority and equivalence, none for superiority")
        if self.margin is not None and not 0 < self.margin < 1:
            raise UltraFMError("--claim", f"the margin {self.margin}", "a difference above 0 and below 1, such as 0.05")


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests that a difference lies within +- margin; p is the larger of the two."""

    margin: float
    alpha: float
    sidedness: str
    p_lower: float | None
    p_upper: float | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    equivalent: bool | None
    status: str = "ok"


@dataclass(frozen=True)
class ClosedOrder:
    """Non-inferiority, and only if it is shown superiority, at the same one-sided alpha and without correction."""

    margin: float
    alpha: float
    non_inferior: bool | None
    p_non_inferiority: float | None
    superiority_tested: bool
    superior: bool | None
    p_superiority: float | None
    verdict: str


def parse_claim(text: str) -> Claim:
    """A claim as the command line writes it: KIND:LEVEL or KIND:LEVEL:MARGIN, such as equivalence:expert:0.05."""
    parts = [part.strip() for part in text.split(":")]
    expected = "KIND:LEVEL[:MARGIN], such as superiority:mid-level or equivalence:expert:0.05"
    if len(parts) not in (2, 3):
        raise UltraFMError("--claim", repr(text), expected)
    try:
        margin = float(parts[2]) if len(parts) == 3 else None
    except ValueError as error:
        raise UltraFMError("--claim", repr(text), expected, "write the margin as a number") from error
    return Claim(parts[0], parts[1], margin)


def equivalence(difference: Inference, margin: float) -> Equivalence:
    """Is the difference within +- margin? Two one-sided tests: the interval lies inside the margins if and only if so.

    Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 1987, 15:657, here with alpha for each test half of
    what the interval leaves out.
    """
    alpha = round((1 - difference.confidence) / 2, 12)
    if difference.standard_error is None:
        return Equivalence(margin, alpha, "two one-sided tests", *[None] * 6, difference.status)
    error, df = difference.standard_error, difference.df
    lower = upper_tail((difference.estimate + margin) / error, df)
    upper = upper_tail((margin - difference.estimate) / error, df)
    worst = max(lower, upper)
    ends = (difference.ci_low, difference.ci_high)
    return Equivalence(margin, alpha, "two one-sided tests", lower, upper, worst, *ends, bool(worst < alpha))


def closed_order(difference: Inference, margin: float) -> ClosedOrder:
    """Non-inferiority first, then superiority with the same interval (Morikawa and Yoshida 1995, a closed test)."""
    first = non_inferiority(difference, margin)
    if first.p_value is None:
        return ClosedOrder(margin, first.alpha, None, None, False, None, None, f"not estimable: {first.status}")
    if not first.non_inferior:
        verdict = "non-inferiority was not shown, so superiority is not tested"
        return ClosedOrder(margin, first.alpha, False, first.p_value, False, None, None, verdict)
    p_value = superiority_p(difference)
    superior = bool(p_value < first.alpha)
    verdict = "superior" if superior else "non-inferior, superiority not shown"
    return ClosedOrder(margin, first.alpha, True, first.p_value, True, superior, p_value, verdict)


def superiority_p(difference: Inference) -> float | None:
    """One-sided p of a difference above zero."""
    return None if difference.statistic is None else upper_tail(difference.statistic, difference.df)


def judge(claims: Sequence[Claim], differences: dict[str, Inference]) -> list[dict[str, object]]:
    """Each claim with its p, Holm's p over the family, and whether it holds.

    differences: AI minus the readers of each level, and of "all". Raises UltraFMError for a level without readers.
    """
    p_values: list[float | None] = []
    for claim in claims:
        if claim.level not in differences:
            found = f"a claim about {claim.level!r}" + nearest(claim.level, differences)
            mend = "levels need a column 'level' and --by level"
            raise UltraFMError("--claim", found, f"one of {', '.join(differences)}", mend)
        p_values.append(_p_value(claim, differences[claim.level]))
    rows = []
    for claim, p_value, adjusted in zip(claims, p_values, holm(p_values), strict=True):
        found = differences[claim.level]
        alpha = round((1 - found.confidence) / 2, 12)
        holds = None if adjusted is None else bool(adjusted < alpha)
        rows.append(
            {"claim": claim.kind, "level": claim.level, "margin": claim.margin, "difference": found.estimate}
            | {"ci_low": found.ci_low, "ci_high": found.ci_high, "sidedness": "one-sided", "alpha": alpha}
            | {"p": p_value, "p_holm": adjusted, "holds": holds, "sentence": _sentence(claim, holds)}
        )
    return rows


def _p_value(claim: Claim, difference: Inference) -> float | None:
    """The one-sided p that belongs to a claim."""
    if claim.kind == "superiority":
        return superiority_p(difference)
    if claim.kind == "equivalence":
        return equivalence(difference, claim.margin).p_value
    return non_inferiority(difference, claim.margin).p_value


def _sentence(claim: Claim, holds: bool | None) -> str:
    """What may be said."""
    who = "the readers" if claim.level == EVERYONE else f"the {claim.level} readers"
    words = {"superiority": f"superior to {who}"}.get(claim.kind)
    if words is None:
        link = "non-inferior to" if claim.kind == "non-inferiority" else "equivalent to"
        words = f"{link} {who} within {claim.margin:g}"
    if holds is None:
        return f"Whether the AI is {words} cannot be estimated."
    return f"The AI is {words}." if holds else f"That the AI is {words} was not shown."
