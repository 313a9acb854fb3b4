"""How much work the sessions of a case are, on average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.scenario.made_sessions import script
from bench.scenario.plan import Case
from bench.scenario.replaying import fitting
from bench.scenario.session_files import played_file
from bench.scenario.sessions import Step

_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class SessionCost:
    """One session, on average.

    Attributes:
        requests: of it.
        prompt_tokens, output_tokens: of one of its requests; None = not known.
        pause_s: all its pauses together.
    """

    requests: float
    prompt_tokens: float | None
    output_tokens: float | None
    pause_s: float


def session_cost(case: Case) -> SessionCost | None:
    """The sessions of a case; None = its prompts come alone."""
    sessions = _sessions(case)
    if not sessions:
        return None
    cap_s = case.prompts.replay.pause_cap_s if case.prompts.replay is not None else float("inf")
    steps = [step for session in sessions for step in session]
    return SessionCost(
        len(steps) / len(sessions),
        _mean([s.prompt_tokens for s in steps if s.prompt_tokens is not None]),
        _mean([s.output_tokens for s in steps if s.output_tokens is not None]),
        sum(min(s.gap_s or 0.0, cap_s) for s in steps) / len(sessions),
    )


def _sessions(case: Case) -> list[Sequence[Step]]:
    spec = case.prompts
    if spec.made is not None:
        return [script(spec.made, 0, number).steps for number in range(_LOOKED_AT)]
    if spec.replay is None:
        return []
    return [fitting(session, spec.replay, case) for session in played_file(spec.replay).sessions]


def _mean(counts: Sequence[int]) -> float | None:
    return sum(counts) / len(counts) if counts else None
