"""Rows that hold one conversation each: OpenAI messages, ShareGPT, WildChat, LMSYS, batch files."""

from __future__ import annotations

from collections.abc import Iterator

from bench.scenario.session_files.conversations import (
    Timed,
    kind_of,
    steps_of,
    system_of,
    with_gaps,
)
from bench.scenario.session_files.message_forms import json_value, message, tools_of
from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading, TimeField
from bench.scenario.sessions import Session, Step
from bench.scenario.trace_rows import cell_text

_TIMES = ("timestamp", "created_at", "create_time", "time")


def read_batch(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """Each line is one request as it was sent, answers in its history included."""
    notes.say("a line is one request, sent with its messages as they are (batch file)")
    sessions = []
    for row in rows:
        body = row.value.get("body")
        if not isinstance(body, dict):
            raise row.wrong("has no body, as line 1 has")
        messages = tuple(message(row, m, notes) for m in row.objects("messages", body))
        tools = tools_of(row, body.get("tools"))
        step = Step(kind=kind_of(messages), added=messages, fresh=True)
        sessions.append(Session(row.name("custom_id"), (step,), tools))
    return Reading(sessions)


def read_conversations(
    rows: Iterator[FileRow], notes: Notes, _numbers: Numbers, key: str, read_times: bool = True
) -> Reading:
    """Each row is a conversation: messages under this key, and `tools` where it has some."""
    if key == "conversation" and read_times:
        notes.say(
            "its timestamps are those of complete answers: when requests arrived, and the pauses, "
            "are not known"
        )
    arrivals, answers = TimeField(), TimeField()
    sessions = []
    timed = False
    for row in rows:
        items = []
        value = json_value(row.value.get(key))
        if not isinstance(value, list):
            raise row.wrong(f"{key} is {cell_text(value)}, not a list of messages")
        for raw in row.objects(key, {key: value}):
            made = message(row, raw, notes)
            times = answers if made["role"] == "assistant" else arrivals
            at = next((n for n in _TIMES if raw.get(n) is not None), "") if read_times else ""
            items.append(Timed(made, times.read(row, at, raw[at]) if at else None))
            timed |= bool(at)
        if items and items[0].message["role"] != "system":
            items = [*system_of(row.value), *items]
        if steps := steps_of(items):
            name = row.name("id", "session_id", "conversation_id", "conversation_hash")
            tools = tools_of(row, row.value.get("tools") or row.value.get("functions"))
            sessions.append(Session(name, with_gaps(steps, notes), tools))
        else:
            notes.count("conversations without a message of a user left out")
    if timed and key == "messages":
        notes.say("timestamps of user and tool messages are arrivals, of answers their end")
    return Reading(sessions, "shared" if timed else "none")
