"""Numbers and results in words: one line for an inference, plain sentences for what may be concluded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(value: float | None, digits: int = 4) -> str:
    """A number for a table, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def p_number(value: float | None) -> str:
    """A p value for a table."""
    return "< 0.0001" if value is not None and value < 0.0001 else number(value)


def p_text(value: float | None) -> str:
    """A p value as journals print it."""
    if value is None:
        return "p not estimable"
    return f"p {p_number(value)}" if value < 0.0001 else f"p = {p_number(value)}"


def freedom(df: float | None) -> str:
    """Degrees of freedom for a table: from a thousand on the t distribution is the normal one."""
    return "-" if df is None else "> 1000" if df > 1000 else number(df, 1)


def inference_text(found: Mapping[str, Any]) -> str:
    """Difference, interval, degrees of freedom and p in one line; the reason where there is none."""
    if found["se"] is None:
        return f"{number(found['difference'])} ({found['status']})"
    law = "normal" if found["df"] is None else f"df {found['df']:.1f}"
    interval = f"{found['confidence']:.0%} CI {number(found['ci_low'])} to {number(found['ci_high'])}"
    error = number(found["se"])
    return f"{number(found['difference'])} ({interval}, SE {error}, {law}, {p_text(found['p'])})"


def value_text(found: Mapping[str, Any]) -> str:
    """A value of the endpoint with its interval."""
    if found["ci_low"] is None:
        return f"{number(found['estimate'])} ({found['status']})"
    return f"{number(found['estimate'])} ({number(found['ci_low'])} to {number(found['ci_high'])})"


def non_inferiority_text(found: Mapping[str, Any]) -> str:
    """The non-inferiority test in one line, with margin, alpha and sidedness."""
    if found["p_value"] is None:
        return f"not estimable ({found['status']})"
    verdict = "non-inferior" if found["non_inferior"] else "not shown to be non-inferior"
    return (
        f"{verdict} (margin {found['margin']}, {found['sidedness']} alpha {found['alpha']}, {p_text(found['p_value'])})"
    )


def equivalence_text(found: Mapping[str, Any]) -> str:
    """The equivalence test in one line."""
    if found["p_value"] is None:
        return f"not estimable ({found['status']})"
    verdict = "equivalent" if found["equivalent"] else "not shown to be equivalent"
    told = f"margins +-{found['margin']}, {found['sidedness']} at alpha {found['alpha']}"
    return f"{verdict} ({told}, {p_text(found['p_value'])})"


def conclusion(found: Mapping[str, Any]) -> str:
    """What the primary result allows to say, in a few sentences."""
    if found["kind"] == "one_modality":
        (only,) = found["modalities"]
        return f"Mean over readers, {found['endpoint']}: {value_text(only)}. Nothing is compared."
    said = _against(found) if found["kind"] == "ai_versus_readers" else []
    said += _modalities(found) if "tests" in found else []
    if "final_diagnosis" in found:
        second = found["final_diagnosis"]
        test = second.get("ai_versus_readers") or second.get("tests", {}).get("random_readers_random_cases")
        if test and test["difference"] is not None:
            said.append(f"Second endpoint, {second['endpoint']}: {inference_text(test)}.")
    if found["readers"] == "simulated":
        said.append("The readers are simulated, so this says nothing of people.")
    return " ".join(said)


def _against(found: Mapping[str, Any]) -> list[str]:
    """Sentences on AI against readers."""
    primary, count = found["ai_versus_readers"], len(found["individual_readers"])  # of the modality that is compared
    who = f"{count} {'simulated ' if found['readers'] == 'simulated' else ''}reader{'s' if count > 1 else ''}"
    where = f" in modality {primary['modality']}" if "by_modality" in primary else ""
    said = [f"AI minus {who}{where}, {found['endpoint']}: {inference_text(primary)}."]
    if primary["ci_low"] is not None:
        said.append(_direction(primary, count, found))
    if found["non_inferiority"] is not None:
        said.append(f"Non-inferiority of the AI: {non_inferiority_text(found['non_inferiority'])}.")
    if found["equivalence"] is not None:
        said.append(f"Equivalence of AI and readers: {equivalence_text(found['equivalence'])}.")
    return said + [row["sentence"] for row in found["claims"]]


def _direction(primary: Mapping[str, Any], readers: int, found: Mapping[str, Any]) -> str:
    """What the interval says about the sign, and for whom."""
    if primary["ci_low"] <= 0 <= primary["ci_high"]:
        return "The interval includes zero: a difference in either direction is compatible with the data."
    whom, above = "these kinds of readers" if readers > 1 else "this reader", primary["ci_low"] > 0
    said = f"The interval lies {'above' if above else 'below'} zero:"
    if found["endpoint_kind"] in ("auc", "partial_auc"):
        return f"{said} the AI ranks cases {'better' if above else 'worse'} than {whom} on cases like these."
    return f"{said} the AI's value is {'higher' if above else 'lower'} than that of {whom} on cases like these."


def _modalities(found: Mapping[str, Any]) -> list[str]:
    """Sentences on each pair of modalities, for readers and cases of these kinds."""
    said = []
    for pair in found["tests"]["random_readers_random_cases"]["pairs"]:
        said.append(f"{pair['first']} minus {pair['second']}, {found['endpoint']}: {inference_text(pair)}.")
        if pair["ci_low"] is None:
            said += _these_readers(found, pair)
            continue
        if pair["ci_low"] <= 0 <= pair["ci_high"]:
            said.append("The interval includes zero: no difference was shown, which does not show that there is none.")
        else:
            word = "higher" if pair["ci_low"] > 0 else "lower"
            said.append(f"The endpoint is {word} in modality {pair['first']}, for readers and cases like these.")
    return said


def _these_readers(found: Mapping[str, Any], pair: Mapping[str, Any]) -> list[str]:
    """The fixed-reader result of a pair, where nothing can be said of other readers."""
    names = (pair["first"], pair["second"])
    fixed = [one for one in found["tests"]["fixed_readers"]["pairs"] if (one["first"], one["second"]) == names]
    if not fixed or fixed[0]["ci_low"] is None:
        return []
    return [f"For these readers only: {inference_text(fixed[0])}."]
