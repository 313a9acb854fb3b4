"""The formats of sessions, and which of them a file has: by its fields, never by its name.

A name or a file of no known format is a ValueError that says which there are, and what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.scenario.session_files import agents, chats, otel, recorded, weka
from bench.scenario.session_files import token_traces as traces
from bench.scenario.session_files.forms import json_value
from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading, listed

Read = Callable[[Iterator[FileRow], Notes, Numbers], Reading]


@dataclass(frozen=True, slots=True)
class SessionFormat:
    """One format.

    Attributes:
        name: as `prompts.sessions.format` calls it.
        fields: by which it is recognised, in words.
        is_it: whether a row is of this format.
        read: reads its rows; a wrong one is a ValueError that names file and line.
    """

    name: str
    fields: str
    is_it: Callable[[dict[str, Any]], bool]
    read: Read


def _with(name: str, read: Read, *fields: str, first: type = object) -> SessionFormat:
    """A format of which every row has these fields; the first is of this type."""

    def is_it(row: dict[str, Any]) -> bool:
        return row.keys() >= {*fields} and isinstance(row[fields[0]], first)

    return SessionFormat(name, ", ".join(fields), is_it, read)


def _is_open_webui(row: dict[str, Any]) -> bool:
    chat = row.get("chat")
    return isinstance(chat, dict) and isinstance(chat.get("history"), dict)


def _is_batch(row: dict[str, Any]) -> bool:
    body = row.get("body")
    return isinstance(body, dict) and "messages" in body


def _is_mooncake(row: dict[str, Any]) -> bool:
    return row.keys() >= {*traces.FIELDS} and "chat_id" not in row


def _has_messages(row: dict[str, Any]) -> bool:
    return isinstance(json_value(row.get("messages")), list)


def _chats(key: str, read_times: bool = True) -> Read:
    return partial(chats.read_conversations, key=key, read_times=read_times)


FORMATS: tuple[SessionFormat, ...] = (
    _with("record", recorded.read, recorded.MARK),
    SessionFormat("claude-code", agents.CLAUDE, agents.is_claude, agents.read_claude),
    SessionFormat("codex", "type session_meta, payload", agents.is_codex, agents.read_codex),
    SessionFormat("open-webui", "chat.history", _is_open_webui, chats.read_open_webui),
    _with("chatgpt", chats.read_chatgpt, "mapping", "current_node", first=dict),
    _with("weka", weka.read, "block_size", "requests"),
    _with("tracelab", traces.read_tracelab, "session_id", "round_index", "input_tokens_total"),
    _with("bailian", partial(traces.read_hashes, known="bailian"), "chat_id", *traces.FIELDS),
    SessionFormat("mooncake", ", ".join(traces.FIELDS), _is_mooncake, traces.read_hashes),
    SessionFormat("otel", otel.FIELDS, otel.is_it, otel.read),
    SessionFormat("batch", "body.messages", _is_batch, chats.read_batch),
    _with("sharegpt", _chats("conversations"), "conversations", first=list),
    _with("wildchat", _chats("conversation"), "conversation", "conversation_hash", first=list),
    _with("lmsys", _chats("conversation", read_times=False), "conversation", first=list),
    SessionFormat("messages", "messages", _has_messages, _chats("messages")),
)

FORMAT_NAMES = tuple(f.name for f in FORMATS)


def format_called(name: str) -> SessionFormat:
    """The format of a name."""
    if name in traces.BLOCK_TOKENS:
        return _with(name, partial(traces.read_hashes, known=name), *traces.FIELDS)
    for known in FORMATS:
        if known.name == name:
            return known
    raise ValueError(f"format {name!r} is unknown; known: auto, {', '.join(FORMAT_NAMES)}")


def format_of(head: Sequence[FileRow]) -> SessionFormat:
    """The format of a file by its first rows."""
    found: dict[str, tuple[SessionFormat, FileRow]] = {}
    for row in head:
        known = next((f for f in FORMATS if f.is_it(row.value)), None)
        if known is not None:
            found.setdefault(known.name, (known, row))
    if len(found) > 1:
        (one, row_one), (other, row_other) = list(found.values())[:2]
        raise row_other.wrong(
            f"looks like {other.name} ({other.fields}), but {row_one.label} like {one.name} "
            f"({one.fields}): one file, one format"
        )
    if found:
        return next(iter(found.values()))[0]
    if {"session_id", "turns"} <= head[0].value.keys():
        raise head[0].wrong(
            "looks like aiperf's DAG (session_id, turns), which is not replayed: what its forks "
            "and joins wait for is not written down anywhere. Write its sessions as messages, "
            "one a line (ollama-bench help sessions)"
        )
    there = listed(head[0].value)
    known_fields = "; ".join(f"{f.name} ({f.fields})" for f in FORMATS)
    raise head[0].wrong(
        f"no known format of sessions; its fields are {there}. Known: {known_fields}. Rows of your "
        "own are read with prompts.sessions.columns: {time: ..., prompt_tokens: ..., "
        "output_tokens: ...}"
    )
