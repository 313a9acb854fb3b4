"""Replies as Ollama sends them, for `bench.wire.transports.fake`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from bench.clock import NS
from bench.wire.transports.fake import ScriptedReply

_CREATED_AT = "2026-01-01T00:00:00Z"


def scripted_chat(
    tokens: Iterable[str],
    *,
    first_s: float = 0.1,
    gap_s: float = 0.02,
    thinking: Iterable[str] = (),
    prompt_tokens: int = 10,
    load_s: float = 0.001,
    queue_s: float = 0.0,
    done_reason: str = "length",
    model: str = "fake:1b",
    stream: bool = True,
) -> ScriptedReply:
    """A good reply of `/api/chat`: one line a token, then the done line with consistent numbers.

    Args:
        tokens: the answer, piece by piece.
        first_s: seconds from the request to the first piece.
        gap_s: seconds between pieces, and from the last one to the done line.
        thinking: pieces of thinking that come before the answer.
        prompt_tokens: prompt_eval_count to report.
        load_s: load_duration to report, part of `first_s`.
        queue_s: wait for a slot, part of `first_s` and of no duration but the total.
        done_reason: why generation stopped.
        model: name in every line.
        stream: one line a token; otherwise one object at the end.
    """
    pieces = [("thinking", t) for t in thinking] + [("content", t) for t in tokens]
    body = []
    for i, (kind, text) in enumerate(pieces):
        message = {"role": "assistant", "content": "", kind: text}
        body.append((first_s + i * gap_s, _line(model, message)))
    last_s = first_s + len(pieces) * gap_s
    done = {
        "done_reason": done_reason,
        "total_duration": round(last_s * NS),
        "load_duration": round(load_s * NS),
        "prompt_eval_count": prompt_tokens,
        "prompt_eval_duration": round((first_s - load_s - queue_s) * NS),
        "eval_count": len(pieces),
        "eval_duration": round((last_s - first_s) * NS),
    }
    if stream:
        body.append((last_s, _line(model, {"role": "assistant", "content": ""}, done)))
        return ScriptedReply(tuple(body))
    whole = {kind: "".join(t for k, t in pieces if k == kind) for kind in ("thinking", "content")}
    return ScriptedReply(((last_s, _line(model, {"role": "assistant", **whole}, done)),))


def scripted_error(status: int, text: str, at_s: float = 0.001) -> ScriptedReply:
    """An error as Ollama answers it before anything was generated."""
    return ScriptedReply(((at_s, msgspec.json.encode({"error": text})),), status)


def _line(model: str, message: dict[str, Any], done: dict[str, Any] | None = None) -> bytes:
    value = {
        "model": model,
        "created_at": _CREATED_AT,
        "message": message,
        "done": done is not None,
    }
    return msgspec.json.encode({**value, **(done or {})}) + b"\n"
