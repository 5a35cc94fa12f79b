"""What a site answers under a plan that protects it: a round within its budget, and nothing that is not paid for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ultrafm.errors import UltraFMError
from ultrafm.federation.privacy.ledger import Entry, require_protected
from ultrafm.federation.privacy.protection import PRIVACIES, WITHHELD
from ultrafm.federation.privacy.rounds import answer_within_budget, question_of
from ultrafm.federation.privacy.views import site_roster
from ultrafm.federation.site import RoundOutcome, RoundPlan, SiteModel, batches_of_round, site_scans, train_site
from ultrafm.pretraining.recipe import Recipe


def describe_protected(curated: str, site: str, privacy: str, organs: bool) -> tuple[int, float, float] | None:
    """How many training patients, or with privacy of sites images, the site has, and nothing of its grey values.

    None without privacy. Raises UltraFMError when the site's manifest asks for more protection, and when counts of
    `organs` are asked for, which no noise hides.
    """
    require_protected(curated, site, privacy)
    if privacy not in PRIVACIES[1:]:
        return None
    if organs:
        found, expected = "a question for counts of organs under a plan with privacy", "no such question"
        raise UltraFMError(f"site {site}", found, expected, "install the same version at site and coordinator")
    count = len(site_roster(curated, site)) if privacy == "patients" else len(site_scans(curated, site, "train"))
    return count, WITHHELD, WITHHELD


def refuse_loss(curated: str, site: str, privacy: str) -> None:
    """Raises UltraFMError when a loss is asked for that would leave a protected site."""
    require_protected(curated, site, privacy)
    if privacy != "none":
        found, expected = "a question for the loss under a plan with privacy", "no such question"
        raise UltraFMError(f"site {site}", found, expected, "install the same version at site and coordinator")


def train_protected(
    here: SiteModel, recipe: Recipe, plan: RoundPlan, curated: str, site: str, folder: Path
) -> RoundOutcome:
    """`train_site`; with privacy of patients within the site's budget, and asked the same again, the same answer.

    Raises UltraFMError before training when the round would exceed a budget, or is not protected as the site asks.
    """
    require_protected(curated, site, plan.privacy)
    if not plan.is_at_sites:
        return train_site(here, recipe, plan, curated, site, folder)
    patients = len(site_roster(curated, site))
    batches, steps_of_pass = (
        batches_of_round(patients, recipe.batch_size, plan, site),
        -(-patients // recipe.batch_size),
    )
    question = question_of(f"{replace(plan, kept_rounds=[])} {recipe}", here.weights.cpu().numpy())
    asked = Entry(plan.run, plan.round, question, plan.noise, 1 / steps_of_pass, len(batches), plan.secure_noise)
    arrays = answer_within_budget(
        curated, site, folder, plan, asked, patients,
        lambda: train_site(here, recipe, plan, curated, site, folder).arrays,
    )  # fmt: skip
    return RoundOutcome(sum(len(rows) for rows in batches), WITHHELD, arrays)
