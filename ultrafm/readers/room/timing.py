"""Seconds that a reader looked at a case, from the server's clock; pauses and the time after a broken page left out."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN, PAUSED, RESUMED, ALIVE, ASLEEP, SUBMITTED = "shown", "paused", "resumed", "alive", "asleep", "submitted"
Moment = tuple[str, float]


def seconds_read(views: Sequence[Sequence[Moment]]) -> float:
    """Seconds over all pages on which a case was shown, each a list of (what happened, when) in its order.

    A page that was neither paused nor submitted, because browser or server died, counts to its last sign of life.
    "asleep" says afterwards that the time since the sign before it does not count, as when a lid was closed or a pause
    could not be told; it pauses too. A clock that goes back counts as standing still.
    """
    return sum(_one_view(view) for view in views)


def _one_view(view: Sequence[Moment]) -> float:
    total, running, before = 0.0, False, 0.0
    for kind, at in view:
        if running and kind != ASLEEP:
            total += max(0.0, at - before)
        before = at
        running = kind in (SHOWN, RESUMED) or (running and kind == ALIVE)
    return total
