"""What Ollama's lines say: the half of reading a reply that knows the dialect."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from bench.ollama.error_bodies import body_error
from bench.ollama.odd_lines import read_odd_line
from bench.ollama.output_text import OutputText
from bench.ollama.reply_lines import (
    MAX_CALLS,
    NOTHING,
    UNREADABLE,
    DoneLine,
    Line,
    decode_done,
    decode_line,
    decode_lines,
    excerpt,
    other_fields,
    read_calls,
)
from bench.wire.exchange import Call, Outcome, Reply, Trouble


class OllamaLines:
    """Fills one `Reply` from Ollama's lines; see `bench.wire.exchange.ReplyLines`."""

    __slots__ = ("_calls", "_done", "_model", "_output", "_reasoned", "_reply")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._model: Any = None
        self._done = False
        # The last line that gave a reason for the end without saying that it is the end.
        self._reasoned: tuple[DoneLine, bytes] | None = None
        self._calls: list[msgspec.Raw] = []
        self._output = OutputText(reply)

    @property
    def size(self) -> int:
        """Bytes of text kept so far."""
        return self._output.size

    @property
    def takes_many(self) -> bool:
        """Whether the answer is under way, so that most lines bring a bit of it."""
        reply = self._reply
        begun = reply.first_answer_ns is not None and bool(reply.created_at_first)
        return begun and not self._done

    def many(self, block: bytes, stamps: array[int]) -> bool:
        """Take lines with a bit of the answer each; False if there is anything else among them."""
        reply = self._reply
        try:
            lines = decode_lines(block)
        except UNREADABLE:
            return False
        model = self._model
        if len(lines) != len(stamps) or any(line.special(model) for line in lines):
            return False
        texts = [line.content() for line in lines]
        for text, stamp in zip(texts, stamps, strict=True):
            if text:
                reply.text_chunks += 1
                reply.last_text_ns = stamp
        self._output.add_answer("".join(texts))
        reply.coalesced += len(stamps) - len(set(stamps)) + (reply.chunk_ns[-1] == stamps[0])
        reply.chunk_ns.extend(stamps)
        dated = (line.created_at for line in reversed(lines) if line.created_at)
        reply.created_at_last = next(dated, reply.created_at_last)
        return True

    def line(self, data: bytes, stamp: int) -> Trouble | None:
        """One line of a stream."""
        if self._done or data.isspace():
            return self._out_of_place(data)
        self._reply.chunk(stamp)
        line = self._decode(data, decode_line)
        if isinstance(line, Trouble):
            return line
        of = line if line.message is None else line.message
        self._output.add(of.thinking, line.content(), stamp)
        if of.tool_calls is not NOTHING:
            self._count_calls(line)
        if line.done or line.done_reason:
            whole = line if isinstance(line, DoneLine) else self._decode(data, decode_done)
            if isinstance(whole, Trouble):
                return whole
            if isinstance(whole, DoneLine):
                self._take_done(whole, data)
        return None

    def _out_of_place(self, data: bytes) -> Trouble | None:
        """A blank line is none; one after the end is worth a note, or an error if it is one."""
        if data.isspace():
            return None
        self._odd("done")
        try:
            failure = decode_line(data).failure()
        except UNREADABLE:
            return None
        return Trouble(Outcome.STREAM_ERROR, failure) if failure else None

    def _odd(self, *names: str) -> None:
        reply = self._reply
        reply.odd += tuple(n for n in dict.fromkeys(names) if n not in reply.odd)

    def _decode(self, data: bytes, decode: Callable[[bytes], Line]) -> Line | Trouble:
        """The line, unless it is an error or not Ollama's."""
        reply = self._reply
        try:
            line = decode(data)
        except UNREADABLE as e:
            found = read_odd_line(data)
            if found is None:
                why = f"not what Ollama sends: {e}: {excerpt(data)}"
                return Trouble(Outcome.MALFORMED, why)
            line, lost = found
            self._odd(*lost)
        if line.error is not NOTHING and (failure := line.failure()):
            return Trouble(Outcome.STREAM_ERROR, failure)
        if line.model != self._model:
            self._model = line.model
            reply.answers(line.model)
        if line.created_at:
            if not reply.created_at_first:
                reply.created_at_first = line.created_at
            reply.created_at_last = line.created_at
        return line

    def _count_calls(self, line: Line) -> None:
        calls = line.calls()
        if calls is None:
            self._odd("tool_calls")
        else:
            self._reply.tool_calls += len(calls)
            self._calls += calls[: MAX_CALLS - len(self._calls)]  # kept; all are counted

    def _take_done(self, line: DoneLine, data: bytes) -> None:
        """The last line: with `done: true`, or with a reason why the reply is over."""
        if not line.done:
            self._reasoned = (line, data)
            return
        self._done = True
        reply = self._reply
        reply.done_reason = line.done_reason
        reply.remote_model = line.remote_model or ""
        reply.server, lost = line.timings()
        self._odd(*lost)
        reply.other_fields = other_fields(data, line)

    def whole(self, data: bytes) -> Trouble | None:
        """A reply that is not streamed: one JSON object."""
        line = self._decode(data, decode_done)
        if isinstance(line, Trouble):
            return line
        assert isinstance(line, DoneLine)
        of = line if line.message is None else line.message
        self._output.add_whole(of.thinking or "", line.content())
        self._count_calls(line)
        if line.done or line.done_reason:
            self._take_done(line, data)
        return None

    def end(self) -> Trouble | None:
        """Whether the last line, or what stands for it, has come."""
        if self._reasoned is not None and not self._done:
            line, data = self._reasoned
            line.done = True
            self._odd("done")
            self._take_done(line, data)
        if self._done:
            return None
        return Trouble(Outcome.ABORTED, "the reply ended without done: true")

    def http_error(self, status: int, body: bytes) -> str:
        """What the body of a failed answer says."""
        return body_error(status, body)

    def close(self, keep: bool) -> None:
        """Put length and hash of the text into the reply, and the text itself if `keep`."""
        self._output.close(keep)
        if keep:
            self._reply.calls = read_calls(self._calls)


ollama_call = partial(Call, dialect=OllamaLines)
"""A `Call` whose reply is read as Ollama's."""
