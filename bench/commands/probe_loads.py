"""What a search for capacity puts on the server: loads as cases, and the time that they take."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from bench.analysis.capacity.probe import By, Probe, affordable
from bench.analysis.capacity.promises import ERROR_RATE, ProbeSample, sample_probe, waited
from bench.analysis.run.columns import Columns
from bench.analysis.run.latency import latencies
from bench.scenario.plan import Arrivals, Case, Load
from bench.thresholds import Threshold

LEAST_SESSIONS = 3
"""Whole sessions that a level of the sweep plays, at least."""


@dataclass(slots=True)
class ProbeLoads:
    """The loads of one search.

    A search over sessions plays whole ones: a level keeps so many going at once, and what is judged
    are their turns (or whatever is promised), of which a session has several.

    Attributes:
        base: the case whose load is replaced.
        by: what a load counts.
        promises: that are searched for.
        response_s: of one user alone: mean time of a request; of a session if `by` is "sessions".
        best_rate: most requests per second that a level of the sweep had.
        per_session: judged values of one session: of the promise that has the fewest.
        requests_per_value: requests for one of them.
        work_s: time that the server works for one of them.
    """

    base: Case
    by: By
    promises: tuple[Threshold, ...]
    response_s: float = 1.0
    best_rate: float = 0.0
    per_session: float = 1.0
    requests_per_value: float = 1.0
    work_s: float = 0.0

    def learn(self, measured: Columns, seconds: float, *, first: bool) -> None:
        """Take over what a level of the sweep shows.

        Args:
            measured: its measured requests.
            seconds: length of its window.
            first: it had one user.
        """
        ok = measured.select(measured.ok)
        if not len(ok):
            return
        self.best_rate = max(self.best_rate, len(ok) / seconds)
        if not first:
            return
        times = latencies(ok)
        self.response_s = float(times["e2e_s"].mean())
        if self.by == "sessions":
            sessions = len(np.unique(measured.work.session))
            timed = [p for p in self.promises if p.metric != ERROR_RATE]
            values = min([len(waited(measured, p)) for p in timed] or [len(measured)])
            self.response_s = seconds / sessions
            values = max(values, 1)
            self.per_session = values / sessions
            self.requests_per_value = len(measured) / values
            self.work_s = float(np.nansum(times["prompt_eval_s"] + times["eval_s"])) / values

    def level(self, users: int, most_s: float) -> Case:
        """One level of the sweep."""
        return sweep_case(self.base, users, self.by, most_s)

    def probe(self, probe: Probe) -> Case:
        """A probe's load."""
        if self.by == "rate":
            rate = rounded(probe.load)
            load = Load("open", rate_per_s=rate, arrivals=Arrivals("poisson"), requests=probe.total)
            return _case_at(self.base, load, {"part": "search", "rate": f"{rate:g}"})
        users = int(probe.load)
        load = Load("closed", users=users, requests=probe.total, ramp_up_s=self.response_s)
        if self.by == "sessions":
            # Whole rounds, so that as many late turns as early ones are judged; they begin within
            # the time of one turn, about.
            rounds = math.ceil(probe.total / self.per_session / users)
            ramp_up_s = self.response_s / max(self.per_session, 1.0)
            load = Load("closed", users=users, sessions=rounds * users, ramp_up_s=ramp_up_s)
        return _case_at(self.base, load, {"part": "search", "users": f"{users}"})

    def affords(self, left_s: float, load: float, slots: int) -> int:
        """How many values to judge the time left allows at a load."""
        if self.by == "sessions":
            rate = load * self.per_session / self.response_s
            # Beyond what the server can do, sessions take longer.
            rate = min(rate, slots / self.work_s) if self.work_s > 0 else rate
            return affordable(left_s, rate, self.response_s)
        rate = load if self.by == "rate" else load / self.response_s
        if self.best_rate:
            # Beyond what the server can do, the queue must be worked off as well.
            rate = min(rate, self.best_rate)
        return affordable(left_s, rate, self.response_s)

    def sample(self, measured: Columns, dropped: int, probe: Probe) -> ProbeSample:
        """What a try of a probe says of the promises."""
        settle = round(probe.settle * self.requests_per_value)
        sample = sample_probe(measured, self.promises, dropped, settle)
        if self.by == "sessions":
            # Histories grow, so more requests are open later; that is no queue without end.
            sample = replace(sample, found=np.zeros(len(sample.found)))
        return sample


def sweep_case(base: Case, users: int, by: By = "rate", most_s: float | None = None) -> Case:
    """One level of the sweep: so many users, who play whole sessions if that is searched over.

    After `most_s` seconds (at least one) no more is sent.
    """
    load = Load("closed", users=users, requests=max(12, 4 * users))
    if by == "sessions":
        load = Load("closed", users=users, sessions=max(LEAST_SESSIONS, users))
    load = replace(load, duration_s=None if most_s is None else max(most_s, 1.0))
    return _case_at(base, load, {"part": "sweep", "users": f"{users}"})


def rounded(load: float) -> float:
    """Four significant digits: enough to search, and readable in a case's id."""
    return float(f"{load:.4g}")


def _case_at(base: Case, load: Load, axes: dict[str, str]) -> Case:
    kept = {k: v for k, v in base.axes.items() if k not in ("users", "rate", "part")} | axes
    what = ", ".join(v if k == "part" else f"{k}={v}" for k, v in axes.items())
    return replace(base, id=f"{base.model}, {what}", axes=kept, load=load)
