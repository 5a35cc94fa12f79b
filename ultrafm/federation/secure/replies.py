"""What the coordinator makes of the sites' replies in a secure round; what cannot be used is a Fault."""

from __future__ import annotations

import numpy as np
from flwr.app import Message

from ultrafm.federation.checks import VERSION, read_arrays
from ultrafm.federation.incidents import Fault
from ultrafm.federation.secure.stages import MASKED, Values


def read_values(reply: Message, name: str, wanted: set[str]) -> Values:
    """A reply's record of bytes. Raises Fault when it does not hold exactly these names."""
    record = dict(reply.content[name]) if name in reply.content else {}
    if set(record) != wanted or not all(isinstance(one, bytes) for one in record.values()):
        raise Fault("unreadable", f"{name}: {sorted(record)}", f"bytes for {sorted(wanted)}", VERSION)
    return record


def read_masked(reply: Message, kind: np.dtype, length: int) -> np.ndarray:
    """A reply's masked numbers. Raises Fault when they are not of the length and the type that was asked."""
    return read_arrays(reply, {MASKED: (str(kind), (length,))})[MASKED]
