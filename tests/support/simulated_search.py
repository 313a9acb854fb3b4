"""Searches for capacity on the simulated service model: a server whose true limit can be known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.analysis.capacity.judge import settled
from bench.analysis.capacity.judged_search import FoundLimit, JudgedSearch
from bench.analysis.capacity.promises import ProbeSample, percentile_of
from bench.analysis.capacity.search import SearchSettings
from bench.scenario.thresholds import Threshold, parse_threshold
from bench.simulation.fleet import Workload, simulate_fleet
from bench.simulation.profile import load_profile
from bench.simulation.service import ServiceParameters
from bench.simulation.what_if import METRICS

LONG = 300_000
"""Requests of the simulations that a true limit is from."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server and what is asked of it.

    Attributes:
        lengths: medians of prompt and output tokens, log-normal.
        promise: about one of the metrics of a simulated fleet.
    """

    name: str
    parameters: ServiceParameters
    promise: str
    lengths: tuple[float, float] = (250.0, 120.0)

    @property
    def threshold(self) -> Threshold:
        return parse_threshold(self.promise)

    def work(self, rate: float, n: int, rng: np.random.Generator) -> Workload:
        """Poisson arrivals of requests of drawn lengths."""
        prompt, output = self.lengths
        return Workload(
            np.cumsum(rng.exponential(1e9 / rate, n)).astype(np.int64),
            np.clip(rng.lognormal(math.log(prompt), 0.8, n), 5, 4000).astype(np.int64),
            np.clip(rng.lognormal(math.log(output), 0.5, n), 2, 600).astype(np.int64),
        )

    def served(self, rate: float, n: int, seed: int) -> tuple[ProbeSample, float]:
        """A probe of so many requests from an empty queue, and how many seconds it took."""
        work = self.work(rate, n, np.random.default_rng(seed))
        result = simulate_fleet(self.parameters, work, seed=seed)
        values = METRICS[self.threshold.metric](result)
        sample = ProbeSample((settled(values),), settled(result.in_system))
        return sample, float(result.end_ns.max()) / 1e9

    def true_limit(self) -> float:
        """The rate at which the promise breaks, by bisection over long simulations."""
        low = high = self.one_user_rate()
        while self._keeps(high):
            low, high = high, high * 2
        while not self._keeps(low):
            low /= 2
        while high / low > 1.005:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self._keeps(middle) else (low, middle)
        return math.sqrt(low * high)

    def one_user_rate(self) -> float:
        """Requests per second of one user who never pauses."""
        work = self.work(1e-4, 200, np.random.default_rng(0))
        result = simulate_fleet(self.parameters, work)
        return float(1 / result.e2e_s.mean())

    def _keeps(self, rate: float) -> bool:
        sample, _ = self.served(rate, LONG, seed=77)
        p = percentile_of(self.threshold)
        return float(np.nanquantile(sample.values[0], p)) <= self.threshold.value


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search found, and what it cost in requests and in seconds of virtual time."""

    found: FoundLimit
    requests: int
    seconds: float
    probes: int


def service_of(profile: str, slots: int) -> ServiceParameters:
    """The first model of a shipped profile."""
    model = load_profile(profile).models[0]
    return model.service(slots=slots, batch_tokens=512, slowdown=1)


def search_on(
    server: Server, seed: int, settings: SearchSettings, most_requests: float = math.inf
) -> Searched:
    """One search in virtual time, by the rules of a search on a real server."""
    hunt = JudgedSearch(settings, [server.threshold])
    requests, seconds, probes = 0, 0.0, 0
    while (probe := hunt.next_probe()) is not None and requests < most_requests:
        sample, took = server.served(probe.load, probe.requests, seed * 10_007 + probes)
        hunt.record(probe, sample)
        requests += probe.requests
        seconds += took
        probes += 1
    return Searched(hunt.found(), requests, seconds, probes)
