"""The recorded exchanges with real servers, and what a reply to each must hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.ollama.line_reader import ollama_call
from bench.wire.exchange import Call, Reply

RECORDINGS = Path(__file__).parent.parent / "recordings"
NATIVE = ("/api/chat", "/api/generate")
COUNTERS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_cached_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)


@dataclass(frozen=True)
class Recorded:
    """One exchange: what was asked, and the body in the pieces in which it came."""

    name: str
    path: str
    call: Call
    status: int
    pieces: tuple[bytes, ...]
    chunked: bool

    def __str__(self) -> str:
        return self.name

    def wire(self) -> bytes:
        """The response as the server wrote it, kept alive."""
        body = b"".join(self.pieces)
        head = f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\n".encode()
        if not self.chunked:
            return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in self.pieces)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@lru_cache(maxsize=1)
def recorded() -> tuple[Recorded, ...]:
    """All of them, from all server versions."""
    return tuple(_read())


def native() -> list[Recorded]:
    """Those of the two endpoints that are measured."""
    return [r for r in recorded() if r.path in NATIVE]


def _read() -> Iterator[Recorded]:
    for file in sorted(RECORDINGS.glob("ollama-*/*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        for i, exchange in enumerate(found if isinstance(found, list) else [found]):
            request, response = exchange["request"], exchange["response"]
            body = request["body"]
            stream = body.get("stream", True) if isinstance(body, dict) else True
            yield Recorded(
                f"{file.parent.name}/{file.stem}" + (f"[{i}]" if isinstance(found, list) else ""),
                request["path"],
                ollama_call(
                    request["path"], json.dumps(body).encode(), stream=stream, keep_text=True
                ),
                response["status"],
                tuple(c["data"].encode() for c in response["chunks"]),
                "Transfer-Encoding" in response["headers"],
            )


def expected(exchange: Recorded) -> dict[str, Any]:
    """What the reply to a chat or generate request must hold, read off the recording."""
    text = b"".join(exchange.pieces).decode()
    want: dict[str, Any] = {"status": exchange.status, "thinking": "", "answer": ""}
    if exchange.status != 200:
        return {"status": exchange.status, "outcome": "http_error", "error": _error(text)}
    lines = [json.loads(line) for line in text.splitlines()]
    errors = [line["error"] for line in lines if "error" in line]
    done = lines[-1].get("done", False)
    want["outcome"] = "stream_error" if errors else "ok" if done else "aborted"
    if errors:
        want["error"] = errors[0]
    said = [line.get("message", line) for line in lines]
    want["thinking"] = "".join(s.get("thinking", "") for s in said)
    want["answer"] = "".join(s.get("content", s.get("response", "")) for s in said)
    want["tool_calls"] = sum(len(s.get("tool_calls", ())) for s in said)
    want["done_reason"] = lines[-1].get("done_reason")
    want["server"] = {name: lines[-1].get(name) for name in COUNTERS}
    want["chunks"] = len(lines) if exchange.call.stream else 0
    if want["answer"] or want["thinking"]:
        output = f"{want['thinking']}\0{want['answer']}".encode()
        want["output_sha256"] = hashlib.sha256(output).hexdigest()[:16]
    times = [line["created_at"] for line in lines if "created_at" in line]
    want["created_at"] = (times[0], times[-1]) if times else ("", "")
    return want


def _error(body: str) -> str:
    try:
        return str(json.loads(body)["error"])
    except ValueError:
        return body.strip()


def held(reply: Reply) -> dict[str, Any]:
    """The reply in the terms of `expected`, without any time."""
    if reply.status != 200:
        return {"status": reply.status, "outcome": str(reply.outcome), "error": reply.error}
    found: dict[str, Any] = {
        "status": reply.status,
        "outcome": str(reply.outcome),
        "thinking": reply.thinking,
        "answer": reply.answer,
        "tool_calls": reply.tool_calls,
        "done_reason": reply.done_reason,
        "server": {name: getattr(reply.server, name) for name in COUNTERS},
        "chunks": len(reply.chunk_ns),
        "created_at": (reply.created_at_first, reply.created_at_last),
    }
    if reply.outcome == "stream_error":
        found["error"] = reply.error
    if reply.output_sha256:
        found["output_sha256"] = reply.output_sha256
    return found


def times(reply: Reply) -> list[int]:
    """Every stamp of a reply, in the order in which they must not fall."""
    stamps = [reply.sent_ns, reply.headers_ns, reply.first_chunk_ns, *reply.chunk_ns, reply.end_ns]
    return [s for s in stamps if s is not None]
