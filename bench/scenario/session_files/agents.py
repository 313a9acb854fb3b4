"""Session files of agents: Claude Code (`~/.claude/projects`) and Codex CLI (`~/.codex/sessions`).

They hold no definitions of tools, those of Claude Code no system prompt either: the text that is
replayed is shorter than what the agent sent. In Claude Code's one answer stands in several lines,
with the same usage in each. In Codex's token counts are cumulative, with those of the last request
beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bench.scenario.session_files.forms import answer_of, content_of, spoken, tool_call, tool_result
from bench.scenario.session_files.requests import Dialogue, kind_of, steps_of_log, with_gaps
from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading, TimeField
from bench.scenario.sessions import Message, Session, Step

CLAUDE = "sessionId, uuid, parentUuid, message"
"""By which a row of Claude Code is recognised."""
_CALLS = ("function_call", "custom_tool_call", "local_shell_call", "web_search_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
Lines = list[tuple[FileRow, float]]
"""Rows with their times."""


def is_claude(value: dict[str, Any]) -> bool:
    """Whether a row is a message of Claude Code."""
    return value.keys() >= {*CLAUDE.split(", ")} and isinstance(value["message"], dict)


def read_claude(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """Reads the sessions, sub-agents as threads of theirs."""
    times = TimeField()
    sessions: dict[str, Lines] = {}
    for row in rows:
        if is_claude(row.value) or row.value.get("subtype") == "compact_boundary":
            at_s = times.read(row, "timestamp", row.value.get("timestamp"))
            sessions.setdefault(row.name("sessionId"), []).append((row, at_s))
        elif row.value.get("type") == "attachment":
            notes.count("attachments left out")
    notes.say(
        "the agent's system prompt and tools are not in its file: the replayed prompts are shorter "
        "than its token counts say"
    )
    made = [(name, _claude_steps(items, notes)) for name, items in sessions.items()]
    return Reading([Session(name, with_gaps(s, notes)) for name, s in made if s], "shared")


def _claude_steps(items: Lines, notes: Notes) -> tuple[Step, ...]:
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
    return steps_of_log(sorted(asked, key=lambda request: request.facts.at_s or 0.0))


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


def is_codex(value: dict[str, Any]) -> bool:
    """Whether a row is the head of a session of the Codex CLI."""
    return value.get("type") == "session_meta" and isinstance(value.get("payload"), dict)


def read_codex(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """Reads the session of a rollout file."""
    reader = _Codex(notes)
    for row in rows:
        reader.take(row)
    notes.say(
        "the agent's tools are not in its file: the replayed prompts are shorter than its token "
        "counts say"
    )
    reader.end()
    return Reading(reader.sessions, "shared")


class _Codex:
    """Reads rollout files, item by item."""

    def __init__(self, notes: Notes) -> None:
        self.sessions: list[Session] = []
        self._notes = notes
        self._times = TimeField()
        self._start("")

    def _start(self, name: str) -> None:
        self._name = name
        self._dialogue = Dialogue()
        self._items: list[tuple[dict[str, Any], FileRow, float]] = []
        self._total: Any = None

    def end(self) -> None:
        """The session ends with its last answer."""
        self._answer()
        if self._dialogue.asked:
            steps = with_gaps(steps_of_log(self._dialogue.asked), self._notes)
            self.sessions.append(Session(self._name, steps))

    def take(self, row: FileRow) -> None:
        """One row."""
        payload = row.value.get("payload")
        if not isinstance(payload, dict):
            raise row.wrong("has no payload, as the lines of the Codex CLI have")
        at_s = self._times.read(row, "timestamp", row.value.get("timestamp"))
        kind = row.value.get("type")
        if kind == "session_meta":
            self.end()
            self._start(str(payload.get("id") or row.label))
            given = payload.get("base_instructions") or payload.get("instructions")
            text = given.get("text") if isinstance(given, dict) else given
            if isinstance(text, str) and text.strip():
                self._dialogue.history.append({"role": "system", "content": text})
        elif kind == "response_item":
            self._item(row, payload, at_s)
        elif kind == "event_msg" and payload.get("type") == "token_count":
            self._count(row, payload)
        elif kind == "compacted":
            self._answer()
            self._dialogue.history.clear()
            kept = payload.get("replacement_history")
            for item in kept if isinstance(kept, list) else []:
                if isinstance(item, dict) and item.get("type") == "message":
                    self._message(row, item, at_s)
            if not self._dialogue.history and isinstance(payload.get("message"), str):
                self._dialogue.say({"role": "user", "content": payload["message"]}, at_s)

    def _item(self, row: FileRow, item: dict[str, Any], at_s: float) -> None:
        kind = item.get("type")
        if kind == "message" and item.get("role") != "assistant":
            self._answer()
            self._message(row, item, at_s)
        elif kind in _OUTPUTS:
            self._answer()
            made = tool_result(row, item.get("output"), item.get("call_id"), self._notes)
            self._dialogue.say(made, at_s)
        else:
            self._items.append((item, row, at_s))

    def _message(self, row: FileRow, item: dict[str, Any], at_s: float) -> None:
        made = spoken(row, item.get("role"), item.get("content"), self._notes)
        self._dialogue.say(made, at_s)

    def _answer(self) -> None:
        """Ends the answer whose items were collected."""
        if not self._items:
            return
        texts, calls = [], []
        for item, row, _ in self._items:
            kind = item.get("type")
            if kind == "message":
                texts.append(content_of(row, item.get("content"), self._notes)[0])
            elif kind in _CALLS:
                given = item.get("arguments", item.get("input", item.get("action")))
                calls.append(tool_call(item.get("call_id"), str(item.get("name") or kind), given))
            else:
                self._notes.count(f"parts of answers left out, of the kind {kind!r}")
        if texts or calls:
            said = self._dialogue
            asked_for, ended_s = kind_of(said.history[-1:]), self._items[-1][2]
            facts = Step(asked_for, at_s=said.at_s, answered_at_s=ended_s)
            said.answer(answer_of(texts, calls), facts)
        self._items = []

    def _count(self, row: FileRow, payload: dict[str, Any]) -> None:
        """The usage of the answer before it; the event comes again with other news."""
        info = payload.get("info")
        if not isinstance(info, dict) or info.get("total_token_usage") == self._total:
            return
        self._total = info.get("total_token_usage")
        self._answer()
        usage = info.get("last_token_usage")
        if not isinstance(usage, dict) or not self._dialogue.asked:
            return
        last = self._dialogue.asked[-1]
        facts = replace(
            last.facts,
            prompt_tokens=row.count("input_tokens", inside=usage),
            cached_tokens=row.count("cached_input_tokens", inside=usage),
            output_tokens=row.count("output_tokens", inside=usage),
        )
        self._dialogue.asked[-1] = replace(last, facts=facts)
