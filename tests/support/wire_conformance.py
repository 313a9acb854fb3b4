"""Compares a server's replies with recorded ones: status, headers, keys, their order, types.

A recorded exchange and a replayed one are brought into the same form, an `Exchange`; `differences`
lists where they differ. What may differ stands in `KNOWN`, with the reason.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parents[1] / "recordings"

KNOWN: dict[str, str] = {
    "Date": "the recorder left the header out",
    "X-Ollama-Bench-Engine": "marks our server: nothing it says may pass for a measurement",
    "version": "marks our server",
    "text": "a simulated model says something else: lengths and done_reason differ, a stream may "
    "have lines of a kind that only other recordings of the path have, and eval_duration, absent "
    "for one token before 0.30, may be there",
    "tokens": "an invented tokenizer counts other tokens, also in an error's text",
    "framing": "a reply's length decides whether it has a Content-Length (up to 2048 bytes) or "
    "comes in chunks; another text, another length",
    "model_info": "an invented model has no tokenizer and general metadata of its own",
    "parent_model": "invented models descend from none",
    # Seen beside a real 0.32.15, in requests of no recording:
    "paths": "no /v1/responses, /v1/messages, /api/blobs, /api/push, cloud models or redirects of "
    "odd paths: nothing here needs them; /api/create refuses, for models are given at the start",
    "browsers": "no CORS headers: it is a tool for tests",
    "_debug_render_only": "ignored: there is no template to show",
    "schemas": "a `format` that is no JSON schema is not refused by the simulated engine, nor are "
    "odd token ids in `context`",
    # Seen beside a real 0.32.15, in what its scheduler does:
    "load_duration": "real loads are waited for in steps of 250 ms; ours end when they end",
    "evicted first": "of equals the one whose digest comes first goes: there the digest of the "
    "model's file, here the model's own",
    "Go's decoder": "its words for errors within lists and messages depend on Go's version",
}

# Replies whose length depends on the model's text or metadata.
_FREE_LENGTH = ("/api/show", "/api/tags", "/api/generate", "/v1/models", "/v1/chat/completions")


@dataclass(frozen=True)
class Exchange:
    """One reply: raw header names and values in order, and the body's lines as they were sent."""

    status: int
    headers: dict[str, str]
    lines: list[str]


def recordings(version: str) -> list[str]:
    """Names of the recordings of a version."""
    return sorted(path.stem for path in (RECORDINGS / f"ollama-{version}").glob("*.json"))


def load(version: str, name: str) -> list[tuple[dict[str, Any], Exchange]]:
    """The requests of a recording (one, or several sent at once) and their replies."""
    value = json.loads((RECORDINGS / f"ollama-{version}" / f"{name}.json").read_text())
    entries = value if isinstance(value, list) else [value]
    return [(entry["request"], _recorded(entry["response"])) for entry in entries]


def _recorded(response: dict[str, Any]) -> Exchange:
    body = "".join(chunk["data"] for chunk in response["chunks"])
    return Exchange(response["status"], response["headers"], _lines(body))


def _lines(body: str) -> list[str]:
    separator = "\n\n" if body.startswith("data: ") else "\n"
    return [line for line in body.split(separator) if line]


async def replay(url: str, request: dict[str, Any]) -> Exchange:
    """Send a recorded request as the recorder did (one connection each, closed afterwards)."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = request["body"]
    data = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    head = f"{request['method']} {request['path']} HTTP/1.1\r\nHost: {host}:{port}\r\n"
    head += f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + data)
    raw = await reader.read(-1)
    writer.close()
    return parse(raw)


def parse(raw: bytes) -> Exchange:
    """A raw HTTP reply."""
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    if headers.get("Transfer-Encoding") == "chunked":
        body = b"".join(chunks(body))
    return Exchange(int(status.split()[1]), headers, _lines(body.decode()))


def chunks(body: bytes) -> list[bytes]:
    """The chunks of a chunked body, which must be complete."""
    found = []
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert rest == b"\r\n"
            return found
        assert rest[length : length + 2] == b"\r\n"
        found.append(rest[:length])
        body = rest[length + 2 :]


def differences(path: str, recorded: Exchange, got: Exchange) -> list[str]:
    """Where two replies differ beyond what `KNOWN` allows."""
    found = []
    if recorded.status != got.status:
        found.append(f"status {got.status}, recorded {recorded.status}: {got.lines[:1]}")
    found += _header_differences(path, recorded, got)
    if recorded.status != 200 and _countless(recorded.lines) != _countless(got.lines):
        found.append(f"error {got.lines}, recorded {recorded.lines}")
    if path == "/api/version" or recorded.status != 200:
        return found
    want, have = _shapes(recorded.lines), _shapes(got.lines)
    if want[-1] not in (have[-1], have[-1].replace(', ["eval_duration", "number"]', "")):
        found.append(f"last line\n  {have[-1]}, recorded\n  {want[-1]}")
    middle = set(have[:-1]) - _known_shapes(path)
    if middle:
        found.append(f"lines of another shape\n  {middle}, recorded\n  {set(want[:-1])}")
    return found


@cache
def _known_shapes(path: str) -> set[str]:
    """Shapes of all lines but the last in any recording of a path."""
    replies = (
        reply
        for folder in RECORDINGS.iterdir()
        for name in recordings(folder.name.removeprefix("ollama-"))
        for request, reply in load(folder.name.removeprefix("ollama-"), name)
        if request["path"] == path
    )
    return {line for reply in replies for line in _shapes(reply.lines)[:-1]}


def _countless(lines: list[str]) -> list[str]:
    return [re.sub(r"\d{3,}", "N", line) for line in lines]


def _header_differences(path: str, recorded: Exchange, got: Exchange) -> list[str]:
    want, have = dict(recorded.headers), dict(got.headers)
    assert have.pop("Date")
    assert have.pop("X-Ollama-Bench-Engine")
    if path.startswith(_FREE_LENGTH) or path == "/api/version" or path == "/api/ps":
        for headers in (want, have):
            headers.pop("Content-Length", None)
            headers.pop("Transfer-Encoding", None)
    if "Content-Length" in want and recorded.status == 200:
        want["Content-Length"] = have["Content-Length"] = "any"
    if list(want.items()) == list(have.items()):
        return []
    return [f"headers {have}, recorded {want}"]


def _shapes(lines: list[str]) -> list[str]:
    return [
        json.dumps(shape(json.loads(line))) if _is_json(line) else line
        for line in map(_data, lines)
    ]


def _data(line: str) -> str:
    return line.removeprefix("data: ")


def _is_json(line: str) -> bool:
    return line.startswith("{")


_FIXED = {"done", "role", "object", "owned_by", "system_fingerprint", "status", "format"}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z")


def shape(value: Any, key: str = "") -> Any:
    """Keys in order and types; values where they are fixed."""
    if isinstance(value, dict):
        if key == "model_info":
            return "metadata"
        return [[k, shape(v, k)] for k, v in value.items()]
    if isinstance(value, list):
        if key in ("models", "data", "embeddings", "tensors", "logprobs", "top_logprobs"):
            return [shape(value[0])] if value else []
        return sorted({json.dumps(shape(v)) for v in value})
    if key in ("created_at", "modified_at", "expires_at"):
        return "time" if _RFC3339.fullmatch(value) else f"not a time: {value}"
    if key in _FIXED:
        return value
    if key == "finish_reason" and value is not None:
        return "reason"
    return (
        "number"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else type(value).__name__
    )
