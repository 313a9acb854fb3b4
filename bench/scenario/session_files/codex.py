"""Rollout files of the Codex CLI (`~/.codex/sessions`).

They hold no definitions of tools. Token counts are cumulative, with those of the last request
beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bench.scenario.session_files.block_tree import Numbers
from bench.scenario.session_files.claude_code import Dialogue
from bench.scenario.session_files.conversations import (
    Message,
    kind_of,
    steps_of_requests,
    with_gaps,
)
from bench.scenario.session_files.message_forms import content_of, role_of, tool_call
from bench.scenario.session_files.rows import FileRow, Notes, Reading
from bench.scenario.session_files.times import TimeField
from bench.scenario.sessions import Session, Step

_CALLS = ("function_call", "custom_tool_call", "local_shell_call", "web_search_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


def is_codex(value: dict[str, Any]) -> bool:
    """Whether a row is the head of a session of the Codex CLI."""
    return value.get("type") == "session_meta" and isinstance(value.get("payload"), dict)


def read_codex(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """Reads the session of a rollout file.

    Raises:
        ValueError: a row is wrong.
    """
    reader = _Codex(notes)
    for row in rows:
        reader.take(row)
    notes.say(
        "the agent's tools are not in its file: the replayed prompts are shorter than its token "
        "counts say"
    )
    sessions = reader.sessions()
    return Reading(sessions, "shared")


class _Codex:
    """Reads rollout files, item by item."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._times = TimeField()
        self._name = ""
        self._made: list[Session] = []
        self._start("")

    def _start(self, name: str) -> None:
        self._name = name
        self._dialogue = Dialogue()
        self._items: list[tuple[FileRow, dict[str, Any], float]] = []
        self._total: Any = None

    def take(self, row: FileRow) -> None:
        payload = row.value.get("payload")
        if not isinstance(payload, dict):
            raise row.wrong("has no payload, as the lines of the Codex CLI have")
        at_s = self._times.read(row, "timestamp", row.value.get("timestamp"))
        kind = row.value.get("type")
        if kind == "session_meta":
            self._end()
            self._start(str(payload.get("id") or row.label))
            self._instructions(payload)
        elif kind == "response_item":
            self._item(row, payload, at_s)
        elif kind == "event_msg" and payload.get("type") == "token_count":
            self._count(payload)
        elif kind == "compacted":
            self._answer()
            self._dialogue.history.clear()
            kept = payload.get("replacement_history")
            for item in kept if isinstance(kept, list) else []:
                if isinstance(item, dict) and item.get("type") == "message":
                    self._message(row, item, at_s)
            if not self._dialogue.history and isinstance(payload.get("message"), str):
                self._dialogue.say({"role": "user", "content": payload["message"]}, at_s)

    def sessions(self) -> list[Session]:
        """All that were read."""
        self._end()
        return self._made

    def _instructions(self, payload: dict[str, Any]) -> None:
        given = payload.get("base_instructions") or payload.get("instructions")
        text = given.get("text") if isinstance(given, dict) else given
        if isinstance(text, str) and text.strip():
            self._dialogue.history.append({"role": "system", "content": text})

    def _item(self, row: FileRow, item: dict[str, Any], at_s: float) -> None:
        kind = item.get("type")
        if kind == "message" and item.get("role") != "assistant":
            self._answer()
            self._message(row, item, at_s)
        elif kind in _OUTPUTS:
            self._answer()
            output = item.get("output")
            text, _ = content_of(row, output, self._notes)
            result: Message = {"role": "tool", "content": text}
            if isinstance(item.get("call_id"), str):
                result["tool_call_id"] = item["call_id"]
            self._dialogue.say(result, at_s)
        else:
            self._items.append((row, item, at_s))

    def _message(self, row: FileRow, item: dict[str, Any], at_s: float) -> None:
        text, images = content_of(row, item.get("content"), self._notes)
        role = role_of(row, item.get("role"))
        made: Message = {"role": role, "content": text, **({"images": images} if images else {})}
        self._dialogue.say(made, at_s)

    def _answer(self) -> None:
        """Ends the answer whose items were collected."""
        if not self._items:
            return
        texts, calls = [], []
        for row, item, _ in self._items:
            kind = item.get("type")
            if kind == "message":
                texts.append(content_of(row, item.get("content"), self._notes)[0])
            elif kind in _CALLS:
                given = item.get("arguments", item.get("input", item.get("action")))
                calls.append(tool_call(item.get("call_id"), str(item.get("name") or kind), given))
            else:
                self._notes.count(f"parts of answers left out, of the kind {kind!r}")
        facts = self._facts(self._items[-1][2])
        if texts or calls:
            made: Message = {"role": "assistant", "content": "\n".join(texts)}
            if calls:
                made["tool_calls"] = calls
            self._dialogue.answer(made, facts)
        self._items = []

    def _facts(self, answered_at_s: float) -> Step:
        last = self._dialogue.history[-1:]
        return Step(kind=kind_of(last), at_s=self._dialogue.at_s, answered_at_s=answered_at_s)

    def _count(self, payload: dict[str, Any]) -> None:
        """The usage of the answer before it; the event comes again with other news."""
        info = payload.get("info")
        if not isinstance(info, dict) or info.get("total_token_usage") == self._total:
            return
        self._total = info.get("total_token_usage")
        self._answer()
        usage = info.get("last_token_usage")
        if not isinstance(usage, dict) or not self._dialogue.asked:
            return
        row = FileRow("", "", usage)
        last = self._dialogue.asked[-1]
        facts = replace(
            last.facts,
            prompt_tokens=row.count("input_tokens"),
            cached_tokens=row.count("cached_input_tokens"),
            output_tokens=row.count("output_tokens"),
        )
        self._dialogue.asked[-1] = replace(last, facts=facts)

    def _end(self) -> None:
        self._answer()
        if self._dialogue.asked:
            steps = with_gaps(steps_of_requests(self._dialogue.asked), self._notes)
            self._made.append(Session(self._name, steps))
