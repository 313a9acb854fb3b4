"""A server that gives away all it knows: it prints its environment and every header, and echoes
the headers in errors, in answers and in its version.

    OLLAMA_HOST=127.0.0.1:PORT python leaky_server.py
"""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

MODEL = "leaky:latest"
REQUESTS = count()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        replies = {
            "/api/version": {"version": "0.32.15"},
            "/api/tags": {"models": [{"name": MODEL, "model": MODEL, "digest": "a" * 64}]},
            "/api/ps": {"models": []},
        }
        self.reply(replies.get(self.path, {}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        print("headers:", dict(self.headers), flush=True)
        if self.path == "/api/show":
            self.reply({"details": {"family": "x"}, "capabilities": ["completion"]})
        elif not body.get("messages"):
            self.reply({"model": MODEL, "done": True, "done_reason": "load"})
        elif next(REQUESTS) % 3 == 0:
            said = f"refused: {dict(self.headers)} {dict(os.environ)} http://u:{PASSWORD}@h/?token={PASSWORD}"
            self.reply({"error": said}, 500)
        else:
            self.answer(f"{dict(self.headers)} {PASSWORD}")

    def answer(self, text: str) -> None:
        stamp = "2026-01-01T00:00:00.000000Z"
        begin = {"model": MODEL, "created_at": stamp}
        lines = [
            {**begin, "message": {"role": "assistant", "content": text}, "done": False},
            {**begin, "message": {"role": "assistant", "content": "!"}, "done": False},
            {
                **begin,
                "message": {"role": "assistant", "content": ""},
                "done": True,
                "done_reason": "stop",
                "total_duration": 5_000_000,
                "load_duration": 1_000_000,
                "prompt_eval_count": 5,
                "prompt_eval_duration": 1_000_000,
                "eval_count": 2,
                "eval_duration": 1_000_000,
            },
        ]
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self.send(200, body, "application/x-ndjson")

    def reply(self, content: object, status: int = 200) -> None:
        self.send(status, json.dumps(content).encode(), "application/json")

    def send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


if __name__ == "__main__":
    PASSWORD = os.environ.get("DB_PASS", "")
    print("environment:", dict(os.environ), flush=True)
    host, _, port = os.environ["OLLAMA_HOST"].partition(":")
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
