"""Whether prompts and sessions fit the context: said before the run, with what would happen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import zip_longest

from bench.scenario.draws import Stream, draw, generator
from bench.scenario.made_sessions import MESSAGE_TOKENS, script
from bench.scenario.plan import Case
from bench.scenario.sessions import Step
from bench.scenario.work import MadeSessions

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
            f"{_power_of_two(2 * made.shared_tokens):,}, or make it smaller with "
            "prompts.agent.scale or shared_tokens"
        )
    count = min(case.load.sessions or 20, _LOOKED_AT)
    first, large = None, 0
    most = 0
    for number in range(count):
        over = _overrun(case, made, number)
        if over is not None:
            turn, need, largest = over
            large += 1
            most = max(most, math.ceil(largest / (1 - _MARGIN)))
            first = first or (number, turn, need)
    if first is None:
        return ""
    number, turn, need = first
    return (
        f"case {case.id!r}: {large} of {count} sessions outgrow options.num_ctx {context:,}; "
        f"session {number + 1} in turn {turn} with {need:,} tokens. {what_happens(case)} "
        f"Raise num_ctx to {most:,} or more, or ask for fewer turns"
    )


def what_happens(case: Case) -> str:
    """What the server does with a prompt over the context."""
    if case.truncate:
        return (
            "The server would drop the oldest messages without a word, so that every later turn "
            "is read anew."
        )
    return "The server would refuse it (truncate: false)."


def _overrun(case: Case, made: MadeSessions, number: int) -> tuple[int, int, int] | None:
    """The turn (from 1) and tokens of the first request that does not fit; those of the largest."""
    turn = 0
    steps = script(made, 0, number).steps
    for step in steps:
        turn += step.kind == "user"
        if _need(step) > prompt_room(case, 0):
            return max(turn, 1), _need(step), max(map(_need, steps))
    return None


def _need(step: Step) -> int:
    return (step.prompt_tokens or 0) + (step.output_tokens or 0)


def _power_of_two(tokens: int) -> int:
    return 1 << max(0, tokens - 1).bit_length()


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
