"""Tells thinking from answer in a model's raw output.

As Ollama's parser does (`thinking/parser.go`): thinking is what stands between the tags, at the
very start of the output; white space around the tags belongs to neither side. Text that could be
the beginning of a tag is held back.
"""

from __future__ import annotations

from enum import Enum, auto

OPENING = "<think>"
CLOSING = "</think>"


class _Part(Enum):
    BEFORE = auto()
    THINKING_STARTS = auto()
    THINKING = auto()
    ANSWER_STARTS = auto()
    ANSWER = auto()


class ThinkingSplitter:
    """Splits a stream of text.

    `opened`: the prompt already ended with the opening tag, so the output begins as thinking.
    """

    def __init__(self, *, opened: bool = False) -> None:
        self._state = _Part.THINKING_STARTS if opened else _Part.BEFORE
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """The thinking and the answer that `text` completes; both may be ""."""
        self._held += text
        thinking = ""
        if self._state is _Part.BEFORE:
            self._look_for_opening()
        if self._state is _Part.THINKING_STARTS:
            self._skip_space(_Part.THINKING)
        if self._state is _Part.THINKING:
            thinking = self._take_thinking()
        if self._state is _Part.ANSWER_STARTS:
            self._skip_space(_Part.ANSWER)
        answer = self._take(len(self._held)) if self._state is _Part.ANSWER else ""
        return thinking, answer

    def flush(self) -> tuple[str, str]:
        """What was still held back when the output ended."""
        rest = self._take(len(self._held))
        return (rest, "") if self._state is _Part.THINKING else ("", rest)

    def _look_for_opening(self) -> None:
        begun = self._held.lstrip()
        if begun.startswith(OPENING):
            self._held = begun[len(OPENING) :]
            self._state = _Part.THINKING_STARTS
        elif not OPENING.startswith(begun):
            self._state = _Part.ANSWER

    def _skip_space(self, then: _Part) -> None:
        self._held = self._held.lstrip()
        if self._held:
            self._state = then

    def _take_thinking(self) -> str:
        at = self._held.find(CLOSING)
        if at >= 0:
            thinking = self._take(at).rstrip()
            self._take(len(CLOSING))
            self._state = _Part.ANSWER_STARTS
            return thinking
        return self._take(_certain(self._held))

    def _take(self, count: int) -> str:
        taken, self._held = self._held[:count], self._held[count:]
        return taken


def _certain(text: str) -> int:
    """How much of `text` cannot be the beginning of the closing tag or the space before it."""
    for size in range(min(len(CLOSING) - 1, len(text)), 0, -1):
        if text.endswith(CLOSING[:size]):
            text = text[:-size]
            break
    return len(text.rstrip())
