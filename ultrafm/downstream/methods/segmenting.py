"""Methods of segmentation, by name: each is asked one turn of a task at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ultrafm.downstream.methods.dense import draw_densely
from ultrafm.downstream.methods.drawing import Drawn, draw
from ultrafm.downstream.methods.patch_head import head_shares
from ultrafm.downstream.methods.seen import Seen
from ultrafm.downstream.methods.segmentation import fine_tune_segmentation
from ultrafm.seeds import spawn_torch


def draw_linearly(seen: Seen, number: int) -> Drawn:
    """The linear head on the frozen encoder."""
    head = seen.heads[number]
    return draw(lambda rows: head_shares(head, seen.patches[rows]), seen.data, seen.turns[number])


def draw_by_training(seen: Seen, number: int) -> Drawn:
    """Encoder and linear head trained together, from the fitted head."""
    generator = spawn_torch(seen.seed, "segmentation", seen.data.task.name, number)
    return fine_tune_segmentation(
        seen.encoder, seen.heads[number], seen.data, seen.turns[number], seen.epochs, seen.precision, generator
    )


def draw_with_decoder(frozen: bool, seen: Seen, number: int) -> Drawn:
    """The DPT decoder, on the frozen encoder or with it."""
    generator = spawn_torch(seen.seed, "dense decoder", seen.data.task.name, number)
    return draw_densely(seen.encoder, seen.data, seen.turns[number], seen.epochs, seen.precision, generator, frozen)


TRAINED_TO_DRAW = ("fine_tuning", "dpt_frozen", "dpt_tuned")  # with epochs
SEGMENTERS: dict[str, Callable[[Seen, int], Drawn]] = {
    "linear_head": draw_linearly,
    "fine_tuning": draw_by_training,
    "dpt_frozen": partial(draw_with_decoder, True),
    "dpt_tuned": partial(draw_with_decoder, False),
}
