"""What is new, gone or other in the terms of a federation, for a site that accepted earlier ones."""

from __future__ import annotations

from typing import Any

from ultrafm.federation.deployment.gate import ANY


def describe_changes(earlier: dict[str, Any], terms: dict[str, Any]) -> list[str]:
    """One line for everything that differs between two terms (see `agreement.terms_of`): first what leaves the site."""
    before, now = flat(earlier), flat(terms)
    lines = [f"new: {told(path, now[path])}" for path in now if path not in before]
    lines += [f"gone: {told(path, before[path])}" for path in before if path not in now]
    other = [path for path in now if path in before and before[path] != now[path]]
    return lines + [f"changed: {told(path, now[path])} (it was {before[path]})" for path in other]


def flat(terms: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """Every value by the names that lead to it; names that may leave, and weights, each by itself."""
    weights = terms["asked"]["layout"]
    asked = terms["asked"] | {"layout": dict(zip(weights["names"], weights["shapes"]))}
    ordered = {"leaves": terms["leaves"], **terms, "asked": asked}
    return values_of(ordered, ())


def values_of(value: Any, path: tuple[str, ...]) -> dict[tuple[str, ...], str]:
    """The values below a path."""
    if isinstance(value, dict):
        return {
            place: one for name, below in value.items() for place, one in values_of(below, (*path, str(name))).items()
        }
    if path[0] == "leaves":
        return {(*path, "whatever the images tell" if name == ANY else name): "" for name in value}
    return {path: str(value)}


def told(path: tuple[str, ...], value: str) -> str:
    """A value and where it stands, in words."""
    return ", ".join(path) + f": {value}" * bool(value)
