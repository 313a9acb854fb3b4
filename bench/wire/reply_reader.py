"""From the bytes of a response body to lines, within limits; what the lines say is the dialect's.

Every transport hands its body bytes here, with the stamp of the read they came in. The stamp is
taken before anything here runs, so how long this takes bends no number.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from bench.wire.errors import MAX_ERROR_CHARS, redirect_text, unreadable_text
from bench.wire.exchange import Call, Outcome, Reply, Trouble

_MAX_ERROR_BYTES = 64 * 1024
_CHECK_BYTES = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PIECE = 64 * 1024
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """Whatever a server sends counts against one of these, so that no reply fills the memory.

    Attributes:
        head_bytes: of a response's status line and headers; and of all that frames a body (sizes
            and extensions of chunks, trailers), on top of 16 bytes for each of the body's.
        line_bytes: of one line of a stream.
        lines: of a stream: each keeps a time stamp.
        whole_bytes: of a reply that is not streamed, and of the text of one that is.
        body_bytes: of a whole stream, decompressed.
    """

    head_bytes: int = 256 * 1024
    line_bytes: int = 4 * _MIB
    lines: int = 4_000_000
    whole_bytes: int = 16 * _MIB
    body_bytes: int = 512 * _MIB


LIMITS = ReplyLimits()


class Inflate:
    """Takes gzip or deflate off a body, a bounded piece at a time.

    Attributes:
        complete: what came so far ends where a compressed body may end.

    Raises:
        ValueError: the body has another coding.
    """

    def __init__(self, coding: str) -> None:
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise ValueError(f"encoded with {coding[:40]!r}, which was not asked for")
        self._restart()

    def _restart(self) -> None:
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self.complete = False

    def __call__(self, data: bytes) -> Iterator[bytes]:
        """What these bytes hold, in pieces of at most 64 KiB.

        A gzip body may have several members (RFC 1952); what else follows its end is passed over.

        Raises:
            ValueError: they cannot be decompressed.
        """
        if self.complete and data.startswith(b"\x1f"):
            self._restart()
        try:
            while not self.complete:
                plain = self._inflate.decompress(data, _PIECE)
                data = self._inflate.unconsumed_tail
                self.complete = self._inflate.eof
                yield plain
                if self.complete and self._inflate.unused_data.startswith(b"\x1f"):
                    data = self._inflate.unused_data
                    self._restart()
                elif not data and len(plain) < _PIECE:
                    return
        except zlib.error as error:
            raise ValueError(f"broken: {error}") from error


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
        *("_body", "_body_bytes", "_call", "_check_at", "_inflate", "_limits", "_lines", "broken"),
        *("reply", "stamp", "verdict"),
    )

    def __init__(self, call: Call, limits: ReplyLimits = LIMITS) -> None:
        self.reply = Reply()
        self.stamp = 0
        self.verdict: Outcome | None = None
        self.broken = False
        self._call = call
        self._limits = limits
        # What cannot be understood yet: the start of a line, or all of a body that is no stream.
        self._body = bytearray()
        self._body_bytes = 0
        self._check_at = 0
        self._inflate: Inflate | None = None
        self._lines = call.dialect(self.reply)

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
        if coding not in ("", "identity"):
            try:
                self._inflate = Inflate(coding)
            except ValueError as e:
                self.refuse(f"the body is {e}")

    def feed(self, data: bytes) -> None:
        """Body bytes, without transfer coding, of the read at `stamp`."""
        if self.broken:
            return
        if self._inflate is not None:
            self._feed_compressed(self._inflate, data)
        elif not self._body and data.find(b"\n") == len(data) - 1 and self.streams:
            # The usual case: one whole line.
            self._body_bytes += len(data)
            if self._body_bytes <= self._check_at or self._within_limits():
                trouble = self._lines.line(data, self.stamp)
                if trouble is not None:
                    self._note(trouble)
        else:
            self._feed_plain(data)

    def feed_each(self, pieces: list[bytes], stamps: array[int]) -> None:
        """Body bytes of several reads, each with its stamp."""
        if self._feed_lines_at_once(pieces, stamps):
            return
        for piece, stamp in zip(pieces, stamps, strict=True):
            self.stamp = stamp
            self.feed(piece)

    def _feed_lines_at_once(self, pieces: list[bytes], stamps: array[int]) -> bool:
        """The same in bulk, where each piece is a line of the kind that a stream mostly has.

        False, and nothing done, if there is anything else among them.
        """
        if self._body or self._inflate is not None or not self._lines.takes_many:
            return False
        block = b"".join(pieces)
        if block.count(b"\n") != len(pieces) or {p[-1:] for p in pieces} != {b"\n"}:
            return False
        if not self._lines.many(block, stamps):
            return False
        self._count_bytes(len(block))
        return True

    def _count_bytes(self, n: int) -> bool:
        self._body_bytes += n
        return self._body_bytes <= self._check_at or self._within_limits()

    def _within_limits(self) -> bool:
        """Look now, and when some more has come."""
        limits = self._limits
        whole_bytes = limits.whole_bytes + self._call.more_bytes
        kept = self._lines.size if self.streams else len(self._body)
        if self._body_bytes > limits.body_bytes:
            self.refuse(f"the body is longer than {limits.body_bytes} bytes")
        elif kept > whole_bytes and (self.streams or self.reply.status == 200):
            self.refuse(f"the reply is longer than {whole_bytes} bytes")
        elif len(self.reply.chunk_ns) > limits.lines:
            self.refuse(f"the reply has more than {limits.lines} lines")
        self._check_at = min(self._body_bytes + _CHECK_BYTES, limits.body_bytes)
        return not self.broken

    def _feed_compressed(self, inflate: Inflate, data: bytes) -> None:
        try:
            for plain in inflate(data):
                self._feed_plain(plain)
                if self.broken:
                    return
        except ValueError as e:
            self.refuse(f"the compressed body is {e}")

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
            # A line arrived with the read that brought its last byte.
            self._note(self._lines.line(line, self.stamp))
        rest += data[start:]
        if len(rest) > self._limits.line_bytes:
            self.refuse(f"a line is longer than {self._limits.line_bytes} bytes")

    def end_of_body(self) -> None:
        """The body has ended as HTTP says it should."""
        if self.broken:
            return
        if self._inflate is not None and not self._inflate.complete:
            self._note(Trouble(Outcome.DISCONNECTED, "the compressed body ends in the middle"))
            return
        if self.streams:
            if self._body:
                self._note(self._lines.line(bytes(self._body), self.stamp))
        elif self.reply.status == 200:
            self._note(self._lines.whole(bytes(self._body)))
        if self.verdict is None:
            self._note(self._lines.end())
            self.verdict = self.verdict or Outcome.OK

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
            reply.error = self._lines.http_error(reply.status, bytes(self._body))
        reply.outcome = self.verdict or outcome
        if not reply.error and reply.outcome is not Outcome.OK:
            reply.error = error[:MAX_ERROR_CHARS]
        reply.end_ns = end_ns
        self._lines.close(keep=self._call.keep_text and reply.status == 200)
        return reply

    def unreadable(self, error: Exception, end_ns: int) -> Reply:
        """Close a reply that something in it made impossible to read."""
        reply = self.reply
        reply.outcome = Outcome.MALFORMED
        reply.error = unreadable_text(error)
        reply.end_ns = end_ns
        return reply

    def refuse(self, error: str) -> None:
        """Not what this server should send: give up on this response."""
        self._note(Trouble(Outcome.MALFORMED, error))

    def _note(self, trouble: Trouble | None) -> None:
        """What was found in the bytes; after a malformed line nothing more is understood."""
        if trouble is None:
            return
        if self.verdict is None:
            self.verdict = trouble.outcome
            self.reply.error = trouble.error[:MAX_ERROR_CHARS]
        if trouble.outcome is Outcome.MALFORMED:
            self.broken = True
