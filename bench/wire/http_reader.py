"""Reads the HTTP/1.x responses of one connection, by llhttp (`httptools`).

In the middle of a stream bytes are only put aside when they come, with the stamp of their read, and
understood some lines at a time. What is done at each read decides how many chunks a second one
process can follow, and code that runs right after a wake-up runs some three times slower than the
same code in a loop.
"""

from __future__ import annotations

from array import array
from typing import Any

import httptools

from bench.wire.errors import CUT, CUT_IN_HEAD, NO_RESPONSE, unreadable_text
from bench.wire.exchange import Call, Outcome, Unread
from bench.wire.reply_reader import LIMITS, ReplyLimits, ReplyReader

_BATCH_BYTES = 2048
_LINE_END = b"}\n\r\n"
"""How a chunk that is one line of JSON ends. No response ends so: it may be left for later."""

_NOBODY = ReplyReader(Call("", b"", dialect=Unread))
_NOBODY.stamp = -1
"""Stands for the call when none is under way."""
_FRAMING = 16
"""Bytes that may frame each byte of a body: a chunk of one byte has five."""
_NO_BODY = frozenset({204, 304})


class HttpReader:
    """Feeds the body of each response to the `ReplyReader` of its call.

    Attributes:
        ended: the response has ended, and properly.
        reusable: the connection may carry another request after this response.
        begun: at least one byte of the response has come.
        in_head: the head of the response is not complete yet.
        reader: of the call whose response is expected.
    """

    __slots__ = (
        *("_body_bytes", "_chunked", "_encoding", "_framing", "_head_bytes", "_limits"),
        *("_location", "_marks", "_may_wait", "_parser", "_pieces", "_sized", "_surplus_from"),
        *("_wire", "begun", "ended", "in_head", "on_body", "reader", "reusable"),
    )

    def __init__(self, limits: ReplyLimits = LIMITS) -> None:
        self._limits = limits
        self.reader = _NOBODY
        # Bytes not yet understood; for each read its stamp and where its bytes end.
        self._wire = bytearray()
        self._marks = array("q")
        self._pieces: list[bytes] = []
        # Called by the parser with body bytes; a call of C by C costs least.
        self.on_body = self._pieces.append
        self._parser: Any = httptools.HttpResponseParser(self)
        self._reset()

    def start(self, reader: ReplyReader) -> None:
        """Expect a response, for this reader."""
        self.reader = reader
        self._reset()

    def stop(self) -> None:
        """The response is over: expect nothing."""
        self.reader = _NOBODY
        self._may_wait = False

    def _reset(self) -> None:
        self.begun = False
        self.ended = False
        self.reusable = False
        self.in_head = True
        self._head_bytes = 0
        self._body_bytes = 0
        self._framing = 0
        self._sized = False
        self._chunked = False
        self._may_wait = False
        self._encoding = ""
        self._location = ""
        self._surplus_from: int | None = None

    def feed(self, data: bytes | memoryview, stamp: int) -> bool:
        """Bytes as they came in one read.

        Trouble becomes a verdict of the reader.

        Returns:
            False if the bytes were only put aside. Otherwise look at `ended` and `reader.broken`.
        """
        wire, marks = self._wire, self._marks
        wire += data
        marks.append(stamp)
        marks.append(len(wire))
        if self._may_wait and len(wire) < _BATCH_BYTES and wire.endswith(_LINE_END):
            self.reader.stamp = stamp
            return False
        self.understand()
        return True

    def understand(self) -> None:
        """Parse what was put aside. Whatever that may throw is the reply's fault."""
        try:
            self._understand()
        except Exception as e:
            self.reader.refuse(unreadable_text(e))

    def _understand(self) -> None:
        marks, self._marks = self._marks, array("q")
        reader = self.reader
        data = bytes(self._wire)
        self._wire.clear()
        if not marks or reader is _NOBODY:
            return
        self.begun = True
        reader.stamp = marks[-2]
        self._parse(data, reader)
        if not self.in_head:
            self._count(reader, len(data))
        if self._pieces:
            self._deliver(reader, data, marks)
        if self.ended:
            reader.end_of_body()

    def _parse(self, data: bytes, reader: ReplyReader) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            reader.refuse("the server wants to switch protocols")
        except httptools.HttpParserCallbackError as e:
            raise (e.__context__ or e) from None
        except httptools.HttpParserError as e:
            if self.ended:
                # What follows the response is rubbish, but the response is whole.
                self.reusable = False
            else:
                reader.refuse(f"the response is not HTTP: {e}")
        if self.in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes:
                reader.refuse(f"the head is longer than {self._limits.head_bytes} bytes")

    def _count(self, reader: ReplyReader, n: int) -> None:
        """Chunk sizes, their extensions and trailers may go on for ever without bringing a body."""
        body = sum(map(len, self._pieces))
        self._body_bytes += body
        self._framing += n - body
        if self._framing > self._limits.head_bytes + _FRAMING * self._body_bytes:
            reader.refuse(f"{self._framing} bytes around a body of {self._body_bytes}")

    def _deliver(self, reader: ReplyReader, data: bytes, marks: array[int]) -> None:
        """Hand on the pieces of the body, each with the stamp of the read that completed it."""
        pieces = self._pieces[: self._surplus_from]
        self._pieces.clear()
        if len(marks) == 2:
            for piece in pieces:
                reader.feed(piece)
        elif len(marks) == 2 * len(pieces):
            # Every read but the last ended with a chunk, so each brought one.
            reader.feed_each(pieces, marks[::2])
        else:
            reader.feed_each(pieces, _stamps(pieces, data, marks))

    def eof(self) -> tuple[Outcome, str]:
        """The server closed the connection before `ended`: what that means for the call.

        A body without length and without chunks ends with the connection; that is proper.
        """
        self.understand()
        reader = self.reader
        if not self.begun:
            return Outcome.DISCONNECTED, NO_RESPONSE
        if self.in_head:
            return Outcome.DISCONNECTED, CUT_IN_HEAD
        if self._sized:
            return Outcome.DISCONNECTED, CUT
        self.ended = True
        try:
            reader.end_of_body()
        except Exception as e:
            reader.refuse(unreadable_text(e))
        return Outcome.OK, ""

    def close(self) -> None:
        """Let go of the parser, which refers back to this object."""
        self._parser = None
        self.stop()

    # --- called by the parser -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A response begins; a second one was never asked for."""
        if self.ended:
            self.reusable = False
            self._surplus_from = len(self._pieces)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        key = name.lower()
        if key == b"content-encoding":
            self._encoding = value.decode("latin-1")
        elif key == b"location":
            self._location = value.decode("latin-1")
        elif key == b"content-length":
            self._sized = True
        elif key == b"transfer-encoding":
            self._sized = True
            self._chunked = b"chunked" in value.lower()

    def on_headers_complete(self) -> None:
        """The head is whole; one of status 1xx announces another."""
        if self.ended:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._sized, self._chunked = False, False
            self._encoding, self._location = "", ""
        else:
            self.in_head = False
            self._sized = self._sized or status in _NO_BODY
            self.reader.head(status, self._encoding, self._location)
            self._may_wait = self._chunked and self.reader.streams

    def on_message_complete(self) -> None:
        """The response has ended; after one of status 1xx the real one follows."""
        if not self.in_head and not self.ended:
            self.ended = True
            self.reusable = self._parser.should_keep_alive()


def _stamps(pieces: list[bytes], data: bytes, marks: array[int]) -> array[int]:
    """For each piece of the body, the stamp of the read it came in.

    The pieces stand in `data` in this order, with nothing but framing between them, and a piece
    never spans two reads: each read but the last ends with a chunk.
    """
    stamps, position, mark = array("q"), 0, 0
    for piece in pieces:
        position = data.index(piece, position) + len(piece)
        while marks[mark + 1] < position:
            mark += 2
        stamps.append(marks[mark])
    return stamps
