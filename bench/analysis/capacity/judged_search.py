"""A search whose probes are judged by promises: what it found, in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.analysis.capacity.limit import Limit, fit_limit, stated_range
from bench.analysis.capacity.promises import (
    ProbeOutcome,
    ProbeSample,
    judge_probe,
    percentile_of,
)
from bench.analysis.capacity.search import Answer, Probe, Search, SearchSettings
from bench.scenario.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class FoundLimit:
    """Where the limit is, by all probes together.

    Attributes:
        answer: of the tests.
        breaks: the promise whose limit is lowest; "" if no limit could be fitted.
        best: best estimate of the limit; None if none can be made.
        low, high: the limit lies between, with 95 % confidence; None = no such end is known.
    """

    answer: Answer
    breaks: str
    best: float | None
    low: float | None
    high: float | None


@dataclass(slots=True)
class JudgedSearch:
    """A search, and the judgement of its probes.

    Args:
        settings: of the search.
        promises: that `check_promise` accepts.
    """

    settings: SearchSettings
    promises: Sequence[Threshold]
    search: Search = field(init=False)
    outcomes: list[ProbeOutcome] = field(default_factory=list)
    _tries: list[ProbeSample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.search = Search(self.settings)

    def next_probe(self) -> Probe | None:
        """The probe to run now; None when the search is over."""
        return self.search.next_probe()

    def record(self, probe: Probe, sample: ProbeSample) -> ProbeOutcome:
        """Judge the probe that `next_probe` asked for, together with the tries that it extends."""
        if probe.extension == 0:
            self._tries = []
        self._tries.append(sample)
        outcome = judge_probe(probe.load, self._tries, self.promises)
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
        low, high = stated_range(first, answer)
        return FoundLimit(answer, breaks, first.load if first else None, low, high)

    def _fits(self, low: float | None, high: float | None) -> list[tuple[str, Limit]]:
        """The limit of each promise."""
        if low is None or high is None:
            return []
        fits = []
        for i, promise in enumerate(self.promises):
            shares = [s for o in self.outcomes if (s := o.kept[i].share) is not None]
            if shares:
                fit = fit_limit(shares, percentile_of(promise), math.sqrt(low * high))
                if fit is not None:
                    fits.append((promise.text, fit))
        return fits
