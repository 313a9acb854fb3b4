"""A transport without a network: scripted replies, on any clock. Meant for users' tests too.

    transport = FakeTransport([scripted_chat(["Hello", " world"], first_s=0.2, gap_s=0.05)])
    reply = await transport.send(ollama_call("/api/chat", b"{}"))

Scripts of what Ollama sends are made by `bench.ollama.scripted`.

With a `VirtualClock`, inside `bench.clock.run_virtual`, hours of replies take milliseconds.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.clock import NS, Clock, RealClock
from bench.wire.errors import CUT
from bench.wire.exchange import Call, Outcome, Reply
from bench.wire.transports.flight import BookedTransport, Flight, TaskCarrier

Ending = Literal["complete", "disconnect", "hang"]


@dataclass(frozen=True, slots=True)
class ScriptedReply:
    """What the fake server answers.

    Attributes:
        body: pieces of the body, each with the seconds since the request at which it arrives.
            The head comes with the first piece, as Ollama sends it.
        status: HTTP status.
        ending: how the response ends: as HTTP says it should, by a broken connection, or never.
        end_s: seconds since the request at which it ends; None means with the last piece.
        connect_error: text of a refused connection, "" if the server can be reached.
    """

    body: tuple[tuple[float, bytes], ...] = ()
    status: int = 200
    ending: Ending = "complete"
    end_s: float | None = None
    connect_error: str = ""


Script = Callable[[Call, int], ScriptedReply]
"""Given the call and its number (from 0), the reply."""


class FakeTransport(BookedTransport):
    """Answers from a script.

    Args:
        script: replies in the order of the calls, repeated from the start when they run out; or a
            function of the call and its number.
        clock: what the script's seconds are counted on.

    Attributes:
        calls: every call so far, with the time it was sent, in nanoseconds of the clock.
        open_connections: as many as `open` was asked for.
    """

    name = "fake"

    def __init__(
        self, script: Sequence[ScriptedReply] | Script, clock: Clock | None = None
    ) -> None:
        self._clock = clock or RealClock()
        super().__init__(now_ns=self._clock.now_ns)
        self.calls: list[tuple[int, Call]] = []
        self.open_connections = 0
        self._script = script if callable(script) else _in_turn(script)

    async def open(self, connections: int) -> None:
        """Only noted."""
        self.open_connections = max(self.open_connections, connections)

    def send(self, call: Call) -> asyncio.Future[Reply]:
        """Send now; see `Transport.send`."""
        scripted = self._script(call, len(self.calls))
        flight = self.begin(call)
        now_ns = self._clock.now_ns()
        self.calls.append((now_ns, call))
        if not scripted.connect_error:
            flight.sent(now_ns)
        flight.carrier = TaskCarrier(self._tell(flight, scripted, now_ns))
        return flight.future

    async def aclose(self) -> None:
        """End every call as `cancelled`."""
        self.stop_all()

    async def _tell(self, flight: Flight, scripted: ScriptedReply, start_ns: int) -> None:
        if scripted.connect_error:
            flight.end(Outcome.CONNECT_ERROR, scripted.connect_error, start_ns)
            return
        reader = flight.reader
        for at_s, data in scripted.body:
            stamp = start_ns + round(at_s * NS)
            await self._clock.sleep_until(stamp)
            self._arrived(flight, scripted, stamp)
            reader.feed(data)
            if reader.broken:
                flight.end(Outcome.MALFORMED, "", stamp)
                return
        end_ns = start_ns
        if scripted.end_s is not None:
            end_ns += round(scripted.end_s * NS)
            await self._clock.sleep_until(end_ns)
        elif scripted.body:
            end_ns += round(scripted.body[-1][0] * NS)
        if scripted.ending == "hang":
            await asyncio.Event().wait()
        if scripted.ending == "disconnect":
            flight.end(Outcome.DISCONNECTED, CUT, end_ns)
            return
        self._arrived(flight, scripted, end_ns)
        reader.end_of_body()
        flight.end(Outcome.OK, "", end_ns)

    def _arrived(self, flight: Flight, scripted: ScriptedReply, stamp: int) -> None:
        flight.reader.stamp = stamp
        self.counters.reads += 1
        if flight.reader.reply.status is None:
            flight.answered(stamp)
            flight.reader.head(scripted.status)


def _in_turn(replies: Sequence[ScriptedReply]) -> Script:
    endless: Iterator[ScriptedReply] = itertools.cycle(replies)
    return lambda call, number: next(endless)
