"""The streams and single replies of /v1, made of Ollama's output.

Durations never appear here; an error after the first event is lost, as with Ollama.
"""

from __future__ import annotations

import random
from typing import Any

from bench.server.engine import Piece
from bench.server.go import NS, dumps
from bench.server.lines import CACHED_COUNT, Ending, LineFormat

JSON = "application/json"


class _Events(LineFormat):
    """What both kinds of stream share."""

    stream_type = "text/event-stream"
    whole_type = JSON

    def __init__(self, model: str, prefix: str, include_usage: bool) -> None:
        super().__init__(model)
        self._id = f"{prefix}-{random.randrange(999)}"
        self._include_usage = include_usage
        self._created: int | None = None

    def broken(self, message: str) -> bytes | None:
        """The error is lost."""
        return None

    def _base(self, kind: str, wall_ns: int) -> dict[str, Any]:
        self._created = wall_ns // NS if self._created is None else self._created
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": "fp_ollama",
        }

    def _last(self, events: str, chunk: dict[str, Any], ending: Ending) -> bytes:
        if self._include_usage:
            events += _event(chunk | {"choices": [], "usage": _usage(ending)})
        return f"{events}data: [DONE]\n\n".encode()

    def _whole(self, kind: str, choice: Any, ending: Ending | None, wall_ns: int) -> bytes:
        usage = _usage(ending or Ending("", {}))
        value = self._base(kind, wall_ns) | {"choices": [choice], "usage": usage}
        return f"{dumps(value)}\n".encode()


def _event(value: Any) -> str:
    return f"data: {dumps(value)}\n\n"


def _usage(ending: Ending) -> dict[str, Any]:
    prompt = ending.metrics.get("prompt_eval_count", 0)
    completion = ending.metrics.get("eval_count", 0)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if CACHED_COUNT in ending.metrics:
        usage["prompt_tokens_details"] = {"cached_tokens": ending.metrics[CACHED_COUNT]}
    return usage


class ChatEvents(_Events):
    """/v1/chat/completions.

    `new` since 0.32.6: the role comes once, the finish reason in an event of its own.
    """

    def __init__(self, model: str, include_usage: bool, *, new: bool) -> None:
        super().__init__(model, "chatcmpl", include_usage)
        self._new = new
        self._first = True
        self._called = False

    def piece(self, piece: Piece, wall_ns: int) -> bytes | None:
        """One event."""
        if not (piece.text or piece.thinking or piece.tool_calls or piece.logprobs):
            return None
        return _event(self._chunk(self._delta(piece), None, wall_ns, piece)).encode()

    def done(self, ending: Ending, wall_ns: int) -> bytes:
        """The last events, in one write."""
        piece = ending.piece
        text = ""
        empty = not (piece.text or piece.thinking or piece.tool_calls)
        reason = "tool_calls" if self._called or piece.tool_calls else ending.done_reason
        if self._new:
            if self._first or not empty:
                text += _event(self._chunk(self._delta(piece), None, wall_ns))
            text += _event(self._chunk({}, reason, wall_ns))
        else:
            text += _event(self._chunk(self._delta(piece), reason, wall_ns))
        return self._last(text, self._chunk({}, None, wall_ns), ending)

    def whole(self, piece: Piece, ending: Ending | None, wall_ns: int) -> bytes:
        """The reply without stream."""
        reason = ending.done_reason if ending else None
        choice = {
            "index": 0,
            "message": {"role": "assistant", **_said(piece)},
            "finish_reason": "tool_calls" if piece.tool_calls else reason,
        } | _logprobs(piece)
        return self._whole("chat.completion", choice, ending, wall_ns)

    def _chunk(
        self, delta: Any, reason: str | None, wall_ns: int, piece: Piece | None = None
    ) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        choice |= _logprobs(piece) if piece else {}
        return self._base("chat.completion.chunk", wall_ns) | {"choices": [choice]}

    def _delta(self, piece: Piece) -> dict[str, Any]:
        role = {"role": "assistant"} if self._first or not self._new else {}
        self._first = False
        self._called = self._called or bool(piece.tool_calls)
        return role | _said(piece)


def _logprobs(piece: Piece) -> dict[str, Any]:
    return {"logprobs": {"content": piece.logprobs}} if piece.logprobs else {}


def _said(piece: Piece) -> dict[str, Any]:
    said: dict[str, Any] = {"content": piece.text}
    if piece.thinking:
        said["reasoning"] = piece.thinking
    if piece.tool_calls:
        said["tool_calls"] = [_tool_call(call) for call in piece.tool_calls]
    return said


def _tool_call(call: Any) -> dict[str, Any]:
    function = call["function"]
    return {
        "id": call.get("id", ""),
        "index": function.get("index", 0),
        "type": "function",
        "function": {"name": function["name"], "arguments": dumps(function["arguments"])},
    }


class TextEvents(_Events):
    """/v1/completions: thinking is dropped, but its events are sent, with empty text."""

    def __init__(self, model: str, include_usage: bool) -> None:
        super().__init__(model, "cmpl", include_usage)

    def piece(self, piece: Piece, wall_ns: int) -> bytes | None:
        """One event."""
        return _event(self._chunk(piece.text, None, wall_ns)).encode()

    def done(self, ending: Ending, wall_ns: int) -> bytes:
        """The last events, in one write."""
        text = _event(self._chunk(ending.piece.text, ending.done_reason, wall_ns))
        return self._last(text, self._chunk("", None, wall_ns), ending)

    def whole(self, piece: Piece, ending: Ending | None, wall_ns: int) -> bytes:
        """The reply without stream."""
        choice = _choice(piece.text, ending.done_reason if ending else None)
        return self._whole("text_completion", choice, ending, wall_ns)

    def _chunk(self, text: str, reason: str | None, wall_ns: int) -> dict[str, Any]:
        value: dict[str, Any] = {
            "id": self._id,
            "object": "text_completion",
            "created": wall_ns // NS,
            "choices": [_choice(text, reason)],
            "model": self._model,
            "system_fingerprint": "fp_ollama",
        }
        if self._include_usage:
            value["usage"] = _usage(Ending("", {}))
        return value


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "finish_reason": reason}
