"""The search for the highest load that keeps a promise, as a pure state machine.

Double until a probe fails, bisect on the logarithm of the load until the bracket is narrow, then
confirm: a longer probe at the answer must pass, and one 10 % above it must fail. Once there is a
bracket, an undecided probe is extended; one still undecided then widens the answer into a range.

The machine asks for probes and is told their verdicts; who runs them (a real server or a simulated
one) is not its business:

    search = Search(SearchSettings(start=0.25))
    while (probe := search.next_probe()) is not None:
        search.record(probe, verdict_of(probe))
    search.answer()
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from bench.analysis.capacity.judge import Verdict


class Ending(StrEnum):
    """How a search ended."""

    CONFIRMED = "confirmed"
    """The answer passed a longer run, and 10 % more failed."""
    RANGE = "range"
    """The limit lies in a range; confirmation was not reached."""
    NEVER_SATURATED = "never_saturated"
    """The promise was kept at every load up to the ceiling."""
    NEVER_PASSED = "never_passed"
    """The promise was broken at the lowest load already."""
    OUT_OF_BUDGET = "out_of_budget"
    """The time budget ended before a bracket was found."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What to search, and how hard.

    Attributes:
        start: first load tried (requests/s, or users).
        floor, ceiling: never probe below or above.
        whole: loads are whole numbers (users).
        precision: stop bisecting when the bracket's ends differ by this factor or less.
        probe_requests: aim of a plain probe; extensions double it.
        extensions: how often an undecided probe is extended.
        confirm_factor: a confirming probe is this much longer.
        margin: the load that must fail is this factor above the answer.
        max_probes: give up searching after so many probes.
    """

    start: float
    floor: float = 0.0
    ceiling: float = math.inf
    whole: bool = False
    precision: float = 1.08
    probe_requests: int = 200
    extensions: int = 3
    confirm_factor: int = 4
    margin: float = 1.1
    max_probes: int = 60


class Purpose(StrEnum):
    """Why a probe is run."""

    SEARCH = "search"
    CONFIRM_PASS = "confirm_pass"
    CONFIRM_FAIL = "confirm_fail"


@dataclass(frozen=True, slots=True)
class Probe:
    """One stretch of load to run.

    Attributes:
        extension: 0 for a first try; the same load is run again, longer, when undecided.
        requests: how many requests it should have.
    """

    load: float
    requests: int
    purpose: Purpose = Purpose.SEARCH
    extension: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the search found.

    Attributes:
        load: the highest load that is known to keep the promise; None if there is none.
        low, high: the limit lies between these; `high` is None if no load failed.
    """

    ending: Ending
    load: float | None
    low: float | None
    high: float | None


