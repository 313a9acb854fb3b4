"""The page of `run --web`: a process of its own that reads the run directory, on this host only.

It reads the directory from standard input, and ends when that closes, once those who look have the
report. It reads the journal when somebody asks, at most once a second, however many look: the
process that measures does nothing for it.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.children import leave_signals_to_parent
from bench.cli.case_progress import CaseProgress, progress_of, ttft_s
from bench.errors import BenchError
from bench.resources import resource_dir
from bench.results.directory import REPORT_FILE, read_info
from bench.results.journal import REQUESTS_FILE
from bench.results.record import Phase, RequestRecord, decode_record
from bench.results.run import RunStatus
from bench.scenario.plan import Case
from bench.wire.exchange import Outcome

_EVERY_S = 1.0
_LAST = 200
_LEAVE_S = 3.0
"""So long those who look have time to fetch the report."""
_HOSTS = ("127.0.0.1", "localhost")


class RunState:
    """What the journal and run.json of a run say so far.

    Attributes:
        path: of the run directory; None = not known yet.
        over: nothing more is run: the page becomes the report, if there is one.
        asked_at: when somebody looked last; seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.over = False
        self.asked_at = float("-inf")
        self._read_to = 0
        self._cases: dict[str, CaseProgress] = {}
        self._plan: dict[str, Case] = {}
        self._recent: deque[dict[str, Any]] = deque(maxlen=_LAST)
        self._lock = threading.Lock()
        self._made = (float("-inf"), b"{}")

    def watch(self, path: Path) -> None:
        """Begin with a run."""
        with self._lock:
            self.path, self._read_to = path, 0
            self._cases.clear()
            self._recent.clear()

    def json(self) -> bytes:
        """The state, made anew at most once a second."""
        with self._lock:
            self.asked_at = time.monotonic()
            if time.monotonic() - self._made[0] > _EVERY_S:
                self._made = (time.monotonic(), json.dumps(self._state()).encode())
            return self._made[1]

    def _state(self) -> dict[str, Any]:
        state = {"name": "", "text": "Getting ready …", "blocks": 0, "done": 0, "report": False}
        if self.path is not None:
            with suppress(BenchError):
                info = read_info(self.path)
                self._plan = {case.id: case for case in info.plan.cases}
                running = info.status is RunStatus.RUNNING
                done, blocks = len(info.blocks), len(info.plan.blocks)
                state |= {"name": info.plan.name, "blocks": blocks, "done": done}
                state["text"] = f"{done} of {blocks} blocks" if running else f"{info.status.value}"
                state["report"] = self.over and (self.path / REPORT_FILE).is_file()
            self._read()
        cases = [
            {
                "case": name,
                "requests": c.in_block,
                "failed": c.failed,
                "ttft_p50_s": c.ttft_values()[0],
                "decode_tok_per_s": c.decoded / c.decode_ns * 1e9 if c.decode_ns else None,
            }
            for name, c in self._cases.items()
        ]
        return {**state, "cases": cases, "recent": list(self._recent)}

    def _read(self) -> None:
        assert self.path is not None
        with suppress(OSError), (self.path / REQUESTS_FILE).open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read_to += len(line)
                with suppress(ValueError):
                    self._count(decode_record(line))

    def _count(self, record: RequestRecord) -> None:
        if record.phase is not Phase.MEASURE:
            return
        case = self._cases.setdefault(record.case, progress_of(self._plan.get(record.case)))
        case.count(record)
        del case.spans[:]  # of use for throughput alone, which the page does not show
        ok = record.outcome is Outcome.OK
        self._recent.append({"ttft_s": ttft_s(record) if ok else None, "ok": ok})


def serve(state: RunState, port: int = 0) -> ThreadingHTTPServer:
    """A server on this host for the page of a run."""
    assets = resource_dir("reports") / "assets"
    pages = {"/": ("live.html", "text/html"), "/live.js": ("live.js", "text/javascript")}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A page elsewhere whose name points here must not read what is measured.
            if self.headers.get("Host", "").rpartition(":")[0] not in _HOSTS:
                self.send_error(403)
                return
            if self.path == "/state":
                self._answer(state.json(), "application/json")
            elif self.path in pages:
                name, kind = pages[self.path]
                self._answer((assets / name).read_bytes(), kind, "default-src 'self' data:; "
                             "style-src 'unsafe-inline'")  # fmt: skip
            elif self.path == "/report" and state.path and (state.path / REPORT_FILE).is_file():
                self._answer((state.path / REPORT_FILE).read_bytes(), "text/html")
            else:
                self.send_error(404)

        def _answer(self, content: bytes, kind: str, policy: str = "") -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            if policy:
                self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    """Serve until standard input ends; say the port first, and the CPU time last."""
    leave_signals_to_parent()
    if hasattr(os, "nice"):
        os.nice(10)
    state = RunState()
    try:
        server = serve(state, int(sys.argv[1]))
    except OSError as error:
        print("this port is taken" if error.errno == errno.EADDRINUSE else error.strerror)
        return
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for line in sys.stdin:
        state.watch(Path(line.rstrip("\n")))
    state.over = True
    if time.monotonic() - state.asked_at < 3 * _EVERY_S:
        time.sleep(_LEAVE_S)
    print(f"{sum(os.times()[:2]):.2f}", flush=True)


if __name__ == "__main__":
    main()
