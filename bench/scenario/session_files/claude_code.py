"""Session files of Claude Code (`~/.claude/projects`).

They hold neither its system prompt nor its tools: the text that is replayed is shorter than what
the agent sent. One answer stands in several lines, with the same usage in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.scenario.session_files.conversations import (
    Dialogue,
    kind_of,
    steps_of_requests,
    with_gaps,
)
from bench.scenario.session_files.message_forms import answer_of, spoken, tool_call, tool_result
from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading, TimeField
from bench.scenario.sessions import Message, Session, Step

FIELDS = "sessionId, uuid, parentUuid, message"
"""By which a row is recognised."""
Lines = list[tuple[FileRow, float]]
"""Rows with their times."""


def is_it(value: dict[str, Any]) -> bool:
    """Whether a row is a message of Claude Code."""
    return value.keys() >= {*FIELDS.split(", ")} and isinstance(value["message"], dict)


def read(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """Reads the sessions, sub-agents as threads of theirs."""
    times = TimeField()
    sessions: dict[str, Lines] = {}
    for row in rows:
        if is_it(row.value) or row.value.get("subtype") == "compact_boundary":
            at_s = times.read(row, "timestamp", row.value.get("timestamp"))
            sessions.setdefault(row.name("sessionId"), []).append((row, at_s))
        elif row.value.get("type") == "attachment":
            notes.count("attachments left out")
    notes.say(
        "the agent's system prompt and tools are not in its file: the replayed prompts are shorter "
        "than its token counts say"
    )
    made = [(name, _steps(items, notes)) for name, items in sessions.items()]
    return Reading([Session(name, with_gaps(s, notes)) for name, s in made if s], "shared")


def _steps(items: Lines, notes: Notes) -> tuple[Step, ...]:
    answers: dict[str, Lines] = {}
    for row, at_s in items:
        if (identity := _answer_id(row)) is not None:
            answers.setdefault(identity, []).append((row, at_s))
    threads: dict[str, Dialogue] = {}
    for row, at_s in items:
        side = row.value.get("isSidechain")
        thread = str(row.value.get("agentId") or "sidechain") if side else ""
        dialogue = threads.setdefault(thread, Dialogue())
        identity = _answer_id(row)
        if row.value.get("subtype") == "compact_boundary":
            dialogue.history.clear()
        elif row.value.get("isApiErrorMessage"):
            notes.count("messages of the agent about failed calls left out")
        elif identity is None:
            for message in _input(row, notes):
                dialogue.say(message, at_s)
        elif lines := answers.pop(identity, None):  # the other lines of it come later
            dialogue.answer(_answer(lines, notes), _facts(lines, dialogue, thread))
    asked = [request for dialogue in threads.values() for request in dialogue.asked]
    return steps_of_requests(sorted(asked, key=lambda request: request.facts.at_s or 0.0))


def _answer_id(row: FileRow) -> str | None:
    message = row.value.get("message")
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return None
    return str(message.get("id") or row.value.get("uuid"))


def _input(row: FileRow, notes: Notes) -> list[Message]:
    """Messages of one line of input: results of tools are messages of their own."""
    message = row.value["message"]
    content = message.get("content")
    made: list[Message] = []
    rest = []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict) and part.get("type") == "tool_result":
            made.append(tool_result(row, part.get("content"), part.get("tool_use_id"), notes))
        elif part is not None:
            rest.append(part)
    return [*made, spoken(row, message.get("role"), rest, notes)] if rest else made


def _answer(lines: Lines, notes: Notes) -> Message:
    texts, calls = [], []
    for row, _ in lines:
        content = row.value["message"].get("content")
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "text" and isinstance(part.get("text"), str):
                texts.append(part["text"])
            elif kind == "tool_use":
                calls.append(tool_call(part.get("id"), str(part.get("name")), part.get("input")))
            else:
                notes.count(f"parts of answers left out, of the kind {kind!r}")
    return answer_of(texts, calls)


def _facts(lines: Lines, dialogue: Dialogue, thread: str) -> Step:
    """Times and counts of an answer: its last line has its whole usage."""
    row, answered_at_s = lines[-1]
    usage = row.value["message"].get("usage")
    usage = usage if isinstance(usage, dict) else {}
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    counts = [row.count(name, inside=usage) for name in names]
    return Step(
        kind="subagent" if thread else kind_of(dialogue.history[-1:]),
        at_s=dialogue.at_s,
        answered_at_s=answered_at_s,
        prompt_tokens=None if counts[0] is None else sum(c or 0 for c in counts),
        cached_tokens=counts[2],
        output_tokens=row.count("output_tokens", inside=usage),
        thread=thread,
    )
