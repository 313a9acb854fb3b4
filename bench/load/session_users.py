"""The load of sessions: users who play one after another, or sessions that arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bench.clock import NS
from bench.load.closed import PAUSE_AFTER_FAILURE_NS, ClosedLoop
from bench.load.holding import Release, at_once
from bench.load.playing import Player
from bench.load.sender import Sender
from bench.load.session_requests import LiveSession
from bench.results.record import Phase

SessionOf = Callable[[int], LiveSession]
"""The session with this number."""


class SessionUsers:
    """Closed loop: so many users, each playing one session after another.

    A session that was begun before the load's limit is played to its end. With a limit of sessions
    all of it is measured; with one of requests or time, what is sent after it is not. Sessions that
    only keep the load up until the last measured one has ended are cut.

    Attributes:
        measure_from_ns, measure_until_ns: see `bench.load.closed.ClosedSchedule`.
    """

    def __init__(
        self, loop: ClosedLoop, sender: Sender, start_ns: int, session_of: SessionOf
    ) -> None:
        self._loop = loop
        self._sender = sender
        self._clock = sender.clock
        self._start_ns = start_ns
        self._session_of = session_of
        self._requests = self._sessions = 0
        self._playing = 0
        self._done = asyncio.Event()
        self._mine = range(loop.first_user, loop.users, loop.user_step)
        self.measure_from_ns = start_ns + round(loop.ramp_up_s * NS)
        self.measure_until_ns = (
            None if loop.duration_s is None else self.measure_from_ns + round(loop.duration_s * NS)
        )

    async def run(self, release: Release = at_once) -> None:
        """Let the users play until a limit is reached and what was begun before it has ended."""
        async with asyncio.TaskGroup() as group:
            playing = [group.create_task(self._use(user)) for user in self._mine]
            if not playing or self._loop.sessions == 0:
                self._done.set()
            await self._done.wait()
            await self._sender.none_measured()
            await release()
            for task in playing:
                task.cancel()

    async def _use(self, user: int) -> None:
        spread_ns = self.measure_from_ns - self._start_ns
        await self._clock.sleep_until(self._start_ns + spread_ns * user // self._loop.users)
        nth = 0
        while True:
            counts = self._open()
            if counts:
                self._sessions += 1
                self._playing += 1
            session = self._session_of(nth * self._loop.users + user)
            player = Player(session, self._sender, partial(self._phase, counts), self._sent, user)
            whole = await player.play()
            if counts:
                self._playing -= 1
            if not self._open() and not self._playing:
                self._done.set()
            if self._done.is_set() and self._sender.alone:
                return
            if not whole:
                await self._clock.sleep_until(self._clock.now_ns() + PAUSE_AFTER_FAILURE_NS)
            nth += 1

    def _open(self) -> bool:
        """Whether a session that begins now counts."""
        loop = self._loop
        in_time = self.measure_until_ns is None or self._clock.now_ns() < self.measure_until_ns
        fewer = loop.requests is None or self._requests < loop.requests
        return in_time and fewer and (loop.sessions is None or self._sessions < loop.sessions)

    def _phase(self, counts: bool) -> Phase:
        """What a request of a session is sent for now."""
        now_ns, loop = self._clock.now_ns(), self._loop
        if now_ns < self.measure_from_ns and loop.sessions is None:
            return Phase.RAMP_UP
        in_time = self.measure_until_ns is None or now_ns < self.measure_until_ns
        fewer = loop.requests is None or self._requests < loop.requests
        return Phase.MEASURE if counts and in_time and fewer else Phase.HOLD

    def _sent(self, phase: Phase) -> None:
        self._requests += phase is Phase.MEASURE


@dataclass(frozen=True, slots=True)
class SessionStretch:
    """A part of the arrivals of sessions, all of one phase.

    Attributes:
        due: when they are due, from the begin of measuring, ascending; and their numbers.
    """

    phase: Phase
    due: Sequence[tuple[int, int]]


class SessionArrivals:
    """Open loop: sessions begin when they are due; inside them each request waits for the last.

    A session that is measured is so to its end, unless the load has a duration: then only until
    that is over. None is cut but those that only keep the load up.
    """

    def __init__(
        self,
        max_open: int,
        sender: Sender,
        measure_from_ns: int,
        measure_until_ns: int | None,
        session_of: SessionOf,
    ) -> None:
        self._max_open = max_open
        self._sender = sender
        self._start_ns = measure_from_ns
        self._until_ns = measure_until_ns
        self._session_of = session_of
        self._open = 0
        self.arrived = 0

    async def run(
        self,
        before: Sequence[SessionStretch],
        hold: SessionStretch | None = None,
        release: Release = at_once,
    ) -> None:
        """Let every session arrive, and those of `hold` until all that is measured has ended."""
        async with asyncio.TaskGroup() as group:
            counted: list[asyncio.Task[None]] = []
            others: list[asyncio.Task[None]] = []
            for stretch in before:
                kept = counted if stretch.phase is Phase.MEASURE else others
                await self._arrive(group, stretch, kept)
            going_on = [hold] if hold is not None else []
            holding = [group.create_task(self._arrive(group, h, others)) for h in going_on]
            await _all(counted)
            await self._sender.none_measured()
            await release()
            for task in (*holding, *others):
                task.cancel()

    async def _arrive(
        self, group: asyncio.TaskGroup, stretch: SessionStretch, kept: list[asyncio.Task[None]]
    ) -> None:
        measured = stretch.phase is Phase.MEASURE
        for offset, number in stretch.due:
            due_ns = self._start_ns + int(offset)
            session = self._session_of(number)
            await self._sender.clock.sleep_until(due_ns)
            self.arrived += measured
            if self._open >= self._max_open:
                self._sender.dropped += measured
                continue
            kept.append(group.create_task(self._play(session, stretch.phase, due_ns)))

    async def _play(self, session: LiveSession, phase: Phase, due_ns: int) -> None:
        def phase_now() -> Phase:
            over = self._until_ns is not None and self._sender.clock.now_ns() >= self._until_ns
            return Phase.HOLD if over else phase

        self._open += 1
        try:
            player = Player(session, self._sender, phase_now, _nobody, planned_ns=due_ns)
            await player.play()
        finally:
            self._open -= 1


def _nobody(phase: Phase) -> None:
    """Nobody counts."""


async def _all(tasks: Sequence[Awaitable[None]]) -> None:
    for task in tasks:
        await task
