"""What the body of a failed answer says, in one line: Ollama's own words, or a gateway's page."""

from __future__ import annotations

import html
import json
import re
from http import HTTPStatus
from typing import Any

import msgspec

from bench.wire.errors import MAX_ERROR_CHARS

MAX_PAGE_CHARS = 200
"""Kept of what is not Ollama's JSON."""
_MAX_BYTES = 64 * 1024

_decode = msgspec.json.Decoder().decode


def error_value_text(error: Any) -> str:
    """The text of an error value: a string, or the object of the compatible endpoints."""
    if isinstance(error, dict):
        error = error.get("message", error)
    text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
    return text[:MAX_ERROR_CHARS]


def json_error(body: bytes) -> str:
    """The `error` of a JSON body; "" if it has none or is something else."""
    try:
        value = _decode(body[:_MAX_BYTES])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    error = value.get("error") if isinstance(value, dict) else None
    return error_value_text(error) if error else ""


def body_error(status: int, body: bytes) -> str:
    """What a failed answer says; of anything that is not Ollama's, the status and the start."""
    said = json_error(body)
    if said:
        return said
    text = body[:_MAX_BYTES].decode(errors="replace")
    page = "<" in text[:200] and ("<html" in text.lower() or "<!doctype" in text.lower())
    words = " ".join((_page_words(text) if page else text[: 4 * MAX_PAGE_CHARS]).split())
    words = words if len(words) <= MAX_PAGE_CHARS else f"{words[:MAX_PAGE_CHARS]}..."
    name = status_name(status)
    if not words:
        return f"{name} with {'a page without words' if page else 'an empty body'}"
    return f"{name}, a page: {words}" if page else f"{name}: {words}"


def status_name(status: int) -> str:
    """Such as "HTTP 504 Gateway Timeout"."""
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _page_words(text: str) -> str:
    """Title of an HTML page, else the words in it."""
    low = text.lower()
    for tag in ("title", "h1"):
        start = low.find(f"<{tag}")
        start = low.find(">", start) + 1 if start >= 0 else 0
        end = low.find(f"</{tag}", start) if start else -1
        if end > start and text[start:end].strip():
            return html.unescape(re.sub(r"<[^<>]*>", " ", text[start:end]))
    return html.unescape(re.sub(r"<[^<>]*>", " ", text))
