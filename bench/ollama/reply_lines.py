"""The fields that are read of the lines Ollama sends."""

from __future__ import annotations

from typing import Any

import msgspec

from bench.ollama.error_bodies import error_value_text
from bench.wire.exchange import ServerTimings

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding bytes from outside may raise; the last for JSON that is nested too deeply."""


NOTHING = msgspec.Raw(b"")
"""Stands for a field that did not come. What it may hold is decoded only when needed: a server can
put anything there, of any size."""

MAX_WHOLE = 2**62 - 1
"""Larger numbers are no nanoseconds and no tokens, and a record that holds one is not read back."""
_MAX_DIGITS = 30
_MAX_CALLS_BYTES = 1024 * 1024


class LineMessage(msgspec.Struct, gc=False):
    """The message of a chat line."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: msgspec.Raw = NOTHING


class Line(msgspec.Struct, gc=False):
    """Fields that both endpoints send in every line."""

    created_at: str = ""
    model: Any = None
    message: LineMessage | None = None
    response: str | None = None
    thinking: str | None = None
    tool_calls: msgspec.Raw = NOTHING
    done: bool = False
    done_reason: str | None = None
    error: msgspec.Raw = NOTHING

    def content(self) -> str:
        """The bit of the answer."""
        return (self.response if self.message is None else self.message.content) or ""

    def special(self, model: Any) -> bool:
        """Whether there is more to it than a bit of the answer of this model."""
        of = self if self.message is None else self.message
        return bool(
            self.done
            or self.done_reason
            or of.thinking
            or self.model != model
            or self.error is not NOTHING
            or of.tool_calls is not NOTHING
        )

    def failure(self) -> str:
        """The text of the error, "" if there is none."""
        if self.error is NOTHING:
            return ""
        try:
            error = _decode_any(bytes(self.error)) if len(bytes(self.error)) <= _MAX_ERROR else None
        except UNREADABLE:
            error = None
        if error is None:
            return "" if bytes(self.error) == b"null" else excerpt(bytes(self.error))
        return error_value_text(error) if error else ""

    def calls(self) -> list[msgspec.Raw] | None:
        """The tool calls it holds; None if that cannot be said."""
        raw = (self if self.message is None else self.message).tool_calls
        if raw is NOTHING:
            return []
        data = bytes(raw)
        if len(data) > _MAX_CALLS_BYTES:
            return None
        try:
            return _decode_calls(data) or []
        except UNREADABLE:
            return None


class DoneLine(Line, gc=False):
    """The last line, or all of a reply that is not streamed."""

    # One counter that is no number must not cost the whole reply.
    total_duration: Any = None
    load_duration: Any = None
    prompt_eval_count: Any = None
    prompt_eval_cached_count: Any = None
    prompt_eval_duration: Any = None
    eval_count: Any = None
    eval_duration: Any = None
    remote_model: str | None = None

    def timings(self) -> tuple[ServerTimings, list[str]]:
        """The counters, verbatim, and the names of those that are no whole numbers."""
        values = {name: whole(getattr(self, name)) for name in COUNTERS}
        lost = [n for n, v in values.items() if v is None and getattr(self, n) is not None]
        return ServerTimings(**values), lost


def read_calls(calls: list[msgspec.Raw]) -> list[Any]:
    """The tool calls themselves; what cannot be read is None."""
    found = []
    for call in calls:
        try:
            found.append(_decode_any(call))
        except UNREADABLE:
            found.append(None)
    return found


COUNTERS = ServerTimings.__slots__
_READ = frozenset(DoneLine.__struct_fields__) | {"context", "logprobs", "remote_host"}
MAX_OTHER_FIELDS = 16
MAX_OTHER_BYTES = 512


def whole(value: Any) -> int | None:
    """The counter as an integer; None if it is none, or larger than a column holds.

    JSON does not tell 5.0 from 5, and some proxies write numbers as text. A number with a fraction
    counts something else than nanoseconds or tokens.
    """
    if isinstance(value, str) and len(value) <= _MAX_DIGITS:
        value = int(value) if value.isascii() and value.removeprefix("-").isdigit() else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if abs(value) <= MAX_WHOLE else None


def other_fields(data: bytes, line: DoneLine) -> dict[str, Any]:
    """What a done line holds besides what is read of it, as it came.

    A counter that is no whole number is among them. Bounded: at most `MAX_OTHER_FIELDS` fields; of
    one that is longer than `MAX_OTHER_BYTES`, or is no number that can be stored, the beginning of
    its JSON text.
    """
    found: dict[str, Any] = {}
    try:
        fields = _decode_fields(data)
    except UNREADABLE:
        return found
    for name, raw in fields.items():
        if name in COUNTERS:
            value = getattr(line, name)
            unread = value is not None and whole(value) is None
        else:
            unread = name not in _READ
        if unread and len(found) < MAX_OTHER_FIELDS:
            found[name[:100]] = _storable(bytes(raw))
    return found


def _storable(text: bytes) -> Any:
    try:
        if len(text) <= MAX_OTHER_BYTES:
            value = _decode_any(text)
            msgspec.json.encode(value)
            return value
    except (*UNREADABLE, OverflowError):
        pass
    return text[:MAX_OTHER_BYTES].decode(errors="replace")


decode_line = msgspec.json.Decoder(Line).decode
decode_lines = msgspec.json.Decoder(Line).decode_lines
decode_done = msgspec.json.Decoder(DoneLine).decode
_decode_any = msgspec.json.Decoder().decode
_decode_calls = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
_MAX_ERROR = 64 * 1024
MAX_CALLS = 256
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def excerpt(data: bytes) -> str:
    """The start of some bytes, to be shown."""
    return repr(data[:120].decode(errors="replace"))
