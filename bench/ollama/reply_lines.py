"""The lines that Ollama sends, as far as they are looked at, and the texts of its errors."""

from __future__ import annotations

from typing import Any

import msgspec

from bench.ollama.exchange import ServerTimings

MAX_ERROR_CHARS = 1000


class Message(msgspec.Struct, gc=False):
    """The message of a chat line."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class Line(msgspec.Struct, gc=False):
    """What is looked at in every line, of both endpoints."""

    created_at: str = ""
    message: Message | None = None
    response: str | None = None
    thinking: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    done: bool = False
    error: Any = None

    def content(self) -> str:
        """The bit of the answer."""
        return (self.response if self.message is None else self.message.content) or ""

    def special(self) -> bool:
        """Whether there is more to it than a bit of the answer."""
        of = self if self.message is None else self.message
        return bool(self.done or self.error or of.thinking or of.tool_calls)


class DoneLine(Line, gc=False):
    """The last line, or all of a reply that is not streamed."""

    done_reason: str | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_cached_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None
    remote_model: str | None = None

    def timings(self) -> ServerTimings:
        """The counters, verbatim."""
        return ServerTimings(
            self.total_duration,
            self.load_duration,
            self.prompt_eval_count,
            self.prompt_eval_cached_count,
            self.prompt_eval_duration,
            self.eval_count,
            self.eval_duration,
        )


decode_line = msgspec.json.Decoder(Line).decode
decode_lines = msgspec.json.Decoder(Line).decode_lines
decode_done = msgspec.json.Decoder(DoneLine).decode
_decode_any = msgspec.json.Decoder().decode


def redirect_text(status: int, location: str) -> str:
    """What to tell of a redirect."""
    text = f"HTTP {status}: redirected to {location[:300] or 'nowhere'}"
    return f"{text}; redirects are not followed: use the final URL as the target"


def error_text(error: Any) -> str:
    """The text of an error value: a string, or the object of the compatible endpoints."""
    if isinstance(error, dict):
        error = error.get("message", error)
    return error if isinstance(error, str) else msgspec.json.encode(error).decode()


def body_error(body: bytes) -> str:
    """The text of an error body, bounded; whatever came if it is not JSON."""
    try:
        value = _decode_any(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = None
    if isinstance(value, dict) and value.get("error"):
        return error_text(value["error"])[:MAX_ERROR_CHARS]
    return body[: MAX_ERROR_CHARS * 4].decode(errors="replace").strip()[:MAX_ERROR_CHARS]


def excerpt(data: bytes) -> str:
    """The start of some bytes, to be shown."""
    return repr(data[:120].decode(errors="replace"))
