"""Whether prompts and sessions fit the context, and which steps of a recorded one are played."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from bench.scenario.draws import Stream, draw, generator
from bench.scenario.made_sessions import MESSAGE_TOKENS, script
from bench.scenario.plan import Case
from bench.scenario.sessions import Session, Step
from bench.scenario.work import Replay

_LOOKED_AT = 200


def outgrown(case: Case) -> str:
    """Which made-up sessions of a case outgrow its context; "" if none does.

    As many sessions are checked as a block has, at most 200.
    """
    made = case.prompts.made
    if made is None:
        return ""
    context = int(case.options["num_ctx"])
    if made.context > context:
        return (
            f"case {case.id!r}: prompts grow up to context: {made.context:,} tokens, but "
            f"options.num_ctx is {context:,}: raise it to {made.context}"
        )
    if made.shared_tokens + MESSAGE_TOKENS >= prompt_room(case, 1):
        return (
            f"case {case.id!r}: the head of {made.shared_tokens:,} tokens that all sessions share "
            f"does not fit options.num_ctx {context:,}: raise num_ctx to "
            f"{1 << (2 * made.shared_tokens - 1).bit_length():,}, or make it smaller with "
            "prompts.agent.scale or shared_tokens"
        )
    count = min(case.load.sessions or 20, _LOOKED_AT)
    overruns = [
        (number, *over)
        for number in range(1, count + 1)
        if (over := _overrun(case, script(made, 0, number - 1).steps)) is not None
    ]
    if not overruns:
        return ""
    number, turn, need, _ = overruns[0]
    most = math.ceil(max(largest for *_, largest in overruns) / (1 - _MARGIN))
    what_happens = (
        "The server would drop the oldest messages without a word, so that every later turn is "
        "read anew."
        if case.truncate
        else "The server would refuse it (truncate: false)."
    )
    return (
        f"case {case.id!r}: {len(overruns)} of {count} sessions outgrow options.num_ctx "
        f"{context:,}; session {number} in turn {turn} with {need:,} tokens. {what_happens} "
        f"Raise num_ctx to {most:,} or more, or ask for fewer turns"
    )


def _overrun(case: Case, steps: Sequence[Step]) -> tuple[int, int, int] | None:
    """The turn (from 1) and tokens of the first request that does not fit; those of the largest."""
    turn = 0
    for step in steps:
        turn += step.kind == "user"
        if _need(step) > prompt_room(case, 0):
            return max(turn, 1), _need(step), max(map(_need, steps))
    return None


def _need(step: Step) -> int:
    return (step.prompt_tokens or 0) + (step.output_tokens or 0)


_MARGIN = 0.02
"""Of the context: token counts are aimed at, and a prompt over the context would be refused."""
_DRAWS = 400
_MAX_SHARE = 0.05
"""So many of the drawn prompts may be shortened to fit; more would bend the distribution."""


def prompt_room(case: Case, num_predict: int | None = None) -> int:
    """The longest prompt, in tokens, that leaves room for the answer in the context.

    `num_predict` is that of the request, if it has one of its own.
    """
    answer = int(case.options["num_predict"]) if num_predict is None else num_predict
    return int(int(case.options["num_ctx"]) * (1 - _MARGIN)) - max(0, answer)


def cut_to_fit(case: Case) -> int:
    """How many prompts of a trace are shortened to fit the context."""
    return sum(need > int(case.options["num_ctx"]) for need in _needs(case))


def _needs(case: Case) -> Iterator[int]:
    """The context that each prompt of a trace and its answer need."""
    arrivals = case.load.arrivals
    if arrivals is None or case.prompts.synthetic is None:
        return
    usual = max(0, int(case.options["num_predict"]))
    for prompt, answer in zip_longest(arrivals.prompt_tokens, arrivals.output_tokens):
        if prompt is not None:
            yield math.ceil((prompt + (answer or usual)) / (1 - _MARGIN))


def too_long(case: Case) -> str:
    """Why the synthetic prompts of a case do not fit its context; "" if they do."""
    made = case.prompts.synthetic
    if made is None:
        return ""
    excess = cut_to_fit(case)
    arrivals = case.load.arrivals
    if arrivals is not None and arrivals.prompt_tokens:
        rows = len(arrivals.prompt_tokens)
        if excess <= _MAX_SHARE * rows:
            return ""
        most = max(_needs(case))
        return (
            f"case {case.id!r}: {excess:,} of the {rows:,} prompts of {arrivals.trace_file} do "
            f"not fit options.num_ctx {case.options['num_ctx']}; the longest needs {most:,}"
        )
    inputs, outputs = generator(0, Stream.INPUT_TOKENS), generator(0, Stream.OUTPUT_TOKENS)
    for _ in range(_DRAWS):
        answer = None
        if made.output_tokens is not None:
            answer = round(draw(made.output_tokens, outputs))
        excess += round(draw(made.input_tokens, inputs)) > prompt_room(case, answer)
    if excess <= _MAX_SHARE * _DRAWS:
        return ""
    share = "" if excess == _DRAWS else f"{excess / _DRAWS:.0%} of the "
    return (
        f"case {case.id!r}: {share}prompts do not fit: input_tokens and num_predict together "
        f"leave less than {_MARGIN:.0%} of num_ctx {case.options['num_ctx']} free; "
        "raise options.num_ctx"
    )


_CHARS_PER_TOKEN = 4.0


def played_steps(
    session: Session, replay: Replay, case: Case, seed: int, number: int
) -> Sequence[Step]:
    """The steps to play: those that fit the context, from the beginning or from anywhere on."""
    cap_s = replay.pause_cap_s
    steps = [
        step if step.gap_s is None or step.gap_s <= cap_s else replace(step, gap_s=cap_s)
        for step in fitting(session, replay, case)
    ]
    mains = [i for i, step in enumerate(steps) if not step.thread]
    if replay.start == "begin" or len(mains) < 2:
        return steps
    return _from(steps, generator(seed, Stream.SESSION, number).choice(mains))


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
    for index, need in enumerate(_prompt_tokens(session.steps)):
        if need > limit and not session.steps[index].thread:
            return session.steps[:index]
    return session.steps


def longest_prompt(replay: Replay, case: Case) -> int:
    """In tokens: as the scenario says, else what leaves room for the answer in the context."""
    return replay.max_context or prompt_room(case)


def _prompt_tokens(steps: Sequence[Step]) -> Sequence[float]:
    """Tokens of each prompt: as recorded, else by the length of its text."""
    sizes: dict[str, float] = {}
    needs = []
    for step in steps:
        size = 0.0 if step.fresh else sizes.get(step.thread, 0.0)
        size += sum(len(str(message.get("content") or "")) for message in step.added)
        needs.append(step.prompt_tokens or size / _CHARS_PER_TOKEN)
        sizes[step.thread] = size + len(str((step.answer or {}).get("content") or ""))
    return needs
