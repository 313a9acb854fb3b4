"""The native reply lines of /api/chat and /api/generate, key for key as Ollama writes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from bench.server.engine import Piece
from bench.server.go import dumps, rfc3339

CACHED_COUNT = "prompt_eval_cached_count"
"""The one count whose 0 is written: it says that nothing was cached."""
TOO_LONG = "the input length exceeds the context length"


@dataclass(slots=True)
class Ending:
    """What the done line says.

    Attributes:
        metrics: Ollama's durations (ns) and counts by name, in order; zeros are left out,
            but for the cached count.
        context: token ids for `context`; None for none.
        piece: what is flushed with it.
    """

    done_reason: str
    metrics: dict[str, int]
    context: list[int] | None = None
    piece: Piece = field(default_factory=Piece)


class LineFormat(ABC):
    """Turns output into the bytes of one endpoint.

    `whole` is used instead of `piece` and `done` if the client wants no stream.
    """

    stream_type = "application/x-ndjson"
    whole_type = "application/json; charset=utf-8"

    def __init__(self, model: str) -> None:
        self._model = model

    @abstractmethod
    def piece(self, piece: Piece, wall_ns: int) -> bytes | None:
        """One increment; None if nothing is sent for it."""

    @abstractmethod
    def whole(self, piece: Piece, ending: Ending | None, wall_ns: int) -> bytes:
        """The reply without stream; `ending` is None if the output was broken off."""

    def done(self, ending: Ending, wall_ns: int) -> bytes:
        """The end of a stream."""
        return self.whole(ending.piece, ending, wall_ns) + b"\n"

    def broken(self, message: str) -> bytes | None:
        """An error after the first chunk; None if the endpoint loses it."""
        return error_line(message)


def _head(model: str, wall_ns: int) -> str:
    return f'{{"model":{dumps(model)},"created_at":"{rfc3339(wall_ns)}"'


def _metrics(ending: Ending) -> str:
    reported = {k: v for k, v in ending.metrics.items() if v or k == CACHED_COUNT}
    return "".join(f',"{name}":{value}' for name, value in reported.items())


def _tail(ending: Ending | None) -> str:
    if ending is None:
        return ',"done":false'
    reason = f',"done_reason":{dumps(ending.done_reason)}' if ending.done_reason else ""
    return f',"done":true{reason}'


def _optional(name: str, value: Any) -> str:
    return f',"{name}":{dumps(value)}' if value else ""


class ChatLines(LineFormat):
    """/api/chat."""

    def piece(self, piece: Piece, wall_ns: int) -> bytes | None:
        """Lines without anything in them are not sent."""
        if not (piece.text or piece.thinking or piece.tool_calls or piece.logprobs):
            return None
        line = self._line(piece, wall_ns)
        return f'{line},"done":false{_optional("logprobs", piece.logprobs)}}}\n'.encode()

    def whole(self, piece: Piece, ending: Ending | None, wall_ns: int) -> bytes:
        """One object with everything."""
        line = f"{self._line(piece, wall_ns)}{_tail(ending)}"
        line += _optional("logprobs", piece.logprobs)
        return f"{line}{_metrics(ending) if ending else ''}}}".encode()

    def _line(self, piece: Piece, wall_ns: int) -> str:
        return (
            f'{_head(self._model, wall_ns)},"message":{{"role":"assistant",'
            f'"content":{dumps(piece.text)}{_optional("thinking", piece.thinking)}'
            f"{_optional('tool_calls', piece.tool_calls)}}}"
        )


class GenerateLines(LineFormat):
    """/api/generate. Lines with empty text are sent, as Ollama does."""

    def piece(self, piece: Piece, wall_ns: int) -> bytes | None:
        """One line."""
        line = self._line(piece, wall_ns)
        tail = _optional("tool_calls", piece.tool_calls) + _optional("logprobs", piece.logprobs)
        return f'{line},"done":false{tail}}}\n'.encode()

    def whole(self, piece: Piece, ending: Ending | None, wall_ns: int) -> bytes:
        """One object with everything."""
        line = f"{self._line(piece, wall_ns)}{_tail(ending)}"
        if ending is not None:
            line += _optional("context", ending.context) + _metrics(ending)
        line += _optional("tool_calls", piece.tool_calls) + _optional("logprobs", piece.logprobs)
        return f"{line}}}".encode()

    def _line(self, piece: Piece, wall_ns: int) -> str:
        return (
            f'{_head(self._model, wall_ns)},"response":{dumps(piece.text)}'
            f"{_optional('thinking', piece.thinking)}"
        )


def error_body(message: str) -> bytes:
    """`{"error": ...}`."""
    return dumps({"error": message}).encode()


def error_line(message: str) -> bytes:
    """The same, as a line of a stream."""
    return error_body(message) + b"\n"


def llama_server_error(message: str, kind: str = "invalid_request_error", **more: int) -> str:
    """An error of llama-server, which Ollama passes on as the text of its own."""
    return dumps({"error": {"code": 400, "message": message, "type": kind, **more}})
