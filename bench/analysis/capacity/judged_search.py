"""A search whose probes are judged by promises: what it found, in numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.analysis.capacity.limit import LoadLimit, fit_limit, stated
from bench.analysis.capacity.probe import Probe, Purpose, SearchEnding, SearchSettings
from bench.analysis.capacity.promises import ProbeOutcome, ProbeSample, judge_probe, percentile_of
from bench.analysis.capacity.search import Search
from bench.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class FoundLimit:
    """Where the limit is, by all probes together.

    Attributes:
        ending: as it is stated.
        load: served; never above `low`. None if there is none.
        held, broke: the highest load that a test proved kept, and the lowest proven broken.
        breaks: the promise whose limit is lowest; "" if no limit could be fitted.
        best: best estimate of the limit; None if none can be made.
        low, high: the limit lies between, with 95 % confidence; None = no such end is known.
    """

    ending: SearchEnding
    load: float | None
    held: float | None
    broke: float | None
    breaks: str
    best: float | None
    low: float | None
    high: float | None


@dataclass(slots=True)
class JudgedSearch:
    """A search, and the judgement of its probes."""

    settings: SearchSettings
    promises: Sequence[Threshold]
    search: Search = field(init=False)
    outcomes: list[ProbeOutcome] = field(default_factory=list)
    _tries: dict[float, list[ProbeSample]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.search = Search(self.settings)

    def next_probe(self, affords: Callable[[float], int] | None = None) -> Probe | None:
        """The probe to run now; None when the search is over. See `Search.next_probe`."""
        return self.search.next_probe(affords)

    def record(self, probe: Probe, sample: ProbeSample) -> ProbeOutcome:
        """Judge the probe that `next_probe` asked for, together with the tries that it extends."""
        proves = probe.purpose is not Purpose.SEARCH
        tries = self._tries.setdefault(probe.load, []) if proves else []
        tries.append(sample)
        judged = sum(s.judged for s in tries)
        outcome = judge_probe(
            probe.load,
            tries,
            self.promises,
            can_prove=self.search.valid(probe, judged),
            memory=self.settings.memory(probe.load),
        )
        self.outcomes.append(outcome)
        self.search.record(probe, outcome.verdict, outcome.leans)
        fits = self._fits(*self.search.leaning_bracket())
        self.search.limit = min((limit.load for _, limit in fits), default=None)
        return outcome

    def found(self) -> FoundLimit:
        """What is known now."""
        answer = self.search.answer()
        fits = self._fits(*self.search.leaning_bracket())
        breaks, first = min(fits, key=lambda fit: fit[1].load, default=("", None))
        said = stated(first, answer, whole=self.settings.whole)
        best = first.load if first else None
        if best is not None:
            best = min(max(best, said.low or 0.0), said.high or math.inf)
        return FoundLimit(
            said.ending, said.load, answer.low, answer.high, breaks, best, said.low, said.high
        )

    def _fits(self, low: float | None, high: float | None) -> list[tuple[str, LoadLimit]]:
        if low is None or high is None:
            return []
        fits = []
        for i, promise in enumerate(self.promises):
            shares = [s for o in self.outcomes if (s := o.kept[i].share) and s.requests]
            if shares:
                fit = fit_limit(shares, percentile_of(promise), math.sqrt(low * high))
                if fit is not None:
                    fits.append((promise.text, fit))
        return fits
