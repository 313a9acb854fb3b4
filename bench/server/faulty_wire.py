"""What a fault does to the bytes of a reply."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bench.server.engine import Json, Piece
from bench.server.faults import Fault, Kind
from bench.server.go import NS
from bench.server.lines import Ending, error_body, error_line
from bench.server.scheduler import BUSY
from bench.server.stream import Wire

_STOPPED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal "
    "error, check ollama server logs for details"
)
_UNEXPECTED_EOF = "an error was encountered while running the model: unexpected EOF"
_YEAR_NS = 365 * 86400 * NS
_ABSURD = {
    "total_duration": 1,
    "load_duration": 300 * _YEAR_NS,
    "prompt_eval_duration": -5 * NS,
    "eval_duration": 40 * _YEAR_NS,
}
_JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class _Write:
    """One write to come: bytes, their truth stamp if they begin a line, and what follows."""

    data: bytes
    due_ns: int = 0
    batch: int = 0
    is_line: bool = False
    pause_s: float = 0.0


@dataclass(eq=False)
class FaultyWire(Wire):
    """A wire with one fault in it."""

    fault: Fault
    _lines: int = 0
    _outbox: deque[_Write] = field(default_factory=deque)
    _held: bool = False
    _opened: bool = False
    _gathered: list[tuple[bytes, int, int]] = field(default_factory=list)
    _ending: Callable[[], None] | None = None
    _drained: asyncio.Event = field(default_factory=asyncio.Event)

    def strike_first(self, refuse: Callable[[float], None]) -> bool:
        """The faults that come before the request is parsed; True if that was all.

        `refuse` makes the server refuse connections for so many seconds.
        """
        fault = self.fault
        self.truth.fault = fault.kind
        if fault.kind is Kind.REFUSE:
            refuse(fault.duration_s)
        if fault.kind in (Kind.REFUSE, Kind.RESET):
            self.reply.cut(reset=True)
            return True
        if fault.kind is Kind.STATUS:
            message = BUSY if fault.status == 503 else _STOPPED
            super().whole(fault.status, _JSON, error_body(message))
            return True
        if fault.kind is Kind.SLOW_HEADERS:
            self._hold(fault.duration_s)
        return False

    def now(self) -> tuple[int, int]:
        """The wall clock jumps."""
        now, wall = super().now()
        if self.fault.kind is Kind.CLOCK_JUMP and self._lines >= self.fault.after:
            wall += round(self.fault.duration_s * NS)
        return now, wall

    def amend(self, piece: Piece) -> Piece:
        """One line becomes huge."""
        if self.fault.kind is Kind.HUGE_LINE and self._lines == self.fault.after:
            return replace(piece, text=piece.text + "x" * self.fault.bytes)
        return piece

    def spoil(self, piece: Piece, *, last: bool = False) -> Piece:
        """What was to be JSON, or a call, is wrong."""
        text, calls = piece.text, piece.tool_calls
        match self.fault.kind:
            case Kind.BAD_JSON:
                text = text.replace("}", "").replace("]", "")
            case Kind.WRONG_JSON:
                if text and not self._opened:
                    self._opened, text = True, f"[{text}"
                if last and self._opened:
                    text += "]"
            case Kind.UNKNOWN_TOOL | Kind.WRONG_ARGUMENTS:
                calls = tuple(_wrong_call(call, self.fault.kind) for call in calls)
        return replace(piece, text=text, tool_calls=calls)

    def amend_ending(self, ending: Ending) -> Ending:
        """Counts are missing, or durations absurd."""
        if self.fault.kind is Kind.MISSING_COUNTS:
            return replace(ending, metrics={})
        if self.fault.kind is Kind.ABSURD_DURATIONS:
            return replace(ending, metrics=ending.metrics | _ABSURD)
        return ending

    def line(self, data: bytes, content_type: str, now_ns: int, due_ns: int, batch: int) -> None:
        """A line, unless the fault has its way."""
        if not self.began:
            self.began = True
            self.reply.begin(200, content_type)
        reached = self._lines == self.fault.after
        self._lines += 1
        match self.fault.kind:
            case Kind.CUT if reached:
                self._break(lambda: self.reply.cut(reset=self.fault.reset))
            case Kind.ERROR_LINE if reached:
                self._send(error_line(_UNEXPECTED_EOF), due_ns, batch)
                self._break(self.reply.end)
            case Kind.MALFORMED if reached:
                self._send(data[: len(data) // 2] + b"\n", due_ns, batch)
            case Kind.COALESCE:
                self._gathered.append((data, due_ns, batch))
                if len(self._gathered) == self.fault.lines:
                    self._send_gathered()
            case Kind.STALL if reached:
                self._hold(self.fault.duration_s)
                self._send(data, due_ns, batch)
            case _:
                self._send(data, due_ns, batch)

    def last_line(self, data: bytes, content_type: str, now_ns: int, due_ns: int) -> None:
        """The done line may be missing."""
        if self.fault.kind is not Kind.NO_DONE:
            super().last_line(data, content_type, now_ns, due_ns)

    def end(self) -> None:
        """The end comes after what is still to be sent."""
        self._send_gathered()
        if self._held or self._outbox:
            self._ending = self.reply.end
        else:
            self.reply.end()

    def whole(self, status: int, content_type: str, body: bytes, due_ns: int = 0) -> None:
        """A single reply can be late, broken or cut; stream faults do nothing to it."""
        kind = self.fault.kind
        if kind is Kind.MALFORMED:
            body = body[: len(body) // 2]
        if kind is Kind.CUT:
            self.reply.begin(status, content_type)
            self.reply.write(body[: len(body) // 2])
            self.reply.cut(reset=self.fault.reset)
            return
        if kind is Kind.STALL:
            self._hold(self.fault.duration_s)
        if self._held:
            send = super().whole
            self._ending = lambda: send(status, content_type, body, due_ns)
        else:
            super().whole(status, content_type, body, due_ns)

    async def drained(self) -> None:
        """Return when nothing is held back any more."""
        if (self._held or self._outbox or self._ending) and not self.reply.ended:
            await self._drained.wait()

    def _break(self, how: Callable[[], None]) -> None:
        """End the reply here, and stop the job as if the client had gone."""
        how()
        if self.reply.on_gone is not None:
            self.reply.on_gone()

    def _send_gathered(self) -> None:
        if not self._gathered:
            return
        data = b"".join(self.reply.frame(line) for line, _, _ in self._gathered)
        now = self.clocks.now_ns()
        for _, due_ns, batch in self._gathered:
            self.stamp(now, due_ns, batch)
        self._gathered.clear()
        self.reply.raw(data)

    def _send(self, data: bytes, due_ns: int, batch: int) -> None:
        frame = self.reply.frame(data)
        if self.fault.kind is Kind.SPLIT:
            size = -(-len(frame) // self.fault.parts)
            for at in range(0, len(frame), size):
                part = frame[at : at + size]
                write = _Write(part, due_ns, batch, at == 0, self.fault.duration_s)
                self._outbox.append(write)
        else:
            self._outbox.append(_Write(frame, due_ns, batch, True))
        self._pump()

    def _hold(self, seconds: float) -> None:
        """Send nothing for a while."""
        self._held = True
        asyncio.get_running_loop().call_later(seconds, self._let_go)

    def _let_go(self) -> None:
        self._held = False
        self._pump()

    def _pump(self) -> None:
        """Send what may be sent, in order."""
        while self._outbox and not self._held and not self.reply.ended:
            write = self._outbox.popleft()
            if write.is_line:
                self.stamp(self.clocks.now_ns(), write.due_ns, write.batch)
            self.reply.raw(write.data)
            if write.pause_s:
                self._hold(write.pause_s)
        if self._ending is not None and not self._held and not self.reply.ended:
            ending, self._ending = self._ending, None
            ending()
            self._drained.set()


def _wrong_call(call: Json, kind: Kind) -> Json:
    """A call of a tool that is not there, or with each argument in a list."""
    function = dict(call["function"])
    if kind is Kind.UNKNOWN_TOOL:
        function["name"] += "_not_offered"
    else:
        given = function.get("arguments") or {"unasked": None}
        function["arguments"] = {name: [value] for name, value in given.items()}
    return {**call, "function": function}
