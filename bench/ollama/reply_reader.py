"""From the bytes of a response body to a `Reply`: lines, text, error lines, the done line.

Every transport hands its body bytes here, with the stamp of the read they came in. The stamp is
taken before anything here runs, so how long this takes bends no number.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from bench.ollama.exchange import Call, Outcome, Reply
from bench.ollama.output_text import OutputText
from bench.ollama.reply_lines import (
    MAX_ERROR_CHARS,
    DoneLine,
    Line,
    body_error,
    decode_done,
    decode_line,
    decode_lines,
    error_text,
    excerpt,
    redirect_text,
)

_MAX_ERROR_BYTES = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server may send before it is taken for broken.

    Attributes:
        head_bytes: of a response's status line and headers.
        line_bytes: of one line of a stream.
        body_bytes: of a whole body, decompressed.
    """

    head_bytes: int = 256 * 1024
    line_bytes: int = 16 * 1024 * 1024
    body_bytes: int = 512 * 1024 * 1024


LIMITS = Limits()


class ReplyReader:
    """Fills one `Reply` from the body bytes that `feed` gets.

    Attributes:
        reply: what is being filled; complete after `finish`.
        stamp: arrival of the read whose bytes are fed next, CLOCK_MONOTONIC nanoseconds; before
            the first, when the request was sent.
        verdict: an outcome found in the bytes, None while all is well. The first one stays.
        broken: nothing that follows can be understood: stop reading.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_call",
        "_done",
        "_inflate",
        "_limits",
        "_output",
        "broken",
        "reply",
        "stamp",
        "verdict",
    )

    def __init__(self, call: Call, limits: Limits = LIMITS) -> None:
        self.reply = Reply()
        self.stamp = 0
        self.verdict: Outcome | None = None
        self.broken = False
        self._call = call
        self._limits = limits
        # What cannot be understood yet: the start of a line, or all of a body that is no stream.
        self._body = bytearray()
        self._body_bytes = 0
        self._inflate: Any = None
        self._done = False
        self._output = OutputText(self.reply)

    @property
    def streams(self) -> bool:
        """Whether the body is a stream of lines, not one object or an error."""
        return self._call.stream and self.reply.status == 200

    def head(self, status: int, encoding: str = "", location: str = "") -> None:
        """The response head is complete.

        Args:
            status: HTTP status, not 1xx.
            encoding: Content-Encoding, "" if none.
            location: Location of a redirect.
        """
        reply = self.reply
        reply.status = status
        reply.headers_ns = self.stamp
        if status != 200:
            self.verdict = Outcome.HTTP_ERROR
            if status in _REDIRECTS:
                reply.error = redirect_text(status, location)
        coding = encoding.strip().lower()
        if coding in ("gzip", "x-gzip", "deflate"):
            self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        elif coding not in ("", "identity"):
            self.refuse(f"the body is encoded with {coding!r}, which was not asked for")

    # --- the body -------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Body bytes, without transfer coding, of the read at `stamp`."""
        if self.broken:
            return
        if self._inflate is not None:
            self._feed_compressed(data)
        elif not self._body and data.find(b"\n") == len(data) - 1 and self.streams:
            # The usual case: one whole line.
            self._body_bytes += len(data)
            self._arrived(data)
        else:
            self._feed_plain(data)

    def feed_each(self, pieces: list[bytes], stamps: array[int]) -> None:
        """Body bytes of several reads, each with its stamp."""
        if self._feed_tokens(pieces, stamps):
            return
        for piece, stamp in zip(pieces, stamps, strict=True):
            self.stamp = stamp
            self.feed(piece)

    def _feed_tokens(self, pieces: list[bytes], stamps: array[int]) -> bool:
        """The same in bulk, for what most of a stream is: lines with a bit of the answer.

        False, and nothing done, if there is anything else among them.
        """
        reply = self.reply
        if self._body or self._inflate is not None or self._done:
            return False
        if reply.first_answer_ns is None or not reply.created_at_first:
            return False
        block = b"".join(pieces)
        if block.count(b"\n") != len(pieces) or not all(p.endswith(b"\n") for p in pieces):
            return False
        try:
            lines = decode_lines(block)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        if len(lines) != len(pieces) or any(line.special() for line in lines):
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
        self._count_bytes(len(block))
        return True

    def _count_bytes(self, n: int) -> bool:
        """Whether the body is still within its limit."""
        self._body_bytes += n
        if self._body_bytes > self._limits.body_bytes:
            self.refuse(f"the body is longer than {self._limits.body_bytes} bytes")
        return not self.broken

    def _feed_compressed(self, data: bytes) -> None:
        while data and not self.broken and not self._inflate.eof:
            try:
                plain = self._inflate.decompress(data, 1 << 20)
            except zlib.error as e:
                self.refuse(f"the compressed body is broken: {e}")
                return
            data = self._inflate.unconsumed_tail
            self._feed_plain(plain)

    def _feed_plain(self, data: bytes) -> None:
        reply, body = self.reply, self._body
        if not self._count_bytes(len(data)):
            return
        if self.streams:
            self._feed_lines(data)
        else:
            if reply.first_chunk_ns is None:
                reply.first_chunk_ns = self.stamp
            body += data if reply.status == 200 else data[: _MAX_ERROR_BYTES - len(body)]

    def _feed_lines(self, data: bytes) -> None:
        start, rest = 0, self._body
        while (end := data.find(b"\n", start) + 1) and not self.broken:
            line = data[start:end]
            start = end
            if rest:
                line = bytes(rest) + line
                rest.clear()
            self._arrived(line)
        rest += data[start:]
        if len(rest) > self._limits.line_bytes:
            self.refuse(f"a line is longer than {self._limits.line_bytes} bytes")

    # --- lines ----------------------------------------------------------------------------------

    def _arrived(self, data: bytes) -> None:
        """A whole line of a stream; it arrived with the read that brought its last byte."""
        if data.isspace():
            return
        reply, stamp = self.reply, self.stamp
        chunk_ns = reply.chunk_ns
        if not chunk_ns:
            reply.first_chunk_ns = stamp
        elif chunk_ns[-1] == stamp:
            reply.coalesced += 1
        chunk_ns.append(stamp)
        self._line(data, stamp)

    def _line(self, data: bytes, stamp: int) -> None:
        """One line of a stream."""
        line = self._decode(data)
        if line is None:
            return
        of = line if line.message is None else line.message
        self._output.add(of.thinking, line.content(), stamp)
        if of.tool_calls:
            self.reply.tool_calls += len(of.tool_calls)
        if line.done:
            self._done_line(data)

    def _decode(self, data: bytes, decode: Callable[[bytes], Line] = decode_line) -> Line | None:
        """The line, or None if it is an error or not Ollama's; then the verdict is set."""
        reply = self.reply
        try:
            line = decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            self.refuse(f"not what Ollama sends: {e}: {excerpt(data)}")
            return None
        if line.error:
            self._fail(Outcome.STREAM_ERROR, error_text(line.error))
            return None
        if self._done:
            self.refuse(f"a line came after the one with done: true: {excerpt(data)}")
            return None
        if line.created_at:
            if not reply.created_at_first:
                reply.created_at_first = line.created_at
            reply.created_at_last = line.created_at
        return line

    def _done_line(self, data: bytes) -> None:
        """The line with `done: true`."""
        self._done = True
        try:
            self._take_done(decode_done(data))
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            self.refuse(f"the done line is not what Ollama sends: {e}: {excerpt(data)}")

    def _take_done(self, line: DoneLine) -> None:
        self._done = True
        reply = self.reply
        reply.done_reason = line.done_reason
        reply.remote_model = line.remote_model or ""
        reply.server = line.timings()

    # --- the end --------------------------------------------------------------------------------

    def end_of_body(self) -> None:
        """The body has ended as HTTP says it should."""
        if self.broken:
            return
        if self._inflate is not None and not self._inflate.eof:
            self._fail(Outcome.DISCONNECTED, "the compressed body ends in the middle")
            return
        if self.streams:
            if self._body:
                self._arrived(bytes(self._body))
        elif self.reply.status == 200:
            self._whole_body()
        if self.verdict is None:
            if self._done:
                self.verdict = Outcome.OK
            else:
                self._fail(Outcome.ABORTED, "the reply ended without done: true")

    def _whole_body(self) -> None:
        """A reply that is not streamed: one JSON object."""
        data = bytes(self._body)
        line = self._decode(data, decode_done)
        if line is None:
            return
        assert isinstance(line, DoneLine)
        of = line if line.message is None else line.message
        self._output.add_whole(of.thinking or "", line.content())
        self.reply.tool_calls = len(of.tool_calls or ())
        if line.done:
            self._take_done(line)

    def finish(self, outcome: Outcome, error: str, end_ns: int) -> Reply:
        """Close the reply.

        Args:
            outcome: how the exchange ended as the transport saw it; a verdict found in the bytes
                comes before it.
            error: what went wrong; not used if the bytes held the reason.
            end_ns: the last byte, or the moment of the failure.
        """
        reply = self.reply
        if reply.status is not None and reply.status != 200 and not reply.error:
            reply.error = body_error(bytes(self._body))
        reply.outcome = self.verdict or outcome
        if not reply.error and reply.outcome is not Outcome.OK:
            reply.error = error[:MAX_ERROR_CHARS]
        reply.end_ns = end_ns
        self._output.close(keep=self._call.keep_text and reply.status == 200)
        return reply

    # --- failures -------------------------------------------------------------------------------

    def _fail(self, outcome: Outcome, error: str) -> None:
        if self.verdict is None:
            self.verdict = outcome
            self.reply.error = error[:MAX_ERROR_CHARS]

    def refuse(self, error: str) -> None:
        """Not what Ollama sends: give up on this response."""
        self._fail(Outcome.MALFORMED, error)
        self.broken = True
