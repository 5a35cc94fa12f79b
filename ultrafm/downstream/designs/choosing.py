"""The penalty of a probe, chosen quickly: designs ask thousands of probes, and nearly all of them only for this.

The same choice as `methods.probe` makes, from the same penalties, by the same pooled AUROC over the held-out parts; but
all penalties are fitted in one go, each from the solution of the stronger one, by Newton's method in the space that the
training images span (the solution of a logistic regression with an L2 penalty lies in it). That is exact where
L-BFGS stops early, so near ties may be decided otherwise; and classes and grades have a line each here, where that
room fits one softmax, or one line with several thresholds. The probe that is then asked is the room's own.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from ultrafm.downstream.auc import placements
from ultrafm.downstream.methods.probe import DEFAULT_PENALTY, PENALTIES
from ultrafm.downstream.tasks import Turn

MOST_STEPS, CLOSE = 30, 1e-6


def choose_penalty(features: np.ndarray, answers: np.ndarray, turn: Turn) -> float:
    """The penalty with the best mean AUROC over the held-out parts of `turn.selection`; ties go to the stronger one.

    features (N, F), answers (N, A) 0/1; of several answers each is asked by a line of its own. Answers that the
    held-out images, or those fitted on, all share are passed over; without any left it is the probe's default.
    """
    found = []
    for truth in answers.T:
        pairs = [(fit, held) for fit, held in turn.selection if 0 < truth[fit].sum() < len(fit)]
        asked = np.concatenate([truth[held] for _, held in pairs]) if pairs else truth[:0]
        if len(set(asked.tolist())) == 2:
            scores = [path_scores(features[fit], truth[fit], features[held]) for fit, held in pairs]
            found.append(placements(np.concatenate(scores, axis=1), asked).aucs)
    return PENALTIES[int(np.argmax(np.mean(found, axis=0).round(9)))] if found else DEFAULT_PENALTY


def path_scores(features: np.ndarray, truth: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(penalties, M) logits of M images `asked` by probes that were fitted on (N, F) features and (N,) truth 0/1.

    Features are standardised with the fitted images; classes weigh alike.
    """
    mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    deviation = np.where(deviation > 1e-8, deviation, 1.0)
    standard, asked = (features - mean) / deviation, (asked - mean) / deviation
    if standard.shape[0] < standard.shape[1]:
        axes, lower = np.linalg.qr(standard.T)
        standard, asked = lower.T, asked @ axes
    inputs = np.column_stack([standard, np.ones(len(standard))])
    counts = np.bincount(truth, minlength=2)
    line, logits = np.zeros(inputs.shape[1]), []
    for penalty in PENALTIES:
        line = newton_line(inputs, truth, len(truth) / (2 * counts[truth]), penalty, line)
        logits.append(asked @ line[:-1] + line[-1])
    return np.array(logits)


def newton_line(
    inputs: np.ndarray, truth: np.ndarray, weights: np.ndarray, penalty: float, start: np.ndarray
) -> np.ndarray:
    """(F + 1,) weights that minimise sum_i weights_i loss_i + |line|^2 / (2 penalty), from `start`.

    inputs: (N, F + 1), the last column 1, whose weight is not penalised; penalty as scikit-learn's C. Newton's method
    with halved steps where a whole one does not lower the sum.
    """
    ridge = np.append(np.full(inputs.shape[1] - 1, 1 / penalty), 0.0)

    def cost(line: np.ndarray) -> float:
        logits = inputs @ line
        return weights @ (np.logaddexp(0, logits) - truth * logits) + ridge @ line**2 / 2

    line, now = start, cost(start)
    for _ in range(MOST_STEPS):
        chance = expit(inputs @ line)
        slope = inputs.T @ (weights * (chance - truth)) + ridge * line
        curvature = (inputs * (weights * chance * (1 - chance))[:, None]).T @ inputs + np.diag(ridge + 1e-10)
        step = np.linalg.solve(curvature, slope)
        if slope @ step < CLOSE:
            break
        share = 1.0
        while (then := cost(line - share * step)) > now and share > 1e-6:
            share /= 2
        line, now = line - share * step, then
    return line
