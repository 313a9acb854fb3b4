"""What will be run, as data: `run --dry-run --json`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NotRequired, TypedDict

from bench.scenario.block_text import shared_tokens
from bench.scenario.estimate import estimate
from bench.scenario.plan import Plan
from bench.scenario.session_files import played_file
from bench.scenario.sessions import Session, Step
from bench.scenario.work import Replay

_MOST_SESSIONS = 100
_MOST_COMPARED = 200
"""Requests between which shared beginnings are listed."""


class DescribedRequest(TypedDict, total=False):
    """A request of a session or a prompt; null is what the file does not say."""

    roles: str | None
    text: str
    system: str | None
    step: str
    thread: str
    at_s: float | None
    answered_at_s: float | None
    gap_s: float | None
    played_gap_s: float | None
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    tools: list[str | None]
    answer: str | None
    stretches: list[list[Any]]


class DescribedSession(TypedDict):
    """A session, or a prompt of its own."""

    id: str
    start_s: NotRequired[float | None]
    requests: list[DescribedRequest]


class DescribedFile(TypedDict):
    """What was understood of a file that the scenario names."""

    file: str
    format: str
    sessions: int
    requests: int
    notes: NotRequired[list[str]]
    session_list: list[DescribedSession]
    shared: NotRequired[list[list[Any]]]


class DescribedCount(TypedDict):
    """How many requests there will be."""

    low: int
    high: int


class DescribedPlan(TypedDict):
    """What will be run."""

    scenario: str
    cases: list[str]
    blocks: int
    requests: DescribedCount
    notes: list[str]
    files: list[DescribedFile]


def described(plan: Plan) -> DescribedPlan:
    """A plan as JSON-ready data: what will be asked, and what was understood of its files.

    `sessions` lists the first 100 sessions or prompts with their requests: when they arrive and the
    pause before them as recorded (null = the file does not say), roles or tokens. `shared` has
    [request, request, tokens]: "0.1" is the second request of the first session.
    """
    cost = estimate(plan)
    return {
        "scenario": plan.name,
        "cases": [case.id for case in plan.cases],
        "blocks": cost.blocks,
        "requests": {"low": round(cost.requests.low), "high": round(cost.requests.high)},
        "notes": list(plan.notes),
        "files": [*_prompt_files(plan), *_session_files(plan)],
    }


def _prompt_files(plan: Plan) -> Iterator[DescribedFile]:
    columns = plan.scenario.get("prompts", {}).get("columns")
    for name, records in plan.prompt_files.items():
        kind = name.rpartition(".")[2].lower()
        yield {
            "file": name,
            "format": f"{kind} with columns" if columns else kind,
            "sessions": len(records),
            "requests": len(records),
            "session_list": [
                {
                    "id": str(number),
                    "requests": [
                        {
                            "roles": "system user" if "system" in record else "user",
                            "text": record["prompt"],
                            "system": record.get("system"),
                            "output_tokens": record.get("output_tokens"),
                        }
                    ],
                }
                for number, record in enumerate(records[:_MOST_SESSIONS], start=1)
            ],
        }


def _session_files(plan: Plan) -> Iterator[DescribedFile]:
    for replay in filter(None, dict.fromkeys(case.prompts.replay for case in plan.cases)):
        file = played_file(replay)
        shown = file.sessions[:_MOST_SESSIONS]
        yield {
            "file": replay.file,
            "format": file.format,
            "sessions": len(file.sessions),
            "requests": sum(len(session.steps) for session in file.sessions),
            "notes": list(file.notes),
            "session_list": [_session(session, replay) for session in shown],
            "shared": _shared(shown),
        }


def _session(session: Session, replay: Replay) -> DescribedSession:
    history: dict[str, list[str]] = {}
    requests = []
    for step in session.steps:
        roles = [] if step.fresh else history.get(step.thread, [])
        roles = [*roles, *(message["role"] for message in step.added)]
        answer = [step.answer["role"]] if step.answer is not None else []
        history[step.thread] = [*roles, *answer]
        requests.append(_request(step, roles, session, replay))
    return {"id": session.id, "start_s": session.start_s, "requests": requests}


def _request(step: Step, roles: list[str], session: Session, replay: Replay) -> DescribedRequest:
    tools = session.tools if step.tools is None else step.tools
    capped = None if step.gap_s is None else min(step.gap_s, replay.pause_cap_s)
    return {
        "step": step.kind,
        "thread": step.thread,
        "at_s": step.at_s,
        "answered_at_s": step.answered_at_s,
        "gap_s": step.gap_s,
        "played_gap_s": capped,
        "prompt_tokens": step.prompt_tokens,
        "cached_tokens": step.cached_tokens,
        "output_tokens": step.output_tokens,
        "roles": " ".join(roles) or None,
        "tools": [tool.get("function", {}).get("name") for tool in tools],
        "answer": _answer(step),
        "stretches": [list(pair) for pair in zip(step.blocks, step.lengths, strict=True)],
    }


def _answer(step: Step) -> str | None:
    """What the recorded answer is; None = none was recorded, or only its length."""
    if step.answer is None:
        return None if step.blocks else "none recorded"
    calls = len(step.answer.get("tool_calls") or ())
    made = f"{calls} call{'' if calls == 1 else 's'}" if calls else ""
    parts = [part for part in ("text" if step.answer.get("content") else "", made) if part]
    return " and ".join(parts) or "empty"


def _shared(sessions: Sequence[Session]) -> list[list[Any]]:
    places = [
        (f"{i}.{j}", step)
        for i, session in enumerate(sessions)
        for j, step in enumerate(session.steps)
        if step.blocks
    ]
    return [
        [one, other, tokens]
        for (one, a), (other, b) in itertools.combinations(places[:_MOST_COMPARED], 2)
        if (tokens := shared_tokens(a.blocks, a.lengths, b.blocks, b.lengths))
    ]
