"""From messages in their order to the requests that were answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.scenario.session_files.rows import Notes
from bench.scenario.sessions import Message, Step, StepKind


@dataclass(frozen=True, slots=True)
class Timed:
    """A message, and when it was: of one by the assistant the end, of others the arrival."""

    message: Message
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request with its whole history, as a log of requests has it.

    Attributes:
        prompt: all messages sent.
        answer: as recorded.
        facts: times, counts, tools and thread, as a step without messages.
    """

    prompt: tuple[Message, ...]
    answer: Message | None
    facts: Step


@dataclass(slots=True)
class Dialogue:
    """The history of one thread while its file is read.

    Attributes:
        history: messages so far, answers included.
        asked: the requests so far.
        at_s: of the newest message that is no answer.
    """

    history: list[Message] = field(default_factory=list)
    asked: list[LoggedRequest] = field(default_factory=list)
    at_s: float | None = None

    def say(self, message: Message, at_s: float | None) -> None:
        """A message of the user or of a tool."""
        self.history.append(message)
        self.at_s = at_s

    def answer(self, answer: Message, facts: Step) -> None:
        """An answer: the request is all that was said before it."""
        if self.history:
            self.asked.append(LoggedRequest(tuple(self.history), answer, facts))
        self.history.append(answer)


def steps_of(messages: Sequence[Timed]) -> tuple[Step, ...]:
    """The requests of a conversation of which only the messages are known.

    Each run of assistant messages is the answer to one request. Of a longer run the first message
    is the answer, and the others are history.
    """
    steps: list[Step] = []
    added: list[Timed] = []
    answers: list[Timed] = []
    for item in messages:
        if item.message["role"] == "assistant" and any(map(_asks, added)):
            answers.append(item)
            continue
        if answers:
            steps.append(_step(added, answers, first=not steps))
            added, answers = answers[1:], []
        added.append(item)
    if answers or any(map(_asks, added)):
        steps.append(_step(added, answers, first=not steps))
    return tuple(steps)


def system_of(conversation: Mapping[str, Any]) -> list[Timed]:
    """The system text that a conversation has beside its messages."""
    text = conversation.get("system")
    if not isinstance(text, str) or not text.strip():
        return []
    return [Timed({"role": "system", "content": text})]


def _asks(item: Timed) -> bool:
    return item.message["role"] in ("user", "tool")


def _step(added: list[Timed], answers: list[Timed], first: bool) -> Step:
    last = next((m for m in reversed(added) if _asks(m)), added[-1])
    return Step(
        kind=kind_of([m.message for m in added]),
        added=tuple(m.message for m in added),
        answer=answers[0].message if answers else None,
        at_s=last.at_s,
        answered_at_s=answers[-1].at_s if answers else None,
        fresh=first,
    )


def kind_of(added: Sequence[Message]) -> StepKind:
    """Whether new messages come from a tool or from the user."""
    roles = [m["role"] for m in added if m["role"] in ("user", "tool")]
    return "tool" if roles and roles[-1] == "tool" else "user"


def steps_of_log(requests: Sequence[LoggedRequest]) -> tuple[Step, ...]:
    """The steps of a session of which each request is known with all its messages.

    What continues the history of its thread adds its new messages; anything else starts afresh.
    The client's own form of an answer, sent back in the next request, takes the place of the
    recorded one, so that a replay sends what the client did.
    """
    steps: list[Step] = []
    last: dict[str, tuple[int, tuple[Message, ...]]] = {}
    for asked in requests:
        thread = asked.facts.thread
        place, before = last.get(thread, (-1, ()))
        added, fresh = asked.prompt, True
        if place >= 0 and asked.prompt[: len(before)] == before and len(asked.prompt) > len(before):
            added, fresh = asked.prompt[len(before) :], False
            if added[0]["role"] == "assistant":
                steps[place] = replace(steps[place], answer=added[0])
                added = added[1:]
            else:  # the client sent no answer back
                steps[place] = replace(steps[place], answer=None)
        steps.append(replace(asked.facts, added=added, answer=asked.answer, fresh=fresh))
        last[thread] = (len(steps) - 1, asked.prompt)
    return tuple(steps)


def with_gaps(steps: Sequence[Step], notes: Notes) -> tuple[Step, ...]:
    """The steps with the pause before each, where both times are known."""
    ended: dict[str, float | None] = {}
    made = []
    for step in steps:
        before = ended.get(step.thread)
        ended[step.thread] = step.answered_at_s
        if step.gap_s is None and before is not None and step.at_s is not None:
            if step.at_s < before:
                notes.count("requests sent before the answer before them had ended (pause 0)")
            step = replace(step, gap_s=round(max(0.0, step.at_s - before), 6))
        made.append(step)
    return tuple(made)
