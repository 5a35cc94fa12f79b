"""The friendly pages that say why something was not done, by a word that stands in the address."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """status: of HTTP. back: does a link to the current case help?"""

    status: int
    title: str
    text: str
    back: bool = False


MESSAGES = {
    "nobody": Message(
        401, "Please use your personal link",
        "This browser is not signed in, or the sign-in has ended after 12 hours. Open the link that the study office "
        "gave you. All answers that you sent are kept.",
    ),
    "link": Message(
        404, "This link opens nothing",
        "It may be cut short, or a newer link took its place. Copy it whole, or ask the study office for a new one.",
    ),
    "waiting": Message(
        429, "Too many wrong attempts", "Please wait ten minutes, then open your personal link again."
    ),
    "withdrawn": Message(
        410, "You have left this study",
        "You took your consent back: there is nothing to read here, and your readings are not analysed. Ask the study "
        "office if that is not so.",
    ),
    "code": Message(
        403, "That is not the code that belongs to this link",
        "Go back to your personal link and type your identity code as the study office wrote it. Where the page asks "
        "for consent, the box must be ticked.",
    ),
    "older": Message(
        409, "This case was opened again elsewhere",
        "You opened the study in another tab or window, or loaded the page again, and only the newest one counts; or "
        "the study office started the study anew with another protocol. "
        "Nothing was lost and nothing was taken from here. Close this tab and go on there, or go on here.", True,
    ),
    "changed": Message(
        409, "This case is answered already",
        "The first answer stays: a submitted reading cannot be changed. Please go on with the next case.", True,
    ),
    "strange": Message(
        409, "This page does not belong to you",
        "Perhaps another reader signed in with this browser since, or the computer of the study was switched off. "
        "Nothing was taken from here.", True,
    ),
    "values": Message(
        422, "The answer is not complete",
        "Every disease needs a whole number from 0 to 100, and one final diagnosis must be chosen. A marked region "
        "must lie in the picture. Nothing was taken from here.", True,
    ),
    "protocol": Message(
        503, "The study is halted",
        "Its protocol was changed while it runs, so that no readings are taken. The study office must look into it. "
        "Everything that you submitted before is kept.",
    ),
    "broken": Message(
        500, "Something went wrong here",
        "The room could not do that, and the study office finds the reason in its log. Everything that you submitted "
        "before is kept.", True,
    ),
    "place": Message(404, "There is nothing here", "Please go on with the current case.", True),
    "form": Message(400, "That was not understood", "Please go on with the current case.", True),
}  # fmt: skip


class Refusal(Exception):
    """Nothing is done; the visitor is shown one of MESSAGES."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
