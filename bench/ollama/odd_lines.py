"""Lines that the quick decoder refuses although what matters of them can be read.

Proxies and servers that only resemble Ollama send integers as `created_at`, floats as counters,
NaN, half an emoji a line, bytes that are no UTF-8. Such a value costs its own field, never the
reply. What carries the text or says that it is over is another matter: a message that is no object
or a `done` that is no truth value makes the line unreadable.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from bench.ollama.reply_lines import COUNTERS, NOTHING, DoneLine, LineMessage

_MAX_BYTES = 1024 * 1024
"""Lines up to this length are read so: Python's objects take many times their text's length."""
_MAX_DIGITS = 30


def read_odd_line(data: bytes) -> tuple[DoneLine, list[str]] | None:
    """A line, and the names of the fields that are lost; None if it cannot be read at all."""
    if len(data) > _MAX_BYTES:
        return None
    try:
        text, lost = data.decode(), []
    except UnicodeDecodeError:
        text, lost = data.decode(errors="replace"), ["UTF-8"]
    try:
        value = json.loads(text, parse_int=_whole_number)
        return (_line(value, lost), lost) if isinstance(value, dict) else None
    except (ValueError, TypeError, RecursionError):
        return None


def _whole_number(digits: str) -> int | float:
    """Huge integers need no exactness, and Python refuses to read them."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _line(value: dict[str, Any], lost: list[str]) -> DoneLine:
    line = DoneLine(done=_of_type(value.get("done"), bool) or False)
    said = _of_type(value.get("message"), dict)
    of: Any = line
    if said is None:
        said = value
        line.response = _of_type(value.get("response"), str)
    else:
        # Half a character may come in a text, the other half in the next line.
        line.message = of = LineMessage(content=_of_type(said.get("content"), str))
    of.thinking = _of_type(said.get("thinking"), str)
    of.tool_calls = _raw(said.get("tool_calls"))
    line.error = _raw(value.get("error"))
    for name in ("created_at", "done_reason", "remote_model", "model"):
        setattr(line, name, _text(value.get(name), name, lost))
    line.created_at = line.created_at or ""
    for name in COUNTERS:
        setattr(line, name, value.get(name))
    return line


def _of_type(value: Any, kind: type) -> Any:
    if value is not None and not isinstance(value, kind):
        raise TypeError
    return value


def _raw(value: Any) -> msgspec.Raw:
    return NOTHING if value is None else msgspec.Raw(json.dumps(value).encode())


def _text(value: Any, name: str, lost: list[str]) -> str | None:
    """A text that can be stored."""
    if value is None:
        return None
    if not isinstance(value, str):
        lost.append(name)
        return None
    return value.encode(errors="replace").decode()
