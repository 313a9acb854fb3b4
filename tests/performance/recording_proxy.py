"""What the recording proxy adds to a request: `python tests/performance/recording_proxy.py`.

Requests with a history of 64k tokens (256 KB) go to a server that answers at once, directly and
through the proxy in turns, each in a process of its own. Promise: less than 1 ms at the median, to
the first byte and to the last, on a machine that does nothing else; and less than 1 ms of CPU time
of the thread that passes on, which other load hardly changes. Exits with 1 if the latter is broken.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.address import Address
from bench.recorder.recording import proxying
from bench.recorder.writing import Writer

LIMIT_MS = 1.0
ROUNDS = 100
LINE = b'{"message":{"role":"assistant","content":"word "},"done":false}\n'
LAST = b'{"message":{"content":""},"done":true,"prompt_eval_count":64000,"eval_count":64}\n'
REPLY = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in [LINE] * 64 + [LAST])
    + b"0\r\n\r\n"
)


class Server(asyncio.Protocol):
    """Answers as soon as a request is whole."""

    def connection_made(self, transport):
        self.transport, self.seen, self.wanted = transport, bytearray(), None

    def data_received(self, data):
        self.seen += data
        end = self.seen.find(b"\r\n\r\n")
        if self.wanted is None and end >= 0:
            head = self.seen[:end].lower()
            self.wanted = end + 4 + int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if self.wanted is not None and len(self.seen) >= self.wanted:
            self.seen.clear()
            self.wanted = None
            self.transport.write(REPLY)


def serve(pipe) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Server, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(run())


def proxy(pipe, target: int, folder: str) -> None:
    async def run() -> None:
        writer = Writer(Path(folder) / "sessions.jsonl")
        address = Address.parse(f"http://127.0.0.1:{target}")
        async with proxying(address, writer, 0, print) as url:
            loop = asyncio.get_running_loop()
            loop.add_reader(pipe.fileno(), lambda: pipe.send((pipe.recv(), time.thread_time())[1]))
            pipe.send(int(url.rsplit(":", 1)[1]))
            await asyncio.Event().wait()

    asyncio.run(run())


def started(work, *arguments) -> tuple[multiprocessing.Process, int, object]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=work, args=(there, *arguments), daemon=True)
    process.start()
    return process, here.recv(), here


def ask(connection: http.client.HTTPConnection, body: bytes) -> tuple[float, float]:
    """Milliseconds to the first byte, and to the last."""
    start = time.perf_counter()
    connection.request("POST", "/api/chat", body)
    reply = connection.getresponse()
    reply.read(1)
    first = time.perf_counter()
    reply.read()
    return (first - start) * 1e3, (time.perf_counter() - start) * 1e3


def passing_s(pipe) -> float:
    """CPU time of the thread that passes on."""
    pipe.send("?")
    return pipe.recv()


def message(number: int) -> dict[str, str]:
    return {"role": ("user", "assistant")[number % 2], "content": f"{number} words of it " * 60}


def main() -> int:
    history = [message(number) for number in range(100)]
    with tempfile.TemporaryDirectory() as folder:
        server, port, _ = started(serve)
        between, behind, pipe = started(proxy, port, folder)
        connections = [http.client.HTTPConnection("127.0.0.1", p) for p in (port, behind)]
        times: list[list[tuple[float, float]]] = [[], []]
        for number in range(ROUNDS + 20):  # a session that grows
            history += [message(len(history)), message(len(history) + 1)]
            body = json.dumps({"model": "m", "messages": history}).encode()
            if number == 20:
                before = passing_s(pipe)
            for which in (number % 2, 1 - number % 2):
                measured = ask(connections[which], body)
                if number >= 20:
                    times[which].append(measured)
                time.sleep(0.002)
        used_ms = (passing_s(pipe) - before) / ROUNDS * 1e3
        between.terminate()
        server.terminate()
    for place, what in enumerate(("first byte", "last byte")):
        direct, through = (statistics.median(t[place] for t in side) for side in times)
        pairs = sorted(b[place] - a[place] for a, b in zip(*times, strict=True))
        added = statistics.median(pairs)
        print(
            f"{what}: direct {direct:.2f} ms, through the proxy {through:.2f} ms, added "
            f"{added:.2f} ms at the median, {pairs[int(0.95 * len(pairs))]:.2f} ms at p95 "
            f"({len(body) / 1e3:,.0f} kB a request)"
        )
    print(f"CPU time of passing on: {used_ms:.2f} ms a request")
    return int(used_ms >= LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
