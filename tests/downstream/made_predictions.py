"""Tables of predictions made of noise, as `evaluate` writes them, for the tests of metrics and records."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

ENCODERS = {"random": 0.4, "federated": 1.6}


def made_predictions(
    generator: np.random.Generator,
    task: str = "mass",
    answers: tuple[str, ...] = ("cancer",),
    site: str = "site_01_a",
    patients: int = 60,
    fold: str = "test",
    shift: float = 0.0,
) -> pd.DataFrame:
    """Two images a patient; a row an image, answer and encoder. One answer: half of the patients are diseased.

    Several: each patient has one class. `shift` is added to all logits, as another prevalence would do.
    """
    patient = np.repeat(np.arange(patients), 2)
    number = patient % max(len(answers), 2)
    rows = []
    for encoder, signal in ENCODERS.items():
        for place, answer in enumerate(answers):
            truth = (number == (place if len(answers) > 1 else 1)).astype(int)
            logits = generator.normal(size=len(patient)) + signal * (2 * truth - 1) + shift
            rows.append(
                pd.DataFrame(
                    {
                        "task": task, "method": "linear_probe", "encoder": encoder, "answer": answer,
                        "image_id": [f"{site}/{fold}{image:03d}" for image in range(len(patient))], "clip": None,
                        "site": site, "patient": [f"{fold}{one:03d}" for one in patient], "fold": fold, "turn": 0,
                        "truth": truth, "score": expit(logits), "difficulty": 0.5,
                    }
                )
            )  # fmt: skip
    return pd.concat(rows, ignore_index=True)
