"""The load of sessions: users who play one after another, or sessions that arrive."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from bench.load.closed import PAUSE_AFTER_FAILURE_NS, Users
from bench.load.holding import Release
from bench.load.playing import Player
from bench.load.sender import Sender
from bench.load.session_requests import LiveSession
from bench.results.record import Phase

SessionOf = Callable[[int], LiveSession]
"""The session with this number."""


class SessionUsers(Users):
    """Closed loop: so many users, each playing one session after another.

    A session that was begun before the load's limit is played to its end. With a limit of sessions
    all of it is measured; with one of requests or time, what is sent after it is not. Sessions that
    only keep the load up until the last measured one has ended are cut.
    """

    def __init__(self, sender: Sender, start_ns: int, ramp_s: float, session_of: SessionOf) -> None:
        super().__init__(sender, start_ns, ramp_s)
        self._session_of = session_of
        self._most = sender.share.of_users(self._count, sender.case.load.sessions)
        self._sessions = self._playing = 0
        self._done = asyncio.Event()

    async def run(self, release: Release) -> None:
        """Let the users play until a limit is reached and what was begun before it has ended."""
        async with asyncio.TaskGroup() as group:
            playing = [group.create_task(self._use(user)) for user in self._mine]
            if not playing or self._most == 0:
                self._done.set()
            await self._done.wait()
            await self._sender.none_measured()
            await release()
            for task in playing:
                task.cancel()

    async def _use(self, user: int) -> None:
        await self._turn_of(user)
        for nth in itertools.count():
            counts = self._is_open()
            self._sessions += counts
            self._playing += counts
            session = self._session_of(nth * self._count + user)
            whole = await Player(session, self._sender, partial(self._phase, counts), user).play()
            self._playing -= counts
            if not self._is_open() and not self._playing:
                self._done.set()
            if self._done.is_set() and self._sender.alone:
                return
            if not whole:
                await self._clock.sleep_until(self._clock.now_ns() + PAUSE_AFTER_FAILURE_NS)

    def _is_open(self) -> bool:
        """Whether a session that begins now counts."""
        fewer = self._most is None or self._sessions < self._most
        return fewer and self._is_measured(self._clock.now_ns())

    def _phase(self, counts: bool) -> Phase:
        """What a request of a session is sent for now."""
        now_ns = self._clock.now_ns()
        if now_ns < self.measure_from_ns and self._most is None:
            return Phase.RAMP_UP
        if not counts or not self._is_measured(now_ns):
            return Phase.HOLD
        self._measured += 1
        return Phase.MEASURE


SessionStretch: TypeAlias = tuple[Phase, Sequence[tuple[int, int]]]
"""A part of the arrivals of sessions, all of one phase: when they are due, from the begin of
measuring in ns, ascending; and their numbers."""


@dataclass(eq=False)
class SessionArrivals:
    """Open loop: sessions begin when they are due; inside them each request waits for the last.

    A session that is measured is so to its end, unless the load has a duration: then only until
    that is over. None is cut but those that only keep the load up.
    """

    max_open: int
    sender: Sender
    measure_from_ns: int
    session_of: SessionOf
    _open: int = 0

    def __post_init__(self) -> None:
        self._until_ns = self.sender.until_ns(self.measure_from_ns)

    async def run(
        self, before: Sequence[SessionStretch], hold: SessionStretch, release: Release
    ) -> None:
        """Let every session arrive, and those of `hold` until all that is measured has ended."""
        async with asyncio.TaskGroup() as group:
            counted: list[asyncio.Task[None]] = []
            others: list[asyncio.Task[None]] = []
            for stretch in before:
                kept = counted if stretch[0] is Phase.MEASURE else others
                await self._arrive(group, stretch, kept)
            others.append(group.create_task(self._arrive(group, hold, others)))
            for task in counted:
                await task
            await self.sender.none_measured()
            await release()
            for task in others:
                task.cancel()

    async def _arrive(
        self, group: asyncio.TaskGroup, stretch: SessionStretch, kept: list[asyncio.Task[None]]
    ) -> None:
        phase, arrivals = stretch
        measured = phase is Phase.MEASURE
        for offset, number in arrivals:
            due_ns = self.measure_from_ns + int(offset)
            session = self.session_of(number)
            await self.sender.clock.sleep_until(due_ns)
            self.sender.arrived += measured
            if self._open >= self.max_open:
                self.sender.dropped += measured
                continue
            kept.append(group.create_task(self._play(session, phase, due_ns)))

    async def _play(self, session: LiveSession, phase: Phase, due_ns: int) -> None:
        def phase_now() -> Phase:
            over = self._until_ns is not None and self.sender.clock.now_ns() >= self._until_ns
            return Phase.HOLD if over else phase

        self._open += 1
        try:
            await Player(session, self.sender, phase_now, planned_ns=due_ns).play()
        finally:
            self._open -= 1
