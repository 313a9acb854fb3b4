"""The formats of sessions, and which of them a file has: by its fields, never by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.scenario.session_files import (
    chat_exports,
    chat_rows,
    claude_code,
    codex,
    hash_traces,
    otel,
    recorded,
    tracelab,
    weka,
)
from bench.scenario.session_files.block_tree import Numbers
from bench.scenario.session_files.rows import FileRow, Notes, Reading, listed

Read = Callable[[Iterator[FileRow], Notes, Numbers], Reading]


@dataclass(frozen=True, slots=True)
class SessionFormat:
    """One format.

    Attributes:
        name: as `prompts.sessions.format` calls it.
        fields: by which it is recognised, in words.
        is_it: whether a row is of this format.
        read: reads its rows.
    """

    name: str
    fields: str
    is_it: Callable[[dict[str, Any]], bool]
    read: Read


FORMATS: tuple[SessionFormat, ...] = (
    SessionFormat("record", recorded.MARK, recorded.is_recorded, recorded.read_recorded),
    SessionFormat(
        "claude-code",
        "sessionId, uuid, parentUuid, message",
        claude_code.is_claude_code,
        claude_code.read_claude_code,
    ),
    SessionFormat("codex", "type session_meta, payload", codex.is_codex, codex.read_codex),
    SessionFormat(
        "open-webui", "chat.history", chat_exports.is_open_webui, chat_exports.read_open_webui
    ),
    SessionFormat(
        "chatgpt", "mapping, current_node", chat_exports.is_chatgpt, chat_exports.read_chatgpt
    ),
    SessionFormat("weka", "block_size, requests", weka.is_weka, weka.read_weka),
    SessionFormat(
        "tracelab",
        "session_id, round_index, input_tokens_total",
        tracelab.is_tracelab,
        tracelab.read_tracelab,
    ),
    SessionFormat(
        "bailian",
        "chat_id, input_length, output_length, hash_ids",
        lambda value: hash_traces.is_hash_trace(value) and "chat_id" in value,
        partial(hash_traces.read_hash_trace, known="bailian"),
    ),
    SessionFormat(
        "mooncake",
        "input_length, output_length, hash_ids",
        lambda value: hash_traces.is_hash_trace(value) and "chat_id" not in value,
        hash_traces.read_hash_trace,
    ),
    SessionFormat(
        "otel", "trace_id, start_time, attributes; resourceSpans", otel.is_otel, otel.read_otel
    ),
    SessionFormat("batch", "body.messages", chat_rows.is_batch, chat_rows.read_batch),
    SessionFormat("sharegpt", "conversations", chat_rows.is_sharegpt, chat_rows.read_sharegpt),
    SessionFormat(
        "wildchat",
        "conversation, conversation_hash",
        chat_rows.is_wildchat,
        chat_rows.read_wildchat,
    ),
    SessionFormat("lmsys", "conversation", chat_rows.is_lmsys, chat_rows.read_lmsys),
    SessionFormat("messages", "messages", chat_rows.is_messages, chat_rows.read_messages),
)

FORMAT_NAMES = tuple(f.name for f in FORMATS)


def format_called(name: str) -> SessionFormat:
    """The format of a name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    for known in FORMATS:
        if known.name == name and name in hash_traces.BLOCK_TOKENS:
            read = partial(hash_traces.read_hash_trace, known=name)
            return replace(known, is_it=hash_traces.is_hash_trace, read=read)
        if known.name == name:
            return known
    raise ValueError(f"format {name!r} is unknown; known: auto, {', '.join(FORMAT_NAMES)}")


def format_of(head: Sequence[FileRow]) -> SessionFormat:
    """The format of a file by its first rows.

    Raises:
        ValueError: they have no known format, or several; the message says what was seen.
    """
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
    there = listed(sorted(map(str, head[0].value)))
    known_fields = "; ".join(f"{f.name} ({f.fields})" for f in FORMATS)
    raise head[0].wrong(
        f"no known format of sessions; its fields are {there}. Known: {known_fields}. Rows of your "
        "own are read with prompts.sessions.columns: {time: ..., prompt_tokens: ..., "
        "output_tokens: ...}"
    )
