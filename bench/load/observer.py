"""How a run reports its progress to whoever follows it; the load knows nothing of screens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Protocol, cast

from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo, RunInfo, RunWarning
from bench.scenario.plan import Block, Case


class Observer(Protocol):
    """Receives what happens. The calls come from the timed path: they must cost microseconds."""

    def run_started(self, info: RunInfo) -> None:
        """The servers are checked and the run directory is there; the first block comes next."""
        return

    def block_started(self, block: Block, case: Case) -> None:
        """A block begins, with getting the model ready."""
        return

    def phase_started(self, block: Block, phase: Phase) -> None:
        """The first request of this phase is about to be sent."""
        return

    def request_sent(self, phase: Phase) -> None:
        """One more request is in flight."""
        return

    def request_ended(self, record: RequestRecord) -> None:
        """One request less is in flight, and its record is in the journal."""
        return

    def block_ended(self, info: BlockInfo) -> None:
        """A block is over, with its requests."""
        return

    def place_asked(self, label: str, done: int, total: int) -> None:
        """After the blocks, if fidelity is measured: one more place has an answer."""
        return

    def warned(self, warning: RunWarning) -> None:
        """Something the reader must know came up."""
        return

    def stopping(self, at_once: bool) -> None:
        """The user wants to stop: nothing more is sent; `at_once`: what is in flight is ended."""
        return


class Silent(Observer):
    """An observer that does nothing: the base of those that want to know but a part."""


def whole_observer(observer: object | None) -> Observer:
    """An observer with every method: those that it leaves out do nothing."""
    if observer is None:
        return Silent()
    names = (name for name in vars(Observer) if not name.startswith("_"))
    whole = Silent()
    parts = {name: getattr(observer, name, getattr(whole, name)) for name in names}
    return cast(Observer, SimpleNamespace(**parts))
