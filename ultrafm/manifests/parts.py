"""What all parts of a manifest share: strictness, names, shares and patterns that are checked when they are read."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


def _expression(pattern: str) -> str:
    """Refuse what is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"no regular expression ({error})") from error
    return pattern


def _one_group(pattern: str) -> str:
    """Refuse what is no regular expression with exactly one group."""
    groups = re.compile(_expression(pattern)).groups
    if groups != 1:
        raise ValueError(f"{groups} groups in round brackets, expected one")
    return pattern


def _inside(folder: str) -> str:
    """Refuse a folder that could lead out of the one that it is relative to."""
    if re.match(r"[/\\~]|[A-Za-z]:", folder) or ".." in re.split(r"[/\\]", folder):
        raise ValueError("a path that leads out of its folder")
    return folder


Expression = Annotated[str, AfterValidator(_expression)]
OneGroup = Annotated[str, AfterValidator(_one_group)]
Inside = Annotated[str, AfterValidator(_inside)]


class Strict(BaseModel):
    """Base of all manifest parts: unknown fields are refused and values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
