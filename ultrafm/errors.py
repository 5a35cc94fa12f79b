"""The one kind of error that users are meant to read."""

from __future__ import annotations

import difflib
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


class NothingToDo(Exception):
    """What a step is for does not occur in this study, such as diagnosis where no site has a task. Not a failure.

    Raised in a notebook, it ends the step with the reason on its page and without numbers.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like `word`, as a hint (" (did you mean 'liver'?)"), or nothing when none is near."""
    match = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""
