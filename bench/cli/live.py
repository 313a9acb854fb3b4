"""The view of a run while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from bench.cli.planned import plan_text
from bench.cli.progress import PlainView, Progress
from bench.results.record import Phase
from bench.results.run import RunInfo, RunWarning
from bench.scenario.plan import Block, Case

if TYPE_CHECKING:
    from rich.console import Console

    from bench.cli.screen import Screen

_SHOWN_AFTER_S = 0.3
_SWITCH_S = 0.0005


class LiveView(Progress):
    """A table that is drawn anew a few times a second.

    It comes up once the first request is on its way, or after a moment if that takes longer: what
    draws it takes longer to import than a quick server takes to answer.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console
        self._screen: Screen | None = None
        self._waiting: asyncio.Handle | None = None

    def run_started(self, info: RunInfo) -> None:
        """Show the table, soon."""
        super().run_started(info)
        if self._screen is not None:
            self._screen.say(plan_text(info.plan, cases=False))
            return
        self._forget()
        self._waiting = asyncio.get_running_loop().call_later(_SHOWN_AFTER_S, self._show)

    def block_started(self, block: Block, case: Case) -> None:
        """A block begins; without a warm-up, nothing but the present would do for coming up."""
        super().block_started(block, case)
        if case.warmup == 0:
            self._show()

    def request_sent(self, phase: Phase) -> None:
        """One more in flight."""
        super().request_sent(phase)
        if self._screen is None and isinstance(self._waiting, asyncio.TimerHandle):
            self._forget()
            self._waiting = asyncio.get_running_loop().call_soon(self._show)

    def warned(self, warning: RunWarning) -> None:
        """Say it above the table."""
        self._show().say(f"warning: {warning.message}", style="yellow")

    def stopping(self, at_once: bool) -> None:
        """Show it at once."""
        super().stopping(at_once)
        self._show().refresh()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The table is gone when this context ends."""
        before = sys.getswitchinterval()
        try:
            yield
        finally:
            self._forget()
            if self._screen is not None:
                self._screen.stop()
                self._screen = None
            sys.setswitchinterval(before)

    def _show(self) -> Screen:
        self._forget()
        if self._screen is None:
            from bench.cli.screen import Screen

            # The table is drawn by a thread: let it give way to the load after half a millisecond,
            # not five.
            sys.setswitchinterval(_SWITCH_S)
            self._screen = Screen(self, self._console)
            if self.plan is not None:
                self._screen.say(plan_text(self.plan, cases=False))
            self._screen.start()
        return self._screen

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def view_on(quiet: bool = False) -> tuple[Progress, AbstractContextManager[None]]:
    """What shows a run on stderr: the observer, and the context in which it is shown."""
    if quiet:
        return Progress(), nullcontext()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        live = LiveView()
        return live, live.shown()
    return PlainView(), nullcontext()
