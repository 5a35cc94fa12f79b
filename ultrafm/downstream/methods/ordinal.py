"""Grades of severity by one line and several thresholds, so that "at least grade 2" is never likelier than "grade 1".

Cumulative logits with shared weights, fitted as one logistic regression for all thresholds (Cao, Mirjalili and Raschka
2020, arXiv 1901.07884, section 3.2): at the optimum the thresholds are in order (their theorem 1; it holds with any
weighting of images).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from ultrafm.downstream.methods.answers import balanced_weights


def fit_grades(standard: np.ndarray, answers: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (A, F), the same in each row, and falling intercepts (A,), from standardised features (N, F).

    answers (N, A): column k is 1 for "at least grade k + 1". Minimises scikit-learn's sum, |w|^2 / 2 + C times the
    losses, with C = `penalty` / A, so that one penalty means the same whatever the number of grades.
    """
    count, features = answers.shape[1], standard.shape[1]
    signs = 2.0 * answers - 1
    weights = penalty / count * balanced_weights(answers, ordered=True).astype(np.float64)

    def cost(values: np.ndarray) -> tuple[float, np.ndarray]:
        line, thresholds = values[:features], values[features:]
        margins = signs * ((standard @ line)[:, None] + thresholds)
        pull = -weights * signs * expit(-margins)
        loss = 0.5 * line @ line - (weights * log_expit(margins)).sum()
        return loss, np.concatenate([line + standard.T @ pull.sum(axis=1), pull.sum(axis=0)])

    found = minimize(cost, np.zeros(features + count), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    line, thresholds = found.x[:features], np.minimum.accumulate(found.x[features:])
    return np.repeat(line[None], count, axis=0), thresholds
