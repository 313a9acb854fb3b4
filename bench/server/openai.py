"""The OpenAI-compatible paths: bodies turned into Ollama's, and its output into events.

Durations never appear here; an error after the first event is lost, as with Ollama.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bench.server.bodies import (
    BadRequest,
    CompletionBody,
    field_of,
    read_message,
    read_object,
)
from bench.server.embedding import Embedded, normalised
from bench.server.engine import Message, ModelCard, Piece
from bench.server.go import NS, dumps
from bench.server.lines import Ending

JSON = "application/json"
_EVENTS = "text/event-stream"
_EFFORTS: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}
_OPTIONS = ("seed", "frequency_penalty", "presence_penalty", "temperature", "top_p")


def error_body(status: int, message: str) -> bytes:
    """An error as /v1 words it."""
    kind = {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
    error = {"message": message, "type": kind, "param": None, "code": None}
    return f"{dumps({'error': error})}\n".encode()


def model_list(cards: list[ModelCard]) -> bytes:
    """GET /v1/models."""
    return f"{dumps({'object': 'list', 'data': [_model(c, c.name) for c in cards]})}\n".encode()


def one_model(card: ModelCard, name: str) -> bytes:
    """GET /v1/models/NAME."""
    return f"{dumps(_model(card, name))}\n".encode()


def _model(card: ModelCard, name: str) -> dict[str, Any]:
    second = datetime.fromisoformat(f"{card.modified_at[:19]}+00:00")
    owner = name.split("/")[-2] if "/" in name else "library"
    return {
        "id": name,
        "object": "model",
        "created": round(second.timestamp()),
        "owned_by": owner,
    }


def embedding_list(model: str, embedded: Embedded, value: Mapping[str, Any]) -> bytes:
    """The reply of /v1/embeddings."""
    dimensions = field_of(value, "dimensions", int, 0)
    data = []
    for index, vector in enumerate(embedded.vectors):
        unit = normalised(vector, dimensions)
        as_text = str(value.get("encoding_format")).lower() == "base64"
        entry = base64.b64encode(unit.astype("<f4").tobytes()).decode() if as_text else unit
        data.append({"object": "embedding", "embedding": entry, "index": index})
    usage = {"prompt_tokens": embedded.prompt_n, "total_tokens": embedded.prompt_n}
    return f"{dumps({'object': 'list', 'data': data, 'model': model, 'usage': usage})}\n".encode()


def read_chat(body: bytes) -> tuple[CompletionBody, bool]:
    """A body of /v1/chat/completions, and whether it wants a usage event.

    Raises:
        BadRequest: as Ollama answers.
    """
    value = read_object(body)
    if not field_of(value, "messages", list, []):
        raise BadRequest("[] is too short - 'messages'")
    form = value.get("response_format") or {}
    if form.get("type") == "json_object":
        wanted: Any = "json"
    else:
        wanted = (form.get("json_schema") or {}).get("schema")
    effort = value.get("reasoning_effort") or (value.get("reasoning") or {}).get("effort")
    if effort is not None and effort not in _EFFORTS:
        raise BadRequest(f"invalid reasoning value: {dumps(effort)}")
    return CompletionBody(
        model=field_of(value, "model", str, ""),
        messages=tuple(m for item in value["messages"] for m in _messages(item)),
        stream=field_of(value, "stream", bool, False),
        form=wanted,
        options=_options(value),
        tools=tuple(field_of(value, "tools", list, [])),
        think=None if effort is None else _EFFORTS[effort],
    ), _include_usage(value)


def read_text(body: bytes) -> tuple[CompletionBody, bool]:
    """A body of /v1/completions, and whether it wants a usage event.

    Raises:
        BadRequest: as Ollama answers.
    """
    value = read_object(body)
    return CompletionBody(
        model=field_of(value, "model", str, ""),
        prompt=field_of(value, "prompt", str, ""),
        suffix=field_of(value, "suffix", str, ""),
        stream=field_of(value, "stream", bool, False),
        options=_options(value),
    ), _include_usage(value)


def _include_usage(value: Mapping[str, Any]) -> bool:
    return bool(field_of(value, "stream_options", dict, {}).get("include_usage"))


def _options(value: Mapping[str, Any]) -> dict[str, Any]:
    """Ollama's options; temperature and top_p are 1 here unless given."""
    options: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0}
    options |= {name: value[name] for name in _OPTIONS if value.get(name) is not None}
    if value.get("max_tokens") is not None:
        options["num_predict"] = value["max_tokens"]
    if value.get("stop"):
        stop = value["stop"]
        options["stop"] = [stop] if isinstance(stop, str) else stop
    return options


