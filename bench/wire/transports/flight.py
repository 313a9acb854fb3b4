"""One call under way, and the future that stands for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from bench.clock import NS
from bench.wire.exchange import Call, Outcome, Reply, WireCounters
from bench.wire.reply_reader import LIMITS, ReplyLimits, ReplyReader

_OPENING = 3
"""Times `connect_s` that a connection, TLS and a proxy before it may take in all."""


class Carrier(Protocol):
    """What a call travels on: a connection, or a task that is opening one."""

    def abort(self) -> None:
        """Let go of the socket at once, without calling back."""


class PendingReply(asyncio.Future[Reply]):
    """The future of a call. Cancelling it ends the call and closes its connection at once."""

    flight: Flight | None = None

    def cancel(self, msg: Any | None = None) -> bool:
        """End the call, then be cancelled as any future."""
        if self.flight is not None:
            self.flight.abandon()
        return super().cancel(msg)


class Flight:
    """One call from `send` to its end.

    Attributes:
        call: what was asked.
        reader: fills the reply.
        future: what the caller waits for.
        carrier: what to abort if the call is to end now; None once it has ended.
        any_received: something of the response has come.
        patience_ns: how long nothing may come after the request, or the last read; 0 before.
        deadline_ns: when all must have come; 0 before the request.
    """

    __slots__ = (
        *("_home", "any_received", "call", "carrier", "deadline_ns", "future", "patience_ns"),
        "reader",
    )

    def __init__(self, call: Call, future: PendingReply, home: BookedTransport) -> None:
        self.call = call
        self.reader = ReplyReader(call, home.limits)
        self.future = future
        self.carrier: Carrier | None = None
        self.patience_ns = 0
        self.deadline_ns = 0
        self.any_received = False
        self._home = home
        future.flight = self

    def sent(self, now_ns: int) -> None:
        """The request goes out now."""
        reader = self.reader
        reader.reply.sent_ns = reader.stamp = now_ns
        self.patience_ns = round(self.call.first_byte_s * NS)
        self.deadline_ns = now_ns + round(self.call.total_s * NS)
        self._home.watch(min(now_ns + self.patience_ns, self.deadline_ns))

    def connecting(self, now_ns: int) -> None:
        """A connection is being opened by someone whose own time-outs may miss a case."""
        self.reader.stamp = now_ns
        self.patience_ns = round(_OPENING * self.call.connect_s * NS)
        self._home.watch(now_ns + self.patience_ns)

    def answered(self, now_ns: int) -> None:
        """The first byte has come: from now on the idle time-out counts."""
        self.any_received = True
        self.patience_ns = round(self.call.idle_s * NS)
        self._home.watch(now_ns + self.patience_ns)

    def end(self, outcome: Outcome, error: str, end_ns: int) -> None:
        """The call is over; its carrier has seen to itself."""
        future = self.future
        if future.flight is not self:
            return
        future.flight = None
        self.carrier = None
        self._home.remove(self)
        try:
            reply = self.reader.finish(outcome, error, end_ns)
        except Exception as e:
            # Whoever waits must never wait for ever, whatever was thrown.
            reply = self.reader.unreadable(e, end_ns)
        if not future.done():
            future.set_result(reply)

    def timeout_text(self) -> str:
        """Which time-out it was."""
        if self.deadline_ns and self.reader.stamp + self.patience_ns > self.deadline_ns:
            return f"the reply did not end within {self.call.total_s:g} s"
        if self.reader.reply.sent_ns is None:
            return f"no connection within {_OPENING * self.call.connect_s:g} s"
        if not self.any_received:
            return f"no response within {self.call.first_byte_s:g} s of the request"
        return f"nothing came for {self.call.idle_s:g} s in mid-reply"

    def stop(self, outcome: Outcome, error: str, end_ns: int) -> None:
        """End the call from this side: its connection is closed."""
        self._let_go()
        self.end(outcome, error, end_ns)

    def abandon(self) -> None:
        """Nobody waits for the reply any more: close the connection and forget the call."""
        self._let_go()
        self.future.flight = None
        self._home.remove(self)

    def _let_go(self) -> None:
        carrier, self.carrier = self.carrier, None
        if carrier is not None:
            carrier.abort()


class TaskCarrier:
    """Carries a call by a task."""

    __slots__ = ("_task",)

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    def abort(self) -> None:
        """Stop the task; what it holds open is closed."""
        self._task.cancel()


class BookedTransport:
    """What every transport has: the calls under way, and one timer for all their time-outs.

    The timer rings when the earliest of them could be due, which with usual time-outs is about
    never, so that a chunk costs no timer operation.
    """

    def __init__(
        self, limits: ReplyLimits = LIMITS, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.limits = limits
        self.counters = WireCounters()
        self.now_ns = now_ns
        self._flights: set[Flight] = set()
        self._due_ns = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, call: Call) -> Flight:
        """A new call."""
        flight = Flight(call, PendingReply(), self)
        self._flights.add(flight)
        return flight

    def remove(self, flight: Flight) -> None:
        """The call is over."""
        self._flights.discard(flight)
        self.counters.coalesced += flight.reader.reply.coalesced

    def cancel(self, future: asyncio.Future[Reply]) -> None:
        """End a call now; its future resolves as `cancelled`. Nothing if it has ended."""
        if isinstance(future, PendingReply) and future.flight is not None:
            future.flight.stop(Outcome.CANCELLED, "cancelled", self.now_ns())

    def stop_all(self) -> None:
        """End every call as cancelled."""
        for flight in list(self._flights):
            flight.stop(Outcome.CANCELLED, "the transport was closed", self.now_ns())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def watch(self, due_ns: int) -> None:
        """See to it that the timer rings by then."""
        if self._timer is not None:
            if self._due_ns <= due_ns:
                return
            self._timer.cancel()
        self._due_ns = due_ns
        delay_s = max(0.0, (due_ns - self.now_ns()) / NS)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _ring(self) -> None:
        """End the calls that are overdue; set the timer for the next that could be."""
        self._timer = None
        now_ns = self.now_ns()
        next_ns: int | None = None
        for flight in list(self._flights):
            if not flight.patience_ns:
                continue
            due_ns = flight.reader.stamp + flight.patience_ns
            if flight.deadline_ns:
                due_ns = min(due_ns, flight.deadline_ns)
            if due_ns <= now_ns:
                flight.stop(Outcome.TIMEOUT, flight.timeout_text(), now_ns)
            elif next_ns is None or due_ns < next_ns:
                next_ns = due_ns
        if next_ns is not None:
            self.watch(next_ns)
