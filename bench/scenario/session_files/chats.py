"""Conversations: rows of one each (OpenAI messages, ShareGPT, WildChat, LMSYS, batch), and exports.

The exports of ChatGPT (`conversations.json`) and Open WebUI keep a tree, since answers can be asked
for anew; the branch that is open is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.scenario.session_files.forms import json_value, message, role_of, tool_call, tools_of
from bench.scenario.session_files.requests import Timed, kind_of, steps_of, system_of, with_gaps
from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading, TimeField
from bench.scenario.sessions import Message, Session, Step
from bench.scenario.trace_rows import cell_text

_TIMES = ("timestamp", "created_at", "create_time", "time")
_BEGINNINGS = (
    "times of answers in it may be those of their beginning: the pauses are not known, arrivals are"
)
_OTHER_BRANCHES = "messages on branches that were given up left out"


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


def read_chatgpt(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """Reads the conversations."""
    times = TimeField()
    sessions = []
    for row in rows:
        nodes: dict[str, Any] = row.value["mapping"]
        path = _path(row, nodes, row.value.get("current_node"), "parent")
        open_ones = [n["message"] for n in path if _has_message(n)]
        if given_up := sum(map(_has_message, nodes.values())) - len(open_ones):
            notes.count(_OTHER_BRANCHES, given_up)
        items = [
            _timed(row, made, raw, "create_time", times)
            for raw in open_ones
            if (made := _chatgpt_message(row, raw, notes)) is not None
        ]
        sessions += _session(row.name("conversation_id", "id"), items, notes)
    notes.say(_BEGINNINGS)
    return Reading(sessions, "shared")


def _has_message(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("message"), dict)


def _timed(row: FileRow, made: Message, raw: dict[str, Any], name: str, times: TimeField) -> Timed:
    at = raw.get(name) if made["role"] in ("user", "tool") else None
    return Timed(made, None if at is None else times.read(row, name, at))


def _chatgpt_message(row: FileRow, raw: dict[str, Any], notes: Notes) -> Message | None:
    author, content = raw.get("author"), raw.get("content")
    if not isinstance(author, dict) or not isinstance(content, dict):
        raise row.wrong("a message has no author or no content")
    role = role_of(row, author.get("role"))
    kind = content.get("content_type")
    if kind in ("text", "multimodal_text"):
        text = "\n".join(_parts(content.get("parts"), notes))
    elif isinstance(content.get("text"), str):
        text = content["text"]
    else:
        notes.count(f"messages left out, of the kind {kind!r}")
        return None
    if role == "system" and not text:
        notes.count("empty system messages left out")
        return None
    recipient = raw.get("recipient")
    made: Message = {"role": role, "content": text}
    if role == "assistant" and recipient not in (None, "all"):
        arguments = text if text.lstrip().startswith("{") else {"input": text}
        made["content"] = ""
        made["tool_calls"] = [tool_call(raw.get("id"), str(recipient), arguments)]
    if role == "tool" and isinstance(author.get("name"), str):
        made["tool_name"] = author["name"]
    return made


def _parts(parts: Any, notes: Notes) -> list[str]:
    given = parts if isinstance(parts, list) else []
    for part in given:
        if not isinstance(part, str):
            kind = part.get("content_type") if isinstance(part, dict) else part
            notes.count(f"parts of messages left out, of the kind {kind!r}")
    return [part for part in given if isinstance(part, str)]


def read_open_webui(rows: Iterator[FileRow], notes: Notes, _numbers: Numbers) -> Reading:
    """Reads the chats."""
    times = TimeField()
    sessions = []
    for row in rows:
        chat = row.value["chat"]
        nodes = chat["history"].get("messages")
        if not isinstance(nodes, dict):
            raise row.wrong("chat.history.messages is not an object")
        path = _path(row, nodes, chat["history"].get("currentId"), "parentId")
        if len(nodes) > len(path):
            notes.count(_OTHER_BRANCHES, len(nodes) - len(path))
        items = [_timed(row, message(row, m, notes), m, "timestamp", times) for m in path]
        sessions += _session(row.name("id"), [*system_of(chat), *items], notes)
    notes.say(_BEGINNINGS)
    return Reading(sessions, "shared")


def _session(name: str, items: list[Timed], notes: Notes) -> list[Session]:
    steps = steps_of(items)
    if not steps:
        notes.count("conversations without a message of a user left out")
    return [Session(name, steps)] if steps else []


def _path(row: FileRow, nodes: dict[str, Any], current: Any, parent: str) -> list[dict[str, Any]]:
    """The nodes from the root to the one that is open."""
    path: list[dict[str, Any]] = []
    while current is not None:
        node = nodes.get(current) if isinstance(current, str) else None
        if not isinstance(node, dict) or len(path) > len(nodes):
            raise row.wrong(f"message {cell_text(current)} is not there, or is its own ancestor")
        path.append(node)
        current = node.get(parent)
    return path[::-1]
