"""Training in which no patient can be seen: DP-SGD with the patient as unit (Abadi et al. 2016, arXiv 1607.00133).

In each step every patient takes part with the same probability, whoever else does (Poisson sampling). The gradients of
those who do are clipped and summed, Gaussian noise is added, and the sum is divided by the number of patients that is
expected, not by the number that came: that would tell who did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from ultrafm.federation.privacy.draws import Draws, open_draws
from ultrafm.federation.privacy.gradients import Gradients, clipped_sum, patient_gradients
from ultrafm.federation.privacy.protection import Protection
from ultrafm.federation.privacy.views import PatientView, Roster, patient_view
from ultrafm.pretraining.grey import GreyScale
from ultrafm.pretraining.model import MaskedAutoencoder
from ultrafm.pretraining.recipe import Recipe
from ultrafm.pretraining.scans import Scans, require_size
from ultrafm.seeds import spawn_torch

if TYPE_CHECKING:
    from ultrafm.federation.site import RoundPlan

AT_ONCE = 16  # patients whose gradients are computed together
GRADIENT_NUMBERS = 1 << 26  # that their gradients may have together: a quarter of a GB


def train_privately(
    model: MaskedAutoencoder,
    optimizer: torch.optim.Optimizer,
    scans: Scans,
    roster: Roster,
    recipe: Recipe,
    protection: Protection,
    steps: int,
    steps_of_pass: int,
    rate: float,
    draws: Draws,
    generator_of: Callable[[str, int], torch.Generator],
    adjust: Callable[[], None] | None = None,
) -> None:
    """Take `steps` noisy steps in place, in fp32; each patient is in a step with probability 1 / `steps_of_pass`.

    `rate` is the learning rate. `generator_of(patient, step)` draws what is shown of a patient in a step. `adjust` may
    add to the gradients what does not depend on images. Tells no loss. Raises UltraFMError for pictures of another size
    than the model's.
    """
    require_size(scans, recipe.image_size, "training")
    model.train()
    for group in optimizer.param_groups:
        group["lr"] = rate
    device, grey = model.mask_token.device, GreyScale(protection.public_mean, protection.public_deviation)
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    for step in range(steps):
        sampled = sample_patients(list(roster.rows), 1 / steps_of_pass, draws)

        def look(patients: Sequence[str], step: int = step) -> PatientView:
            images = protection.patient_images
            return patient_view(scans, roster, patients, images, recipe, lambda one: generator_of(one, step), device)

        total = sum_of_patients(model, sampled, look, grey, protection.clip)
        add_noise(total, protection.noise * protection.clip, draws)
        for name, weight in trained.items():
            weight.grad = (total[name] * (steps_of_pass / len(roster))).to(weight.dtype)
        if adjust:
            adjust()
        optimizer.step()


def take_private_steps(
    model: MaskedAutoencoder,
    optimizer: torch.optim.Optimizer,
    scans: Scans,
    roster: Roster,
    recipe: Recipe,
    plan: RoundPlan,
    site: str,
    steps: int,
    steps_of_pass: int,
    adjust: Callable[[], None] | None,
) -> None:
    """`train_privately` as the plan of a round says. Raises UltraFMError for seeded noise over real images."""
    draws = open_draws(plan.secure_noise, roster.simulated, plan.seed, site, plan.round)

    def generator_of(patient: str, step: int) -> torch.Generator:
        return spawn_torch(plan.seed, f"view of {patient} in step {step}", site, plan.round)

    train_privately(
        model, optimizer, scans, roster, recipe, plan, steps, steps_of_pass, plan.site_step, draws, generator_of, adjust
    )


def sample_patients(patients: Sequence[str], rate: float, draws: Draws) -> list[str]:
    """Each of the patients with probability `rate`, independently; perhaps none."""
    return [patient for patient, drawn in zip(patients, draws.uniform(len(patients))) if drawn < rate]


def sum_of_patients(
    model: MaskedAutoencoder,
    patients: Sequence[str],
    look: Callable[[Sequence[str]], PatientView],
    grey: GreyScale,
    clip: float,
) -> Gradients:
    """The sum of the clipped gradients of these patients in float64, a few at a time; zeros where there is none."""
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    total = {name: torch.zeros_like(one, dtype=torch.float64) for name, one in trained.items()}
    numbers = sum(one.numel() for one in trained.values())
    size = max(min(AT_ONCE, GRADIENT_NUMBERS // numbers), 1)
    for start in range(0, len(patients), size):
        gradients = patient_gradients(model, look(patients[start : start + size]), grey)
        for name, one in clipped_sum(gradients, clip).items():
            total[name] += one
    return total


def add_noise(total: Gradients, deviation: float, draws: Draws) -> None:
    """Add Gaussian noise of this deviation to every number, in place."""
    noise = draws.normal(sum(one.numel() for one in total.values()))
    for one, part in zip(total.values(), noise.split([one.numel() for one in total.values()])):
        one.add_(part.view_as(one).to(one.device), alpha=deviation)
