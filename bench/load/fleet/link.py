"""One sender elsewhere, from the side of the run's machine: orders out, words in.

All times that leave here are on the sender's clock, all that come out of here on this machine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from asyncio import StreamReader, StreamWriter
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec

from bench.clock import NS
from bench.load import messages
from bench.load.fleet.agent import ACK, END, SILENCE_S
from bench.load.fleet.asker import CONNECT_S, Place, TimeAsker
from bench.load.fleet.clocks import ClockLine
from bench.load.measure import MeasuredPhase
from bench.load.recording import STAMPS
from bench.load.worker_process import WorkerDied
from bench.results.record import RequestRecord
from bench.results.run import SenderClock

_LONGEST_LINE = 2**26
_ACK_EVERY_BYTES = 1 << 16
_ACK_EVERY_S = 0.5
_END_S = 5.0


Rescue = Callable[[Place, int], Awaitable[bytes]]
"""What an agent that is gone has left of its sender's words, from a byte on."""


class RemoteSender:
    """A sending process on another machine; stands where a `WorkerProcess` does.

    `rescue` fetches what a lost agent has left.
    """

    def __init__(self, place: Place, name: str, rescue: Rescue) -> None:
        self.place = place
        self.name = name
        self.machine = place.name
        self._rescue = rescue
        self._loop = asyncio.get_running_loop()
        self._asker = TimeAsker(place, self._lost)
        self._reader: StreamReader | None = None
        self._writer: StreamWriter | None = None
        self._why = ""
        self._heard = 0
        self._acked = 0
        self._acked_s = 0.0
        self._left: deque[bytes] | None = None
        self._origin_offset_ns = 0
        self._origin_ns = 0
        self._error_ns = 0
        self._worst_ns = 0

    async def start(self, init: messages.Init) -> None:
        """Connect, compare the clocks, and tell it of the run.

        Raises:
            WorkerDied: it cannot be reached.
        """
        try:
            if not await asyncio.to_thread(self._asker.start):
                where = f"{self.place.host}:{self.place.port}"
                raise WorkerDied(f"{self.name} cannot be reached at {where} from this machine")
            await self._connect()
        except BaseException:  # an agent goes on for as long as it is asked for the time
            self._asker.stop()
            raise
        self._origin_ns = init.origin_ns
        self._origin_offset_ns = self._line().at(time.monotonic_ns())
        self._tell(msgspec.structs.replace(init, origin_ns=init.origin_ns + self._origin_offset_ns))

    def tell(self, order: messages.Order) -> None:
        """Give an order; a start is meant on this machine's clock."""
        if isinstance(order, messages.Measure):
            offset_ns = self._line().at(order.start_ns)
            order = msgspec.structs.replace(order, start_ns=order.start_ns + offset_ns)
            self._worst_ns = 0
        self._tell(order)

    async def hear(self) -> messages.Word:
        """What it says next, its times on this machine's clock.

        Raises:
            WorkerDied: it says nothing any more, and nothing that it said can be fetched.
        """
        while True:
            line = await self._next_line()
            try:
                word = messages.decode_word(line)
            except msgspec.DecodeError:  # torn by a kill
                continue
            if isinstance(word, messages.Failed):
                raise WorkerDied(f"{self.name} {word.message}")
            if isinstance(word, messages.Arrived):
                return messages.Arrived(self._record(word.record))
            if isinstance(word, messages.Done):
                return messages.Done(self._phase(word.measured))
            return word

    async def end(self) -> None:
        """Tell it that it is not needed any more."""
        self._asker.stop()
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.write(END)
                async with asyncio.timeout(_END_S):
                    await self._writer.drain()
                    self._writer.close()
                    await self._writer.wait_closed()

    def clock(self) -> SenderClock:
        """How its clock stood in the block that has just ended."""
        seen = self._asker.watch.seen()
        now_ns = time.monotonic_ns()
        return SenderClock(
            offset_ns=seen.line.at(now_ns),
            drift_ppm=seen.line.drift * 1e6,
            error_ns=max(self._worst_ns, seen.line.error_ns(now_ns)),
            rtt_ns=seen.shortest_ns,
            rtt_p50_ns=seen.median_ns,
            drift_error_ppm=seen.line.drift_error * 1e6,
        )

    @property
    def head_start_s(self) -> float:
        """How long an order may be on its way to it."""
        return 4 * self._asker.watch.seen().median_ns / NS

    def _line(self) -> ClockLine:
        return self._asker.watch.line()

    def _tell(self, order: messages.Order) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(messages.encode(order))

    async def _connect(self, start: int = 0) -> None:
        place = self.place
        opening = asyncio.open_connection(
            place.host, place.port, ssl=place.tls, limit=_LONGEST_LINE
        )
        self._reader, writer = await asyncio.wait_for(opening, CONNECT_S)
        writer.write(place.hello("words", start))
        self._writer = writer

    def _lost(self) -> None:
        """Called in the asker's thread: the agent does not answer any more."""

        def drop() -> None:
            self._why = self._why or f"sent nothing for {SILENCE_S:.0f} s"
            if self._writer is not None:
                self._writer.transport.abort()

        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(drop)

    async def _next_line(self) -> bytes:
        """The next line, from wherever it can be had."""
        self._acknowledge()
        line = await self._read_line()
        if not line and self._left is None:
            self._left = deque(await self._fetch_left())
        if not line and self._left:
            line = self._left.popleft()
        if not line:
            raise WorkerDied(f"{self.name} {self._why or 'broke off: its connection was closed'}")
        self._heard += len(line)
        return line

    async def _read_line(self) -> bytes:
        """A whole line of the connection; empty when there is none any more."""
        if self._reader is None or self._left is not None:
            return b""
        try:
            line = await self._reader.readline()
        except OSError:
            return b""
        return line if line.endswith(b"\n") else b""

    async def _fetch_left(self) -> list[bytes]:
        """The words that were still on their way when the connection broke."""
        left: list[bytes] = []
        with contextlib.suppress(OSError, TimeoutError):
            await self._connect(self._heard)
            assert self._reader is not None
            assert self._writer is not None
            async with asyncio.timeout(SILENCE_S):
                while line := await self._reader.readline():
                    left.append(line)
            total = self._heard + sum(len(line) for line in left)
            self._writer.write(ACK + b"%d\n" % total)
            await self._writer.drain()
            self._writer.close()
            return left
        data = await self._rescue(self.place, self._heard)
        return data.splitlines(keepends=True)

    def _acknowledge(self) -> None:
        """What was received has been written by now."""
        new, now_s = self._heard - self._acked, time.monotonic()
        due = new >= _ACK_EVERY_BYTES or now_s - self._acked_s >= _ACK_EVERY_S
        if self._writer is None or not new or not due or self._writer.is_closing():
            return
        self._writer.write(ACK + b"%d\n" % self._heard)
        self._acked, self._acked_s = self._heard, now_s

    def _shift_ns(self, since_start_ns: int) -> int:
        """What a time since the start of the run, on the sender's clock, is off by."""
        line = self._line()
        here_ns = self._origin_ns + since_start_ns
        self._error_ns = line.error_ns(here_ns)
        self._worst_ns = max(self._worst_ns, self._error_ns)
        return self._origin_offset_ns - line.at(here_ns)

    def _record(self, record: RequestRecord) -> RequestRecord:
        """The record, shifted as a whole: what lies between its times stays exact."""
        ends = [t for t in (record.planned_ns, record.sent_ns, record.end_ns) if t is not None]
        first_ns, last_ns = min(ends, default=0), max(ends, default=0)
        shift_ns = self._shift_ns((first_ns + last_ns) // 2)
        drifted_ns = abs(self._line().drift) * (last_ns - first_ns) / 2
        self._worst_ns = max(self._worst_ns, self._error_ns + round(drifted_ns))
        return shifted(record, shift_ns)

    def _phase(self, measured: MeasuredPhase) -> MeasuredPhase:
        return replace(
            measured,
            window_start_ns=measured.window_start_ns + self._shift_ns(measured.window_start_ns),
            window_end_ns=measured.window_end_ns + self._shift_ns(measured.window_end_ns),
        )


def shifted(record: RequestRecord, by_ns: int) -> RequestRecord:
    """A record with all its times since the start of the run moved."""
    names = ("planned_ns", *STAMPS)
    times = {name: t + by_ns for name in names if (t := getattr(record, name)) is not None}
    return replace(record, **times)
