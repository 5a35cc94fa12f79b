"""Sites that send what they should not, for measuring what protects a federation. No hospital runs this application.

It is the ClientApp of `client_app.py`, but a node whose configuration names an `attack` changes its update.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from ultrafm.federation import client_app as honest
from ultrafm.federation.arrays import from_record, to_record
from ultrafm.federation.vector import WEIGHTS

REFERENCE = "ultrafm.federation.attacks:app"
ATTACKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sign flipped": lambda update: -update,
    "scaled 100 times": lambda update: update * 100,
    "flipped and scaled": lambda update: update * -100,
    "not a number": lambda update: np.full_like(update, np.nan),
}
app = ClientApp()


@app.train()
def train_round(message: Message, context: Context) -> Message:
    """Train as an honest site does, then change the update that is sent (uncompressed ones only)."""
    old = from_record(message.content["arrays"])[WEIGHTS].copy()
    reply = honest.train_round(message, context)
    if attack := str(context.node_config.get("attack", "")):
        update = from_record(reply.content["arrays"])[WEIGHTS] - old
        reply.content["arrays"] = to_record({WEIGHTS: old + ATTACKS[attack](update)})
    return reply


app.query("describe")(honest.describe)
app.evaluate()(honest.validate)
