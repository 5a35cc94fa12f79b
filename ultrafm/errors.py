"""The one kind of error that users are meant to read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UltraFMError(Exception):
    """A problem in the input, told so that the reader can mend it.

    The message names the place (site, file, row or field), what was found there, what was expected and how to mend it.
    """

    def __init__(self, where: str, found: str, expected: str, mend: str = "") -> None:
        self.where, self.found, self.expected, self.mend = where, found, expected, mend
        message = f"{where}: found {found}; expected {expected}."
        super().__init__(f"{message} To mend it: {mend}." if mend else message)

    def __reduce__(self) -> tuple[type[UltraFMError], tuple[str, str, str, str]]:
        """Lets the error travel between processes, which would otherwise call the class with its message alone."""
        return type(self), (self.where, self.found, self.expected, self.mend)


class StepFailed(UltraFMError):
    """A step of the study that stopped: what it said, and where to read on."""

    def __init__(self, step: str, said: str, page: str) -> None:
        super().__init__(f"step {step}", said, "a step that runs to its end", f"see {page}, then run the same command")
        self.step, self.said, self.page = step, said, page

    def __str__(self) -> str:
        return f"step {self.step} stopped: {self.said}\nSee {self.page}; then the same command goes on from there."

    def __reduce__(self) -> tuple[type[StepFailed], tuple[str, str, str]]:
        return type(self), (self.step, self.said, self.page)


class NothingToDo(Exception):
    """What a step is for does not occur in this study, such as diagnosis where no site has a task. Not a failure.

    Raised in a notebook, it ends the step with the reason on its page and without numbers.
    """

    @classmethod
    def reason_in(cls, error: str | None) -> str:
        """The reason in a notebook's error ("NothingToDo: reason (code cell 3)"); empty when it says another one."""
        found = re.fullmatch(rf"{cls.__name__}: (.*?)(?: \(code cell \S+\))?", error or "", re.DOTALL)
        return found.group(1) if found else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like `word`, as a hint (" (did you mean 'liver'?)"), or nothing when none is near."""
    match = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""


def one_of(where: str, value: str, known: Iterable[str]) -> str:
    """`value`, if it is one of the known words; else an error that names them and the nearest."""
    if value not in known:
        raise UltraFMError(where, repr(value), f"one of {', '.join(known)}{nearest(value, known)}")
    return value
