"""The search for the highest load that keeps a promise, as a pure state machine.

1. *Locate*: double (or halve) the load with short probes until the promise is broken at one load
   and kept at another, then bisect on the logarithm of the load. A probe that proves neither counts
   as what its percentile says: near the limit, proof is dear, and another load tells more.
2. *Prove*: a longer look a little under the limit must pass, and one at a load 10 % above it must
   fail. Looks that prove neither are doubled, the two loads in turn; the two move when the
   estimate of the limit leaves them. What stays undecided makes the answer a range.

A queue has a memory: what it does now depends on what it did some 1 / (1 - load)^2 arrivals ago,
with the load as a share of what the server can do. Every probe starts with arrivals that are not
judged until an empty server has filled, and a proof is long against that memory.

The machine asks for probes and receives their verdicts; who runs them (a real server or a simulated
one) is not its business:

    search = Search(SearchSettings(start=0.25))
    while (probe := search.next_probe()) is not None:
        search.record(probe, verdict_of(probe))
    search.answer()
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bench.analysis.capacity.judge import ProbeVerdict
from bench.analysis.capacity.probe import (
    CYCLE,
    Probe,
    Purpose,
    SearchAnswer,
    SearchEnding,
    SearchSettings,
)

SETTLE_MEMORIES = 4
PROOF_MEMORIES = 40
VALID_MEMORIES = 20
"""A shorter probe proves nothing: its batches are too much alike (M/G/k: 6-14 % false passes)."""
LOCATING_SHARE = 0.25
"""Share of the budget left that one locating probe may take."""
LEAST_REQUESTS = 20
STRAY = 1.03
"""The two loads move when the estimate of the limit is outside them by this factor."""
OUTWARDS = 3


@dataclass(frozen=True, slots=True)
class _TriedLoad:
    """What all tries at one load say together."""

    load: float
    verdict: ProbeVerdict
    leans: ProbeVerdict
    requests: int
    tries: int


@dataclass(slots=True)
class Search:
    """Asks for probes until the answer is known.

    Attributes:
        limit: best estimate of the limit from all probes so far, if the caller can make one.
    """

    settings: SearchSettings
    history: list[tuple[Probe, ProbeVerdict]] = field(default_factory=list)
    limit: float | None = None
    _tests: list[_TriedLoad] = field(default_factory=list)
    _proofs: dict[float, _TriedLoad] = field(default_factory=dict)
    _current: Probe | None = None
    _pair: float | None = None

    def next_probe(self, affords: Callable[[float], int] | None = None) -> Probe | None:
        """The probe to run now; None when the search is over.

        `affords` says how many requests at a load the budget still allows; it is asked again for a
        probe that has no verdict and is run once more.
        """
        if len(self.history) >= self.settings.max_probes:
            return None
        probe = self._current or self._choose()
        if probe is not None and affords is not None:
            probe = self._within(probe, affords(probe.load))
        self._current = probe
        return probe

    def valid(self, probe: Probe, requests: int) -> bool:
        """Whether so many requests at its load, judged together, can prove that it keeps."""
        return requests >= VALID_MEMORIES * self.settings.memory(probe.load)

    def record(
        self, probe: Probe, verdict: ProbeVerdict, leans: ProbeVerdict | None = None
    ) -> None:
        """Tell the verdict of the probe that `next_probe` asked for.

        Args:
            probe: as asked for, or with fewer requests.
            verdict: of all tries at this load.
            leans: what the percentile itself says, without its bounds; only looked at if the
                verdict is undecided. None: unknown.
        """
        self.history.append((probe, verdict))
        self._current = None
        said = verdict if verdict is not ProbeVerdict.UNDECIDED else leans or ProbeVerdict.UNDECIDED
        proves = probe.purpose is not Purpose.SEARCH
        before = self._proofs.get(probe.load) if proves else None
        total = probe.requests + (before.requests if before else 0)
        tries = before.tries + 1 if before else 1
        test = _TriedLoad(probe.load, verdict, said, total, tries)
        self._tests.append(test)
        if proves:
            self._proofs[probe.load] = test

    def answer(self) -> SearchAnswer:
        """What is known now."""
        low, high = self._bracket()
        if low is not None and high is not None:
            return self._confirmed(low, high) or SearchAnswer(SearchEnding.RANGE, low, low, high)
        if low is not None and low >= self.settings.ceiling:
            return SearchAnswer(SearchEnding.NEVER_SATURATED, low, low, None)
        if high is not None and self._lower_of(high) is None:
            return SearchAnswer(SearchEnding.NEVER_PASSED, None, None, high)
        return SearchAnswer(SearchEnding.UNDECIDED, low, low, high)

    def leaning_bracket(self) -> tuple[float | None, float | None]:
        """The limit is probably between these loads; nothing is proven by it."""
        return self._bracket(leaning=True)

    def _confirmed(self, low: float, high: float) -> SearchAnswer | None:
        """The answer if two long looks, at most 10 % apart, hold the limit between them."""
        held, broke = self._proven()
        if not 0 < held < broke <= self._above(held) * (1 + 1e-9) or low >= broke or high <= held:
            return None
        return SearchAnswer(SearchEnding.CONFIRMED, held, held, broke)

    def _bracket(self, *, leaning: bool = False) -> tuple[float | None, float | None]:
        """The highest load kept and the lowest broken; longer tests overrule shorter ones."""
        tests = sorted(
            self._tests, key=lambda t: (t.verdict is not ProbeVerdict.UNDECIDED, t.requests)
        )
        low: float | None = None
        high: float | None = None
        for test in reversed(tests):
            verdict = test.leans if leaning else test.verdict
            inside = (low is None or test.load > low) and (high is None or test.load < high)
            if inside and verdict is ProbeVerdict.PASS:
                low = test.load
            elif inside and verdict is ProbeVerdict.FAIL:
                high = test.load
        return low, high

    def _choose(self) -> Probe | None:
        s = self.settings
        if not self._tests:
            return self._locating(self._whole(s.start))
        low, high = self.leaning_bracket()
        if low is None:
            end = min(t.load for t in self._tests)
            return self._onwards(end, self._lower_of(end), Purpose.CONFIRM_FAIL)
        if high is None:
            end = max(t.load for t in self._tests)
            return self._onwards(end, self._higher_of(end), Purpose.CONFIRM_PASS)
        load = None if self._proofs else self._between(low, high)
        return self._next_look(low, high) if load is None else self._locating(load)

    def _onwards(self, end: float, load: float | None, purpose: Purpose) -> Probe | None:
        """The next load; where there is none, a proof at the last, unless it is proven already."""
        if load is not None:
            return self._locating(load)
        return None if end in self._bracket() else self._look(end, purpose)

    def _next_look(self, low: float, high: float) -> Probe | None:
        """At the load that must pass and the one that must fail, the shorter look first.

        When one of the two cannot be decided, a load further out gives the range its end.
        """
        if self._pair is None or self._astray(self._pair, low, high):
            self._pair = self._just_under(low, high)
        under, over = self._pair, self._above(self._pair)
        looks = [self._look(under, Purpose.CONFIRM_PASS), self._look(over, Purpose.CONFIRM_FAIL)]
        wanted = [look for look in looks if look is not None]
        if wanted:
            return min(wanted, key=lambda look: look.extension)
        for _ in range(OUTWARDS):
            under, over = self._below(under), self._above(over)
            for load, purpose in ((under, Purpose.CONFIRM_PASS), (over, Purpose.CONFIRM_FAIL)):
                look = self._look(load, purpose)
                if look is not None and load < self.settings.ceiling * self.settings.margin:
                    return look
        return None

    def _look(self, load: float, purpose: Purpose) -> Probe | None:
        """The next look at a load, as long as all before together; None if it is decided."""
        s = self.settings
        low, high = self._proven()
        if load <= low or load >= high:
            return None
        before = self._proofs.get(load)
        if before is None:
            first = max(s.proof_requests, math.ceil(PROOF_MEMORIES * s.memory(load)))
            return self._settled(Probe(load, first, purpose))
        if before.tries > s.doublings:
            return None
        return self._settled(Probe(load, before.requests, purpose, before.tries))

    def _proven(self) -> tuple[float, float]:
        """The highest load that a long look proved kept, and the lowest proven broken."""
        held = [t.load for t in self._proofs.values() if t.verdict is ProbeVerdict.PASS]
        broke = [t.load for t in self._proofs.values() if t.verdict is ProbeVerdict.FAIL]
        return max(held, default=0.0), min(broke, default=math.inf)

    def _astray(self, pair: float, low: float, high: float) -> bool:
        """Whether the two loads must move: one is proven the other way, or the limit elsewhere."""
        held, broke = self._proven()
        over = self._above(pair)
        if pair >= broke or over <= held:
            return True
        limit = self._estimate(low, high)
        if self.settings.whole:
            return not pair / STRAY <= limit < over * STRAY
        return not pair / STRAY <= limit <= over * STRAY

    def _estimate(self, low: float, high: float) -> float:
        """Of the limit: by the fit if there is one, else the middle; within what is proven."""
        held, broke = self._proven()
        limit = self.limit or math.sqrt(low * high)
        return min(max(limit, held), broke, self.settings.ceiling)

    def _just_under(self, low: float, high: float) -> float:
        """A load so that the limit lies midway between it and the one that must fail."""
        held, broke = self._proven()
        limit = self._estimate(low, high)
        if self.settings.whole:
            load = max(1.0, math.floor(limit))
        else:
            load = limit / math.sqrt(self.settings.margin)
        if load <= held:
            return held
        # A load that is proven to break is the upper one of the two.
        return self._below(broke) if load >= broke else load

    def _locating(self, load: float) -> Probe:
        s = self.settings
        least = math.ceil(CYCLE * s.memory(load)) if s.whole else 0
        return self._settled(Probe(load, max(s.probe_requests, least)))

    def _settled(self, probe: Probe) -> Probe:
        s = self.settings
        fill = math.ceil(SETTLE_MEMORIES * s.memory(probe.load)) + s.slots
        return replace(probe, settle=min(fill, probe.requests))

    def _within(self, probe: Probe, most: int) -> Probe | None:
        """The probe, shortened if need be to what the budget left allows; None if too little.

        A proof that would be too short to prove anything makes way for a locating probe there,
        which sharpens the estimate.
        """
        if probe.purpose is not Purpose.SEARCH and probe.total > most:
            kept = int(most * probe.requests / probe.total)
            before = self._proofs.get(probe.load)
            together = kept + (before.requests if before else 0)
            if kept < self.settings.proof_requests or not self.valid(probe, together):
                probe = Probe(probe.load, max(probe.requests, LEAST_REQUESTS), settle=probe.settle)
        if probe.purpose is Purpose.SEARCH:
            most = max(int(most * LOCATING_SHARE), min(most, 2 * LEAST_REQUESTS))
        if probe.total <= most:
            return probe
        kept = int(most * probe.requests / probe.total)
        if kept < LEAST_REQUESTS:
            return None
        return replace(probe, requests=kept, settle=most - kept)

    def _above(self, load: float) -> float:
        raised = load * self.settings.margin
        return max(load + 1, math.floor(raised + 1e-9)) if self.settings.whole else raised

    def _below(self, load: float) -> float:
        lowered = load / self.settings.margin
        if self.settings.whole:
            return max(1.0, min(load - 1, math.ceil(lowered - 1e-9)))
        return lowered

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
            wide = high / low > self.settings.margin and low < middle < high
        else:
            middle = math.sqrt(low * high)
            wide = high / low > self.settings.precision
        return middle if wide else None

    def _whole(self, load: float) -> float:
        return max(1.0, float(math.floor(load))) if self.settings.whole else load
