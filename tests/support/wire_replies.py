"""Good replies in bytes, for scripted servers."""

from __future__ import annotations

import json

from bench.ollama.line_reader import ollama_call

CALL = ollama_call("/api/chat", b'{"model":"m"}', keep_text=True)
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(line: dict[str, object]) -> bytes:
    text = json.dumps(line).encode() + b"\n"
    return b"%x\r\n%b\r\n" % (len(text), text)


def token(text: str) -> bytes:
    """A chunk with one piece of the answer."""
    return chunk({"created_at": "t", "message": {"content": text}, "done": False})


DONE = chunk({"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 1})
GOOD = HEAD + token("a") + DONE + END
BODY = b'{"message":{"content":"a"},"done":true}\n'
"""The same without any framing."""
