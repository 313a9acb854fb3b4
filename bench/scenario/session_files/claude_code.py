"""Session files of Claude Code (`~/.claude/projects`).

They hold neither its system prompt nor its tools: the text that is replayed is shorter than what
the agent sent. One answer stands in several lines, with the same usage in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.scenario.session_files.block_tree import Numbers
from bench.scenario.session_files.conversations import (
    LoggedRequest,
    Message,
    kind_of,
    steps_of_requests,
    with_gaps,
)
from bench.scenario.session_files.message_forms import content_of, role_of, tool_call
from bench.scenario.session_files.rows import FileRow, Notes, Reading
from bench.scenario.session_files.times import TimeField
from bench.scenario.sessions import Session, Step, StepKind
from bench.shown import encodable


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


def is_claude_code(value: dict[str, Any]) -> bool:
    """Whether a row is a message of Claude Code."""
    return value.keys() >= {"uuid", "parentUuid", "sessionId", "message"} and isinstance(
        value["message"], dict
    )


def read_claude_code(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """Reads the sessions, sub-agents as threads of theirs.

    Raises:
        ValueError: a row is wrong.
    """
    times = TimeField()
    sessions: dict[str, list[tuple[FileRow, float]]] = {}
    for row in rows:
        if is_claude_code(row.value) or row.value.get("subtype") == "compact_boundary":
            at_s = times.read(row, "timestamp", row.value.get("timestamp"))
            sessions.setdefault(row.name("sessionId"), []).append((row, at_s))
        elif row.value.get("type") == "attachment":
            notes.count("attachments left out")
    notes.say(
        "the agent's system prompt and tools are not in its file: the replayed prompts are shorter "
        "than its token counts say"
    )
    made = []
    for name, items in sessions.items():
        if steps := _claude_steps(items, notes):
            made.append(Session(name, with_gaps(steps, notes)))
    return Reading(made, "shared")


def _claude_steps(items: list[tuple[FileRow, float]], notes: Notes) -> tuple[Step, ...]:
    answers: dict[str, list[tuple[FileRow, float]]] = {}
    for row, at_s in items:
        if (identity := _answer_id(row)) is not None:
            answers.setdefault(identity, []).append((row, at_s))
    threads: dict[str, Dialogue] = {}
    for row, at_s in items:
        thread = (
            str(row.value.get("agentId") or "sidechain") if row.value.get("isSidechain") else ""
        )
        dialogue = threads.setdefault(thread, Dialogue())
        identity = _answer_id(row)
        if row.value.get("subtype") == "compact_boundary":
            dialogue.history.clear()
        elif row.value.get("isApiErrorMessage"):
            notes.count("messages of the agent about failed calls left out")
        elif identity is None:
            for message in _claude_input(row, notes):
                dialogue.say(message, at_s)
        elif lines := answers.pop(identity, None):  # the other lines of it come later
            facts = _claude_facts(lines, dialogue, thread)
            dialogue.answer(_claude_answer(lines, notes), facts)
    asked = [request for dialogue in threads.values() for request in dialogue.asked]
    asked.sort(key=lambda request: request.facts.at_s or 0.0)
    return steps_of_requests(asked)


def _answer_id(row: FileRow) -> str | None:
    message = row.value.get("message")
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return None
    return str(message.get("id") or row.value.get("uuid"))


def _claude_input(row: FileRow, notes: Notes) -> list[Message]:
    """Messages of one line of input: results of tools are messages of their own."""
    message = row.value.get("message")
    assert isinstance(message, dict)
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    made: list[Message] = []
    rest = []
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "tool_result":
            text, images = content_of(row, part.get("content"), notes)
            result: Message = {"role": "tool", "content": text}
            if images:
                result["images"] = images
            if isinstance(part.get("tool_use_id"), str):
                result["tool_call_id"] = part["tool_use_id"]
            made.append(result)
        elif part is not None:
            rest.append(part)
    if rest:
        text, images = content_of(row, rest, notes)
        role = role_of(row, message.get("role"))
        made.append({"role": role, "content": text, **({"images": images} if images else {})})
    return made


def _claude_answer(lines: list[tuple[FileRow, float]], notes: Notes) -> Message:
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
    text = encodable("\n".join(texts))
    return {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}


def _claude_facts(lines: list[tuple[FileRow, float]], dialogue: Dialogue, thread: str) -> Step:
    """Times and counts of an answer: its last line has its whole usage."""
    row, answered_at_s = lines[-1]
    usage = row.value["message"].get("usage")
    usage = usage if isinstance(usage, dict) else {}
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    counts = [row.count(name, inside=usage) for name in names]
    kind: StepKind = "subagent" if thread else kind_of(dialogue.history[-1:])
    return Step(
        kind=kind,
        at_s=dialogue.at_s,
        answered_at_s=answered_at_s,
        prompt_tokens=None if counts[0] is None else sum(c or 0 for c in counts),
        cached_tokens=counts[2],
        output_tokens=row.count("output_tokens", inside=usage),
        thread=thread,
    )