@dataclass(slots=True)
class Search:
    """Asks for probes until the answer is known."""

    settings: SearchSettings
    history: list[tuple[Probe, Verdict]] = field(default_factory=list)
    _passed: float | None = None
    _failed: float | None = None
    _undecided: set[float] = field(default_factory=set)
    _confirmed_pass: bool = False
    _confirmed_fail: bool = False
    _current: Probe | None = None
    _stopped: bool = False

    def next_probe(self) -> Probe | None:
        """The probe to run now; None when the search is over."""
        if self._stopped or len(self.history) >= self.settings.max_probes:
            return None
        if self._current is None:
            self._current = self._choose()
        return self._current

    def stop(self) -> None:
        """The time budget has ended: no more probes."""
        self._stopped = True

    def record(self, probe: Probe, verdict: Verdict) -> None:
        """Tell the verdict of the probe that `next_probe` asked for."""
        self.history.append((probe, verdict))
        self._current = None
        extends = probe.purpose is not Purpose.SEARCH or self._bracketed
        if verdict is Verdict.UNDECIDED and extends and probe.extension < self.settings.extensions:
            self._current = Probe(
                probe.load, probe.requests * 2, probe.purpose, probe.extension + 1
            )
            return
        {
            Purpose.SEARCH: self._record_search,
            Purpose.CONFIRM_PASS: self._record_confirm_pass,
            Purpose.CONFIRM_FAIL: self._record_confirm_fail,
        }[probe.purpose](probe.load, verdict)

    @property
    def _bracketed(self) -> bool:
        """A load that passed and one that failed are known: from here on, time is well spent."""
        return self._passed is not None and self._failed is not None

    def answer(self) -> Answer:
        """What is known now."""
        low, high = self._bracket()
        if self._confirmed_pass and self._confirmed_fail:
            return Answer(Ending.CONFIRMED, self._passed, low, high)
        if self._passed is not None and self._failed is not None:
            return Answer(Ending.RANGE, self._passed, low, high)
        if self._passed is not None:
            at_ceiling = self._passed >= self.settings.ceiling
            ending = Ending.NEVER_SATURATED if at_ceiling else Ending.OUT_OF_BUDGET
            return Answer(ending, self._passed, low, None)
        if self._failed is not None and self._lower_of(self._failed) is None:
            return Answer(Ending.NEVER_PASSED, None, None, high)
        return Answer(Ending.OUT_OF_BUDGET, None, None, high)

    def _record_search(self, load: float, verdict: Verdict) -> None:
        if verdict is Verdict.PASS:
            self._passed = max(load, self._passed or load)
        elif verdict is Verdict.FAIL:
            self._failed = min(load, self._failed or load)
        else:
            self._undecided.add(load)

    def _record_confirm_pass(self, load: float, verdict: Verdict) -> None:
        self._confirmed_pass = verdict is Verdict.PASS
        if verdict is Verdict.FAIL:
            # The long run overrules the short one: search again below.
            self._failed = load
            below = [x for x in self._loads(Verdict.PASS) if x < load]
            self._passed = max(below, default=None)
        elif verdict is Verdict.UNDECIDED:
            self._stopped = True

    def _record_confirm_fail(self, load: float, verdict: Verdict) -> None:
        self._confirmed_fail = verdict is Verdict.FAIL
        if verdict is Verdict.PASS:
            self._passed = max(load, self._passed or load)
            above = [x for x in self._loads(Verdict.FAIL) if x > load]
            self._failed = min(above, default=None)
            self._confirmed_pass = False
        elif verdict is Verdict.UNDECIDED:
            self._stopped = True

    def _loads(self, verdict: Verdict) -> list[float]:
        return [probe.load for probe, v in self.history if v is verdict]

    def _choose(self) -> Probe | None:
        s = self.settings
        tried = [probe.load for probe, _ in self.history]
        if not tried:
            load: float | None = self._whole(s.start)
        elif self._passed is None:
            load = self._lower_of(min(tried))
        elif self._failed is None:
            load = self._higher_of(max(tried))
        else:
            load = self._between(self._passed, self._failed)
            if load is None:
                return self._confirmation()
        if load is None:
            return None
        return Probe(load, s.probe_requests)

    def _confirmation(self) -> Probe | None:
        assert self._passed is not None
        requests = self.settings.probe_requests * self.settings.confirm_factor
        if not self._confirmed_pass:
            return Probe(self._passed, requests, Purpose.CONFIRM_PASS)
        if not self._confirmed_fail:
            return Probe(self._above(self._passed), requests, Purpose.CONFIRM_FAIL)
        return None

    def _above(self, load: float) -> float:
        raised = load * self.settings.margin
        return max(load + 1, math.ceil(raised)) if self.settings.whole else raised

    def _lower_of(self, load: float) -> float | None:
        lower = self._whole(load / 2)
        lowest = 1.0 if self.settings.whole else self.settings.floor
        if load <= max(lowest, self.settings.start / 64):
            return None
        return max(lower, lowest)

    def _higher_of(self, load: float) -> float | None:
        if load >= self.settings.ceiling:
            return None
        return min(self._whole(load * 2), self.settings.ceiling)

    def _between(self, low: float, high: float) -> float | None:
        """The next load inside the bracket; None when the bracket is as narrow as it gets."""
        gaps = sorted({low, high, *(x for x in self._undecided if low < x < high)})
        widest = max(itertools.pairwise(gaps), key=lambda g: g[1] / g[0])
        if self.settings.whole:
            middle = float(round(math.sqrt(widest[0] * widest[1])))
            return middle if widest[0] < middle < widest[1] else None
        if widest[1] / widest[0] <= self.settings.precision or len(gaps) > 4:
            return None
        return math.sqrt(widest[0] * widest[1])

    def _whole(self, load: float) -> float:
        return max(1.0, float(math.floor(load))) if self.settings.whole else load

    def _bracket(self) -> tuple[float | None, float | None]:
        return self._passed, self._failed


def run_search(settings: SearchSettings, judge: Callable[[Probe], Verdict]) -> Search:
    """Run a search to its end with a function that runs and judges a probe."""
    search = Search(settings)
    while (probe := search.next_probe()) is not None:
        search.record(probe, judge(probe))
    return search
