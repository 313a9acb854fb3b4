"""How long `ollama-bench run` takes from its start to its first request, with the server warm.

python tests/performance/run_startup.py [--repeat N] [--json]

A server of canned replies in this process sees the first request to a model arrive and looks at
once how much CPU time the other process has used until then: CPU time says what the program does,
whatever else this machine is busy with; the wall time is what a user waits. Each run is a new
process with Python's compiled files in place. The first request of smoke is a calibration request;
the first measured one comes after a warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = "null:1b"
_ENTRY = {"name": MODEL, "model": MODEL, "digest": "0" * 64, "size": 10**9, "size_vram": 10**9}
_CARD = {"details": {"format": "gguf", "family": "llama"}, "capabilities": ["completion"]}
_DONE = {
    "model": MODEL,
    "done": True,
    "done_reason": "stop",
    "total_duration": 9_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": 80,
    "prompt_eval_duration": 2_000_000,
    "eval_count": 2,
    "eval_duration": 1_000_000,
}


class Handler(BaseHTTPRequestHandler):
    """Answers like a warm server; notes when the first prompt arrives."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        replies: dict[str, Any] = {
            "/api/version": {"version": "0.32.15"},
            "/api/tags": {"models": [_ENTRY]},
            "/api/ps": {"models": [_ENTRY]},
        }
        self._answer([replies[self.path]])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/api/show":
            self._answer([_CARD])
        elif not body.get("prompt") and not body.get("messages"):
            self._answer([{**_DONE, "done_reason": "load"}])
        else:
            self.server.note_request()
            part = {"role": "assistant", "content": "word "}
            # The server's count grows with the prompt, as calibration expects.
            count = len(json.dumps(body)) // 5
            done = {**_DONE, "prompt_eval_count": count, "message": {"content": ""}}
            self._answer([{"message": part, "done": False}, done])

    def _answer(self, lines: list[dict[str, Any]]) -> None:
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Knows the process that it serves."""

    daemon_threads = True
    pid: int | None = None
    first: tuple[int, float] | None = None

    def note_request(self) -> None:
        if self.first is None and self.pid is not None:
            self.first = (time.monotonic_ns(), cpu_s(self.pid))


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used so far, all its threads together."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def run_once(server: Server, runs: str) -> dict[str, float]:
    """Start to first request, and to the first warm-up and measured ones, in seconds."""
    server.first, server.pid = None, None
    start_ns = time.monotonic_ns()
    url = f"http://127.0.0.1:{server.server_port}"
    chosen = ["smoke", "-m", MODEL, "--host", url, "-o", runs, "--no-report", "--no-history"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *chosen],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NO_PROXY": "*"},
        text=True,
    )
    server.pid = process.pid
    out, err = process.communicate(timeout=120)
    if process.returncode not in (0, 1) or server.first is None:
        raise SystemExit(f"the run failed ({process.returncode}): {err}")
    directory = Path(out.strip().splitlines()[-1])
    origin_ns = json.loads((directory / "run.json").read_text())["clock"]["monotonic_origin_ns"]
    sent = {}
    for line in (directory / "requests.jsonl").read_text().splitlines():
        record = json.loads(line)
        sent.setdefault(record["phase"], (origin_ns + record["sent_ns"] - start_ns) / 1e9)
    return {
        "wall": (server.first[0] - start_ns) / 1e9,
        "cpu": server.first[1],
        "wall_to_warmup": sent["warmup"],
        "wall_to_measured": sent["measure"],
    }


def time_command(*args: str) -> dict[str, float]:
    """Wall and CPU seconds of a short command."""
    start, before = time.monotonic(), os.times()
    subprocess.run([sys.executable, *args], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - start, os.times()
    spent = after.children_user + after.children_system
    return {"wall": wall, "cpu": spent - before.children_user - before.children_system}


def summary(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Smallest, middle and largest of every figure."""
    return {
        key: {
            "min": min(r[key] for r in runs),
            "median": statistics.median(r[key] for r in runs),
            "max": max(r[key] for r in runs),
        }
        for key in runs[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    results = {}
    with tempfile.TemporaryDirectory() as runs:
        run_once(server, runs)  # fills caches
        results["run"] = summary([run_once(server, runs) for _ in range(args.repeat)])
    commands = {"--help": ("-m", "bench", "--help"), "import bench": ("-c", "import bench")}
    for name, command in {**commands, "python": ("-c", "pass")}.items():
        results[name] = summary([time_command(*command) for _ in range(args.repeat)])
    load = os.getloadavg()[0]
    if args.json:
        print(json.dumps({"load_average": load, "seconds": results}, indent=2))
        return
    print(f"load average {load:.1f} on {os.cpu_count()} CPUs; milliseconds, {args.repeat} runs")
    for name, figures in results.items():
        for key, figure in figures.items():
            cells = "  ".join(f"{k} {v * 1000:6.0f}" for k, v in figure.items())
            print(f"{name:>14} {key:<18} {cells}")


if __name__ == "__main__":
    main()