def _messages(item: Any) -> list[Message]:
    """One message of the client's; parts of its content become messages of their own."""
    content = item.get("content") if isinstance(item, dict) else None
    if not isinstance(content, list):
        return [read_message(item)]
    role = str(item.get("role", ""))
    texts = [part for part in content if part.get("type") == "text"]
    return [Message(role=role, content=str(part.get("text", ""))) for part in texts]


class _Events:
    """What both kinds of stream share."""

    stream_type = _EVENTS
    whole_type = JSON

    def __init__(self, model: str, prefix: str, include_usage: bool) -> None:
        self._model = model
        self._id = f"{prefix}-{random.randrange(999)}"
        self._include_usage = include_usage
        self._created: int | None = None

    def broken(self, message: str) -> bytes | None:
        """The error is lost."""
        return None

    def _since(self, wall_ns: int) -> int:
        if self._created is None:
            self._created = wall_ns // NS
        return self._created


def _event(value: Any) -> str:
    return f"data: {dumps(value)}\n\n"


def _usage(ending: Ending) -> dict[str, int]:
    prompt = ending.metrics.get("prompt_eval_count", 0)
    completion = ending.metrics.get("eval_count", 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


class ChatEvents(_Events):
    """/v1/chat/completions.

    Args:
        model: as the client named it.
        include_usage: whether a usage event is wanted.
        new: since 0.32.6: the role comes once, the finish reason in an event of its own.
    """

    def __init__(self, model: str, include_usage: bool, *, new: bool) -> None:
        super().__init__(model, "chatcmpl", include_usage)
        self._new = new
        self._first = True
        self._called = False

    def piece(self, piece: Piece, wall_ns: int) -> bytes | None:
        """One event."""
        if not (piece.text or piece.thinking or piece.tool_calls):
            return None
        return _event(self._chunk(self._delta(piece), None, wall_ns)).encode()

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
        if self._include_usage:
            chunk = self._chunk({}, None, wall_ns) | {"choices": [], "usage": _usage(ending)}
            text += _event(chunk)
        return f"{text}data: [DONE]\n\n".encode()

    def whole(self, piece: Piece, ending: Ending | None, wall_ns: int) -> bytes:
        """The reply without stream."""
        reason = ending.done_reason if ending else None
        choice = {
            "index": 0,
            "message": {"role": "assistant", **_said(piece)},
            "finish_reason": "tool_calls" if piece.tool_calls else reason,
        }
        value = self._base("chat.completion", wall_ns) | {
            "choices": [choice],
            "usage": _usage(ending or Ending("", {})),
        }
        return f"{dumps(value)}\n".encode()

    def _base(self, kind: str, wall_ns: int) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._since(wall_ns),
            "model": self._model,
            "system_fingerprint": "fp_ollama",
        }

    def _chunk(self, delta: Any, reason: str | None, wall_ns: int) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return self._base("chat.completion.chunk", wall_ns) | {"choices": [choice]}

    def _delta(self, piece: Piece) -> dict[str, Any]:
        role = {"role": "assistant"} if self._first or not self._new else {}
        self._first = False
        self._called = self._called or bool(piece.tool_calls)
        return role | _said(piece)


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
        if self._include_usage:
            chunk = self._chunk("", None, wall_ns)
            text += _event(chunk | {"choices": [], "usage": _usage(ending)})
        return f"{text}data: [DONE]\n\n".encode()

    def whole(self, piece: Piece, ending: Ending | None, wall_ns: int) -> bytes:
        """The reply without stream."""
        value = {
            "id": self._id,
            "object": "text_completion",
            "created": self._since(wall_ns),
            "model": self._model,
            "system_fingerprint": "fp_ollama",
            "choices": [_choice(piece.text, ending.done_reason if ending else None)],
            "usage": _usage(ending or Ending("", {})),
        }
        return f"{dumps(value)}\n".encode()

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
