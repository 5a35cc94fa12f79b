"""What every title says: whether readers and images are simulated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def said(found: Mapping[str, Any], many: str = "readers") -> str:
    """ "simulated readers" where they are simulated."""
    return f"simulated {many}" if found["readers"] == "simulated" else many


def images_words(images: str | None) -> str:
    """What the title says about the images."""
    return "" if images is None else f" ({images} images)"
