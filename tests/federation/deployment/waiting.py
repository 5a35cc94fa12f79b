"""Waiting for what processes do."""

import time


def wait_for(condition, seconds=20, meanwhile=lambda: None):
    """What the condition gives as soon as that is true, or when the time is over; looks five times a second."""
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        meanwhile()
        time.sleep(0.2)
    return found
