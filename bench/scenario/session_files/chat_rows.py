"""Rows that hold one conversation each: OpenAI messages, ShareGPT, WildChat, LMSYS, batch files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bench.scenario.session_files.block_tree import Numbers
from bench.scenario.session_files.conversations import Message, Timed, kind_of, steps_of, with_gaps
from bench.scenario.session_files.message_forms import json_value, message, tools_of
from bench.scenario.session_files.rows import FileRow, Notes, Reading
from bench.scenario.session_files.times import TimeField
from bench.scenario.sessions import Session, Step
from bench.scenario.trace_rows import cell_text

_TIMES = ("timestamp", "created_at", "create_time", "time")


def is_batch(value: dict[str, Any]) -> bool:
    """Whether a row is a request of OpenAI's batch files."""
    body = value.get("body")
    return isinstance(body, dict) and "messages" in body


def is_messages(value: dict[str, Any]) -> bool:
    """Whether a row holds messages in OpenAI's form."""
    return isinstance(json_value(value.get("messages")), list)


def is_sharegpt(value: dict[str, Any]) -> bool:
    """Whether a row is one of ShareGPT: `conversations` of `from` and `value`."""
    return isinstance(value.get("conversations"), list)


def is_wildchat(value: dict[str, Any]) -> bool:
    """Whether a row is one of WildChat."""
    return isinstance(value.get("conversation"), list) and "conversation_hash" in value


def is_lmsys(value: dict[str, Any]) -> bool:
    """Whether a row is one of LMSYS-Chat-1M."""
    return isinstance(value.get("conversation"), list)


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


def read_messages(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """Each row is a conversation: `messages`, and `tools` where it has some."""
    return _conversations(rows, notes, "messages")


def read_sharegpt(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """Each row is a conversation: `conversations` of `from` and `value`."""
    return _conversations(rows, notes, "conversations")


def read_lmsys(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """Each row is a conversation: `conversation` of `role` and `content`."""
    return _conversations(rows, notes, "conversation", read_times=False)


def read_wildchat(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """WildChat: the times are those at which answers were complete; arrivals are not known."""
    notes.say(
        "its timestamps are those of complete answers: when requests arrived, and the pauses, "
        "are not known"
    )
    return _conversations(rows, notes, "conversation")


def _conversations(
    rows: Iterator[FileRow], notes: Notes, key: str, *, read_times: bool = True
) -> Reading:
    arrivals, answers = TimeField(), TimeField()
    sessions = []
    timed = False
    for row in rows:
        items = []
        for raw in _raw_messages(row, key):
            made = message(row, raw, notes)
            times = answers if made["role"] == "assistant" else arrivals
            at_s = _time(row, raw, times) if read_times else None
            timed |= at_s is not None
            items.append(Timed(made, at_s))
        steps = steps_of(items)
        if not steps:
            notes.count("conversations without a message of a user left out")
            continue
        name = row.name("id", "session_id", "conversation_id", "conversation_hash")
        system = row.value.get("system")
        if isinstance(system, str) and system.strip() and items[0].message["role"] != "system":
            steps = _with_system(steps, {"role": "system", "content": system})
        tools = tools_of(row, row.value.get("tools") or row.value.get("functions"))
        sessions.append(Session(name, with_gaps(steps, notes), tools))
    if timed and key == "messages":
        notes.say("timestamps of user and tool messages are arrivals, of answers their end")
    return Reading(sessions, "shared" if timed else "none")


def _raw_messages(row: FileRow, key: str) -> list[dict[str, Any]]:
    value = json_value(row.value.get(key))
    if not isinstance(value, list):
        raise row.wrong(f"{key} is {cell_text(value)}, not a list of messages")
    return row.objects(key, {key: value})


def _time(row: FileRow, raw: dict[str, Any], times: TimeField) -> float | None:
    name = next((n for n in _TIMES if raw.get(n) is not None), None)
    return None if name is None else times.read(row, name, raw[name])


def _with_system(steps: tuple[Step, ...], first: Message) -> tuple[Step, ...]:
    """The system text that a row has beside its messages, before them."""
    return (replace(steps[0], added=(first, *steps[0].added)), *steps[1:])
