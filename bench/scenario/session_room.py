"""Whether sessions fit the context: said before the run, with the turn and what would happen."""

from __future__ import annotations

from bench.scenario.made_sessions import MESSAGE_TOKENS, script
from bench.scenario.plan import Case
from bench.scenario.room import prompt_room
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
            turn, need = over
            large += 1
            most = max(most, need)
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


def _overrun(case: Case, made: MadeSessions, number: int) -> tuple[int, int] | None:
    """The turn (from 1) and the tokens of the first request that does not fit."""
    turn = 0
    for step in script(made, 0, number).steps:
        turn += step.kind == "user"
        need = _need(step)
        if need > prompt_room(case, 0):
            return max(turn, 1), need
    return None


def _need(step: Step) -> int:
    return (step.prompt_tokens or 0) + (step.output_tokens or 0)


def _power_of_two(tokens: int) -> int:
    return 1 << max(0, tokens - 1).bit_length()
