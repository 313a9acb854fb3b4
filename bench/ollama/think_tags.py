"""Tells thinking from answer where a model writes `<think>...</think>` into its content.

Ollama separates the two itself for models whose template it knows; for the others, and in raw mode,
the tags arrive as text. The rules are those of Ollama's own parser (`thinking/parser.go`): the
opening tag counts only at the very start; white space before it, and after the closing tag, belongs
to neither side.
"""

from __future__ import annotations

from typing import Literal

OPEN, CLOSE = "<think>", "</think>"


class ThinkTags:
    """Splits content that comes in pieces; a tag may be cut anywhere.

    Attributes:
        tagged: an opening tag was found.
    """

    __slots__ = ("_blanks", "_held", "_part", "tagged")

    def __init__(self) -> None:
        self._part: Literal["undecided", "thinking", "after tag", "answer"] = "undecided"
        self._held = ""
        # White space before anything else, piece by piece: there may be very much of it.
        self._blanks: list[str] = []
        self.tagged = False

    def feed(self, text: str) -> tuple[str, str]:
        """The thinking and the answer that this piece completes; held-back text comes later."""
        if self._part == "undecided" and not self._held and text.isspace():
            self._blanks.append(text)
            return "", ""
        text = self._held + text
        self._held = ""
        thinking = ""
        if self._part == "undecided":
            start = text.lstrip()
            if not start.startswith(OPEN):
                if OPEN.startswith(start):
                    self._held = text
                    return "", ""
                return "", self._answer(self._blank() + text)
            self._blank()
            text = start[len(OPEN) :]
            self._part = "thinking"
            self.tagged = True
        if self._part == "thinking":
            thinking, closed, text = text.partition(CLOSE)
            if not closed:
                return self._hold_back(thinking), ""
            self._part = "after tag"
        if self._part == "after tag":
            text = text.lstrip()
            return thinking, self._answer(text) if text else ""
        return thinking, text

    def end(self) -> tuple[str, str]:
        """What was held back when the content ended."""
        held, self._held = self._blank() + self._held, ""
        return (held, "") if self._part == "thinking" else ("", held)

    def _blank(self) -> str:
        """The white space that came first; it is forgotten here."""
        blanks, self._blanks = self._blanks, []
        return "".join(blanks)

    def _answer(self, text: str) -> str:
        self._part = "answer"
        return text

    def _hold_back(self, thinking: str) -> str:
        """Keep back what may be the start of the closing tag."""
        for n in range(min(len(CLOSE) - 1, len(thinking)), 0, -1):
            if thinking.endswith(CLOSE[:n]):
                self._held = thinking[-n:]
                return thinking[:-n]
        return thinking


def split_think_tags(text: str) -> tuple[str, str]:
    """The thinking and the answer of a whole content."""
    if OPEN not in text:
        return "", text
    tags = ThinkTags()
    thinking, answer = tags.feed(text)
    more_thinking, more_answer = tags.end()
    return thinking + more_thinking, answer + more_answer
