"""Membership inference by likelihood ratio: is a picture's loss more like that of models which trained on it, or not?

The attack of Carlini et al. 2022, LiRA (arXiv 2112.03570): shadow models trained on random halves of the patients tell
how a picture's loss is distributed with and without it. With few of them one variance serves all pictures (section VI).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from ultrafm.errors import UltraFMError

FEWEST_SHADOWS = 4


def random_halves(patients: np.ndarray, models: int, generator: np.random.Generator) -> np.ndarray:
    """Which pictures each model trains on, (M, N) bool: a random half of the patients, and the next model the other.

    patients: (N,) names. Whole patients, because pictures of one patient resemble each other and would give each other
    away. Raises UltraFMError for fewer than two patients.
    """
    names, codes = np.unique(patients, return_inverse=True)
    if len(names) < 2:
        raise UltraFMError("shadow models", f"{len(names)} patients", "two or more, to be divided")
    halves = []
    for _ in range(-(-models // 2)):
        chosen = generator.permutation(len(names)) < len(names) / 2
        halves += [chosen[codes], ~chosen[codes]]
    return np.array(halves[:models])


def likelihood_scores(target: np.ndarray, losses: np.ndarray, members: np.ndarray, online: bool = True) -> np.ndarray:
    """Score of each picture, (N,), higher for likelier members.

    target: (N,) losses of the model that is attacked. losses, members: (M, N) of the shadow models. Online: the log
    ratio of two Gaussians of the log loss, with and without the picture. Offline: how unusually low the loss is for
    models without it, in deviations; it needs no shadow that saw the picture. A model's level is taken out of its
    losses. Raises UltraFMError for too few shadows, or a picture that none is without (online: or with).
    """
    if len(losses) < FEWEST_SHADOWS:
        raise UltraFMError("shadow models", str(len(losses)), f"{FEWEST_SHADOWS} or more")
    inside, outside = members.sum(axis=0), (~members).sum(axis=0)
    if not outside.all() or (online and not inside.all()):
        raise UltraFMError("shadow models", "a picture on one side only", "models with and without every picture")
    target, logs = (np.log(one) - np.log(one).mean(axis=-1, keepdims=True) for one in (target, losses))
    away, spread_away = _gaussians(logs, ~members)
    if not online:
        return (away - target) / spread_away
    near, spread_near = _gaussians(logs, members)
    return norm.logpdf(target, near, spread_near) - norm.logpdf(target, away, spread_away)


def scores_of_each(losses: np.ndarray, members: np.ndarray, online: bool = True) -> np.ndarray:
    """Attack each of M models in turn with the others of `random_halves` as its shadows: scores (M, N).

    The model with the other half is no shadow: without it, a picture would have one shadow less on its own side, whose
    mean is then less sure, and attacks would seem to do worse than guessing.
    """
    pairs = np.arange(len(losses)) // 2
    return np.array(
        [likelihood_scores(losses[one], losses[pairs != pair], members[pairs != pair], online)
         for one, pair in enumerate(pairs)]
    )  # fmt: skip


def patient_scores(
    scores: np.ndarray, members: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Was this patient in training? Mean scores of their pictures, who is a member, and names: (M, P), (M, P), (P,)."""
    names, codes = np.unique(patients, return_inverse=True)
    counts = np.bincount(codes)
    joined = np.array([np.bincount(codes, one) / counts for one in np.atleast_2d(scores)])
    share = np.array([np.bincount(codes, one) / counts for one in np.atleast_2d(members).astype(float)])
    return joined, share > 0.5, names


def _gaussians(logs: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean of each picture's log losses over the chosen models, and one deviation for all pictures."""
    counts = chosen.sum(axis=0)
    means = (logs * chosen).sum(axis=0) / counts
    squares = ((logs - means) ** 2 * chosen).sum()
    freedom = np.maximum(counts - 1, 0).sum()
    return means, float(np.sqrt(max(squares / max(freedom, 1), 1e-12)))
