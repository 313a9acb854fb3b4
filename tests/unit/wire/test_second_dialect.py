"""Another server's language is another line half: `wire` reads its replies unchanged."""

from __future__ import annotations

import gzip
import json
from array import array
from functools import partial

import pytest

from bench.clock import VirtualClock, run_virtual
from bench.wire.exchange import Call, Outcome, Reply, Trouble
from bench.wire.http_reader import HttpReader
from bench.wire.reply_reader import ReplyLimits, ReplyReader
from bench.wire.transports import FakeTransport, ScriptedReply

COMMENT = b": keep-alive\n\n"
END = b"data: [DONE]\n\n"


class EventLines:
    """Reads events (`data: {"text": "a"}`) up to `data: [DONE]`; comments are no chunks."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.text: list[str] = []
        self.done = False
        self.takes_many = False

    @property
    def size(self) -> int:
        return sum(map(len, self.text))

    def many(self, block: bytes, stamps: array[int]) -> bool:
        return False

    def line(self, data: bytes, stamp: int) -> Trouble | None:
        if not data.startswith(b"data: "):
            return None
        value = data.removeprefix(b"data: ").strip()
        if value == b"[DONE]":
            self.done = True
            return None
        self.reply.chunk(stamp)
        return self.take(value, stamp)

    def take(self, value: bytes, stamp: int) -> Trouble | None:
        try:
            event = json.loads(value)
        except ValueError:
            return Trouble(Outcome.MALFORMED, "no event")
        if "error" in event:
            return Trouble(Outcome.STREAM_ERROR, event["error"])
        self.text.append(event["text"])
        if self.reply.first_answer_ns is None:
            self.reply.first_answer_ns = stamp
        self.reply.last_text_ns = stamp
        return None

    def whole(self, data: bytes) -> Trouble | None:
        self.done = True
        return self.take(data, self.reply.headers_ns or 0)

    def end(self) -> Trouble | None:
        return None if self.done else Trouble(Outcome.ABORTED, "no [DONE]")

    def http_error(self, status: int, body: bytes) -> str:
        return f"{status}: {body.decode()}"

    def close(self, keep: bool) -> None:
        self.reply.answer_chars = self.size
        if keep:
            self.reply.answer = "".join(self.text)


event_call = partial(Call, dialect=EventLines)
CALL = event_call("/v1/chat/completions", b"{}", keep_text=True)


def event(**value: str) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def wire(*chunks: bytes, head: bytes = b"") -> list[bytes]:
    """A response in reads: the head, then a chunk each, then the end."""
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + head + b"\r\n"
    return [start, *(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks), b"0\r\n\r\n"]


def read(reads: list[bytes], call: Call = CALL, limits: ReplyLimits = ReplyLimits()) -> Reply:  # noqa: B008
    """Read a response; the reads are stamped 1000, 2000, ..."""
    reader, http = ReplyReader(call, limits), HttpReader(limits)
    http.start(reader)
    for stamp, data in enumerate(reads, 1):
        http.feed(data, 1000 * stamp)
        if http.ended or reader.broken:
            break
    return reader.finish(Outcome.OK, "", 1000 * stamp)


def test_text_and_stamps_are_those_of_the_events() -> None:
    reply = read(wire(COMMENT, event(text="Hi"), COMMENT, event(text=" you"), END))
    assert (reply.outcome, reply.error, reply.answer) == (Outcome.OK, "", "Hi you")
    assert list(reply.chunk_ns) == [3000, 5000]
    assert (reply.headers_ns, reply.first_chunk_ns, reply.end_ns) == (1000, 3000, 7000)
    assert (reply.first_answer_ns, reply.last_text_ns) == (3000, 5000)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_however_the_bytes_are_cut(size: int) -> None:
    whole = b"".join(wire(event(text="Hi"), COMMENT, event(text=" you"), END))
    reply = read([whole[i : i + size] for i in range(0, len(whole), size)])
    assert (reply.outcome, reply.answer, len(reply.chunk_ns)) == (Outcome.OK, "Hi you", 2)


def test_the_body_half_serves_it_too() -> None:
    packed = gzip.compress(event(text="Hi") + END)
    assert read(wire(packed, head=b"Content-Encoding: gzip\r\n")).answer == "Hi"
    unended = read(wire(b"data: " + b"a" * 5000), limits=ReplyLimits(line_bytes=1000))
    assert unended.outcome is Outcome.MALFORMED and "a line is longer than" in unended.error
    much = read(wire(*[event(text="a" * 500)] * 300), limits=ReplyLimits(whole_bytes=10_000))
    assert much.outcome is Outcome.MALFORMED and "the reply is longer than" in much.error


def test_its_troubles_are_outcomes() -> None:
    failed = read(wire(event(text="Hi"), event(error="no memory"), END))
    assert (failed.outcome, failed.error) == (Outcome.STREAM_ERROR, "no memory")
    assert read(wire(event(text="Hi"))).outcome is Outcome.ABORTED
    broken = read(wire(event(text="Hi"), b"data: {\n\n", event(text="never read")))
    assert (broken.outcome, broken.error, broken.answer) == (Outcome.MALFORMED, "no event", "Hi")
    refused = read([b"HTTP/1.1 429 Slow\r\nContent-Length: 4\r\n\r\nwait"])
    assert (refused.outcome, refused.error) == (Outcome.HTTP_ERROR, "429: wait")


def test_over_a_transport_streamed_and_whole() -> None:
    async def answers() -> None:
        streamed = ScriptedReply(((0.1, event(text="Hi")), (0.2, event(text=" you") + END)))
        one = ScriptedReply(((0.3, b'{"text": "Hello"}'),))
        transport = FakeTransport([streamed, one], VirtualClock())
        first = await transport.send(CALL)
        second = await transport.send(event_call("/", b"", stream=False, keep_text=True))
        assert (first.outcome, first.answer) == (Outcome.OK, "Hi you")
        assert list(first.chunk_ns) == [100_000_000, 200_000_000]
        assert (second.outcome, second.answer, second.chunk_ns) == (Outcome.OK, "Hello", array("q"))

    run_virtual(answers())
