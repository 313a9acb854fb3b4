"""Which steps of a recorded session are played, and with which pauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.scenario.draws import Stream, generator
from bench.scenario.plan import Case
from bench.scenario.room import prompt_room
from bench.scenario.sessions import Session, Step
from bench.scenario.work import Replay

_CHARS_PER_TOKEN = 4.0


def played_steps(
    session: Session, replay: Replay, case: Case, seed: int, number: int
) -> Sequence[Step]:
    """The steps to play: those that fit the context, from the beginning or from anywhere on."""
    steps = [_capped(step, replay.pause_cap_s) for step in fitting(session, replay, case)]
    mains = [i for i, step in enumerate(steps) if not step.thread]
    if replay.start == "begin" or len(mains) < 2:
        return steps
    first = generator(seed, Stream.SESSION, number).choice(mains)
    return _from(steps, first)


def _capped(step: Step, cap_s: float) -> Step:
    if step.gap_s is None or step.gap_s <= cap_s:
        return step
    return replace(step, gap_s=cap_s)


def _from(steps: Sequence[Step], first: int) -> Sequence[Step]:
    """The main thread from this step on, what came before it as the history it begins with."""
    added: list[dict[str, object]] = []
    for step in steps[:first]:
        if step.thread:
            continue
        if step.fresh:
            added.clear()
        added += [*step.added, *([step.answer] if step.answer else [])]
    if steps[first].fresh:
        added.clear()
    begin = replace(steps[first], added=(*added, *steps[first].added), fresh=True, gap_s=None)
    begun = {step.thread for step in steps[:first] if step.thread}
    rest = [step for step in steps[first + 1 :] if step.thread not in begun]
    return [begin, *rest]


def fitting(session: Session, replay: Replay, case: Case) -> Sequence[Step]:
    """The steps before the first of the main thread whose prompt would not fit the context."""
    limit = longest_prompt(replay, case)
    for index, need in enumerate(_needs(session.steps)):
        if need > limit and not session.steps[index].thread:
            return session.steps[:index]
    return session.steps


def longest_prompt(replay: Replay, case: Case) -> int:
    """In tokens: as the scenario says, else what leaves room for the answer in the context."""
    return replay.max_context or prompt_room(case)


def _needs(steps: Sequence[Step]) -> Sequence[float]:
    """Tokens of each prompt: as recorded, else by the length of its text."""
    sizes: dict[str, float] = {}
    needs = []
    for step in steps:
        size = 0.0 if step.fresh else sizes.get(step.thread, 0.0)
        size += sum(len(str(message.get("content") or "")) for message in step.added)
        needs.append(step.prompt_tokens or size / _CHARS_PER_TOKEN)
        sizes[step.thread] = size + len(str((step.answer or {}).get("content") or ""))
    return needs
