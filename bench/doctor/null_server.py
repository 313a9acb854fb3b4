"""A server that does nothing but answer on time, and notes when it did: for the self-test.

Run by `bench.children.module_command`. The first line on stdout is its port. The body of a
request says how the answer comes: `{"stream": true, "tokens": 100, "gap_ns": 10000000, "first_ns":
0}`: so many lines, each in a write of its own, the k-th due `first_ns + k * gap_ns` after the
request had been read. Right before each write it notes CLOCK_MONOTONIC. `{"stream": false}`, or
no body at all, gets one object at once. It ends when its stdin is closed, and then writes its notes
on stdout: one JSON object, number of the stream -> times in ns. That number stands in `created_at`.

It has a thread of its own and no event loop, and does not sleep for less than a millisecond.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import selectors
import socket
import sys
import threading
import time
from array import array
from dataclasses import dataclass, field

import msgspec

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_BEFORE = b'{"model":"null","created_at":"%d","message":{"role":"assistant","content":"'
_TOKEN = _BEFORE + b' word"},"done":false}\n'
_DONE = (
    _BEFORE + b'"},"done":true,"done_reason":"length","total_duration":1000000,"load_duration":1000'
    b',"prompt_eval_count":10,"prompt_eval_duration":1000,"eval_count":%d,"eval_duration":1000000}\n'
)
_GRAIN_NS = 1_000_000  # what `select` cannot sleep for more exactly


class NullRequest(msgspec.Struct):
    """The body of a request."""

    stream: bool = True
    tokens: int = 1
    gap_ns: int = 0
    first_ns: int = 0


@dataclass(order=True, slots=True)
class _Stream:
    """An answer under way; the one that is due first comes first."""

    due_ns: int
    number: int
    peer: socket.socket = field(compare=False)
    asked: NullRequest = field(compare=False)
    line: int = field(default=0, compare=False)


class NullServer:
    """Serves on a loopback port until its input closes."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.notes: dict[int, array[int]] = {}
        self.stopped = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._read: dict[socket.socket, bytes] = {}
        self._due: list[_Stream] = []
        self._decoder = msgspec.json.Decoder(NullRequest)

    def serve(self) -> None:
        """Answer until `stopped`."""
        while not self.stopped:
            for key, _ in self._selector.select(self._pause_s()):
                peer = key.fileobj
                if peer is self._listener:
                    self._accept()
                elif isinstance(peer, socket.socket):
                    self._readable(peer)
            self._send_due()

    def _pause_s(self) -> float:
        """How long there is nothing to do, in whole milliseconds, for `select` rounds up."""
        if not self._due:
            return 0.05
        left_ns = self._due[0].due_ns - time.monotonic_ns()
        return max(0, left_ns // _GRAIN_NS) / 1000

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                peer, _ = self._listener.accept()
                peer.setblocking(False)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._read[peer] = b""
                self._selector.register(peer, selectors.EVENT_READ)

    def _readable(self, peer: socket.socket) -> None:
        try:
            data = peer.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up(peer)
            return
        self._read[peer] += data
        head, end, body = self._read[peer].partition(b"\r\n\r\n")
        if not end or len(body) < _content_length(head):
            return
        self._read[peer] = b""
        asked = self._decoder.decode(body) if body else NullRequest(stream=False)
        if asked.stream:
            number = len(self.notes) + 1
            self.notes[number] = array("q")
            due_ns = time.monotonic_ns() + asked.first_ns
            heapq.heappush(self._due, _Stream(due_ns, number, peer, asked))
        else:
            whole = _DONE % (0, 1)
            self._send(peer, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(whole) + whole)

    def _send_due(self) -> None:
        now_ns = time.monotonic_ns()
        while self._due and self._due[0].due_ns <= now_ns:
            stream = self._due[0]
            if self._send_line(stream):
                stream.due_ns += stream.asked.gap_ns
                heapq.heapreplace(self._due, stream)
            else:
                heapq.heappop(self._due)
            now_ns = time.monotonic_ns()

    def _send_line(self, stream: _Stream) -> bool:
        """Send the line that is due; False when the answer is over."""
        last = stream.line == stream.asked.tokens
        line = _DONE % (stream.number, stream.line) if last else _TOKEN % stream.number
        data = b"%x\r\n%s\r\n" % (len(line), line)
        if stream.line == 0:
            data = _HEAD + data
        stream.line += 1
        self.notes[stream.number].append(time.monotonic_ns())
        self._send(stream.peer, data)
        if last:
            self._send(stream.peer, b"0\r\n\r\n")
        return not last

    def _send(self, peer: socket.socket, data: bytes) -> None:
        """A reader that does not keep up loses its connection: then there is nothing to measure."""
        try:
            sent = peer.send(data)
        except OSError:
            sent = 0
        if sent < len(data):
            self._hang_up(peer)

    def _hang_up(self, peer: socket.socket) -> None:
        if self._read.pop(peer, None) is None:
            return
        self._due = [s for s in self._due if s.peer is not peer]
        heapq.heapify(self._due)
        self._selector.unregister(peer)
        peer.close()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def main() -> None:
    """Serve until stdin is closed, then write the notes."""
    server = NullServer()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()

    def wait() -> None:
        sys.stdin.buffer.read()
        server.stopped = True

    threading.Thread(target=wait, daemon=True).start()
    server.serve()
    notes = {str(number): list(times) for number, times in server.notes.items()}
    sys.stdout.buffer.write(msgspec.json.encode(notes))
    sys.stdout.buffer.flush()
    os._exit(0)  # sockets need no farewell


if __name__ == "__main__":
    main()
