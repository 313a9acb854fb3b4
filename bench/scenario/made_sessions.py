"""Sessions made up from statistics: which requests, how long, with which pauses between them.

A script is a pure function of what is asked for, of the block's seed and of the session's number.
It holds numbers only; `bench.scenario.session_texts` makes the texts when they are sent.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.scenario.draws import Distribution, Stream, draw, generator
from bench.scenario.sessions import Step, StepKind
from bench.scenario.work import MadeSessions, SubAgents

MESSAGE_TOKENS = 8
"""What a template puts around a message, roughly."""
_TITLE_TOKENS = 60
_TITLE = Step(
    "title",
    gap_s=0.0,
    prompt_tokens=_TITLE_TOKENS + MESSAGE_TOKENS,
    output_tokens=12,
    thread="title",
    fresh=True,
)
_SUMMARY_TOKENS = 40
_FILL = 0.9
"""Of the context, from where on a history is put into a summary."""
_KEPT = 0.5
"""Of the history, what the summary leaves ("falls to about half")."""
_MOST_TURNS, _MOST_STEPS = 500, 1000


@dataclass(frozen=True, slots=True)
class Script:
    """A made-up session.

    Attributes:
        steps: without texts; `prompt_tokens` is what the whole prompt should come to, and
            `output_tokens` how long the answer may be.
        tokens: of the new text of each step, its head left out.
    """

    steps: tuple[Step, ...]
    tokens: tuple[int, ...]


def script(spec: MadeSessions, seed: int, number: int) -> Script:
    """The session with this number."""
    rng = generator(seed, Stream.SESSION, number)
    drawn = list(_Main(spec, rng).steps())
    return Script(tuple(step for step, _ in drawn), tuple(tokens for _, tokens in drawn))


Drawn = tuple[Step, int]


class _Main:
    """Draws the steps of one session, and knows how long its history is."""

    def __init__(self, spec: MadeSessions, rng: random.Random) -> None:
        self._spec = spec
        self._rng = rng
        self._head = spec.shared_tokens
        self._history = 0
        self._begun = False

    def steps(self) -> Iterator[Drawn]:
        spec = self._spec
        for turn in range(min(_whole(spec.turns, self._rng), _MOST_TURNS)):
            length = spec.turn_tokens if turn else spec.first_tokens
            pause = spec.pause_s if turn else None
            yield from self._step("user", _whole(length, self._rng), pause)
            if turn == 0 and spec.titles:
                yield _TITLE, _TITLE_TOKENS
            if spec.subagents is not None and self._rng.random() < spec.subagents.chance:
                yield from self._subagents(spec.subagents, turn)
            if spec.tool_steps is None or spec.tool_tokens is None:
                continue
            for _ in range(min(max(0, round(draw(spec.tool_steps, self._rng))), _MOST_STEPS)):
                tokens = _whole(spec.tool_tokens, self._rng)
                yield from self._step("tool", tokens, spec.tool_pause_s)

    def _step(self, kind: StepKind, tokens: int, pause: Distribution | None) -> Iterator[Drawn]:
        """One request of the main history; before it a summary, if it would not fit else."""
        spec, output = self._spec, _whole(self._spec.output_tokens, self._rng)
        gap = None
        if pause is not None:
            gap = max(0.0, min(draw(pause, self._rng), spec.pause_cap_s))
        if spec.compaction:
            room = int(_FILL * spec.context) - self._head
            tokens = min(tokens, max(1, room // 2))
            output = min(output, max(1, room // 4))
            if self._begun and self._history + tokens + output + 2 * MESSAGE_TOKENS > room:
                yield from self._summary(gap)
                gap = 0.0
                tokens += self._history
                self._history, self._begun = 0, False
        self._history += tokens + MESSAGE_TOKENS
        prompt, fresh = self._head + self._history, not self._begun
        self._begun = True
        self._history += output + MESSAGE_TOKENS
        yield Step(kind, gap_s=gap, prompt_tokens=prompt, output_tokens=output, fresh=fresh), tokens

    def _summary(self, gap: float | None) -> Iterator[Drawn]:
        """Asked for where the next step would not fit: after its pause, before it is sent."""
        room = self._spec.context - self._head - self._history
        output = max(1, min(_whole(self._spec.output_tokens, self._rng), room - _SUMMARY_TOKENS))
        prompt = self._head + self._history + _SUMMARY_TOKENS
        step = Step("summary", gap_s=gap, prompt_tokens=prompt, output_tokens=output)
        yield step, _SUMMARY_TOKENS
        self._history = int(_KEPT * self._history)

    def _subagents(self, agents: SubAgents, turn: int) -> Iterator[Drawn]:
        """All of them, step by step in turn, as they work at the same time."""
        head = self._spec.shared_tokens if agents.same_head else 0
        spec = replace(
            self._spec,
            shared_tokens=head,
            turns=_fixed(1),
            first_tokens=_fixed(max(1, agents.first_tokens - head)),
            tool_steps=_fixed(max(0, _whole(agents.steps, self._rng) - 1)),
            titles=False,
            subagents=None,
        )
        working = [
            (f"agent {turn + 1}.{number + 1}", _Main(spec, self._rng).steps())
            for number in range(agents.parallel)
        ]
        while working:
            left = []
            for thread, steps in working:
                found = next(steps, None)
                if found is not None:
                    step, tokens = found
                    yield replace(step, kind="subagent", thread=thread), tokens
                    left.append((thread, steps))
            working = left


def _fixed(value: float) -> Distribution:
    return Distribution("fixed", {"value": value})


def _whole(distribution: Distribution, rng: random.Random) -> int:
    return max(1, round(draw(distribution, rng)))
