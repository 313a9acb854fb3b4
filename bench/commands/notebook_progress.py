"""How a run goes, in Jupyter: one line that is drawn anew at most twice a second."""

from __future__ import annotations

import importlib
import sys
from html import escape
from typing import Any

from bench.clock import Clock, RealClock
from bench.load.observer import Observer, Silent, whole_observer
from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo, RunInfo, RunWarning
from bench.scenario.plan import Block, Case
from bench.wire.exchange import Outcome

_EVERY_NS = 500_000_000


def usual_observer(given: object | None) -> Observer:
    """The observer that was given; without one, a line of progress if this is a notebook."""
    if given is None and "ipykernel" in sys.modules:
        return NotebookProgress()
    return whole_observer(given)


class NotebookProgress(Silent):
    """A line of progress and the warnings.

    Drawing sends one message to the notebook; the client check counts what it costs like all else
    that this process does.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or RealClock()
        self._handle: Any = None
        self._blocks = self._done = self._ok = self._failed = 0
        self._case = ""
        self._warnings: list[str] = []
        self._drawn_ns = 0

    def run_started(self, info: RunInfo) -> None:
        """Show the line."""
        self._blocks = len(info.plan.blocks)
        self._draw()

    def block_started(self, block: Block, case: Case) -> None:
        """Another case."""
        self._case = case.id
        self._draw()

    def request_ended(self, record: RequestRecord) -> None:
        """Count it; the line is drawn now and then."""
        if record.phase is Phase.MEASURE:
            self._ok += record.outcome is Outcome.OK
            self._failed += record.outcome is not Outcome.OK
        if self._clock.now_ns() - self._drawn_ns > _EVERY_NS:
            self._draw()

    def block_ended(self, info: BlockInfo) -> None:
        """One block less."""
        self._done += 1
        self._draw()

    def warned(self, warning: RunWarning) -> None:
        """Show it below the line."""
        self._warnings.append(warning.message)
        self._draw()

    def _draw(self) -> None:
        from bench.report.units import plural  # late: it loads much that measuring needs none of

        notebook: Any = importlib.import_module("IPython.display")

        self._drawn_ns = self._clock.now_ns()
        failed = f", {self._failed} failed" if self._failed else ""
        line = (
            f"<progress max='{max(self._blocks, 1)}' value='{self._done}'></progress> block "
            f"{min(self._done + 1, self._blocks)} of {self._blocks}: {escape(self._case)}; "
            f"{plural(self._ok, 'request')}{failed}"
        )
        said = "".join(f"<br>warning: {escape(text)}" for text in self._warnings)
        shown = notebook.HTML(line + said)
        if self._handle is None:
            self._handle = notebook.display(shown, display_id=True)
        else:
            self._handle.update(shown)
