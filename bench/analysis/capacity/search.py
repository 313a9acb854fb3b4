"""The search for the highest load that keeps a promise, as a pure state machine.

1. *Locate*: double (or halve) the load until the promise is broken at one load and kept at another,
   then bisect on the logarithm of the load. A probe that proves neither counts as what its
   percentile says: near the limit, proof is dear, and another load tells more than a longer look.
2. *Prove*: a longer run a little under the limit must pass, and one at 10 % more must fail. A run
   that proves neither is extended; what stays undecided makes the answer a range.

The machine asks for probes and is told their verdicts; who runs them (a real server or a simulated
one) is not its business:

    search = Search(SearchSettings(start=0.25))
    while (probe := search.next_probe()) is not None:
        search.record(probe, verdict_of(probe))
    search.answer()
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
    UNDECIDED = "undecided"
    """No load was proven to keep the promise, or none to break it."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What to search, and how hard.

    Attributes:
        start: first load tried (requests/s, or users).
        floor, ceiling: never probe below or above. A load that fails at a 64th of `start` ends
            the search too.
        whole: loads are whole numbers (users).
        precision: locating ends when the bracket's ends differ by this factor or less.
        probe_requests: of a probe that locates.
        confirm_factor: a proving probe is this much longer.
        extensions: how often an undecided proving probe is extended, each time to the double.
        margin: the load that must fail is this factor above the one that must pass.
        max_probes: give up searching after so many probes.
    """

    start: float
    floor: float = 0.0
    ceiling: float = math.inf
    whole: bool = False
    precision: float = 1.2
    probe_requests: int = 150
    confirm_factor: int = 4
    extensions: int = 2
    margin: float = 1.1
    max_probes: int = 60


class Purpose(StrEnum):
    """Why a probe is run."""

    SEARCH = "search"
    CONFIRM_PASS = "confirm_pass"
    CONFIRM_FAIL = "confirm_fail"


_WANTED = {Purpose.CONFIRM_PASS: Verdict.PASS, Purpose.CONFIRM_FAIL: Verdict.FAIL}
"""A proving probe that leans the other way is in the wrong place: it is not worth extending."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One stretch of load to run.

    Attributes:
        requests: how many requests it should have.
        extension: 0 for a first try; else it is judged together with the tries before it.
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
        low, high: the limit lies between these tests; `high` is None if no load failed.
    """

    ending: Ending
    load: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class _Test:
    """What all tries at one load say together."""

    load: float
    verdict: Verdict
    leans: Verdict
    requests: int
    purpose: Purpose


@dataclass(slots=True)
class Search:
    """Asks for probes until the answer is known.

    Attributes:
        limit: best estimate of the limit from all probes so far, if the caller can make one.
    """

    settings: SearchSettings
    history: list[tuple[Probe, Verdict]] = field(default_factory=list)
    limit: float | None = None
    _tests: list[_Test] = field(default_factory=list)
    _current: Probe | None = None
    _stopped: bool = False
    _pair: float | None = None

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

    def record(self, probe: Probe, verdict: Verdict, leans: Verdict | None = None) -> None:
        """Tell the verdict of the probe that `next_probe` asked for.

        Args:
            probe: as asked for, or with fewer requests.
            verdict: of all tries at this load.
            leans: what the percentile itself says, without its bounds; only looked at if the
                verdict is undecided. None: no telling, so that the probe is extended.
        """
        self.history.append((probe, verdict))
        self._current = None
        undecided = verdict is Verdict.UNDECIDED
        worth_it = leans is None or leans is _WANTED.get(probe.purpose)
        if undecided and worth_it and probe.extension < self.settings.extensions:
            # As many requests again as all tries before had together.
            more = probe.requests * (1 if probe.extension == 0 else 2)
            self._current = replace(probe, requests=more, extension=probe.extension + 1)
            return
        total = probe.requests * (1 if probe.extension == 0 else 2)
        said = verdict if not undecided else leans or Verdict.UNDECIDED
        self._tests.append(_Test(probe.load, verdict, said, total, probe.purpose))

    def answer(self) -> Answer:
        """What is known now."""
        low, high = self._bracket()
        if low is not None and high is not None:
            confirmed = self._confirmed(high)
            if confirmed is not None:
                return Answer(Ending.CONFIRMED, confirmed, low, high)
            return Answer(Ending.RANGE, low, low, high)
        if low is not None and low >= self.settings.ceiling:
            return Answer(Ending.NEVER_SATURATED, low, low, None)
        if high is not None and self._lower_of(high) is None:
            return Answer(Ending.NEVER_PASSED, None, None, high)
        return Answer(Ending.UNDECIDED, low, low, high)

    def leaning_bracket(self) -> tuple[float | None, float | None]:
        """The limit is probably between these loads; nothing is proven by it."""
        return self._bracket(leaning=True)

    def _confirmed(self, high: float) -> float | None:
        """The highest load that passed a long run, if one at most 10 % above it failed one."""
        proven = {t.load: t.verdict for t in self._tests if t.purpose is not Purpose.SEARCH}
        passed = [x for x, v in proven.items() if v is Verdict.PASS and x < high]
        top = max(passed, default=None)
        failed = [x for x, v in proven.items() if v is Verdict.FAIL and x > (top or 0.0)]
        if top is None or not failed:
            return None
        return top if min(failed) <= self._above(top) else None

    def _bracket(self, *, leaning: bool = False) -> tuple[float | None, float | None]:
        """The highest load kept and the lowest broken; longer tests overrule shorter ones."""
        tests = sorted(self._tests, key=lambda t: (t.verdict is not Verdict.UNDECIDED, t.requests))
        low: float | None = None
        high: float | None = None
        for test in reversed(tests):
            verdict = test.leans if leaning else test.verdict
            inside = (low is None or test.load > low) and (high is None or test.load < high)
            if inside and verdict is Verdict.PASS:
                low = test.load
            elif inside and verdict is Verdict.FAIL:
                high = test.load
        return low, high

    def _choose(self) -> Probe | None:
        s = self.settings
        if not self._tests:
            return Probe(self._whole(s.start), s.probe_requests)
        low, high = self.leaning_bracket()
        if low is None:
            load = self._lower_of(min(t.load for t in self._tests))
            if load is None and self._bracket()[1] is None:
                return self._unproven(high, Purpose.CONFIRM_FAIL)
        elif high is None:
            load = self._higher_of(max(t.load for t in self._tests))
            if load is None and self._bracket()[0] != low:
                return self._unproven(low, Purpose.CONFIRM_PASS)
        else:
            load = self._between(low, high)
            if load is None:
                return self._next_proof(low, high)
        return None if load is None else Probe(load, s.probe_requests)

    def _next_proof(self, low: float, high: float) -> Probe | None:
        """The load that must pass, then the one that must fail, placed around the limit.

        If one turns out the other way, both move; if one stays undecided, others further out give
        the range its ends.
        """
        proofs = {t.load: t for t in self._tests if t.purpose is not Purpose.SEARCH}
        if self._pair is None or self._refuted(self._pair):
            self._pair = self._just_under(low, high)
        pair = (
            (self._pair, Purpose.CONFIRM_PASS, self._below),
            (self._above(self._pair), Purpose.CONFIRM_FAIL, self._above),
        )
        for load, purpose, outwards in pair:
            while self._open(load, proofs):
                if load not in proofs:
                    return self._proof(load, purpose)
                load = outwards(load)
        return None

    def _open(self, load: float, proofs: Mapping[float, _Test]) -> bool:
        """Whether no long run, here or on the way to here, has proven that this load holds or not.

        A short probe's verdict is not enough to end the search on.
        """
        held = [t.load for t in proofs.values() if t.verdict is Verdict.PASS]
        broke = [t.load for t in proofs.values() if t.verdict is Verdict.FAIL]
        inside = max(held, default=0.0) < load < min(broke, default=math.inf)
        return inside and self._lower_of(load) is not None

    def _refuted(self, pair: float) -> bool:
        """Whether the pair must move: its lower load failed, or its upper one passed.

        Leaning that way is enough: then the limit is more likely elsewhere.
        """
        low, high = self._bracket()
        over = self._above(pair)
        if (high is not None and pair >= high) or (low is not None and over <= low):
            return True
        leans = {t.load: t.leans for t in self._tests if t.purpose is not Purpose.SEARCH}
        return leans.get(pair) is Verdict.FAIL or leans.get(over) is Verdict.PASS

    def _just_under(self, low: float, high: float) -> float:
        """A load so that the limit lies midway between it and the one that must fail."""
        if self.settings.whole:
            return low
        limit = self.limit if self.limit and low <= self.limit <= high else math.sqrt(low * high)
        proven = self._bracket()[0] or 0.0
        return max(limit / math.sqrt(self.settings.margin), proven)

    def _unproven(self, load: float | None, purpose: Purpose) -> Probe | None:
        """A proof of the last load there is to try, unless it was tried."""
        tried = any(t.load == load and t.purpose is purpose for t in self._tests)
        return None if load is None or tried else self._proof(load, purpose)

    def _proof(self, load: float, purpose: Purpose) -> Probe:
        s = self.settings
        return Probe(load, s.probe_requests * s.confirm_factor, purpose)

    def _above(self, load: float) -> float:
        raised = load * self.settings.margin
        return max(load + 1, math.ceil(raised - 1e-9)) if self.settings.whole else raised

    def _below(self, load: float) -> float:
        lowered = load / self.settings.margin
        return max(1.0, math.floor(lowered)) if self.settings.whole else lowered

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
        """The next load inside the bracket; None when the bracket is narrow enough."""
        if self.settings.whole:
            middle = float(round(math.sqrt(low * high)))
            wide = high / low > 1.1 and low < middle < high
        else:
            middle = math.sqrt(low * high)
            wide = high / low > self.settings.precision
        return middle if wide else None

    def _whole(self, load: float) -> float:
        return max(1.0, float(math.floor(load))) if self.settings.whole else load


def run_search(settings: SearchSettings, judge: Callable[[Probe], Verdict]) -> Search:
    """Run a search to its end with a function that runs and judges a probe."""
    search = Search(settings)
    while (probe := search.next_probe()) is not None:
        search.record(probe, judge(probe))
    return search
