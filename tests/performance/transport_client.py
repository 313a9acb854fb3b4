"""One stage of the transport benchmark, in a process of its own; prints one JSON object.

python transport_client.py streams   --port P --streams N --rounds R --spread-s S --stamps FILE
python transport_client.py short     --port P --streams N --requests R
python transport_client.py memory    --port P --streams N
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.address import Address
from bench.clock import NS, RealClock
from bench.load.watch import quiet
from bench.ollama.line_reader import ollama_call
from bench.wire.exchange import Outcome, Reply, Transport
from bench.wire.transports import choose_transport, run_measuring

CALL = ollama_call("/api/chat", b'{"model":"null:1b","stream":true}')
SHORT = ollama_call("/api/chat", b'{"model":"null:1b","stream":false}', stream=False)


class Meter:
    """CPU and wall time of this process between two moments."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def read(self) -> dict[str, float]:
        return {
            "cpu_s": time.process_time() - self._cpu,
            "wall_s": time.monotonic() - self._wall,
        }


def connect(args: argparse.Namespace) -> Transport:
    transport, _ = choose_transport(
        Address.parse(f"http://127.0.0.1:{args.port}", environ={}), args.transport
    )
    return transport


def tally(transport: Transport, replies: list[Reply]) -> dict[str, Any]:
    outcomes = Counter(str(r.outcome) for r in replies)
    return {
        "outcomes": dict(outcomes),
        "errors": sorted({r.error for r in replies if r.error})[:3],
        "reads": transport.counters.reads,
        "coalesced": transport.counters.coalesced,
        "user_stamps": transport.counters.user_stamps,
        "connections": transport.counters.connections,
    }


async def streams(args: argparse.Namespace) -> dict[str, Any]:
    """Streams held by as many users, each asking again as soon as it has its answer."""
    transport = connect(args)
    await transport.open(args.streams)
    clock = RealClock()
    replies: list[Reply] = []
    start_ns = clock.now_ns()

    async def user(i: int) -> None:
        await clock.sleep_until(start_ns + round(i * args.spread_s * NS / args.streams))
        for _ in range(args.rounds):
            reply = await transport.send(CALL)
            replies.append(reply)

    with quiet():
        meter = Meter()
        await asyncio.gather(*(user(i) for i in range(args.streams)))
        used = meter.read()
    found = tally(transport, replies)
    await transport.aclose()
    if args.stamps:
        import numpy as np  # late: its threads would count as CPU of the client

        numbers = np.array([int(r.created_at_first or 0) for r in replies], np.int64)
        sizes = np.array([len(r.chunk_ns) for r in replies], np.int64)
        stamps = np.concatenate([np.frombuffer(r.chunk_ns, np.int64) for r in replies])
        np.savez(args.stamps, streams=numbers, sizes=sizes, stamps=stamps)
    return {**used, **found, "lines": sum(len(r.chunk_ns) for r in replies)}


async def short(args: argparse.Namespace) -> dict[str, Any]:
    """Small answers that are not streamed, as fast as they go."""
    transport = connect(args)
    await transport.open(args.streams)
    replies: list[Reply] = []
    left = args.requests

    async def user() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            replies.append(await transport.send(SHORT))

    with quiet():
        meter = Meter()
        await asyncio.gather(*(user() for _ in range(args.streams)))
        used = meter.read()
    found = tally(transport, replies)
    await transport.aclose()
    return {**used, **found, "requests": len(replies)}


async def memory(args: argparse.Namespace) -> dict[str, Any]:
    """Resident memory that each open stream adds, once every stream is under way."""
    transport = connect(args)
    await transport.open(8)
    await asyncio.gather(*(transport.send(SHORT) for _ in range(8)))
    before = rss_bytes()
    await transport.open(args.streams)
    pending = [transport.send(CALL) for _ in range(args.streams)]
    await asyncio.sleep(args.seconds)
    after = rss_bytes()
    chunks = transport.counters.reads / args.streams
    await transport.aclose()
    await asyncio.gather(*pending)
    return {"bytes_per_stream": (after - before) / args.streams, "chunks_per_stream": chunks}


async def leak(args: argparse.Namespace) -> dict[str, Any]:
    """What grows between the first fifth of many requests and the last, streamed and not."""
    before = descriptors()
    transport = connect(args)
    await transport.open(args.streams)
    grown_from = 0

    async def user(requests: int) -> None:
        for i in range(requests):
            reply = await transport.send(SHORT if i % 2 else CALL)
            assert reply.outcome is Outcome.OK, reply.error

    for part in range(5):
        await asyncio.gather(
            *(user(args.requests // 5 // args.streams) for _ in range(args.streams))
        )
        if part == 0:
            grown_from = rss_bytes()
    grown = rss_bytes() - grown_from
    await transport.aclose()
    return {"grown_bytes": grown, "descriptors_left": descriptors() - before}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


STAGES = {
    "streams": streams,
    "short": short,
    "memory": memory,
    "leak": leak,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stage", choices=list(STAGES))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--transport", default=None)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--spread-s", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--stamps", default="")
    args = parser.parse_args()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, args.streams + 200)), hard))
    print(json.dumps(run_measuring(STAGES[args.stage](args))))


if __name__ == "__main__":
    main()
