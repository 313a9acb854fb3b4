"""Who wants to know how a run goes tells it through this; the load knows nothing of screens."""

from __future__ import annotations

from typing import Protocol

from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo, RunInfo, RunWarning
from bench.scenario.plan import Block, Case


class Observer(Protocol):
    """Is told what happens. The calls come from the timed path: they must cost microseconds."""

    def run_started(self, info: RunInfo) -> None:
        """The servers are checked and the run directory is there; the first block comes next."""
        ...

    def block_started(self, block: Block, case: Case) -> None:
        """A block begins, with getting the model ready."""
        ...

    def phase_started(self, block: Block, phase: Phase) -> None:
        """The first request of this phase is about to be sent."""
        ...

    def request_sent(self, phase: Phase) -> None:
        """One more request is in flight."""
        ...

    def request_ended(self, record: RequestRecord) -> None:
        """One request less is in flight, and its record is in the journal."""
        ...

    def block_ended(self, info: BlockInfo) -> None:
        """A block is over, with its requests."""
        ...

    def warned(self, warning: RunWarning) -> None:
        """Something the reader must know came up."""
        ...

    def stopping(self, at_once: bool) -> None:
        """The user wants to stop: nothing more is sent; `at_once`: what is in flight is ended."""
        ...


class Silent:
    """An observer that does nothing."""

    def run_started(self, info: RunInfo) -> None:
        """Do nothing."""

    def block_started(self, block: Block, case: Case) -> None:
        """Do nothing."""

    def phase_started(self, block: Block, phase: Phase) -> None:
        """Do nothing."""

    def request_sent(self, phase: Phase) -> None:
        """Do nothing."""

    def request_ended(self, record: RequestRecord) -> None:
        """Do nothing."""

    def block_ended(self, info: BlockInfo) -> None:
        """Do nothing."""

    def warned(self, warning: RunWarning) -> None:
        """Do nothing."""

    def stopping(self, at_once: bool) -> None:
        """Do nothing."""
