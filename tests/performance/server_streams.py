"""How exactly the simulated front keeps its deadlines with many streams at once.

    python tests/performance/server_streams.py [--streams 500] [--tokens 400] [--realtime]

Runs that many streams of 20 tokens/s of one model, all at once, with the server bound to one core
and the draining client to the others, and prints how late the lines were handed to the socket.
Required on an idle machine: p99 within 5 ms. On a busy one `--realtime` (as root) gives the server
its core whenever it wants it, which comes to the same.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from bench.server.embedded import start_server

STEP_MS = 50.0
SAMPLE_MS = 0.098

PROFILE = """
name: streams
description: many streams of 20 tokens a second (invented)
invented: true
device: {{description: none}}
models:
  - name: stream:latest
    family: llama
    parameters: 1.0e9
    quantization: Q4_0
    size_gb: 0.6
    layers: 16
    embedding_length: 2048
    context_length: 8192
    cold_load_s: 0.01
    warm_load_s: 0.01
    prefill_tok_per_s: 1.0e7
    step_ms: {step_ms}
    sample_ms: {sample_ms}
    output_tokens: {{median: 100000, p95: 100000}}
"""


class Drain(asyncio.Protocol):
    """Sends one request and reads the reply, looking for its end only."""

    def __init__(self, body: bytes, done: asyncio.Future[None]) -> None:
        self._body = body
        self._done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(
            b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
            % (len(self._body), self._body)
        )

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"0\r\n\r\n") and not self._done.done():
            self._done.set_result(None)


async def drive(url: str, streams: int, tokens: int) -> None:
    """All the streams, from the first request to the last line."""
    loop = asyncio.get_running_loop()
    host, port = url.removeprefix("http://").split(":")
    waits = []
    for number in range(streams):
        body = b'{"model":"stream","prompt":"%d","options":{"num_predict":%d}}' % (number, tokens)
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        await loop.create_connection(lambda b=body, d=done: Drain(b, d), host, int(port))
    await asyncio.gather(*waits)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--realtime", action="store_true")
    arguments = parser.parse_args()
    streams, tokens = arguments.streams, arguments.tokens
    # The sequences of a batch are sampled one after the other, so their deadlines are spread.
    step_ms = STEP_MS - SAMPLE_MS * streams
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "streams.yaml"
        path.write_text(PROFILE.format(step_ms=max(step_ms, 0.5), sample_ms=SAMPLE_MS))
        with start_server(profile=path, num_parallel=streams, num_ctx=2048) as server:
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(server.pid, cores[:1])
            os.sched_setaffinity(0, cores[1:] or cores)
            if arguments.realtime:
                os.sched_setscheduler(server.pid, os.SCHED_FIFO, os.sched_param(1))
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            process = psutil.Process(server.pid)
            began, cpu = time.monotonic(), process.cpu_times()
            asyncio.run(drive(server.url, streams, tokens))
            wall, used = time.monotonic() - began, process.cpu_times()
            time.sleep(0.5)
            records = server.truth
    late = np.concatenate(
        [np.subtract(r.line_sent_ns, r.line_due_ns)[10:] for r in records if r.line_due_ns]
    )
    p50, p99, worst = np.percentile(late, [50, 99, 100]) / 1e6
    busy = (used.user + used.system - cpu.user - cpu.system) / wall
    print(f"{streams} streams, {len(late)} lines in {wall:.1f} s ({len(late) / wall:.0f} lines/s)")
    print(f"late: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {worst:.2f} ms; server CPU {busy:.0%}")


if __name__ == "__main__":
    main()
