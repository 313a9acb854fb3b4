"""What the requests of a session say: made up, or recorded."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.scenario.corpus import TokenRates, load_corpus, units_of
from bench.scenario.made_sessions import Script
from bench.scenario.sessions import Message, Session, Step
from bench.scenario.work import MadeSessions

_CLOSING = {
    "en": "Go on from here, in detail.",
    "de": "Mach hier weiter, ausführlich.",
    "es": "Sigue desde aquí, con detalle.",
    "zh": "从这里继续，写得详细一些。",
    "code": "Continue this file.",
}
_SUMMARY = {
    "en": "Summarise all that was said and done so far.",
    "de": "Fasse alles zusammen, was bisher gesagt und getan wurde.",
    "es": "Resume todo lo que se ha dicho y hecho hasta ahora.",
    "zh": "总结到目前为止所说和所做的一切。",
    "code": "Summarise all that was said and done so far.",
}
_TITLE = "Write a title of at most six words for this request."


@dataclass(slots=True)
class MadeTexts:
    """A made-up session: its texts are made when they are asked for, each of its own length.

    Attributes:
        id: its name in records.
        rates: how long a text of so many tokens is.
        number: cache-busting text of the head (0), and of each thread (1, 2, ...); "" = none.
        system: of the case, in front of the head.
    """

    id: str
    spec: MadeSessions
    script: Script
    rates: TokenRates
    number: Callable[[int], str]
    seed: int
    system: str = ""
    tools: Sequence[dict[str, Any]] = ()
    _threads: dict[str, int] = field(default_factory=dict)

    @property
    def steps(self) -> Sequence[Step]:
        """Its requests."""
        return self.script.steps

    def head(self, index: int) -> tuple[Message, ...]:
        """What stands before a step's thread: the text that all sessions begin with."""
        step, spec = self.steps[index], self.spec
        agent = step.kind == "subagent"
        own_head = agent and not (spec.subagents and spec.subagents.same_head)
        if step.kind == "title" or own_head:
            return ()
        text = _head_text(spec.language, self._units(spec.shared_tokens))
        first = self.number(0)
        if spec.head == "changing":
            first = f"{_hash(self.seed, self.id, index)} {first}".strip()
        parts = [part for part in (first, self.system, text) if part]
        return ({"role": "system", "content": "\n\n".join(parts)},) if parts[bool(first) :] else ()

    def added(self, index: int) -> tuple[Message, ...]:
        """What a step adds to its thread: new text of its length.

        The first of a thread begins with a number of its own.
        """
        step, language = self.steps[index], self.spec.language
        if step.kind == "summary":
            return ({"role": "user", "content": _SUMMARY[language]},)
        ending = _TITLE if step.kind == "title" else _CLOSING[language]
        least = units_of(ending, language) * self.rates.tokens_per_unit
        text = self._passage(f"step {index}", max(1.0, self.script.tokens[index] - least))
        if step.kind == "title":
            return ({"role": "user", "content": f"{text}\n\n{ending}"},)
        if step.fresh:
            thread = self._threads.setdefault(step.thread, len(self._threads) + 1)
            text = f"{self.number(thread)} {text}".strip()
        role = "tool" if self.tools and step.kind == "tool" else "user"
        return ({"role": role, "content": f"{text}\n\n{ending}"},)

    def answer(self, index: int) -> Message:
        """What the history holds as the answer: a text of the length that it may have."""
        tokens = self.steps[index].output_tokens or 1
        return {"role": "assistant", "content": self._passage(f"answer {index}", tokens)}

    def _passage(self, what: str, tokens: float) -> str:
        start = int(_hash(self.seed, self.id, what), 16)
        return load_corpus(self.spec.language).passage(start, self._units(tokens))[0]

    def _units(self, tokens: float) -> float:
        return tokens / self.rates.tokens_per_unit


@functools.lru_cache(maxsize=8)
def _head_text(language: str, units: float) -> str:
    """The same for all: from the beginning of the text on."""
    return load_corpus(language).passage(0, units)[0]


def _hash(*parts: object) -> str:
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class RecordedTexts:
    """A recorded session, word for word; only its first message gets a number in front.

    Attributes:
        id: its name in records.
        number: cache-busting text; "" = all is sent as it was recorded.
        steps: of the session, pauses capped.
    """

    id: str
    session: Session
    steps: Sequence[Step]
    number: str

    @property
    def tools(self) -> Sequence[dict[str, Any]]:
        """What its requests offer."""
        return self.session.tools

    def head(self, index: int) -> tuple[Message, ...]:
        """It is part of what is recorded."""
        return ()

    def added(self, index: int) -> tuple[Message, ...]:
        """As recorded, the number before the first text of the user, so that heads stay shared."""
        step = self.steps[index]
        for place, message in enumerate(step.added if self.number and step.fresh else ()):
            content = message.get("content")
            if message.get("role") == "user" and isinstance(content, str):
                changed = {**message, "content": f"{self.number} {content}"}
                return (*step.added[:place], changed, *step.added[place + 1 :])
        return step.added

    def answer(self, index: int) -> Message | None:
        """As recorded; None = none is."""
        return self.steps[index].answer


SessionTexts = MadeTexts | RecordedTexts
"""One session, ready to be played."""
