"""From an engine's output to the socket: the sink that formats, stamps and writes.

An `Output` is the sink of one job. It writes each piece as it comes, with its truth stamp right
before the write, and hands the slot back with the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.server.engine import EngineFailure, Finish, Piece
from bench.server.http_reply import ServerReply
from bench.server.lines import Ending, LineFormat
from bench.server.truth import TruthRecord

_REPEAT_LIMIT = 30
"""Ollama breaks off after more than this many equal chunks in a row."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two clocks of the server, tied together at its start.

    Attributes:
        now_ns: monotonic.
        wall_offset_ns: wall time minus monotonic time.
    """

    now_ns: Callable[[], int]
    wall_offset_ns: int

    def wall_ns(self, monotonic_ns: int) -> int:
        """Wall time at an instant."""
        return monotonic_ns + self.wall_offset_ns


@dataclass(eq=False)
class Wire:
    """Writes lines of one reply to the socket, and stamps them. Faults replace it."""

    reply: ServerReply
    clocks: Clocks
    truth: TruthRecord
    began: bool = field(default=False, init=False)

    def now(self) -> tuple[int, int]:
        """(monotonic, wall) time for the next line."""
        now = self.clocks.now_ns()
        return now, self.clocks.wall_ns(now)

    def amend(self, piece: Piece) -> Piece:
        """Last chance to change a piece."""
        return piece

    def spoil(self, piece: Piece, *, last: bool = False) -> Piece:
        """Last chance to change what the model says; called for streams and whole replies."""
        return piece

    def amend_ending(self, ending: Ending) -> Ending:
        """Last chance to change the done line."""
        return ending

    def line(self, data: bytes, content_type: str, now_ns: int, due_ns: int, batch: int) -> None:
        """One line of a stream."""
        if not self.began:
            self.began = True
            self.reply.begin(200, content_type)
        self.stamp(now_ns, due_ns, batch)
        self.reply.write(data)

    def last_line(self, data: bytes, content_type: str, now_ns: int, due_ns: int) -> None:
        """The done line."""
        self.line(data, content_type, now_ns, due_ns, 0)

    def end(self) -> None:
        """The stream is complete."""
        self.reply.end()

    def whole(self, status: int, content_type: str, body: bytes, due_ns: int = 0) -> None:
        """A reply in one piece."""
        self.stamp(self.clocks.now_ns(), due_ns, 0)
        self.reply.send(status, content_type, body)

    async def drained(self) -> None:
        """Return when all that was written has been handed to the socket."""

    def stamp(self, now_ns: int, due_ns: int, batch: int) -> None:
        """Note a line in the truth log."""
        self.truth.line_sent_ns.append(now_ns)
        self.truth.line_due_ns.append(due_ns)
        self.truth.line_batch.append(batch)


@dataclass(slots=True, eq=False)
class Output:
    """The sink of one job.

    Attributes:
        stream: write it as it comes, or in one piece at the end.
        abort_repeats: break off when a chunk repeats too often (`/completion` path).
        late_tool_calls: tool calls come with the done line only.
        context: prompt tokens, if the done line carries `context`; else None.
        metrics: turns a `Finish` and the time of the end into Ollama's numbers.
        release, abort: hands the slot back; stops the job in the engine.
        ended: resolves when the reply is complete, or with the failure.
    """

    wire: Wire
    form: LineFormat
    stream: bool
    abort_repeats: bool
    late_tool_calls: bool
    context: Sequence[int] | None
    metrics: Callable[[Finish, int], dict[str, int]]
    release: Callable[[], None]
    abort: Callable[[], None]
    ended: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    _gathered: Piece = field(default_factory=Piece)
    _tool_calls: list[Any] = field(default_factory=list)
    _last_text: str | None = None
    _repeats: int = 0

    def piece(self, piece: Piece) -> None:
        """Write an increment, or gather it."""
        if self.ended.done():
            return
        piece = self.wire.spoil(piece)
        if self.abort_repeats and self._repeated(piece):
            self._break_off()
            return
        if piece.tool_calls and self.late_tool_calls:
            self._tool_calls += piece.tool_calls
            piece.tool_calls = ()
        if not self.stream:
            _append(self._gathered, piece)
            return
        now, wall = self.wire.now()
        data = self.form.piece(self.wire.amend(piece), wall)
        if data is not None:
            self.wire.line(data, self.form.stream_type, now, piece.due_ns, piece.batch)

    def finished(self, finish: Finish) -> None:
        """Write the end, then hand the slot on."""
        if self.ended.done():
            return
        last = finish.piece or Piece()
        last = self.wire.spoil(last, last=True)
        last.tool_calls = (*self._tool_calls, *last.tool_calls)
        now, wall = self.wire.now()
        ending = self.wire.amend_ending(
            Ending(
                finish.done_reason,
                self.metrics(finish, now),
                None if self.context is None else [*self.context, *finish.output_tokens],
                last,
            )
        )
        self.wire.truth.done_reason = ending.done_reason
        self.wire.truth.metrics = ending.metrics
        if self.stream:
            data = self.form.done(ending, wall)
            self.wire.last_line(data, self.form.stream_type, now, finish.due_ns)
            self.wire.end()
        else:
            _append(self._gathered, last)
            body = self.form.whole(self._gathered, ending, wall)
            self.wire.whole(200, self.form.whole_type, body, finish.due_ns)
        if self.ended.done():  # a fault ended the reply with its last line: who gave it up releases
            return
        self.release()
        self.ended.set_result(None)

    def failed(self, failure: EngineFailure) -> None:
        """An error line if lines have gone out already; else the caller answers."""
        if self.ended.done():
            return
        self.release()
        if not self.wire.began:
            self.ended.set_exception(failure)
            return
        data = self.form.broken(failure.message)
        if data is not None:
            now, _ = self.wire.now()
            self.wire.line(data, self.form.stream_type, now, 0, 0)
        self.wire.end()
        self.ended.set_result(None)

    def _repeated(self, piece: Piece) -> bool:
        text = piece.text.strip()
        self._repeats = self._repeats + 1 if text == self._last_text else 0
        self._last_text = text
        return self._repeats > _REPEAT_LIMIT

    def _break_off(self) -> None:
        """End without a done line, as Ollama does."""
        self.abort()
        _, wall = self.wire.now()
        if self.stream:
            self.wire.end()
        else:
            body = self.form.whole(self._gathered, None, wall)
            self.wire.whole(200, self.form.whole_type, body)
        self.release()
        self.ended.set_result(None)


def _append(whole: Piece, piece: Piece) -> None:
    whole.text += piece.text
    whole.thinking += piece.thinking
    whole.tool_calls += piece.tool_calls
    whole.logprobs += piece.logprobs
